#!/usr/bin/env bash
# Builds, on a machine without a GPU, one folder that has all that scripts/check-gpu.sh needs on a machine
# with a card but without Rust or a network, such as a GPU node of a cluster:
#
#     scripts/gpu-bundle.sh [DIR]       # target/gpu-bundle; below 60 MB
#     DIR/run.sh [STAGE...]             # there; DIR/run.sh --help lists the stages
#
# The program, the tests with cases for devices and the bench of kernels are in it twice, with the feature
# `cuda` and with `cudnn`, as archives. They run on compute capability 8.0 and newer, unless CUDA_COMPUTE_CAP
# names a newer one, and where the C library is not older than this machine's. Needs Rust, Python 3 and a C compiler;
# nvcc and cuDNN come from PyPI where there is no nvcc. SpikingJelly is put in for the comparison where PyPI
# can be reached.
set -euo pipefail
cd "$(dirname "$0")/.."
bundle=$(realpath -m "${1:-target/gpu-bundle}")
if ! command -v nvcc >/dev/null; then
    eval "$(scripts/cuda-toolkit-from-pypi.sh "${MBSPIKE_CUDA_TOOLKIT:-target/cuda-toolkit}" --cudnn)"
fi
export CUDA_COMPUTE_CAP=${CUDA_COMPUTE_CAP:-80} NVCC=$PWD/scripts/nvcc-without-quantized.sh
# The same as scripts/check-cuda-build.sh's, which has then no more than its own to compile.
CARGO_TARGET_DIR=$(realpath -m "${CARGO_TARGET_DIR:-target}")/cuda
export CARGO_TARGET_DIR

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# Copies what cargo built, as its messages say, into a folder: `core-device` for the test `device` of mbspike-core.
place_executables() {
    python3 -c '
import json, pathlib, shutil, sys
folder = pathlib.Path(sys.argv[1])
wanted = {"mbspike", "cuda_bandwidth", "kernels", "core-device", "lif-device"}
for message in map(json.loads, sys.stdin):
    if not message.get("executable"):
        continue
    name = message["target"]["name"]
    crate = pathlib.Path(message["manifest_path"]).parent.name.removeprefix("mbspike-")
    name = {"device": f"{crate}-device", "cuda_kernels": "kernels"}.get(name, name)
    shutil.copy2(message["executable"], folder / name)
    wanted.remove(name)
sys.exit(f"not built: {wanted}" if wanted else 0)' "$@"
}

# Libraries with the names and the functions of CUDA's that the programs in a folder are linked against; every
# function fails. Where one of CUDA's is not there, its stand-in lets the loader start the program, so that it
# can say itself what is missing.
make_stand_ins() {
    local library name prefix
    for library in $(readelf -d "$1"/* | sed -nE 's/.*NEEDED.*\[(lib(cu|nv)[^]]*)\].*/\1/p' | sort -u); do
        [ ! -e "$bundle/stand-ins/$library" ] || continue
        name=${library#lib} name=${name%%.so*}
        [ "$name" = cudart ] && prefix='(__)?cuda[A-Z]' || prefix="${name}[A-Z]"
        nm -D --undefined-only "$1"/* | awk '$1 == "U" { print $2 }' | grep -E "^$prefix" | sort -u |
            { [ "$name" = cublas ] && grep -v '^cublasLt' || cat; } >"$work/$name"
        sed -E 's/([^@]*).*/int \1(void) { return 1; }/' "$work/$name" >"$work/$name.c"
        # The loader wants them in the version that the program asks for: `cublasCreate_v2@libcublas.so.13`.
        sed -n 's/.*@//p' "$work/$name" | sort -u | sed 's/$/ { global: *; };/' >"$work/$name.versions"
        mkdir -p "$bundle/stand-ins"
        cc -shared -fPIC -w -Wl,-soname,"$library" -Wl,--version-script="$work/$name.versions" \
            -o "$bundle/stand-ins/$library" "$work/$name.c"
        strip "$bundle/stand-ins/$library"
    done
}

rm -rf "$bundle"
mkdir -p "$bundle/configs"
for feature in cuda cudnn; do
    # All in one selection, so that nothing is compiled twice with other features.
    cargo build --release -p mbspike -p mbspike-core -p mbspike-lif --features "$feature" \
        --bin mbspike --example cuda_bandwidth --test device --test cuda_kernels \
        --message-format=json-render-diagnostics >"$work/messages"
    mkdir "$bundle/$feature"
    place_executables "$bundle/$feature" <"$work/messages"
    strip "$bundle/$feature"/*
    # Kernels do not know of cuDNN: once is enough.
    [ "$feature" = cuda ] || rm "$bundle/$feature"/{kernels,cuda_bandwidth}
    make_stand_ins "$bundle/$feature"
    tar -C "$bundle" -cf - "$feature" | gzip -9 >"$bundle/$feature.tar.gz"
    rm -r "${bundle:?}/$feature"
done
cp configs/smoke.toml configs/quickstart.toml "$bundle/configs/"
cp -r crates/mbspike-core/tests/golden "$bundle/golden"
cp scripts/check-gpu.sh scripts/bench_gpu_peers.py "$bundle/"
git describe --always --dirty --abbrev=40 >"$bundle/commit"
cat >"$bundle/run.sh" <<'RUN'
#!/usr/bin/env bash
folder=$(cd "$(dirname "$0")" && pwd)
exec "$folder/check-gpu.sh" --bundle "$folder" "$@"
RUN
chmod +x "$bundle/run.sh"

# With what it imports besides PyTorch and NumPy.
if python3 -m pip download --quiet --disable-pip-version-check --no-deps --dest "$work" \
    "spikingjelly==2.0.*" loguru; then
    for wheel in "$work"/*.whl; do
        python3 -m zipfile -e "$wheel" "$work/python"
    done
    tar -C "$work" -cf - python | gzip -9 >"$bundle/python.tar.gz"
else
    echo "SpikingJelly cannot be downloaded: the bundle goes without it" >&2
fi
du -sm "$bundle"

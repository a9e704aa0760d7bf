#!/usr/bin/env bash
# Lints the whole workspace with the features `cuda` and `cudnn`, and so type-checks every launch; then
# builds the program with `cuda` and starts it without a driver and with made-up ones. Needs
# neither GPU nor driver, but a C compiler. Takes some 15 CPU minutes, most of it for dependencies; a second
# time seconds.
set -euo pipefail
cd "$(dirname "$0")/.."
if ! command -v nvcc >/dev/null; then
    eval "$(scripts/cuda-toolkit-from-pypi.sh "${MBSPIKE_CUDA_TOOLKIT:-target/cuda-toolkit}")"
fi
export CUDA_COMPUTE_CAP=${CUDA_COMPUTE_CAP:-80} NVCC=$PWD/scripts/nvcc-without-quantized.sh
# The same as scripts/gpu-bundle.sh's: candle's kernels are compiled once for both.
CARGO_TARGET_DIR=$(realpath -m "${CARGO_TARGET_DIR:-target}")/cuda
export CARGO_TARGET_DIR
cargo clippy --release --workspace --all-targets --features cuda,cudnn -- -D warnings
cargo build --release -p mbspike -p mbspike-core -p mbspike-lif --features cuda \
    --bin mbspike --example cuda_bandwidth --test device --test cuda_kernels
mbspike=$CARGO_TARGET_DIR/release/mbspike

if readelf -d "$mbspike" | grep -F libcuda.so; then
    echo "the program is linked against the driver: a function is missing in src/cuda/driver.rs"
    exit 1
fi

# Starts the program on a device, which has to end with exit code 1 and say why.
expect() {
    local said status=0
    said=$("$mbspike" run configs/smoke.toml --device "$1" 2>&1) || status=$?
    echo "exit code $status: $said"
    [ "$status" = 1 ] && [[ $said == *"$1: $2"* ]]
}

# A driver that answers as told; calls that are not listed are answered that there is no device.
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
driver() {
    local functions
    functions=$(sed -n '/^driver_functions! {/,/^}/p' crates/mbspike-core/src/cuda/driver.rs |
        grep -o 'cu[A-Z][A-Za-z0-9_]*')
    for function in $functions; do
        [[ $* == *"$function("* ]] || echo "int $function(void) { return 100; }"
    done | cat - <(printf '%s\n' "$@") >"$folder/driver.c"
    cc -shared -fPIC -o "$folder/libcuda.so.1" "$folder/driver.c"
}

if ldconfig -p | grep -qF libcuda.so.1; then
    echo "there is a driver: what happens without one is not checked"
else
    expect cuda:0 "no CUDA driver found: libcuda.so.1: "
fi
export LD_LIBRARY_PATH="$folder${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}"
driver
expect cuda:0 "no CUDA driver found: CUDA_ERROR_NO_DEVICE"
driver "int cuInit(unsigned flags) { return flags; }" \
    "int cuDeviceGetCount(int *count) { *count = 2; return 0; }"
expect cuda:5 "there are only 2 GPUs, from cuda:0"

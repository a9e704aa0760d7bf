#!/usr/bin/env bash
# Sets up nvcc and ptxas from PyPI wheels in FOLDER, for machines without a CUDA toolkit (1.2 GB),
# with the libraries and headers that candle's feature `cuda` is compiled and linked against. Prints
# the variables to set:
#
#     eval "$(scripts/cuda-toolkit-from-pypi.sh FOLDER)"
#     cargo build -p mbspike --features cuda
#
# With `--cudnn` cuDNN 9 too, for the feature `cudnn` (0.9 GB more). Needs Python 3 with
# venv. Does nothing but print where FOLDER is set up already.
set -euo pipefail
folder=$(realpath -m "${1:?usage: cuda-toolkit-from-pypi.sh FOLDER [--cudnn]}")
version="13.0.*"

if [ ! -e "$folder/done" ]; then
    python3 -m venv "$folder" >&2
    packages=(cuda-nvcc nvvm cuda-crt cuda-runtime cuda-cccl cuda-nvrtc cublas)
    "$folder/bin/python3" -m pip install --quiet --disable-pip-version-check \
        "${packages[@]/#/nvidia-}" nvidia-curand --constraint <(
            printf 'nvidia-%s=='"$version"'\n' "${packages[@]}"
        ) >&2
    toolkit=$(echo "$folder"/lib/python3*/site-packages/nvidia/cu13)
    ln -sfn lib "$toolkit/lib64"
    for library in "$toolkit"/lib/lib{cublas,cublasLt,cudart,curand,nvrtc}.so.[0-9]*; do
        ln -sfn "$(basename "$library")" "${library%.so.*}.so"
    done
    # An empty archive in the place of the driver's library: the program opens the real one when it
    # runs (crates/mbspike-core/src/cuda/driver.rs).
    mkdir -p "$toolkit/lib/stubs"
    printf '!<arch>\n' >"$toolkit/lib/stubs/libcuda.a"
    touch "$folder/done"
fi
toolkit=$(echo "$folder"/lib/python3*/site-packages/nvidia/cu13)
libraries=$toolkit/lib
if [ "${2:-}" = --cudnn ]; then
    if [ ! -e "$folder/done-cudnn" ]; then
        # Without what it depends on: another cuBLAS than that of the toolkit.
        "$folder/bin/python3" -m pip install --quiet --disable-pip-version-check --no-deps "nvidia-cudnn-cu13==9.*" >&2
        # In the toolkit's folder, where candle's build looks.
        ln -sfn ../../cudnn/lib/libcudnn.so.9 "$toolkit/lib/libcudnn.so"
        touch "$folder/done-cudnn"
    fi
    libraries=$libraries:${toolkit%/*}/cudnn/lib
fi
for name in CUDA_HOME CUDA_PATH CUDA_ROOT; do
    echo "export $name='$toolkit'"
done
echo "export CUDA_COMPUTE_CAP=\${CUDA_COMPUTE_CAP:-80}"
echo "export PATH='$toolkit/bin':\$PATH"
echo "export LD_LIBRARY_PATH='$libraries'\${LD_LIBRARY_PATH:+:\$LD_LIBRARY_PATH}"

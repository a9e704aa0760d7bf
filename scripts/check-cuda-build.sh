#!/usr/bin/env bash
# Lints the whole workspace with the feature `cuda`, and so type-checks every launch. Needs no GPU and no
# driver. Takes 7 to 10 CPU minutes, nearly all of it for candle's own kernels; a second time seconds.
set -euo pipefail
cd "$(dirname "$0")/.."
if ! command -v nvcc >/dev/null; then
    eval "$(scripts/cuda-toolkit-from-pypi.sh "${MBSPIKE_CUDA_TOOLKIT:-target/cuda-toolkit}")"
fi
export CUDA_COMPUTE_CAP=${CUDA_COMPUTE_CAP:-80}
cargo clippy --workspace --all-targets --features cuda -- -D warnings

#!/usr/bin/env bash
# For a machine with an NVIDIA GPU (compute capability 8.0 or newer) and the CUDA toolkit: builds with the
# feature `cuda`, runs all tests with the device's cases on, times the kernels against a copy on the
# same card and whole training steps, and, where SpikingJelly is installed, its LIF backends on the
# same shape. Everything printed is also in OUT (gpu-report.txt).
#
#     scripts/check-gpu.sh [OUT]
set -euo pipefail
out=$(realpath -m "${1:-gpu-report.txt}")
cd "$(dirname "$0")/.."
exec > >(tee "$out") 2>&1

date -u
git rev-parse HEAD
nvidia-smi --query-gpu=name,driver_version,compute_cap,memory.total --format=csv
nvcc --version | tail -2
if [ -z "${CUDA_COMPUTE_CAP:-}" ]; then
    CUDA_COMPUTE_CAP=$(nvidia-smi --query-gpu=compute_cap --format=csv,noheader | head -1 | tr -d .)
    export CUDA_COMPUTE_CAP
fi

echo "== tests"
MBSPIKE_REQUIRE_GPU=1 cargo test --workspace --features cuda

echo "== kernels"
cargo run --release -p mbspike-core --features cuda --example cuda_bandwidth

echo "== training steps"
cargo build --release -p mbspike --features cuda
mbspike=${CARGO_TARGET_DIR:-target}/release/mbspike
for precision in f32 bf16; do
    for device in cpu cuda; do
        "$mbspike" bench step --config configs/quickstart.toml --device "$device" \
            --set train.batch_size=128 --set encoder.time_steps=10 \
            --set train.precision="$precision" --json
    done
done

echo "== a run"
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"$mbspike" run configs/smoke.toml --device cuda --out "$folder"

echo "== SpikingJelly"
if python3 -c "import spikingjelly" 2>/dev/null; then
    python3 scripts/bench_spikingjelly_lif.py
else
    echo "not installed"
fi

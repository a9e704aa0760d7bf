#!/usr/bin/env bash
# Builds the program as a wheel and runs it from a fresh virtual environment:
#
#     scripts/wheel.sh            # the release profile
#     scripts/wheel.sh --profile dev
#
# Needs Python 3.9 or later; maturin is installed into a virtual environment of its own.
set -euo pipefail
cd "$(dirname "$0")/.."
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
if [ $# -eq 0 ]; then set -- --release; fi

python3 -m venv "$folder/build"
"$folder/build/bin/pip" install --quiet maturin
"$folder/build/bin/maturin" build --manifest-path crates/mbspike/Cargo.toml --out "$folder/wheels" "$@"

python3 -m venv "$folder/fresh"
"$folder/fresh/bin/pip" install --quiet --no-index "$folder"/wheels/*.whl
"$folder/fresh/bin/mbspike" --version
"$folder/fresh/bin/mbspike" run configs/smoke.toml --out "$folder/runs" --quiet
mkdir -p target/wheels
cp "$folder"/wheels/*.whl target/wheels/
ls -l target/wheels

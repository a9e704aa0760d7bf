#!/usr/bin/env bash
# All tests: unit and integration tests, then the examples in the documentation.
set -euo pipefail
cd "$(dirname "$0")/.."
cargo nextest run --workspace
cargo test --workspace --doc

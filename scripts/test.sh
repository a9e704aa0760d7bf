#!/usr/bin/env bash
# All tests: unit and integration tests, then the examples in the documentation. With cargo-nextest,
# where it is installed, each test is a process of its own; without it cargo runs them, and nothing
# has to be installed.
set -euo pipefail
cd "$(dirname "$0")/.."
if command -v cargo-nextest >/dev/null; then
    cargo nextest run --workspace --no-fail-fast
    cargo test --workspace --doc
else
    cargo test --workspace
fi

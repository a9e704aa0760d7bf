#!/bin/sh
# Miri over the functions on slices of mbspike-core: undefined behaviour in code that reads and writes
# raw memory. Takes a nightly compiler with the components miri and rust-src; half an hour.
#
#     scripts/check-undefined-behaviour.sh              # the plain instruction set
#     scripts/check-undefined-behaviour.sh avx2         # vectors of 8, as far as Miri knows them
set -eu
cd "$(dirname "$0")/.."
if [ "${1:-}" = avx2 ]; then
    export RUSTFLAGS="${RUSTFLAGS:-} -C target-feature=+avx2,+fma"
fi
# Without isolation, because rayon asks for the number of processors.
export MIRIFLAGS="${MIRIFLAGS:-} -Zmiri-disable-isolation"
miri() {
    cargo +nightly miri test -p mbspike-core --test slice_functions -- "$@"
}
miri --skip several_threads
# crossbeam-epoch, through which rayon's threads steal work, follows tree borrows and not stacked borrows;
# the threads of its pool never end.
MIRIFLAGS="$MIRIFLAGS -Zmiri-tree-borrows -Zmiri-ignore-leaks" miri several_threads

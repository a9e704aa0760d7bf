#!/usr/bin/env bash
# Compiles every CUDA kernel to PTX and assembles it for sm_80 and sm_90: no spills, no stack, and
# no more registers than crates/mbspike-core/kernels/registers.txt says. Needs no GPU. With --record
# the file is written anew (nvcc 13.0). Takes 10 s, and a minute more to install nvcc where there is none
# (in $MBSPIKE_CUDA_TOOLKIT, or target/cuda-toolkit).
set -euo pipefail
cd "$(dirname "$0")/.."
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
if ! command -v nvcc >/dev/null; then
    eval "$(scripts/cuda-toolkit-from-pypi.sh "${MBSPIKE_CUDA_TOOLKIT:-target/cuda-toolkit}")"
fi

kernels=crates/mbspike-core/kernels
for source in "$kernels"/*.cu; do
    ptx="$work/$(basename "$source" .cu).ptx"
    nvcc -ptx -arch=compute_80 --fmad=false -Werror all-warnings -o "$ptx" "$source"
    for architecture in sm_80 sm_90; do
        ptxas -v -arch="$architecture" -o "$work/out" "$ptx" 2>>"$work/ptxas.log" ||
            { cat "$work/ptxas.log"; exit 1; }
    done
done

# Kernel, architecture, registers, bytes spilled and on the stack.
awk '
    /Compiling entry function/ { gsub("\047", ""); kernel = $7; architecture = $9 }
    /bytes stack frame/ { spilled = $1 + $5 + $9 }
    /Used [0-9]+ registers/ { print kernel, architecture, $5, spilled }
' "$work/ptxas.log" | sort >"$work/registers.txt"

budget="$kernels/registers.txt"
if [ "${1:-}" = --record ]; then
    { echo "# kernel architecture registers"; cut -d" " -f1-3 "$work/registers.txt"; } >"$budget"
    exit
fi
awk -v budget="$budget" '
    FNR == NR { if ($1 != "#") allowed[$1, $2] = $3; next }
    !(($1, $2) in allowed) { print $1, $2 ": not in " budget; bad = 1; next }
    $3 > allowed[$1, $2] { print $1, $2 ":", $3, "registers, more than", allowed[$1, $2]; bad = 1 }
    $4 > 0 { print $1, $2 ":", $4, "bytes spilled"; bad = 1 }
    { n++; delete allowed[$1, $2] }
    END {
        for (gone in allowed) { split(gone, of, SUBSEP); print of[1], of[2] ": no such kernel"; bad = 1 }
        print n, "kernels assembled"
        exit bad
    }
' "$budget" "$work/registers.txt"

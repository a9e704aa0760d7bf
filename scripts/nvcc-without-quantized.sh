#!/usr/bin/env bash
# Stands for nvcc, as the variable NVCC, while candle is compiled. candle has kernels for networks of quantized
# weights, which mbspike never calls: ten CPU minutes to compile, and 40 MB of every program that is linked with
# them. Here their host functions end the program, and their PTX is empty. All else is nvcc's.
set -euo pipefail
nvcc=$(command -v nvcc) || nvcc=$CUDA_HOME/bin/nvcc
source=${!#}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
case $source in
*src/quantized.cu)
    : >"$work/quantized.cu"
    "$nvcc" "${@:1:$#-1}" "$work/quantized.cu"
    ;;
*src/mmq_gguf/*.cu | *src/moe/*.cu | *src/mmvq_gguf.cu)
    object=""
    while [ $# -gt 1 ]; do
        [ "$1" != -o ] || object=$2
        shift
    done
    # All that candle declares, in the object of one of the files.
    case $source in
    *src/mmvq_gguf.cu)
        printf '#include <stdio.h>\n#include <stdlib.h>\n'
        sed -nE 's/^ *pub fn ([A-Za-z0-9_]+)\(.*/\
void \1(void) {\
    fputs("candle'"'s"' quantized kernels are not in this program: \1\\n", stderr);\
    abort();\
}/p' "${source%mmvq_gguf.cu}ffi.rs"
        ;;
    esac >"$work/absent.c"
    cc -c -fPIC -o "${object:?nvcc was called without -o}" "$work/absent.c"
    ;;
*) "$nvcc" "$@" ;;
esac

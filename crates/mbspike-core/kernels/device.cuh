// What every kernel needs: element types, and a count over the threads of a block.
//
// Compiled by nvcc with --fmad=false, so that `a * b + c` rounds twice as on the CPU and a membrane,
// and with it the decision to fire, is the same bit for bit; fmaf is written where one rounding is
// meant. Compiled by a C++ compiler with tests/cuda_kernels/shim.hpp in front, the same files run on
// the host.
#pragma once

#include <stdint.h>

#ifdef __CUDACC__
#define DYNAMIC_SHARED(type, name) extern __shared__ type name[]
#endif

// Threads of a block of every kernel.
#define BLOCK 128

// Brain floating point: the upper half of an f32. Arithmetic is in f32.
struct bf16 {
    uint16_t bits;
};

__device__ inline float to_float(float x) { return x; }

__device__ inline float to_float(bf16 x) { return __uint_as_float(uint32_t(x.bits) << 16); }

// The smallest magnitude that is carried on, 2^-60: Real::SMALLEST in src/real.rs; src/carried.rs says
// why.
#define SMALLEST 8.673617379884035e-19f

// 0 for a magnitude below SMALLEST; NaN passes. Real::carried in src/real.rs.
__device__ inline float carried(float x) { return fabsf(x) < SMALLEST ? 0.0f : x; }

__device__ inline void store(float *to, float x) { *to = x; }

// Rounds to nearest, ties to even; NaN stays NaN.
__device__ inline void store(bf16 *to, float x) {
    uint32_t bits = __float_as_uint(x);
    to->bits = x != x ? 0x7FC0 : uint16_t((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16);
}

// The sum of the warp's values, in its first thread.
template <typename T>
__device__ inline T warp_sum(T value) {
    for (int lanes = 16; lanes > 0; lanes /= 2) value += __shfl_down_sync(0xFFFFFFFF, value, lanes);
    return value;
}

// The type of counts; a negative sum is its two's complement.
typedef unsigned long long count_t;

// What a kernel counts of the elements that it sees; N_COUNTS in src/cuda/params.rs.
#define N_COUNTS 3

struct Counted {
    uint32_t n_nonzero = 0;
    // In units that the kernel says.
    int64_t sum = 0;
    // Elements left out of the sum because they are not finite: with any, the sum is NaN to the host.
    uint32_t n_not_finite = 0;
};

__device__ inline bool is_finite(float x) { return x - x == 0.0f; }

// Adds what all threads of the block counted to counts[0 .. N_COUNTS]. Integers: the result does not
// depend on the order of the blocks. All threads of the block must come here.
__device__ inline void add_counts(count_t *counts, Counted counted) {
    __shared__ count_t of_block[N_COUNTS];
    if (threadIdx.x < N_COUNTS) of_block[threadIdx.x] = 0;
    __syncthreads();
    uint32_t n_nonzero = warp_sum(counted.n_nonzero);
    int64_t sum = warp_sum(counted.sum);
    uint32_t n_not_finite = warp_sum(counted.n_not_finite);
    if (threadIdx.x % 32 == 0) {
        atomicAdd(&of_block[0], count_t(n_nonzero));
        atomicAdd(&of_block[1], count_t(sum));
        atomicAdd(&of_block[2], count_t(n_not_finite));
    }
    __syncthreads();
    if (threadIdx.x < N_COUNTS) atomicAdd(&counts[threadIdx.x], of_block[threadIdx.x]);
}

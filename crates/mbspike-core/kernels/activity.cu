// Non-zeros and sum of any array; twin of count in src/activity/count.rs. Spikes are counted where they
// are made, in lif_fwd and lif_pool_fwd.
#include "device.cuh"

// Adds to counts. The sum is in units of 2^-24, each element rounded to it, so that the order of
// additions does not matter. Any number of blocks.
template <typename T>
__device__ void count(count_t *counts, const T *values, uint64_t n) {
    Counted counted;
    for (uint64_t i = uint64_t(blockIdx.x) * BLOCK + threadIdx.x; i < n;
         i += uint64_t(gridDim.x) * BLOCK) {
        float value = to_float(values[i]);
        counted.n_nonzero += value != 0.0f;
        if (is_finite(value)) {
            counted.sum += int64_t(rintf(value * 16777216.0f));
        } else {
            counted.n_not_finite++;
        }
    }
    add_counts(counts, counted);
}

extern "C" __global__ __launch_bounds__(BLOCK) void count_f32(count_t *counts, const float *values,
                                                              uint64_t n) {
    count<float>(counts, values, n);
}

extern "C" __global__ __launch_bounds__(BLOCK) void count_bf16(count_t *counts, const bf16 *values,
                                                               uint64_t n) {
    count<bf16>(counts, values, n);
}

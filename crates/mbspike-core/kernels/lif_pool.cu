// Multi-step LIF and average pooling of its spikes in one go; the spikes themselves are not
// written. Twin of lif_multi_step_with in src/lif/op.rs with an average_pool. The backward pass is
// lif_bwd, which spreads the gradient of the pooled spikes over the windows.
//
// One thread a window, with the membranes of its SIZE x SIZE neurons in registers. Neurons of rows
// and columns that do not fill a window have no output and are only counted.
#include "lif_step.cuh"
#include "pool.cuh"

// y_seq: (T, images, height / SIZE, width / SIZE). counts: as in lif_fwd, of all spikes.
// x_seq: (T, images, height, width). v_init: (images, height, width). n_windows: those of all
// images, also the ones that are not whole.
template <typename T, uint32_t SIZE>
__device__ void lif_pool_fwd(T *__restrict__ y_seq, count_t *counts, const T *__restrict__ x_seq,
                             const T *__restrict__ v_init, const float *tau, uint32_t n_steps,
                             uint32_t n_neurons, uint32_t n_windows, Window w,
                             LifKernelParams params) {
    const LifKernelParams p = at_tau(params, tau);
    const uint32_t i = blockIdx.x * BLOCK + threadIdx.x;
    Counted counted;
    if (i < n_windows) {
        uint32_t rows = (w.height + SIZE - 1) / SIZE, columns = (w.width + SIZE - 1) / SIZE;
        uint32_t image = i / (rows * columns);
        uint32_t y = i / columns % rows * SIZE, x = i % columns * SIZE;
        const Pooled pooled =
            pooled_place(image * w.height * w.width + y * w.width + x, n_neurons, w);
        float v[SIZE * SIZE];
        size_t at[SIZE * SIZE];
        bool exists[SIZE * SIZE];
#pragma unroll
        for (uint32_t j = 0; j < SIZE * SIZE; j++) {
            uint32_t yj = y + j / SIZE, xj = x + j % SIZE;
            exists[j] = yj < w.height && xj < w.width;
            at[j] = (size_t(image) * w.height + yj) * w.width + xj;
            v[j] = exists[j] ? to_float(v_init[at[j]]) : 0.0f;
        }
        for (uint32_t t = 0; t < n_steps; t++) {
            T x_of[SIZE * SIZE];
#pragma unroll
            for (uint32_t j = 0; j < SIZE * SIZE; j++) {
                if (exists[j]) x_of[j] = x_seq[size_t(t) * n_neurons + at[j]];
            }
            float sum = 0.0f;
#pragma unroll
            for (uint32_t j = 0; j < SIZE * SIZE; j++) {
                if (exists[j]) {
                    float h = charge(to_float(x_of[j]), v[j], p);
                    float k = level(h, p);
                    float s = spike(k, p);
                    v[j] = reset(h, s, p);
                    count_spike(counted, k);
                    sum += s;
                }
            }
            if (pooled.is_covered) store(&y_seq[t * pooled.n + pooled.at], sum * pooled.scale);
        }
    }
    if (counts) add_counts(counts, counted);
}

#define LIF_POOL_KERNEL(T, name, SIZE)                                                             \
    extern "C" __global__ __launch_bounds__(BLOCK) void lif_pool##SIZE##_fwd_##name(               \
        T *y_seq, count_t *counts, const T *x_seq, const T *v_init, const float *tau,             \
        uint32_t n_steps, uint32_t n_neurons, uint32_t n_windows, Window window,                   \
        LifKernelParams params) {                                                                  \
        lif_pool_fwd<T, SIZE>(y_seq, counts, x_seq, v_init, tau, n_steps, n_neurons, n_windows,    \
                              window, params);                                                     \
    }

LIF_POOL_KERNEL(float, f32, 2)
LIF_POOL_KERNEL(float, f32, 3)
LIF_POOL_KERNEL(float, f32, 4)
LIF_POOL_KERNEL(bf16, bf16, 2)
LIF_POOL_KERNEL(bf16, bf16, 3)
LIF_POOL_KERNEL(bf16, bf16, 4)

// Average and maximum pooling of images; twin of pool2d in src/pool.rs.
//
// x: (N, height, width). y: (N, height / size, width / size). One thread an element of what is
// written. The gradient of a maximum goes to the first largest element of the window; NaN counts as
// largest.
#include "pool.cuh"

// The first element of the window of pooled element i.
__device__ inline size_t first_of_window(uint32_t i, Window w) {
    uint32_t height = w.height / w.size, width = w.width / w.size;
    uint32_t plane = i / (height * width), place = i % (height * width);
    return size_t(plane) * w.height * w.width + size_t(place / width * w.width + place % width) * w.size;
}

// Where the first largest element of a window lies, from its first.
template <typename T>
__device__ inline uint32_t first_largest(const T *x, Window w) {
    uint32_t best = 0;
    for (uint32_t j = 0; j < w.size * w.size; j++) {
        uint32_t at = j / w.size * w.width + j % w.size;
        float value = to_float(x[at]), largest = to_float(x[best]);
        if (value > largest || (value != value && largest == largest)) best = at;
    }
    return best;
}

template <typename T>
__device__ void pool_fwd(T *y, const T *x, uint32_t n_y, Window w, uint32_t is_max) {
    const uint32_t i = blockIdx.x * BLOCK + threadIdx.x;
    if (i >= n_y) return;
    x += first_of_window(i, w);
    if (is_max) {
        y[i] = x[first_largest(x, w)];
        return;
    }
    float sum = 0.0f;
    for (uint32_t j = 0; j < w.size * w.size; j++) {
        sum += to_float(x[j / w.size * w.width + j % w.size]);
    }
    store(&y[i], sum * (1.0f / float(w.size * w.size)));
}

template <typename T>
__device__ void pool_bwd(T *dx, const T *x, const T *dy, uint32_t n_x, Window w, uint32_t is_max) {
    const uint32_t i = blockIdx.x * BLOCK + threadIdx.x;
    if (i >= n_x) return;
    const Pooled pooled = pooled_place(i, n_x, w);
    float grad = 0.0f;
    if (pooled.is_covered) {
        grad = to_float(dy[pooled.at]);
        if (is_max) {
            size_t first = first_of_window(pooled.at, w);
            if (first + first_largest(x + first, w) != i) grad = 0.0f;
        } else {
            grad *= pooled.scale;
        }
    }
    store(&dx[i], grad);
}

#define POOL_KERNELS(T, name)                                                                      \
    extern "C" __global__ __launch_bounds__(BLOCK) void pool_fwd_##name(                           \
        T *y, const T *x, uint32_t n_y, Window window, uint32_t is_max) {                          \
        pool_fwd<T>(y, x, n_y, window, is_max);                                                    \
    }                                                                                              \
    extern "C" __global__ __launch_bounds__(BLOCK) void pool_bwd_##name(                           \
        T *dx, const T *x, const T *dy, uint32_t n_x, Window window, uint32_t is_max) {            \
        pool_bwd<T>(dx, x, dy, n_x, window, is_max);                                               \
    }

POOL_KERNELS(float, f32)
POOL_KERNELS(bf16, bf16)

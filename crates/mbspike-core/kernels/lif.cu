// Multi-step leaky integrate-and-fire neurons; twin of src/lif/cpu.rs; the equations are
// those of src/lif/mod.rs.
//
// T is the number of steps, N that of neurons; arrays are time-major. One thread a neuron: its
// membrane stays in a register and the threads of a warp read and write neighbouring neurons.
// A pointer may be null where an output is not wanted or an input not there.
#include "lif_step.cuh"
#include "pool.cuh"

// Steps whose inputs are loaded before the first is used: the bytes in flight hide the latency.
#define AHEAD 4
// Steps whose membranes the backward pass keeps in shared memory; SEGMENT in src/cuda/params.rs.
#define SEGMENT 64

// s_seq, v_seq: (T, N). counts: N_COUNTS, added to, with the sum of level codes. x_seq: (T, N).
// v_init: (N). tau: (1).
template <typename T>
__device__ void lif_fwd(T *__restrict__ s_seq, T *__restrict__ v_seq, count_t *counts,
                        const T *__restrict__ x_seq, const T *__restrict__ v_init, const float *tau,
                        uint32_t n_steps, uint32_t n_neurons, LifKernelParams params) {
    const LifKernelParams p = at_tau(params, tau);
    const uint32_t i = blockIdx.x * BLOCK + threadIdx.x;
    Counted counted;
    if (i < n_neurons) {
        float v = to_float(v_init[i]);
        for (uint32_t first = 0; first < n_steps; first += AHEAD) {
            T x[AHEAD];
            size_t at = size_t(first) * n_neurons + i;
#pragma unroll
            for (uint32_t j = 0; j < AHEAD; j++) {
                if (first + j < n_steps) x[j] = x_seq[at + size_t(j) * n_neurons];
            }
#pragma unroll
            for (uint32_t j = 0; j < AHEAD; j++) {
                if (first + j < n_steps) {
                    float h = charge(to_float(x[j]), v, p);
                    float k = level(h, p);
                    float s = spike(k, p);
                    v = reset(h, s, p);
                    count_spike(counted, k);
                    store(&s_seq[at], s);
                    if (v_seq) store(&v_seq[at], v);
                    at += n_neurons;
                }
            }
        }
    }
    if (counts) add_counts(counts, counted);
}

// Backpropagation through time. The membranes h of a segment are recomputed into shared memory,
// (SEGMENT, BLOCK) floats at most; where there are several segments, a first pass writes the
// membranes at which the later ones start.
//
// grad_x_seq: (T, N). grad_v_init: (N). grad_tau: (N), the share of each neuron. checkpoints:
// (segments - 1, N). x_seq: (T, N). v_init: (N). tau: (1). grad_s_seq: (T, N), or of the pooled
// spikes. grad_v_seq: (T, N).
template <typename T>
__device__ void lif_bwd(T *__restrict__ grad_x_seq, T *__restrict__ grad_v_init,
                        float *__restrict__ grad_tau, float *__restrict__ checkpoints,
                        const T *__restrict__ x_seq, const T *__restrict__ v_init, const float *tau,
                        const T *__restrict__ grad_s_seq, const T *__restrict__ grad_v_seq,
                        uint32_t n_steps, uint32_t n_neurons, Window window,
                        LifKernelParams params) {
    DYNAMIC_SHARED(float, h_of_block);
    float *h_seq = h_of_block + threadIdx.x;
    const LifKernelParams p = at_tau(params, tau);
    const uint32_t i = blockIdx.x * BLOCK + threadIdx.x;
    if (i >= n_neurons) return;

    const Pooled pooled = pooled_place(i, n_neurons, window);
    float v = to_float(v_init[i]);
    uint32_t n_segments = (n_steps + SEGMENT - 1) / SEGMENT;
    for (uint32_t t = 0; t + SEGMENT < n_segments * SEGMENT; t++) {
        float h = charge(to_float(x_seq[size_t(t) * n_neurons + i]), v, p);
        v = reset(h, fire(h, p), p);
        if (t % SEGMENT == SEGMENT - 1) checkpoints[size_t(t / SEGMENT) * n_neurons + i] = v;
    }

    float grad_v = 0.0f;
    float sum_tau = 0.0f;
    for (uint32_t segment = n_segments; segment-- > 0;) {
        uint32_t first = segment * SEGMENT;
        uint32_t n = n_steps - first < SEGMENT ? n_steps - first : SEGMENT;
        float v_first =
            segment ? checkpoints[size_t(segment - 1) * n_neurons + i] : to_float(v_init[i]);
        const T *x_row = x_seq + size_t(first) * n_neurons + i;
        v = v_first;
        for (uint32_t t = 0; t < n; t += AHEAD) {
            T x[AHEAD];
#pragma unroll
            for (uint32_t j = 0; j < AHEAD; j++) {
                if (t + j < n) x[j] = x_row[size_t(t + j) * n_neurons];
            }
#pragma unroll
            for (uint32_t j = 0; j < AHEAD; j++) {
                if (t + j < n) {
                    float h = charge(to_float(x[j]), v, p);
                    h_seq[(t + j) * BLOCK] = h;
                    v = reset(h, fire(h, p), p);
                }
            }
        }
        for (uint32_t t = n; t-- > 0;) {
            size_t row = size_t(first + t);
            size_t at = row * n_neurons + i;
            float h = h_seq[t * BLOCK];
            float grad_s = 0.0f;
            if (pooled.is_covered) {
                grad_s = to_float(grad_s_seq[row * pooled.n + pooled.at]) * pooled.scale;
            }
            if (grad_v_seq) grad_v += carried(to_float(grad_v_seq[at]));
            float grad_h = step_back(grad_s, grad_v, h, p);
            store(&grad_x_seq[at], p.gain * grad_h);
            grad_v = p.beta * grad_h;
            if (grad_tau) {
                float h_before = t ? h_seq[(t - 1) * BLOCK] : 0.0f;
                float v_before = t ? reset(h_before, fire(h_before, p), p) : v_first;
                float pull = p.reset == HARD ? p.v_reset : 0.0f;
                float x_decayed = p.decay_input ? to_float(x_seq[at]) : 0.0f;
                sum_tau += grad_h * (v_before - pull - x_decayed);
            }
        }
    }
    store(&grad_v_init[i], grad_v);
    if (grad_tau) grad_tau[i] = (1.0f - p.beta) * (1.0f - p.beta) * sum_tau;
}

#define LIF_KERNELS(T, name)                                                                       \
    extern "C" __global__ __launch_bounds__(BLOCK) void lif_fwd_##name(                            \
        T *s_seq, T *v_seq, count_t *counts, const T *x_seq, const T *v_init, const float *tau,    \
        uint32_t n_steps, uint32_t n_neurons, LifKernelParams params) {                            \
        lif_fwd<T>(s_seq, v_seq, counts, x_seq, v_init, tau, n_steps, n_neurons, params);          \
    }                                                                                              \
    extern "C" __global__ __launch_bounds__(BLOCK) void lif_bwd_##name(                            \
        T *grad_x_seq, T *grad_v_init, float *grad_tau, float *checkpoints, const T *x_seq,        \
        const T *v_init, const float *tau, const T *grad_s_seq, const T *grad_v_seq,               \
        uint32_t n_steps, uint32_t n_neurons, Window window, LifKernelParams params) {             \
        lif_bwd<T>(grad_x_seq, grad_v_init, grad_tau, checkpoints, x_seq, v_init, tau, grad_s_seq, \
                   grad_v_seq, n_steps, n_neurons, window, params);                                \
    }

LIF_KERNELS(float, f32)
LIF_KERNELS(bf16, bf16)

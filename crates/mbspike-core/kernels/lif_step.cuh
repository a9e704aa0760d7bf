// One step of one neuron; twin of src/lif/step.rs, whose order of operations decides every bit.
#pragma once
#include "surrogate.cuh"

enum Reset { SOFT, HARD, NONE };

// LifKernelParams in src/cuda/params.rs.
struct LifKernelParams {
    // v_reset before it is rounded: the leak towards it is computed in double.
    double v_reset_exact;
    float beta, gain, leak, levels, inv_levels, scale, theta, v_reset;
    uint32_t reset, detach_reset, decay_input, power_of_two;
    SurrogateParams surrogate;
};

// p with the decay of a learnable time constant; twin of Lif::at in src/lif/op.rs.
__device__ inline LifKernelParams at_tau(LifKernelParams p, const float *tau) {
    if (tau) {
        double steps = double(*tau);
        double beta = 1.0 - 1.0 / (steps < 1.0 ? 1.0 : steps);
        p.beta = float(beta);
        p.gain = float(p.decay_input ? 1.0 - beta : 1.0);
        p.leak = float((1.0 - beta) * p.v_reset_exact);
    }
    return p;
}

__device__ inline float charge(float x, float v, const LifKernelParams &p) {
    float h = p.beta * v + p.gain * x;
    return p.reset == HARD ? h + p.leak : h;
}

// The level code k, a whole number; NaN for NaN.
__device__ inline float level(float h, const LifKernelParams &p) {
    float q = p.power_of_two ? h * p.scale : h * p.levels / p.theta;
    q = q < 0.0f ? 0.0f : q;
    q = q > p.levels ? p.levels : q;
    return floorf(q);
}

// k / L correctly rounded (Markstein 1990); Real::divide_small_integers in src/real.rs.
__device__ inline float spike(float k, const LifKernelParams &p) {
    float quotient = k * p.inv_levels;
    return fmaf(fmaf(-quotient, p.levels, k), p.inv_levels, quotient);
}

// Counts a spike of level code k; the sum is that of the codes.
__device__ inline void count_spike(Counted &counted, float k) {
    counted.n_nonzero += k != 0.0f;
    if (k == k) {
        counted.sum += int(k);
    } else {
        counted.n_not_finite++;
    }
}

__device__ inline float fire(float h, const LifKernelParams &p) { return spike(level(h, p), p); }

// The membrane after a spike, carried to the next step.
__device__ inline float reset(float h, float s, const LifKernelParams &p) {
    switch (p.reset) {
    case SOFT:
        return carried(h - p.theta * s);
    case HARD:
        return carried(h - s * (h - p.v_reset));
    default:
        return carried(h);
    }
}

// dv/dh.
__device__ inline float reset_gradient(float h, float s, float ds, const LifKernelParams &p) {
    switch (p.reset) {
    case SOFT:
        return p.detach_reset ? 1.0f : 1.0f - p.theta * ds;
    case HARD:
        return p.detach_reset ? 1.0f - s : 1.0f - s - (h - p.v_reset) * ds;
    default:
        return 1.0f;
    }
}

// dL/dh from those of the spike and of the membrane after reset; step_back in src/lif/rows.rs.
__device__ inline float step_back(float grad_s, float grad_v, float h, const LifKernelParams &p) {
    float ds = carried(derivative(h, p.surrogate, p.levels, p.inv_levels));
    float dv = reset_gradient(h, fire(h, p), ds, p);
    return carried(grad_v * dv + carried(grad_s) * ds);
}

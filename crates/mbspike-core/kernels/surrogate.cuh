// Derivatives that stand for that of the spike function; twin of src/surrogate.rs, which has the
// formulas and the papers.
#pragma once
#include "device.cuh"

enum SurrogateKind { SIGMOID, ATAN, FAST_SIGMOID, TRIANGLE, STRAIGHT_THROUGH, STAIRCASE };

// SurrogateParams in src/cuda/params.rs.
struct SurrogateParams {
    uint32_t kind;
    int reach;
    float height, slope, offset, centre, spacing, inv_spacing;
};

// 2^x for x <= 0, at least 2^-100, NaN for NaN; Real::exp2_of_negative in src/real.rs.
__device__ inline float exp2_of_negative(float x) {
    const float round = 12582912.0f; // 1.5 * 2^23
    x = x < -100.0f ? -100.0f : x;
    float shifted = x + round;
    float f = x - (shifted - round);
    float p = 1.5353362e-4f;
    p = fmaf(p, f, 1.3398874e-3f);
    p = fmaf(p, f, 9.618437e-3f);
    p = fmaf(p, f, 5.5503325e-2f);
    p = fmaf(p, f, 2.4022647e-1f);
    p = fmaf(p, f, 6.931472e-1f);
    p = fmaf(p, f, 1.0f);
    return __uint_as_float(__float_as_uint(p) + (__float_as_uint(shifted) << 23));
}

// The sigmoid's derivative at y = z log2 e.
__device__ inline float sigmoid_derivative(float y, float alpha) {
    float e = exp2_of_negative(-fabsf(y));
    float one_plus_e = 1.0f + e;
    return alpha * e / (one_plus_e * one_plus_e);
}

// ds/dh at membrane h of a neuron with this many levels.
__device__ inline float derivative(float h, const SurrogateParams &p, float levels, float inv_levels) {
    switch (p.kind) {
    case SIGMOID:
        return sigmoid_derivative(fmaf(h, p.slope, p.offset), p.height);
    case ATAN: {
        float y = p.slope * (h - p.centre);
        return p.height / fmaf(y, y, 1.0f);
    }
    case FAST_SIGMOID: {
        float y = fmaf(fabsf(h - p.centre), p.slope, 1.0f);
        return p.height / (y * y);
    }
    case TRIANGLE: {
        float y = 1.0f - fabsf(h - p.centre) * p.slope;
        return p.height * (y < 0.0f ? 0.0f : y);
    }
    case STRAIGHT_THROUGH: {
        float x = fabsf(h - p.centre);
        return x <= p.slope ? p.height : (x != x ? x : 0.0f);
    }
    default: {
        float nearest = roundf(h * p.inv_spacing);
        nearest = nearest > levels ? levels : nearest;
        nearest = nearest < 1.0f ? 1.0f : nearest;
        float sum = h != h ? h : 0.0f;
        for (int offset = -p.reach; offset <= p.reach; offset++) {
            float edge = nearest + float(offset);
            if (edge >= 1.0f && edge <= levels) {
                sum += sigmoid_derivative((h - edge * p.spacing) * p.slope, p.height);
            }
        }
        return sum * inv_levels;
    }
    }
}

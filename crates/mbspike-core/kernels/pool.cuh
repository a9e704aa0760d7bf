// Windows of pooling with stride equal to their size; twin of Planes in src/pool.rs.
#pragma once
#include "device.cuh"

// Images of height x width elements, windows of size x size; size 1 pools nothing. Window in
// src/cuda/params.rs.
struct Window {
    uint32_t height, width, size;
};

// Where an element of an image finds itself in the pooled images.
struct Pooled {
    // Elements of all pooled images.
    size_t n;
    // The element's place among them.
    size_t at;
    // Its share of the window's mean.
    float scale;
    // Whether its window is whole; rows and columns that do not fill one are left out.
    bool is_covered;
};

// Of element i of images that have n elements together.
__device__ inline Pooled pooled_place(uint32_t i, uint32_t n, Window w) {
    uint32_t plane = w.height * w.width, place = i % plane;
    uint32_t y = place / w.width / w.size, x = place % w.width / w.size;
    uint32_t height = w.height / w.size, width = w.width / w.size;
    return {size_t(n / plane) * height * width, size_t(i / plane) * height * width + y * width + x,
            1.0f / float(w.size * w.size), y < height && x < width};
}

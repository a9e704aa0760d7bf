// CUDA on the host: each thread of a block is a fiber, blocks run one after another, so a kernel
// runs as it is written, barriers and shuffles included. Put in front of kernels/*.cu (-include).
#pragma once
#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <ucontext.h>

#include <functional>
#include <memory>
#include <tuple>
#include <utility>
#include <vector>

#define __device__
#define __global__
#define __shared__ static thread_local
#define __restrict__ __restrict
#define __launch_bounds__(n)
#define DYNAMIC_SHARED(type, name) type *name = (type *)shim::shared.data()

struct dim3 {
    uint32_t x;
};

static thread_local dim3 threadIdx, blockIdx, gridDim;

namespace shim {

// What the fibers of a block wait at.
struct Barrier {
    uint32_t n_threads, arrived = 0, generation = 0;
};

static thread_local std::vector<char> shared;
static thread_local uint32_t n_threads;
static thread_local std::vector<ucontext_t> fibers;
static thread_local std::vector<bool> is_done;
static thread_local ucontext_t scheduler;
static thread_local std::function<void()> body;
static thread_local Barrier of_block;
static thread_local std::vector<Barrier> of_warp;
static thread_local std::vector<uint64_t> lanes;

static void wait(Barrier &barrier) {
    uint32_t generation = barrier.generation;
    if (++barrier.arrived == barrier.n_threads) {
        barrier.arrived = 0;
        barrier.generation++;
    }
    while (barrier.generation == generation) {
        uint32_t thread = threadIdx.x;
        swapcontext(&fibers[thread], &scheduler);
        threadIdx.x = thread;
    }
}

static void run_fiber() {
    uint32_t thread = threadIdx.x;
    body();
    is_done[thread] = true;
    swapcontext(&fibers[thread], &scheduler);
}

static void run_block() {
    const size_t stack_size = 32 << 10;
    static thread_local std::vector<char> stacks;
    stacks.resize(n_threads * stack_size);
    fibers.resize(n_threads);
    is_done.assign(n_threads, false);
    of_block = {n_threads};
    of_warp.assign(n_threads / 32, Barrier{32});
    lanes.assign(n_threads, 0);
    for (uint32_t i = 0; i < n_threads; i++) {
        getcontext(&fibers[i]);
        fibers[i].uc_stack.ss_sp = &stacks[i * stack_size];
        fibers[i].uc_stack.ss_size = stack_size;
        fibers[i].uc_link = nullptr;
        makecontext(&fibers[i], run_fiber, 0);
    }
    for (uint32_t n_done = 0; n_done < n_threads;) {
        for (uint32_t i = 0; i < n_threads; i++) {
            if (is_done[i]) continue;
            threadIdx.x = i;
            swapcontext(&scheduler, &fibers[i]);
            n_done += is_done[i];
        }
    }
}

template <typename... A, size_t... I>
void launch(void (*kernel)(A...), void **args, uint32_t grid, uint32_t block, uint32_t n_shared,
            std::index_sequence<I...>) {
    std::tuple<A...> values{*(A *)args[I]...};
    body = [&] { std::apply(kernel, values); };
    gridDim.x = grid;
    n_threads = block;
    // Bytes that are no number, so that what is read before it is written shows.
    shared.assign(n_shared, char(0xFF));
    for (blockIdx.x = 0; blockIdx.x < grid; blockIdx.x++) run_block();
}

// As cuLaunchKernel: args points to one pointer an argument.
template <typename... A>
void launch(void (*kernel)(A...), void **args, uint32_t grid, uint32_t block, uint32_t n_shared) {
    launch(kernel, args, grid, block, n_shared, std::index_sequence_for<A...>{});
}

} // namespace shim

static inline void __syncthreads() { shim::wait(shim::of_block); }

template <typename T>
T __shfl_down_sync(uint32_t, T value, int n_lanes) {
    uint32_t thread = threadIdx.x, lane = thread % 32;
    shim::Barrier &warp = shim::of_warp[thread / 32];
    shim::lanes[thread] = uint64_t(value);
    shim::wait(warp);
    T other = lane + n_lanes < 32 ? T(shim::lanes[thread + n_lanes]) : value;
    shim::wait(warp);
    return other;
}

template <typename T>
T atomicAdd(T *to, T value) {
    T before = *to;
    *to += value;
    return before;
}

static inline float __uint_as_float(uint32_t bits) {
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

static inline uint32_t __float_as_uint(float x) {
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}

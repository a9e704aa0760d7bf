// Poisson spike trains from the counter-based generator; twin of src/poisson.rs and src/philox.rs,
// which have the definition and the layout of the counter.
#include "device.cuh"

// One block of Philox4x32-10, in place.
__device__ inline void philox4x32_10(uint32_t x[4], uint32_t k0, uint32_t k1) {
    for (int round = 0; round < 10; round++) {
        uint64_t product0 = uint64_t(0xD2511F53u) * x[0];
        uint64_t product1 = uint64_t(0xCD9E8D57u) * x[2];
        x[0] = uint32_t(product1 >> 32) ^ x[1] ^ k0;
        x[1] = uint32_t(product1);
        x[2] = uint32_t(product0 >> 32) ^ x[3] ^ k1;
        x[3] = uint32_t(product0);
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
}

// One thread a block of the generator, whose four words are 16 elements apart; n_blocks of them
// cover a sample. s_seq: (T, B, N). intensities: (B, N). samples: (B).
template <typename T>
__device__ void poisson(T *s_seq, const float *intensities, const uint32_t *samples,
                        uint32_t n_steps, uint32_t batch_size, uint32_t n, uint32_t n_blocks,
                        uint32_t key0, uint32_t key1, uint32_t epoch) {
    const uint64_t i = uint64_t(blockIdx.x) * BLOCK + threadIdx.x;
    const uint32_t block = i % n_blocks;
    const uint32_t sample = i / n_blocks % batch_size;
    const uint64_t step = i / n_blocks / batch_size;
    if (step >= n_steps) return;
    // Domain::Encode is 0.
    uint32_t words[4] = {block, uint32_t(step), samples[sample], epoch << 8};
    philox4x32_10(words, key0, key1);
    for (uint32_t word = 0; word < 4; word++) {
        uint32_t at = block / 16 * 64 + word * 16 + block % 16;
        if (at < n) {
            float u = float(words[word] >> 8) * (1.0f / 16777216.0f);
            float p = intensities[size_t(sample) * n + at];
            store(&s_seq[(step * batch_size + sample) * n + at], u < p ? 1.0f : 0.0f);
        }
    }
}

#define POISSON_KERNEL(T, name)                                                                    \
    extern "C" __global__ __launch_bounds__(BLOCK) void poisson_##name(                            \
        T *s_seq, const float *intensities, const uint32_t *samples, uint32_t n_steps,             \
        uint32_t batch_size, uint32_t n, uint32_t n_blocks, uint32_t key0, uint32_t key1,          \
        uint32_t epoch) {                                                                          \
        poisson<T>(s_seq, intensities, samples, n_steps, batch_size, n, n_blocks, key0, key1,      \
                   epoch);                                                                         \
    }

POISSON_KERNEL(float, f32)
POISSON_KERNEL(bf16, bf16)

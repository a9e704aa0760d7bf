// All kernels as one shared library, each with a function that launches it.
#include "../../kernels/activity.cu"
#include "../../kernels/lif.cu"
#include "../../kernels/lif_pool.cu"
#include "../../kernels/poisson.cu"
#include "../../kernels/pool.cu"

#define LAUNCH(kernel)                                                                             \
    extern "C" void launch_##kernel(void **args, uint32_t grid, uint32_t block, uint32_t n_shared) \
    {                                                                                              \
        shim::launch(kernel, args, grid, block, n_shared);                                         \
    }

#define LAUNCH_ALL(name)                                                                           \
    LAUNCH(count_##name)                                                                           \
    LAUNCH(lif_fwd_##name)                                                                         \
    LAUNCH(lif_bwd_##name)                                                                         \
    LAUNCH(lif_pool2_fwd_##name)                                                                   \
    LAUNCH(lif_pool3_fwd_##name)                                                                   \
    LAUNCH(lif_pool4_fwd_##name)                                                                   \
    LAUNCH(pool_fwd_##name)                                                                        \
    LAUNCH(pool_bwd_##name)                                                                        \
    LAUNCH(poisson_##name)

LAUNCH_ALL(f32)
LAUNCH_ALL(bf16)

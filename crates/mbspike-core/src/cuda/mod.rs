//! The CUDA kernels in `kernels/*.cu`: how they are launched.
//!
//! Each kernel is the twin of a function on slices, of the same name and with its arguments in the
//! same order: outputs, inputs, sizes, parameters. What a launch passes and how many threads it
//! takes is here, without CUDA, so that tests can run the kernels on the host as well. With the
//! feature `cuda` the candle operations of this crate launch them.

#[cfg(all(feature = "cuda", target_os = "linux"))]
#[expect(unsafe_code, reason = "stands for the driver's functions until it is opened")]
mod driver;
#[cfg(feature = "cuda")]
#[expect(unsafe_code, reason = "launches kernels")]
mod launch;
mod params;

#[cfg(feature = "cuda")]
pub(crate) use launch::*;
pub use params::{
    BLOCK, FUSED_POOL_SIZES, LifKernelParams, N_COUNTS, SEGMENT, SurrogateParams, Window,
    lif_bwd_checkpoints, lif_bwd_shared_bytes,
};

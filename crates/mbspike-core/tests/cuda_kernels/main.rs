//! The CUDA kernels on the host: `kernels/*.cu` compiled as C++ with `shim.hpp`, against the CPU's
//! functions of the same names and the golden files. Needs a C++ compiler (`$CXX`, or `c++`).
//!
//! With the feature `cuda` and `MBSPIKE_KERNELS_ON_GPU` set the same tests launch the kernels on the first
//! GPU instead, and need no compiler.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking, in its helper functions too")]
#![expect(unsafe_code, reason = "launches kernels")]

mod each;
mod elements;
#[path = "../golden_files/mod.rs"]
mod golden_files;
#[cfg(feature = "cuda")]
mod gpu;
mod host;
mod launch;
mod lif;
mod names;
mod others;
mod random;

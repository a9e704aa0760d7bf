//! The CUDA kernels on the host: `kernels/*.cu` compiled as C++ with `shim.hpp`, against the CPU's
//! functions of the same names and the golden files. Needs a C++ compiler (`$CXX`, or `c++`).
#![expect(clippy::unwrap_used, reason = "a test fails by panicking, in its helper functions too")]
#![expect(unsafe_code, reason = "loads a library and calls it")]

mod elements;
#[path = "../golden_files/mod.rs"]
mod golden_files;
mod host;
mod lif;
mod others;

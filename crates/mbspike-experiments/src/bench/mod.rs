//! How fast training steps and kernels are.

mod cases;
mod kernel;
mod machine;
mod step;

pub use kernel::{KernelBench, KernelTimes};
pub use machine::Machine;
pub use step::{StepTimes, Times, Warmth, bench_step};

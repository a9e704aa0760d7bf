//! Kernels of multi-bit spiking neural networks: neurons that may fire at `2^bits − 1` graded
//! levels in a time step instead of one.
//!
//! * [`lif`]: leaky integrate-and-fire neurons, forward and backward, fused over time.
//! * [`conv`], [`dense`], [`pool`]: convolutions and dense layers that skip zeros, and pooling.
//! * [`product`] and [`norm`]: products of matrices that may be sparse, and batch normalization, for
//!   layers that are computed a batch at a time.
//! * [`spike`]: the spike function alone, for neurons that are put together from tensor operations.
//! * [`Surrogate`]: the derivatives that stand for that of the spike function.
//! * [`philox`] and [`poisson`]: counter-based random numbers and Poisson spike trains.
//! * [`Real`]: the types of numbers, and the smallest that is [carried](carry) on.
//! * [`cuda`]: how the CUDA kernels are launched; candle operations do so with the feature `cuda`.
//!
//! Every kernel has a slice-level function that needs no tensor library, a candle operation on
//! top, and a plain reference beside it. Instruction sets (AVX-512, AVX2, NEON or the baseline)
//! are chosen at run time.
#![warn(missing_docs)]

pub mod activity;
mod bf16;
mod carried;
mod code;
pub mod conv;
pub mod cuda;
pub mod dense;
mod device;
mod error;
pub mod lif;
pub mod norm;
mod open;
pub mod philox;
pub mod poisson;
pub mod pool;
pub mod product;
mod real;
mod shift;
pub mod spike;
mod subnormals;
mod surrogate;
mod tensor;

pub use bf16::{bf16_gradient, bf16_operand, round_to_bf16};
pub use carried::{carried, carried_gradient, carried_square, carry, copy_carried, n_subnormal};
pub use code::InputCode;
pub use device::DeviceName;
pub use error::{Error, Result};
pub use lif::{Decay, LifParams, Reset};
pub use real::Real;
pub use shift::Shift;
pub use subnormals::meets_subnormals;
pub use surrogate::Surrogate;
pub use tensor::read;

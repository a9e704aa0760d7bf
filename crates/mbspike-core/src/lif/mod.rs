//! Multi-bit leaky integrate-and-fire neurons, fused over time.
//!
//! Per step, with L levels (`2^bits − 1` for spikes of so many bits), threshold θ, membrane share `β = 1 − 1/τ` and gain `g`
//! (1, or `1/τ` where the input decays):
//!
//! | phase | equation |
//! |---|---|
//! | charge | `h[t] = β v[t−1] + g x[t]` (thesis eq. 2.4), plus `(1 − β) v_reset` with a hard reset |
//! | fire | `k[t] = clamp(floor(h[t] L/θ), 0, L)`, `s[t] = k[t]/L` (thesis eq. 3.1); equality fires |
//! | reset | soft `v = h − θ s`, hard `v = h − s (h − v_reset)`, none `v = h` |
//! | gradient | `∂s/∂h` is the derivative of the [`Surrogate`](crate::Surrogate), shifted by [`Shift`] (thesis eq. 3.2) |
//!
//! Arrays are time-major `[T, N]`; `N` counts all neurons of all samples. The backward pass
//! recomputes `h` from the input instead of storing it.
//!
//! [`lif_forward`] and [`lif_backward`] work on slices; [`lif_multi_step`] and its variants are
//! candle operations on top; [`reference`](mod@reference) is the plain form that tests compare
//! with.

mod block;
mod cpu;
#[cfg(feature = "cuda")]
#[expect(unsafe_code, reason = "launches kernels")]
mod cuda;
mod kept;
mod op;
mod operation;
mod params;
pub mod reference;
mod rows;
mod step;

pub use block::{Affine, Block, BlockSpace, BlockSums, lif_block_backward, lif_block_forward};
pub use cpu::{LifForward, LifGrad, lif_backward, lif_forward};
pub use kept::{fire, lif_backward_from_h, lif_forward_keep_h};
pub use op::{
    LifOptions, lif_multi_step, lif_multi_step_learnable_tau, lif_multi_step_learnable_tau_with_v,
    lif_multi_step_with, lif_multi_step_with_v,
};
pub use params::{Decay, LifParams, MAX_BITS, Reset, levels_of};

pub use crate::Shift;

//! Convolutions at the channel counts of spiking networks, one image at a time.
//!
//! Images are channels last and padded ([`ImageLayout`]), weights are PyTorch's
//! `[out, in, ky, kx]` and packed once a step ([`PackedWeights`]). [`Conv`] chooses between a
//! dense pass, one over the non-zeros and one by table look-up; the file of the inner loops
//! explains them.
//! [`reference`](mod@reference) is the plain form, [`conv2d`] the candle operation.

mod kernels;
mod nonzeros;
mod op;
mod packed;
mod patterns;
pub mod reference;
mod shape;

pub use nonzeros::{ChannelLists, Nonzeros};
pub use op::conv2d;
pub use packed::{Conv, ForwardSpace, PackedWeights};
pub(crate) use shape::dispatch;
pub use shape::{ConvShape, ImageLayout, MAX_KERNEL, lanes_for, padded_channels};

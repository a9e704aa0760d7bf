//! Networks of multi-bit spiking neurons: the architecture notation, layers, losses, optimizers
//! and monitors.
//!
//! A network is written in the field's notation, `28x28-8c5-2a-16c5-2a-10o`, read by [`Arch`].
#![warn(missing_docs)]

pub mod arch;
mod error;
pub mod loss;
mod parameter;

pub use arch::{Arch, ArchError, Layer, PoolKind, Shape};
pub use error::{Error, Result};
pub use loss::{Loss, LossKind, Readout, one_hot};
pub use parameter::Parameter;

//! Networks of multi-bit spiking neurons: the architecture notation, layers, losses, optimizers
//! and monitors.
//!
//! A network is written in the field's notation, `28x28-8c5-2a-16c5-2a-10o`, read by [`Arch`], and
//! built by [`Network::new`]; every weight layer is followed by multi-bit LIF neurons
//! ([`NeuronConfig`]). [`Network::train_step`] gives the loss, the gradients and the
//! [`Activity`] of a batch, [`optim`] turns gradients into steps. A trained network becomes one of
//! whole numbers in [`integer`].
#![warn(missing_docs)]

pub mod arch;
pub mod check;
mod dropout;
mod error;
mod fused;
mod init;
pub mod integer;
pub mod layer;
mod layered;
pub mod loss;
mod monitor;
mod network;
mod neuron;
pub mod optim;
mod parameter;
mod quantization;
pub mod schedule;
mod trace;

pub use arch::{Arch, ArchError, Layer, PoolKind, Shape};
pub use check::check;
pub use error::{Error, Result};
pub use loss::{Loss, LossKind, Readout, one_hot};
pub use monitor::{Activity, PositionActivity};
pub use network::{
    DeferredPrediction, DeferredStep, Execution, Network, NetworkConfig, Precision, Prediction,
    StepKey, StepOutput,
};
pub use neuron::NeuronConfig;
pub use parameter::Parameter;
pub use quantization::{InputRange, MAX_CODE, Quantization};
pub use trace::{LayerTrace, Membranes};

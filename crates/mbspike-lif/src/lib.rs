//! Networks of multi-bit spiking neurons: the architecture notation, layers, losses, optimizers
//! and monitors.
//!
//! A network of one's own is put together from the [`layer`]s, which are candle modules.
//!
//! A network as a whole is written in the field's notation, `28x28-8c5-2a-16c5-2a-10o`, read by
//! [`Arch`], or as tables, or built as a [`graph`]; [`Network::new`] builds it, with multi-bit LIF
//! neurons ([`NeuronConfig`]). [`Network::train_step`] gives the loss, the gradients and the
//! [`Activity`] of a batch, [`optim`] turns gradients into steps. A trained network becomes one of
//! whole numbers in [`integer`].
#![warn(missing_docs)]

pub mod arch;
mod batch;
mod channels_last;
pub mod check;
mod dropout;
mod error;
mod excerpt;
mod fused;
pub mod graph;
pub mod integer;
pub mod layer;
mod layered;
pub mod loss;
pub mod memory;
mod monitor;
mod network;
mod neuron;
pub mod optim;
mod parameter;
mod quantization;
pub mod schedule;
mod settings;
mod shape;
mod step;
mod trace;
mod variables;

pub use arch::{Arch, ArchError, ConvLayer, Join, Layer, LayerKind, LayerTable, PoolKind};
pub use check::check;
pub use error::{Error, Result};
pub use excerpt::excerpt;
pub use layered::NORM_EPSILON;
pub use loss::{Loss, LossKind, Readout, one_hot};
pub use monitor::{Activity, PositionActivity};
pub use network::Network;
pub use neuron::{LearnedBy, NeuronConfig, NeuronTable};
pub use parameter::Parameter;
pub use quantization::{InputRange, MAX_CODE, Quantization};
pub use settings::{Execution, NetworkConfig, NetworkTable, Precision};
pub use shape::Shape;
pub use step::{DeferredPrediction, DeferredStep, Prediction, StepKey, StepOutput};
pub use trace::{LayerTrace, Membranes};

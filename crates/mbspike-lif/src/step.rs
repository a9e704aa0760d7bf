use candle_core::Tensor;
use mbspike_core::activity::Counts;

use crate::Activity;

/// What dropout masks of a training step depend on, besides the sample's place in the batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StepKey {
    /// The run's seed.
    pub seed: u64,
    /// Training steps before this one.
    pub iteration: u64,
}

/// What a training step gives.
#[derive(Debug)]
pub struct StepOutput {
    /// Mean loss of the batch.
    pub loss: f64,
    /// Class scores `[B, n_classes]`.
    pub logits: Tensor,
    /// A gradient for each of [`Network::parameters`](crate::Network::parameters).
    pub gradients: Vec<Tensor>,
    /// Activity of the batch.
    pub activity: Activity,
}

/// What a training step gives, with all numbers on the network's device: nothing has waited for it.
#[derive(Debug)]
pub struct DeferredStep {
    /// Mean loss of the batch, a scalar.
    pub loss: Tensor,
    /// Class scores `[B, n_classes]`.
    pub logits: Tensor,
    /// A gradient for each of [`Network::parameters`](crate::Network::parameters).
    pub gradients: Vec<Tensor>,
    /// Activity of the batch, for [`Activity::read`].
    pub activity: Counts,
}

/// What a network answers in evaluation mode, with all numbers on its device.
#[derive(Debug)]
pub struct DeferredPrediction {
    /// Class scores `[B, n_classes]`.
    pub logits: Tensor,
    /// Activity of the batch, for [`Activity::read`].
    pub activity: Counts,
}

/// What a network answers in evaluation mode.
#[derive(Debug)]
pub struct Prediction {
    /// Class scores `[B, n_classes]`.
    pub logits: Tensor,
    /// Activity of the batch.
    pub activity: Activity,
}

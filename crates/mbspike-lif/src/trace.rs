use candle_core::Tensor;

/// What passed through a layer of weights and its neurons, without gradients.
#[derive(Debug, Clone)]
pub struct LayerTrace {
    /// The spikes that it listens to as they were sent, before pooling on the way
    /// `[T, B, C, H, W]`; `[T, B, N]` after a dense layer.
    pub received: Tensor,
    /// What its weights were multiplied by, after that pooling, of the same rank.
    pub input: Tensor,
    /// The spikes that its neurons sent, `[T, B, C, H, W]` or `[T, B, N]`.
    pub sent: Tensor,
}

impl LayerTrace {
    pub(crate) fn new(received: &Tensor, input: &Tensor, sent: &Tensor) -> Self {
        Self { received: received.detach(), input: input.detach(), sent: sent.detach() }
    }
}

/// What passed through a network in evaluation mode.
#[derive(Debug, Clone)]
pub struct Trace {
    /// Class scores `[B, n_classes]`.
    pub logits: Tensor,
    /// The layers of weights, from the input on.
    pub layers: Vec<LayerTrace>,
}

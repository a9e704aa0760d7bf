use candle_core::Tensor;

/// What passed through a layer of weights and its neurons in a time step, without gradients.
#[derive(Debug, Clone)]
pub struct LayerTrace {
    /// The spikes that it listens to as they were sent, before pooling on the way `[B, C, H, W]`;
    /// `[B, N]` after a dense layer.
    pub received: Tensor,
    /// What its weights were multiplied by, after that pooling, of the same rank.
    pub input: Tensor,
    /// The spikes that its neurons sent, `[B, C, H, W]` or `[B, N]`.
    pub sent: Tensor,
}

impl LayerTrace {
    /// Of sequences of one step.
    pub(crate) fn new(
        received: &Tensor,
        input: &Tensor,
        sent: &Tensor,
    ) -> candle_core::Result<Self> {
        let step = |seq: &Tensor| Ok::<_, candle_core::Error>(seq.detach().squeeze(0)?);
        Ok(Self { received: step(received)?, input: step(input)?, sent: step(sent)? })
    }
}

/// The membranes of a network between two time steps; at rest before the first.
#[derive(Debug, Clone, Default)]
pub struct Membranes {
    /// Of each layer of neurons, from the input on; empty before the first step.
    pub(crate) layers: Vec<Tensor>,
}

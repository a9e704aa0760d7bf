use candle_core::Tensor;

use crate::graph::NodeId;
use crate::layer::State;

/// What passed through a layer of weights and its neurons in a time step, without gradients.
#[derive(Debug, Clone)]
pub struct LayerTrace {
    /// The layer's node, or the neurons whose recurrent edge it is.
    pub node: NodeId,
    /// The spikes that it listens to as they were sent, before pooling on the way `[B, C, H, W]`;
    /// `[B, N]` after a dense layer. Of a recurrent edge those of the step before.
    pub received: Tensor,
    /// What its weights were multiplied by, after that pooling, of the same rank.
    pub input: Tensor,
    /// The spikes that its neurons sent, `[B, C, H, W]` or `[B, N]`; `None` where the neurons count as
    /// those of another layer of weights that comes together with this one, or there are none.
    pub sent: Option<Tensor>,
}

/// The membranes of a network between two time steps, with all else that neurons keep; at rest before
/// the first.
#[derive(Debug, Clone, Default)]
pub struct Membranes {
    /// Of each layer of neurons, from the input on; empty before the first step.
    pub(crate) layers: Vec<State>,
}

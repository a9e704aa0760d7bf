use super::{Adaptation, Cells, NeuronParams, neuron_layer};
use crate::Result;

/// A layer of adaptive LIF neurons (Bellec et al. 2018, <https://arxiv.org/abs/1803.09574>): the
/// threshold rises with the neuron's own spikes, see [`Adaptation`]. Level edges move with it, and the
/// soft reset takes away what the risen threshold asked for.
#[derive(Debug, Clone)]
pub struct Alif(Cells);

impl Alif {
    /// A layer of such neurons.
    ///
    /// # Errors
    /// If a parameter is out of range.
    pub fn new(adaptation: Adaptation, params: impl Into<NeuronParams>) -> Result<Self> {
        Ok(Self(Cells::new(NeuronParams { adaptation: Some(adaptation), ..params.into() })?))
    }
}

neuron_layer!(Alif);

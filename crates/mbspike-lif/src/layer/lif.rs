use super::{Cells, NeuronParams, neuron_layer};
use crate::Result;

/// A layer of multi-bit LIF neurons with fixed parameters: `[T, B, …]` to `[T, B, …]`, any shape.
///
/// What [`mbspike_core::lif`] computes fused over time runs there; [`NeuronParams`] that go beyond it
/// run step by step.
#[derive(Debug, Clone)]
pub struct Lif(Cells);

impl Lif {
    /// A layer of such neurons; [`LifParams`](mbspike_core::LifParams) will do too.
    ///
    /// # Errors
    /// If a parameter is out of range.
    pub fn new(params: impl Into<NeuronParams>) -> Result<Self> {
        Ok(Self(Cells::new(params.into())?))
    }
}

neuron_layer!(Lif);

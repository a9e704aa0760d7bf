use mbspike_core::Decay;

use super::{Cells, NeuronParams, neuron_layer};
use crate::Result;

/// A layer of integrate-and-fire neurons: LIF without leak, `h[t] = v[t−1] + x[t]`.
#[derive(Debug, Clone)]
pub struct If(Cells);

impl If {
    /// A layer of such neurons; the leak of `params` is not used.
    ///
    /// # Errors
    /// If a parameter is out of range.
    pub fn new(params: impl Into<NeuronParams>) -> Result<Self> {
        let mut params = params.into();
        params.lif.decay = Decay::Beta(1.0);
        params.lif.decay_input = false;
        Ok(Self(Cells::new(params)?))
    }
}

neuron_layer!(If);

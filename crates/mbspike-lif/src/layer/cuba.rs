use super::{Cells, NeuronParams, neuron_layer};
use crate::Result;

/// A layer of current-based LIF neurons: a spike that arrives starts a current that decays, and the
/// current charges the membrane.
///
/// ```text
/// i[t] = (1 − 1/τ_syn) i[t−1] + x[t]
/// h[t] = β v[t−1] + g i[t]
/// ```
///
/// `SpikingJelly`'s `CUBALIFNode` with `c_decay = 1 − 1/τ_syn` and `v_decay = β`.
#[derive(Debug, Clone)]
pub struct CubaLif(Cells);

impl CubaLif {
    /// A layer of such neurons with a synaptic time constant of `tau_syn` steps.
    ///
    /// # Errors
    /// If a parameter is out of range.
    pub fn new(tau_syn: f64, params: impl Into<NeuronParams>) -> Result<Self> {
        Ok(Self(Cells::new(NeuronParams { tau_syn: Some(tau_syn), ..params.into() })?))
    }
}

neuron_layer!(CubaLif);

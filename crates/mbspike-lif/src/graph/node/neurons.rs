use mbspike_core::Decay;

use super::operation::{
    NodeKind, Operation, Role, Start, Variable, no_scores, one, product, too_large,
};
use crate::graph::extent::Extent;
use crate::graph::misfit::Misfit;
use crate::layer::NeuronParams;
use crate::neuron::LearnedBy;

/// Neurons on the current that they read.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Neurons {
    /// Their parameters.
    pub params: NeuronParams,
    /// Whether the time constant is learned, and what it is one for.
    pub learned_tau: Option<LearnedBy>,
    /// Whether the threshold is learned, and what it is one for.
    pub learned_threshold: Option<LearnedBy>,
    /// Whether what they sent a step before comes back to them through weights.
    pub recurrent: bool,
    /// Whether they send their membranes instead of their spikes, and are not reset: set by the builder
    /// where a readout asks for it.
    pub sends_membrane: bool,
}

impl Default for Neurons {
    /// Binary neurons of the thesis.
    fn default() -> Self {
        Self {
            params: NeuronParams::new(1),
            learned_tau: None,
            learned_threshold: None,
            recurrent: false,
            sends_membrane: false,
        }
    }
}

impl Neurons {
    /// Their variables where they are `name` and have so many channels (or are so many, in a row).
    pub(crate) fn variables_of(&self, name: &str, channels: usize) -> Vec<Variable> {
        let lif = &self.params.lif;
        let tau = match lif.decay {
            Decay::Tau(tau) => tau,
            // Not learned then: checked with the parameters.
            Decay::Beta(_) => 1.0,
        };
        let learned = [
            (self.learned_tau, Role::Tau, "tau", tau),
            (self.learned_threshold, Role::VThreshold, "v_threshold", lif.v_threshold),
        ];
        let learned = learned.into_iter().filter_map(|(by, role, of, value)| {
            let n = match by? {
                LearnedBy::Layer => 1,
                LearnedBy::Channel => channels,
            };
            let start = Start::Constant(value);
            Some(Variable { role, name: format!("{name}.{of}"), dims: vec![n], start })
        });
        let recurrent = self.recurrent.then(|| Variable {
            role: Role::Recurrent,
            name: format!("{name}.recurrent"),
            dims: vec![channels, channels],
            start: Start::Uniform { fan_in: channels },
        });
        learned.chain(recurrent).collect()
    }
}

impl Operation for Neurons {
    fn kind(&self) -> NodeKind {
        NodeKind::Neurons
    }

    fn extent(&self, inputs: &[Extent], reads: &[NodeKind]) -> Result<Extent, Misfit> {
        no_scores(reads)?;
        let input = one(inputs)?;
        if self.recurrent && input.is_map {
            return Err(Misfit::new(
                format!(" on a map of {}", input.shape),
                "recurrent neurons after a dense layer",
            ));
        }
        if self.recurrent && product(&[input.shape.channels; 2]).is_none() {
            return Err(too_large(input));
        }
        Ok(input)
    }

    fn variables(&self, name: &str, inputs: &[Extent]) -> Vec<Variable> {
        self.variables_of(name, inputs[0].shape.channels)
    }
}

use mbspike_core::lif::{MAX_BITS, levels_of};
use mbspike_core::{Decay, LifParams, Reset, Shift, Surrogate};
use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// The neurons of a network: `[neuron]` in a config. Defaults are the thesis's.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NeuronConfig {
    /// Bits a spike, `1..=16`.
    pub bits: u32,
    /// Bits of single layers, from the input on; replaces `bits` where given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub layer_bits: Option<Vec<u32>>,
    /// Membrane time constant in steps, at least 1.
    #[serde(default = "default_tau")]
    pub tau: f64,
    /// Whether each layer learns its own time constant, starting from `tau` (PLIF, Fang et al.
    /// 2021).
    #[serde(default)]
    pub learnable_tau: bool,
    /// Threshold θ of a full spike.
    #[serde(default = "default_v_threshold")]
    pub v_threshold: f64,
    /// What a spike does to the membrane.
    #[serde(default)]
    pub reset: Reset,
    /// Whether the backward pass leaves out the path through the reset.
    #[serde(default)]
    pub detach_reset: bool,
    /// Whether the input current is multiplied by `1/τ`.
    #[serde(default)]
    pub decay_input: bool,
    /// Derivative used in the backward pass.
    #[serde(default)]
    pub surrogate: Surrogate,
    /// Where that is centred.
    #[serde(default)]
    pub shift: Shift,
}

fn default_tau() -> f64 {
    2.0
}
fn default_v_threshold() -> f64 {
    1.0
}

impl NeuronConfig {
    /// The thesis's neuron with `bits` bits.
    pub fn new(bits: u32) -> Self {
        Self {
            bits,
            layer_bits: None,
            tau: default_tau(),
            learnable_tau: false,
            v_threshold: default_v_threshold(),
            reset: Reset::default(),
            detach_reset: false,
            decay_input: false,
            surrogate: Surrogate::default(),
            shift: Shift::default(),
        }
    }

    /// The parameters of spiking layer `layer`, counted from the input, of `n_layers`.
    ///
    /// # Errors
    /// If a parameter is out of range or `layer_bits` has another length than the network.
    pub fn params(&self, layer: usize, n_layers: usize) -> Result<LifParams> {
        let bits = match &self.layer_bits {
            None => self.bits,
            Some(bits) if bits.len() == n_layers => bits[layer],
            Some(bits) => {
                return Err(Error::Mismatch {
                    op: "neuron",
                    what: "layer_bits".into(),
                    got: format!("{} numbers", bits.len()),
                    expected: format!("{n_layers}, one for each spiking layer"),
                });
            }
        };
        if !(1..=MAX_BITS).contains(&bits) {
            return Err(Error::InvalidParameter {
                name: if self.layer_bits.is_some() { "layer_bits" } else { "bits" },
                expected: "in 1..=16",
                got: bits.to_string(),
            });
        }
        let params = LifParams {
            levels: levels_of(bits),
            decay: Decay::Tau(self.tau),
            decay_input: self.decay_input,
            v_threshold: self.v_threshold,
            reset: self.reset,
            detach_reset: self.detach_reset,
            surrogate: self.surrogate,
            shift: self.shift,
        };
        params.validate()?;
        Ok(params)
    }
}

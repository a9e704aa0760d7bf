use mbspike_core::lif::{MAX_BITS, levels_of};
use mbspike_core::spike::{Rounding, SpikeOutput};
use mbspike_core::{Decay, LifParams, Reset, Shift, Surrogate};
use serde::de::value::MapDeserializer;
use serde::{Deserialize, Deserializer, Serialize};

use crate::layer::{Adaptation, NeuronParams};
use crate::{Error, Result};

/// What a learned quantity of a layer is one for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LearnedBy {
    /// The layer.
    #[default]
    Layer,
    /// Each channel; each neuron, where there is no map.
    Channel,
}

/// The neurons of a network: `[neuron]` in a config, all defaults filled in. Defaults are the thesis's.
///
/// What was added to the thesis's neuron is left out of the serialized form where it is not used, so
/// that a config says today what it said before.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(clippy::struct_excessive_bools, reason = "each is a key of a config")]
pub struct NeuronConfig {
    /// Bits a spike, `1..=16`.
    pub bits: u32,
    /// Levels above 0 of a spike, where they are not the `2^bits − 1` that bits can say; `bits` is then
    /// what such a level takes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub levels: Option<u32>,
    /// Bits of single layers, from the input on; replaces `bits` where given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub layer_bits: Option<Vec<u32>>,
    /// Membrane time constant in steps, at least 1.
    #[serde(default = "default_tau")]
    pub tau: f64,
    /// The share of the membrane that is left after a step, in `0..=1`, in place of `tau`; 1 does not
    /// leak.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub beta: Option<f64>,
    /// Whether each layer learns its own time constant, starting from `tau` (PLIF, Fang et al.
    /// 2021).
    #[serde(default)]
    pub learnable_tau: bool,
    /// Threshold θ of a full spike.
    #[serde(default = "default_v_threshold")]
    pub v_threshold: f64,
    /// Whether each layer learns its own threshold, starting from `v_threshold`.
    #[serde(default, skip_serializing_if = "is_default")]
    pub learnable_threshold: bool,
    /// What there is one learned time constant or threshold for.
    #[serde(default, skip_serializing_if = "is_default")]
    pub learned_by: LearnedBy,
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
    /// Whether there are spikes below zero too.
    #[serde(default, skip_serializing_if = "is_default")]
    pub signed: bool,
    /// How a membrane between two levels is rounded.
    #[serde(default, skip_serializing_if = "is_default")]
    pub rounding: Rounding,
    /// What a spike of level `k` is sent as.
    #[serde(default, skip_serializing_if = "is_default")]
    pub output: SpikeOutput,
    /// Time constant in steps of a synaptic current.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tau_syn: Option<f64>,
    /// A threshold that rises with the neuron's spikes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub adaptation: Option<Adaptation>,
}

fn default_tau() -> f64 {
    2.0
}
fn default_v_threshold() -> f64 {
    1.0
}
fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

impl NeuronConfig {
    /// The named neurons, with what they are; `docs/lif.md` has the equations.
    pub const PRESETS: &[(&str, &str)] = &[
        ("lif", "the multi-bit LIF neuron of the thesis"),
        ("if", "without leak"),
        ("plif", "LIF whose time constant is learned (Fang et al. 2021)"),
        ("cuba-lif", "LIF charged by a synaptic current, tau_syn = 2"),
        ("alif", "LIF whose threshold rises with its spikes (Bellec et al. 2018)"),
        ("ilif", "integer counts of up to `levels` (4) spikes (SpikeYOLO, Luo et al. 2024)"),
        ("ternary", "spikes of -1, 0 and 1"),
    ];

    /// The thesis's neuron with `bits` bits.
    pub fn new(bits: u32) -> Self {
        Self {
            bits,
            levels: None,
            layer_bits: None,
            tau: default_tau(),
            beta: None,
            learnable_tau: false,
            v_threshold: default_v_threshold(),
            learnable_threshold: false,
            learned_by: LearnedBy::default(),
            reset: Reset::default(),
            detach_reset: false,
            decay_input: false,
            surrogate: Surrogate::default(),
            shift: Shift::default(),
            signed: false,
            rounding: Rounding::default(),
            output: SpikeOutput::default(),
            tau_syn: None,
            adaptation: None,
        }
    }

    /// The neuron of that name among [`NeuronConfig::PRESETS`], with binary spikes where its name does
    /// not say more.
    pub fn preset(name: &str) -> Option<Self> {
        let new = Self::new(1);
        Some(match name {
            "lif" => new,
            "if" => Self { beta: Some(1.0), ..new },
            "plif" => Self { learnable_tau: true, ..new },
            "cuba-lif" => Self { tau_syn: Some(2.0), ..new },
            "alif" => Self { adaptation: Some(Adaptation { tau: 20.0, strength: 1.8 }), ..new },
            "ilif" => Self::integer(4),
            "ternary" => Self { signed: true, ..new },
            _ => return None,
        })
    }

    fn integer(levels: u32) -> Self {
        let NeuronParams { lif, rounding, output, .. } = NeuronParams::integer(levels);
        Self {
            levels: Some(levels),
            tau: 4.0 / 3.0,
            v_threshold: lif.v_threshold,
            detach_reset: lif.detach_reset,
            surrogate: lif.surrogate,
            rounding,
            output,
            ..Self::new(lif.bits())
        }
    }

    /// Levels above 0 of a spike of layers that `layer_bits` does not speak of.
    pub fn n_levels(&self) -> u32 {
        self.levels.unwrap_or(levels_of(self.bits))
    }

    /// The parameters of spiking layer `layer`, counted from the input, of `n_layers`.
    ///
    /// # Errors
    /// If a parameter is out of range or `layer_bits` has another length than the network.
    pub fn params(&self, layer: usize, n_layers: usize) -> Result<NeuronParams> {
        let invalid =
            |name, expected, got: String| Err(Error::InvalidParameter { name, expected, got });
        let levels = match (&self.layer_bits, self.levels) {
            (None, None) => bits_to_levels("bits", self.bits)?,
            (None, Some(levels)) => levels,
            (Some(_), Some(levels)) => {
                let expected = "left out where layer_bits is given";
                return invalid("levels", expected, levels.to_string());
            }
            (Some(bits), None) if bits.len() == n_layers => {
                bits_to_levels("layer_bits", bits[layer])?
            }
            (Some(bits), None) => {
                return Err(Error::Mismatch {
                    op: "neuron",
                    what: "layer_bits".into(),
                    got: format!("{} numbers", bits.len()),
                    expected: format!("{n_layers}, one for each spiking layer"),
                });
            }
        };
        if self.learnable_tau
            && let Some(beta) = self.beta
        {
            return invalid(
                "beta",
                "left out where the time constant is learned",
                beta.to_string(),
            );
        }
        if self.learned_by != LearnedBy::Layer && !self.learnable_tau && !self.learnable_threshold {
            let expected = "left out where nothing is learned";
            return invalid("learned_by", expected, "channel".into());
        }
        let lif = LifParams {
            levels,
            decay: self.beta.map_or(Decay::Tau(self.tau), Decay::Beta),
            decay_input: self.decay_input,
            v_threshold: self.v_threshold,
            reset: self.reset,
            detach_reset: self.detach_reset,
            surrogate: self.surrogate,
            shift: self.shift,
        };
        let params = NeuronParams {
            signed: self.signed,
            rounding: self.rounding,
            output: self.output,
            tau_syn: self.tau_syn,
            adaptation: self.adaptation,
            ..lif.into()
        };
        params.validate()?;
        Ok(params)
    }
}

/// `"hard"` is short for `{ kind = "hard" }`.
fn by_name<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    deserializer: D,
) -> std::result::Result<Option<T>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Written<T> {
        Name(String),
        Table(T),
    }
    match Option::<Written<T>>::deserialize(deserializer)? {
        None => Ok(None),
        Some(Written::Table(table)) => Ok(Some(table)),
        Some(Written::Name(name)) => {
            let table = MapDeserializer::new(std::iter::once(("kind", name)));
            T::deserialize(table).map(Some)
        }
    }
}

fn bits_to_levels(name: &'static str, bits: u32) -> Result<u32> {
    if (1..=MAX_BITS).contains(&bits) {
        Ok(levels_of(bits))
    } else {
        Err(Error::InvalidParameter { name, expected: "in 1..=16", got: bits.to_string() })
    }
}

/// `[neuron]` as it is written: what is left out is what it was before, the thesis's neuron, a preset,
/// or the neuron of the network in a layer's own table.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "the fields are those of NeuronConfig")]
pub struct NeuronTable {
    /// One of [`NeuronConfig::PRESETS`], that the other keys change.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub preset: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bits: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub levels: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub layer_bits: Option<Vec<u32>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tau: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub beta: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub learnable_tau: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub v_threshold: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub learnable_threshold: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub learned_by: Option<LearnedBy>,
    #[serde(default, deserialize_with = "by_name", skip_serializing_if = "Option::is_none")]
    pub reset: Option<Reset>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detach_reset: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub decay_input: Option<bool>,
    #[serde(default, deserialize_with = "by_name", skip_serializing_if = "Option::is_none")]
    pub surrogate: Option<Surrogate>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shift: Option<Shift>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub signed: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rounding: Option<Rounding>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub output: Option<SpikeOutput>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tau_syn: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub adaptation: Option<Adaptation>,
}

impl NeuronTable {
    /// The neuron of a config: a preset or the thesis's, with the keys that are given.
    ///
    /// # Errors
    /// If there is no such preset, neither bits nor levels are given, or both and they disagree.
    pub fn resolve(&self) -> Result<NeuronConfig> {
        if self.preset.is_none() && self.bits.is_none() && self.levels.is_none() {
            return Err(Error::InvalidParameter {
                name: "bits",
                expected: "given (or `levels`, or a `preset`)",
                got: "missing".into(),
            });
        }
        self.over(&NeuronConfig::new(1))
    }

    /// `base` with the keys that are given; a preset starts from itself.
    ///
    /// # Errors
    /// As [`NeuronTable::resolve`].
    pub fn over(&self, base: &NeuronConfig) -> Result<NeuronConfig> {
        let invalid =
            |name, expected, got: String| Err(Error::InvalidParameter { name, expected, got });
        let mut config = match (self.preset.as_deref(), self.levels) {
            (None, _) => base.clone(),
            // Its threshold is one a level.
            (Some("ilif"), Some(levels)) => NeuronConfig::integer(levels),
            (Some(name), _) => match NeuronConfig::preset(name) {
                Some(preset) => preset,
                None => {
                    return invalid(
                        "preset",
                        "\"lif\", \"if\", \"plif\", \"cuba-lif\", \"alif\", \"ilif\" or \"ternary\"",
                        format!("{name:?}"),
                    );
                }
            },
        };
        match (self.bits, self.levels) {
            (None, None) => {}
            (Some(bits), None) if self.preset.as_deref() == Some("ilif") => {
                config = NeuronConfig::integer(bits_to_levels("bits", bits)?);
            }
            (Some(bits), None) => (config.bits, config.levels) = (bits, None),
            (bits, Some(levels)) => {
                let of_levels = u32::BITS - levels.leading_zeros();
                if let Some(bits) = bits.filter(|bits| *bits != of_levels) {
                    let expected = "the bits that `levels` takes, or left out";
                    return invalid("bits", expected, bits.to_string());
                }
                // Levels that bits can say are bits.
                let is_bits = levels == levels_of(of_levels) && (1..=MAX_BITS).contains(&of_levels);
                (config.bits, config.levels) = (of_levels, (!is_bits).then_some(levels));
            }
        }
        if let Some(bits) = &self.layer_bits {
            config.layer_bits = Some(bits.clone());
        }
        if let Some(tau) = self.tau {
            (config.tau, config.beta) = (tau, None);
        }
        if self.beta.is_some() {
            // As a resolved config says it.
            if let Some(tau) = self.tau.filter(|tau| *tau != default_tau()) {
                return invalid("tau", "left out where beta is given", tau.to_string());
            }
            (config.tau, config.beta) = (default_tau(), self.beta);
        }
        set(&mut config.learnable_tau, self.learnable_tau);
        set(&mut config.v_threshold, self.v_threshold);
        set(&mut config.learnable_threshold, self.learnable_threshold);
        set(&mut config.learned_by, self.learned_by);
        set(&mut config.reset, self.reset);
        set(&mut config.detach_reset, self.detach_reset);
        set(&mut config.decay_input, self.decay_input);
        set(&mut config.surrogate, self.surrogate);
        set(&mut config.shift, self.shift);
        set(&mut config.signed, self.signed);
        set(&mut config.rounding, self.rounding);
        set(&mut config.output, self.output);
        if self.tau_syn.is_some() {
            config.tau_syn = self.tau_syn;
        }
        if self.adaptation.is_some() {
            config.adaptation = self.adaptation;
        }
        Ok(config)
    }
}

/// Takes over what was given.
fn set<T: Copy>(value: &mut T, given: Option<T>) {
    if let Some(given) = given {
        *value = given;
    }
}

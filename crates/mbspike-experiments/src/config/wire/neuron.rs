use std::fmt;

use mbspike_core::spike::{Rounding, SpikeOutput};
use mbspike_core::{Reset, Shift, Surrogate};
use mbspike_lif::layer::Adaptation;
use mbspike_lif::{LearnedBy, NeuronConfig, NeuronTable};
use serde::Deserialize;
use serde::de::{self, Deserializer, Visitor};

use super::only::only;
use crate::config::document::Node;
use crate::config::origin::ConfigError;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Neuron {
    preset: Option<String>,
    bits: Option<u32>,
    levels: Option<u32>,
    layer_bits: Option<Vec<u32>>,
    tau: Option<f64>,
    beta: Option<f64>,
    learnable_tau: Option<bool>,
    v_threshold: Option<f64>,
    learnable_threshold: Option<bool>,
    learned_by: Option<LearnedBy>,
    signed: Option<bool>,
    rounding: Option<Rounding>,
    output: Option<SpikeOutput>,
    tau_syn: Option<f64>,
    adaptation: Option<Adaptation>,
    reset: Option<ResetTable>,
    detach_reset: Option<bool>,
    decay_input: Option<bool>,
    surrogate: Option<SurrogateTable>,
    shift: Option<ShiftValue>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
enum ResetKind {
    Soft,
    Hard,
    None,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ResetTable {
    kind: ResetKind,
    v_reset: Option<f64>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
enum SurrogateKind {
    Sigmoid,
    Atan,
    FastSigmoid,
    Triangle,
    StraightThrough,
    Rectangle,
    Staircase,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SurrogateTable {
    kind: SurrogateKind,
    alpha: Option<f64>,
}

struct ShiftValue(Shift);

impl Neuron {
    pub(super) fn resolve(self, root: &Node) -> Result<NeuronConfig, ConfigError> {
        let table = NeuronTable {
            preset: self.preset,
            bits: self.bits,
            levels: self.levels,
            layer_bits: self.layer_bits,
            tau: self.tau,
            beta: self.beta,
            learnable_tau: self.learnable_tau,
            v_threshold: self.v_threshold,
            learnable_threshold: self.learnable_threshold,
            learned_by: self.learned_by,
            reset: self.reset.map(|table| table.resolve(root)).transpose()?,
            detach_reset: self.detach_reset,
            decay_input: self.decay_input,
            surrogate: self.surrogate.map(|table| table.resolve(root)).transpose()?,
            shift: self.shift.map(|shift| shift.0),
            signed: self.signed,
            rounding: self.rounding,
            output: self.output,
            tau_syn: self.tau_syn,
            adaptation: self.adaptation,
        };
        if table.preset.is_none() && table.bits.is_none() && table.levels.is_none() {
            let origin = root.get("neuron").map_or_else(|| root.origin_of("neuron"), |n| &n.origin);
            let message = "the key `neuron.bits` is missing".to_owned();
            return Err(ConfigError::new(origin.clone(), message));
        }
        table.resolve().map_err(|error| {
            let (key, message) = match error {
                mbspike_lif::Error::InvalidParameter { name, expected, got } => {
                    (format!("neuron.{name}"), format!("must be {expected}, not {got}"))
                }
                error => ("neuron".to_owned(), error.to_string()),
            };
            ConfigError::new(root.origin_of(&key).clone(), format!("{key}: {message}"))
        })
    }
}

impl ResetTable {
    fn resolve(self, root: &Node) -> Result<Reset, ConfigError> {
        let given = [("v_reset", self.v_reset.is_some())];
        Ok(match self.kind {
            ResetKind::Hard => Reset::Hard { v_reset: self.v_reset.unwrap_or(0.0) },
            ResetKind::Soft => {
                only(root, "neuron.reset", "soft", &given, &[])?;
                Reset::Soft {}
            }
            ResetKind::None => {
                only(root, "neuron.reset", "none", &given, &[])?;
                Reset::None {}
            }
        })
    }
}

impl SurrogateTable {
    fn resolve(self, root: &Node) -> Result<Surrogate, ConfigError> {
        let name = match self.kind {
            SurrogateKind::Sigmoid => "sigmoid",
            SurrogateKind::Atan => "atan",
            SurrogateKind::FastSigmoid => "fast-sigmoid",
            SurrogateKind::Triangle => "triangle",
            SurrogateKind::Staircase => "staircase",
            SurrogateKind::StraightThrough => {
                let given = [("alpha", self.alpha.is_some())];
                only(root, "neuron.surrogate", "straight-through", &given, &[])?;
                return Ok(Surrogate::StraightThrough {});
            }
            SurrogateKind::Rectangle => {
                let given = [("alpha", self.alpha.is_some())];
                only(root, "neuron.surrogate", "rectangle", &given, &[])?;
                return Ok(Surrogate::Rectangle {});
            }
        };
        // The slope's default is the surrogate's own.
        let mut table = toml::Table::new();
        table.insert("kind".into(), name.into());
        if let Some(alpha) = self.alpha {
            table.insert("alpha".into(), alpha.into());
        }
        table.try_into().map_err(|error: toml::de::Error| {
            let origin = root.origin_of("neuron.surrogate").clone();
            ConfigError::new(origin, format!("neuron.surrogate: {}", error.message()))
        })
    }
}

impl<'de> Deserialize<'de> for ShiftValue {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ShiftVisitor;
        impl Visitor<'_> for ShiftVisitor {
            type Value = ShiftValue;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("\"centred\", \"unshifted\" or a number")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<ShiftValue, E> {
                match text {
                    "centred" => Ok(ShiftValue(Shift::Centred)),
                    "unshifted" => Ok(ShiftValue(Shift::Unshifted)),
                    _ => Err(E::unknown_variant(text, &["centred", "unshifted"])),
                }
            }

            fn visit_f64<E: de::Error>(self, shift: f64) -> Result<ShiftValue, E> {
                Ok(ShiftValue(Shift::By(shift)))
            }

            fn visit_i64<E: de::Error>(self, shift: i64) -> Result<ShiftValue, E> {
                Ok(ShiftValue(Shift::By(shift as f64)))
            }
        }
        deserializer.deserialize_any(ShiftVisitor)
    }
}

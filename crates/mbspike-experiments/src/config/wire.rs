//! The config as it is written: optional keys, short forms, presets. No type here uses serde's
//! `flatten` or tagged enums, which would take the places from the errors.

use std::fmt;

use mbspike_core::spike::{Rounding, SpikeOutput};
use mbspike_core::{Reset, Shift, Surrogate};
use mbspike_data::{DatasetConfig, EncoderConfig};
use mbspike_lif::layer::Adaptation;
use mbspike_lif::optim::OptimizerConfig;
use mbspike_lif::schedule::{Schedule, WarmUp};
use mbspike_lif::{
    Arch, ArchError, Execution, LayerTable, LearnedBy, LossKind, NeuronConfig, NeuronTable,
    Precision, Quantization, Readout, Shape,
};
use serde::Deserialize;
use serde::de::{self, Deserializer, Visitor};

use super::document::Node;
use super::origin::{ConfigError, Origin, Source};
use super::{LOG_EVERY, NetworkSettings, TargetConfig, TrainConfig, de::nearest};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Config {
    name: String,
    seed: u64,
    dataset: DatasetConfig,
    encoder: EncoderConfig,
    network: Network,
    neuron: Neuron,
    train: Train,
    target: Option<Target>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Network {
    arch: Option<String>,
    preset: Option<String>,
    input: Option<String>,
    layer: Option<Vec<LayerTable>>,
    #[serde(default)]
    readout: Readout,
    #[serde(default)]
    bias: bool,
    #[serde(default)]
    execution: Execution,
    checkpoint_steps: Option<usize>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Neuron {
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
#[serde(deny_unknown_fields)]
struct Train {
    epochs: u32,
    batch_size: usize,
    #[serde(default)]
    precision: Precision,
    #[serde(default)]
    quantization: Quantization,
    #[serde(default)]
    loss: LossKind,
    #[serde(default)]
    label_smoothing: f32,
    #[serde(default)]
    mixup_alpha: f64,
    #[serde(default)]
    cutmix_alpha: f64,
    #[serde(default)]
    random_erasing: f32,
    #[serde(default)]
    random_crop: usize,
    #[serde(default)]
    horizontal_flip: f32,
    clip_grad_norm: Option<f64>,
    ema: Option<f64>,
    log_every: Option<u64>,
    #[serde(default)]
    tensorboard: bool,
    checkpoint_every: Option<u64>,
    checkpoint_every_s: Option<f64>,
    memory_limit_mib: Option<u64>,
    optimizer: OptimizerTable,
    scheduler: Option<SchedulerTable>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Target {
    accuracy: f64,
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

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum OptimizerKind {
    Adam,
    AdamW,
    Sgd,
    RmsProp,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct OptimizerTable {
    kind: OptimizerKind,
    lr: f64,
    betas: Option<(f64, f64)>,
    eps: Option<f64>,
    weight_decay: Option<f64>,
    momentum: Option<f64>,
    nesterov: Option<bool>,
    alpha: Option<f64>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
enum SchedulerKind {
    None,
    Cosine,
    Step,
    Exponential,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SchedulerTable {
    kind: SchedulerKind,
    warm_up: Option<WarmUp>,
    min_lr: Option<f64>,
    step_size: Option<usize>,
    gamma: Option<f64>,
}

impl Config {
    /// Fills in the defaults and turns names into what they stand for.
    pub(super) fn resolve(self, root: &Node) -> Result<super::Config, ConfigError> {
        Ok(super::Config {
            name: self.name,
            seed: self.seed,
            dataset: self.dataset,
            encoder: self.encoder,
            network: self.network.resolve(root)?,
            neuron: self.neuron.resolve(root)?,
            train: self.train.resolve(root)?,
            target: self.target.map(|target| TargetConfig { accuracy: target.accuracy }),
        })
    }
}

impl Network {
    fn resolve(self, root: &Node) -> Result<NetworkSettings, ConfigError> {
        let fail = |key: &str, message: String| {
            Err(ConfigError::new(root.origin_of(key).clone(), message))
        };
        let arch: Arch = match (self.arch, self.preset) {
            (Some(text), None) => text.parse().map_err(|error| arch_error(root, &error))?,
            (None, Some(name)) => {
                let Some(arch) = Arch::preset(&name) else {
                    let names = || Arch::PRESETS.iter().map(|(name, _)| *name);
                    let hint = match nearest(&name, names()) {
                        Some(name) => format!("did you mean \"{name}\"?"),
                        None => format!("there are {}", names().collect::<Vec<_>>().join(", ")),
                    };
                    let message = format!("network.preset: no preset is called \"{name}\"; {hint}");
                    return fail("network.preset", message);
                };
                arch
            }
            (Some(_), Some(_)) => {
                let message = "network: `arch` and `preset` exclude each other".to_owned();
                return fail("network.preset", message);
            }
            (None, None) => match (self.input, self.layer) {
                (Some(input), Some(layers)) => {
                    let input = input.parse().map_err(|error: ArchError| {
                        let message = format!("network.input: {error}");
                        ConfigError::new(root.origin_of("network.input").clone(), message)
                    })?;
                    return self_tables(root, input, layers).map(|arch| NetworkSettings {
                        arch,
                        readout: self.readout,
                        bias: self.bias,
                        execution: self.execution,
                        checkpoint_steps: self.checkpoint_steps,
                    });
                }
                (Some(_), None) => {
                    let message = "network: `input` goes with `[[network.layer]]`".to_owned();
                    return fail("network.input", message);
                }
                (None, Some(_)) => {
                    let message = "network: `[[network.layer]]` needs the key `input`, as \
                                   \"32x32x3\""
                        .to_owned();
                    return fail("network.layer", message);
                }
                (None, None) => {
                    let message = "network: the key `arch` (or `preset`) is missing".to_owned();
                    return fail("network", message);
                }
            },
        };
        for (key, given) in [("input", self.input.is_some()), ("layer", self.layer.is_some())] {
            if given {
                let message =
                    format!("network: `{key}` and `arch` (or `preset`) exclude each other");
                return fail(&format!("network.{key}"), message);
            }
        }
        Ok(NetworkSettings {
            arch,
            readout: self.readout,
            bias: self.bias,
            execution: self.execution,
            checkpoint_steps: self.checkpoint_steps,
        })
    }
}

/// An architecture of tables.
fn self_tables(root: &Node, input: Shape, layers: Vec<LayerTable>) -> Result<Arch, ConfigError> {
    Arch::of_tables(input, layers).map_err(|error| {
        let origin = root.origin_of("network.layer").clone();
        ConfigError::new(origin, format!("network.layer: {error}"))
    })
}

/// The place of an error inside an architecture: the very characters, where the text stands in the
/// file as it is.
fn arch_error(root: &Node, error: &ArchError) -> ConfigError {
    let origin = root.origin_of("network.arch");
    if let Source::File { text, .. } = &*origin.source
        && let Some(literal) = text.get(origin.span.clone())
        && literal.len() == error.text.len() + 2
        && literal.get(1..literal.len() - 1) == Some(error.text.as_str())
    {
        let start = origin.span.start + 1 + error.position;
        let span = start..start + error.length;
        let message = format!("network.arch: found {}, expected {}", error.found, error.expected);
        return ConfigError::new(Origin { source: origin.source.clone(), span }, message);
    }
    ConfigError::new(origin.clone(), format!("network.arch: {error}"))
}

impl Neuron {
    fn resolve(self, root: &Node) -> Result<NeuronConfig, ConfigError> {
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

impl Train {
    fn resolve(self, root: &Node) -> Result<TrainConfig, ConfigError> {
        Ok(TrainConfig {
            epochs: self.epochs,
            batch_size: self.batch_size,
            precision: self.precision,
            quantization: self.quantization,
            loss: self.loss,
            label_smoothing: self.label_smoothing,
            mixup_alpha: self.mixup_alpha,
            cutmix_alpha: self.cutmix_alpha,
            random_erasing: self.random_erasing,
            random_crop: self.random_crop,
            horizontal_flip: self.horizontal_flip,
            clip_grad_norm: self.clip_grad_norm,
            ema: self.ema,
            log_every: self.log_every.unwrap_or(LOG_EVERY),
            tensorboard: self.tensorboard,
            checkpoint_every: self.checkpoint_every,
            checkpoint_every_s: self.checkpoint_every_s,
            memory_limit_mib: self.memory_limit_mib,
            optimizer: self.optimizer.resolve(root)?,
            scheduler: self
                .scheduler
                .map_or(Ok(Schedule::default()), |table| table.resolve(root))?,
        })
    }
}

impl OptimizerTable {
    fn resolve(self, root: &Node) -> Result<OptimizerConfig, ConfigError> {
        let given = [
            ("betas", self.betas.is_some()),
            ("eps", self.eps.is_some()),
            ("weight_decay", self.weight_decay.is_some()),
            ("momentum", self.momentum.is_some()),
            ("nesterov", self.nesterov.is_some()),
            ("alpha", self.alpha.is_some()),
        ];
        let only = |kind, allowed| only(root, "train.optimizer", kind, &given, allowed);
        let lr = self.lr;
        // Defaults are PyTorch's, as `OptimizerConfig` documents them.
        let (betas, eps) = (self.betas.unwrap_or((0.9, 0.999)), self.eps.unwrap_or(1e-8));
        let weight_decay = self.weight_decay.unwrap_or(0.0);
        let momentum = self.momentum.unwrap_or(0.0);
        Ok(match self.kind {
            OptimizerKind::Adam => {
                only("adam", &["betas", "eps", "weight_decay"])?;
                OptimizerConfig::Adam { lr, betas, eps, weight_decay }
            }
            OptimizerKind::AdamW => {
                only("adamw", &["betas", "eps", "weight_decay"])?;
                let weight_decay = self.weight_decay.unwrap_or(1e-2);
                OptimizerConfig::AdamW { lr, betas, eps, weight_decay }
            }
            OptimizerKind::Sgd => {
                only("sgd", &["momentum", "weight_decay", "nesterov"])?;
                let nesterov = self.nesterov.unwrap_or(false);
                OptimizerConfig::Sgd { lr, momentum, weight_decay, nesterov }
            }
            OptimizerKind::RmsProp => {
                only("rmsprop", &["alpha", "eps", "weight_decay", "momentum"])?;
                let alpha = self.alpha.unwrap_or(0.99);
                OptimizerConfig::RmsProp { lr, alpha, eps, weight_decay, momentum }
            }
        })
    }
}

impl SchedulerTable {
    fn resolve(self, root: &Node) -> Result<Schedule, ConfigError> {
        let given = [
            ("min_lr", self.min_lr.is_some()),
            ("step_size", self.step_size.is_some()),
            ("gamma", self.gamma.is_some()),
        ];
        let only = |kind, allowed| only(root, "train.scheduler", kind, &given, allowed);
        let missing = |key: &str| {
            let origin = root.origin_of("train.scheduler").clone();
            ConfigError::new(origin, format!("the key `train.scheduler.{key}` is missing"))
        };
        let warm_up = self.warm_up;
        Ok(match self.kind {
            SchedulerKind::None => {
                only("none", &[])?;
                Schedule::None { warm_up }
            }
            SchedulerKind::Cosine => {
                only("cosine", &["min_lr"])?;
                Schedule::Cosine { min_lr: self.min_lr.unwrap_or(0.0), warm_up }
            }
            SchedulerKind::Step => {
                only("step", &["step_size", "gamma"])?;
                let step_size = self.step_size.ok_or_else(|| missing("step_size"))?;
                Schedule::Step { step_size, gamma: self.gamma.unwrap_or(0.1), warm_up }
            }
            SchedulerKind::Exponential => {
                only("exponential", &["gamma"])?;
                let gamma = self.gamma.ok_or_else(|| missing("gamma"))?;
                Schedule::Exponential { gamma, warm_up }
            }
        })
    }
}

/// Refuses keys of a table that its kind has no use for.
fn only(
    root: &Node,
    table: &str,
    kind: &str,
    given: &[(&str, bool)],
    allowed: &[&str],
) -> Result<(), ConfigError> {
    let Some((key, _)) = given.iter().find(|(key, is_given)| *is_given && !allowed.contains(key))
    else {
        return Ok(());
    };
    let dotted = format!("{table}.{key}");
    let has = if allowed.is_empty() {
        "has no settings".to_owned()
    } else {
        format!("has {}", allowed.join(", "))
    };
    let message = format!("{dotted} is of no use to \"{kind}\", which {has}");
    Err(ConfigError::new(root.origin_of(&dotted).clone(), message))
}

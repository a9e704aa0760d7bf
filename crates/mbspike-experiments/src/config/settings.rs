//! One run, in full.

use mbspike_data::{AugmentConfig, DatasetConfig, EncoderConfig, SampleKind};
use mbspike_lif::optim::OptimizerConfig;
use mbspike_lif::schedule::Schedule;
use mbspike_lif::{
    Arch, Execution, Loss, LossKind, NetworkConfig, NeuronConfig, Precision, Quantization, Readout,
};
use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};

/// Iterations a record of `metrics.jsonl` is the mean of, unless the config says otherwise.
pub const LOG_EVERY: u64 = 10;

/// One run, in full: what a config file means, with its defaults filled in and its names resolved.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Config {
    /// Name of the experiment, and of its folder.
    pub name: String,
    /// Every random choice follows from it.
    pub seed: u64,
    /// What to train on.
    pub dataset: DatasetConfig,
    /// How samples become sequences.
    pub encoder: EncoderConfig,
    /// The network's layers.
    pub network: NetworkSettings,
    /// The network's neurons.
    pub neuron: NeuronConfig,
    /// How to train.
    pub train: TrainConfig,
    /// What to measure the time to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target: Option<TargetConfig>,
}

/// The `[network]` part of a config.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct NetworkSettings {
    /// The layers; a preset stands here by its layers. As in a config: `arch`, or `input` and `layer`.
    #[serde(flatten, serialize_with = "as_written")]
    pub arch: Arch,
    /// How the output becomes class scores.
    pub readout: Readout,
    /// Whether convolutions and dense layers have a bias.
    pub bias: bool,
    /// Which code computes the network.
    pub execution: Execution,
    /// Time steps kept for the backward pass at once; all without it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub checkpoint_steps: Option<usize>,
}

/// An architecture by the keys of `[network]`.
fn as_written<S: Serializer>(arch: &Arch, serializer: S) -> Result<S::Ok, S::Error> {
    let mut map = serializer.serialize_map(None)?;
    match arch.tables() {
        None => map.serialize_entry("arch", arch)?,
        Some(tables) => {
            map.serialize_entry("input", &arch.input.to_string())?;
            map.serialize_entry("layer", &tables)?;
        }
    }
    map.end()
}

/// The `[train]` part of a config.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TrainConfig {
    /// Passes over the training set.
    pub epochs: u32,
    /// Samples in a batch; the last of an epoch may have fewer.
    pub batch_size: usize,
    /// Element types of the computation.
    pub precision: Precision,
    /// What weights and inputs are rounded to in the forward pass.
    #[serde(skip_serializing_if = "Quantization::is_none")]
    pub quantization: Quantization,
    /// What is minimized.
    pub loss: LossKind,
    /// Share of each target that is spread over all classes, in `0..=1`.
    pub label_smoothing: f32,
    /// Mix pairs of samples with weight λ ~ Beta(α, α); 0 is off.
    pub mixup_alpha: f64,
    /// Paste a part of one sample into another, of a share from Beta(α, α); 0 is off.
    pub cutmix_alpha: f64,
    /// Probability of blanking a rectangle of a sample.
    pub random_erasing: f32,
    /// Shift each sample by up to this many pixels.
    pub random_crop: usize,
    /// Probability of mirroring a sample.
    pub horizontal_flip: f32,
    /// Joint norm that gradients are clipped to; none without it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub clip_grad_norm: Option<f64>,
    /// Decay of the average of the weights, which then is evaluated and saved; none without it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ema: Option<f64>,
    /// Iterations a record of `metrics.jsonl` is the mean of.
    pub log_every: u64,
    /// Whether records are written as [`TensorBoard` events](mbspike_results::tensorboard), too.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub tensorboard: bool,
    /// Iterations between checkpoints, besides the one after each epoch.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub checkpoint_every: Option<u64>,
    /// Seconds between checkpoints, besides the one after each epoch.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub checkpoint_every_s: Option<f64>,
    /// MiB of memory that the run may take; what the machine has left without it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory_limit_mib: Option<u64>,
    /// The optimizer with its base learning rate.
    pub optimizer: OptimizerConfig,
    /// The learning rate over the epochs.
    pub scheduler: Schedule,
}

/// The `[target]` part of a config.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct TargetConfig {
    /// Accuracy whose time of reaching is recorded, in `0..=1`.
    pub accuracy: f64,
}

impl Config {
    /// The config as TOML, every key in its place: reading it gives the same config.
    ///
    /// # Errors
    /// If a number cannot be written in TOML (seeds above 2^63).
    pub fn to_toml(&self) -> Result<String, toml::ser::Error> {
        toml::to_string(self)
    }

    /// The config as a TOML table, with the numbers that its text has.
    ///
    /// # Errors
    /// As [`Config::to_toml`].
    pub fn to_table(&self) -> Result<toml::Table, toml::ser::Error> {
        // Through text: in memory an f32 has other digits than in a file.
        self.to_toml()?.parse().map_err(<toml::ser::Error as serde::ser::Error>::custom)
    }

    /// What the network is built from.
    pub fn network_config(&self) -> NetworkConfig {
        // Data that cannot be read are refused before there is a network.
        let kind = self.dataset.describe().map_or(SampleKind::Images, |described| described.kind);
        NetworkConfig {
            arch: self.network.arch.clone(),
            neuron: self.neuron.clone(),
            readout: self.network.readout,
            bias: self.network.bias,
            execution: self.network.execution,
            precision: self.train.precision,
            checkpoint_steps: self.network.checkpoint_steps,
            quantization: self.train.quantization,
            input: self.encoder.code_of_mixed(kind, &self.augment()),
        }
    }

    /// What is minimized. Targets come smoothed from the loader.
    pub fn loss(&self) -> Loss {
        Loss { kind: self.train.loss, label_smoothing: 0.0 }
    }

    /// What is done to training samples before they are encoded.
    pub fn augment(&self) -> AugmentConfig {
        AugmentConfig {
            random_crop: self.train.random_crop,
            horizontal_flip: self.train.horizontal_flip,
            random_erasing: self.train.random_erasing,
            mixup_alpha: self.train.mixup_alpha,
            cutmix_alpha: self.train.cutmix_alpha,
            label_smoothing: self.train.label_smoothing,
        }
    }
}

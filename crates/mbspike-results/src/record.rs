//! What is saved of a run: the contract between training, tables and figures.
//!
//! A run folder has `metrics.jsonl`, one [`Record`] a line, and `summary.json`, one [`Summary`],
//! which exists once the run is over.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::mark::MetricsMark;

/// One line of `metrics.jsonl`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "record", rename_all = "kebab-case")]
pub enum Record {
    /// Means over some consecutive training iterations.
    Window(WindowRecord),
    /// The state after an epoch.
    Epoch(EpochRecord),
}

/// Means over `n_iterations` consecutive training iterations, the last of which is `iteration`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct WindowRecord {
    /// Epoch, counted from 1.
    pub epoch: u64,
    /// Iterations done so far.
    pub iteration: u64,
    /// Iterations in this window.
    pub n_iterations: u64,
    /// Mean loss.
    pub loss: f64,
    /// Share of samples classified as their label, in `0..=1`.
    pub train_accuracy: f64,
    /// Share of non-zero elements at each of [`Summary::positions`], in `0..=1`.
    pub nonzero_rate: Vec<f64>,
    /// Mean spike value at each position, in `0..=1`.
    pub mean_spike: Vec<f64>,
    /// Learning rate of the last iteration.
    pub lr: f64,
    /// Mean wall time of an iteration in seconds, waiting for data included.
    pub step_time_s: f64,
    /// Share of that time spent in waiting for data, in `0..=1`.
    pub loader_share: f64,
}

/// The state after an epoch.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EpochRecord {
    /// Epoch, counted from 1.
    pub epoch: u64,
    /// Iterations done so far.
    pub iteration: u64,
    /// Mean loss over the epoch's training batches.
    pub train_loss: f64,
    /// Share of the epoch's training samples classified as their label, in `0..=1`.
    pub train_accuracy: f64,
    /// Mean loss over the test set.
    pub test_loss: f64,
    /// Share of the test set classified as its label, in `0..=1`.
    pub test_accuracy: f64,
    /// Share of non-zero elements at each position while training, in `0..=1`.
    pub train_nonzero_rate: Vec<f64>,
    /// Mean spike value at each position while training, in `0..=1`.
    pub train_mean_spike: Vec<f64>,
    /// Share of non-zero elements at each position on the test set, in `0..=1`.
    pub test_nonzero_rate: Vec<f64>,
    /// Mean spike value at each position on the test set, in `0..=1`.
    pub test_mean_spike: Vec<f64>,
    /// Wall time of the epoch in seconds, evaluation included.
    pub epoch_time_s: f64,
    /// Mean wall time of a training iteration in seconds.
    pub step_time_s: f64,
    /// Share of the training iterations' time spent in waiting for data, in `0..=1`.
    #[serde(default)]
    pub loader_share: f64,
    /// How many test samples of each class (row) were given which (column); of the last epoch alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub test_confusion: Option<Vec<Vec<u64>>>,
}

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Status {
    /// All epochs are done.
    Finished,
    /// The loss or the logits were no longer finite; the run stopped there.
    Diverged,
}

impl Status {
    /// `finished` or `diverged`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Finished => "finished",
            Self::Diverged => "diverged",
        }
    }
}

/// A run in one record.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// The run's folder name: readable and stable.
    pub id: String,
    /// Name of the experiment.
    pub name: String,
    /// The swept values: dotted key of the config to value.
    pub values: BTreeMap<String, serde_json::Value>,
    /// Which repeat this is, counted from 1.
    pub repeat: u32,
    /// The seed that the run used.
    pub seed: u64,
    /// What the runs of its group have in common: a hash of the resolved config without the seed. Empty
    /// in records before version 0.2.
    #[serde(default)]
    pub group: String,
    /// The kind of device that it ran on: `cpu` or `cuda`.
    #[serde(default = "cpu")]
    pub device: String,
    /// Bits a spike.
    pub bits: u32,
    /// Bits a spike for each layer, where they differ; else empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub layer_bits: Vec<u32>,
    /// Time steps a sample.
    pub time_steps: usize,
    /// Epochs done.
    pub n_epochs: u64,
    /// Iterations done.
    pub n_iterations: u64,
    /// Where activity is measured: `input`, `lif1`, ….
    pub positions: Vec<String>,
    /// Test accuracy after the last epoch done, in `0..=1`; like the other accuracies absent if
    /// there was none.
    pub final_test_accuracy: Option<f64>,
    /// Best test accuracy of all epochs.
    pub best_test_accuracy: Option<f64>,
    /// Train accuracy of the last epoch done.
    pub final_train_accuracy: Option<f64>,
    /// The accuracy that the config asks the time to.
    pub target_accuracy: Option<f64>,
    /// First iteration at which the train accuracy averaged over the last 100 iterations is at
    /// least the target.
    pub iterations_to_target: Option<u64>,
    /// First epoch after which the test accuracy is at least the target.
    pub epochs_to_target: Option<u64>,
    /// Share of non-zero elements at each position on the test set after the last epoch.
    pub final_nonzero_rate: Vec<f64>,
    /// Mean spike value at each position on the test set after the last epoch.
    pub final_mean_spike: Vec<f64>,
    /// Median over windows of the mean time of an iteration, in seconds.
    pub median_step_time_s: Option<f64>,
    /// Median time of the first hundred iterations, in seconds.
    #[serde(default)]
    pub first_steps_median_s: Option<f64>,
    /// The same of the last hundred.
    #[serde(default)]
    pub last_steps_median_s: Option<f64>,
    /// Share of all training iterations' time spent in waiting for data, in `0..=1`; absent without
    /// iterations.
    #[serde(default)]
    pub loader_share: Option<f64>,
    /// Wall time of training and evaluation in seconds, over all resumed parts.
    pub wall_time_s: f64,
    /// Trainable numbers.
    pub n_parameters: u64,
    /// Multiply-adds of each layer of weights for one sample and one time step, if nothing were zero.
    /// Empty in records before version 0.2.
    #[serde(default)]
    pub dense_macs: Vec<u64>,
    /// What belongs to the run of `metrics.jsonl`. Absent in records before version 0.2.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metrics: Option<MetricsMark>,
    /// The checksum in `checkpoint.safetensors`; absent without such a file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weights: Option<String>,
    /// How the run ended.
    pub status: Status,
    /// Of a diverged run: what was not finite, and when.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cause: Option<String>,
    /// What it trained on.
    pub dataset: DatasetSummary,
    /// What it ran on.
    pub environment: Environment,
}

/// What a run trained on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DatasetSummary {
    /// Name of the dataset, as in configs.
    pub name: String,
    /// Where the data came from: a folder, `embedded subset`, ….
    pub source: String,
    /// Whether the recordings are simulated, not measured.
    pub simulated: bool,
    /// Training samples used.
    pub n_train: usize,
    /// Test samples used.
    pub n_test: usize,
    /// Names of the classes, in the order of the labels; empty in records of versions before 0.2.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub class_names: Vec<String>,
}

/// What a run ran on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Environment {
    /// Version of the program.
    pub version: String,
    /// Commit it was built from, where known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commit: Option<String>,
    /// Threads the run used.
    pub threads: usize,
    /// Vector instructions of the processor that the kernels make use of.
    pub cpu_features: Vec<String>,
    /// Name of the processor, where the system tells it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub processor: Option<String>,
    /// When the run was over, as `2026-11-25 18:30 UTC`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finished: Option<String>,
}

fn cpu() -> String {
    "cpu".to_owned()
}

//! What is saved of a run while it trains.
//!
//! `checkpoint.safetensors` has the weights that were evaluated, under the names that PyTorch users
//! load them by. `state.safetensors` has all that the next iteration depends on: weights, optimizer,
//! averages of weights, and, as JSON in its metadata, a [`Progress`]. It is one file, so that it
//! always fits together, and it is written last: its rename is the one moment at which a checkpoint is
//! made. The progress names the weights that belong to it by their checksum; where those beside it are
//! others, or gone, they are [written anew](mend_weights) from the state. There is no generator state:
//! every random number follows from the seed and its place in training.

use std::collections::{HashMap, VecDeque};
use std::io::Write;
use std::path::{Path, PathBuf};

use candle_core::{Device, Tensor};
use mbspike_files::seal;
use mbspike_lif::optim::{Ema, Optimizer};
use mbspike_lif::{Activity, Network, PositionActivity};
use mbspike_results::{MetricsLog, MetricsMark};
use serde::{Deserialize, Serialize};

pub use mbspike_results::files::{CHECKPOINT_FILE, STATE_FILE};

/// Texts beside the tensors of a safetensors file.
type Metadata = HashMap<String, String>;

/// The metadata entry of a [`Progress`].
const PROGRESS: &str = "progress";

/// What saving or loading a checkpoint can fail with.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file could not be read or written; the message names it.
    #[error(transparent)]
    Io(#[from] std::io::Error),
    /// A file is damaged or does not belong to this network.
    #[error("{}: {message}", path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        message: String,
    },
    /// The tensor library's own error.
    #[error(transparent)]
    Tensor(#[from] candle_core::Error),
    /// Optimizer or averages could not be saved or restored.
    #[error(transparent)]
    Training(#[from] mbspike_lif::Error),
}

/// How far a run is, and what it has counted on the way.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Progress {
    /// Epochs done, evaluation included.
    pub epochs: u32,
    /// Iterations of the next epoch that are done.
    pub batches: usize,
    /// Iterations done over all epochs.
    pub iterations: u64,
    /// The window of `metrics.jsonl` that is not yet full.
    pub window: Tally,
    /// The epoch that is not yet done.
    pub epoch: Tally,
    /// Train accuracy of the last iterations, for the time to the target.
    pub recent: VecDeque<f64>,
    /// First iteration at which their mean was at least the target.
    pub iterations_to_target: Option<u64>,
    /// Bytes of `metrics.jsonl` that belong to this state.
    pub metrics_bytes: u64,
    /// Their checksum; absent before version 0.2.
    #[serde(default)]
    pub metrics_checksum: Option<String>,
    /// The checksum of the weights that belong to this state; absent before version 0.2.
    #[serde(default)]
    pub weights: Option<String>,
    /// Wall time so far, in seconds.
    pub wall_time_s: f64,
    /// Times of the first [`N_STEP_TIMES`] iterations.
    #[serde(default)]
    pub first_step_times_s: Vec<f64>,
    /// Times of the last [`N_STEP_TIMES`] iterations.
    #[serde(default)]
    pub last_step_times_s: VecDeque<f64>,
}

/// Iterations at the start and at the end of a run whose times are compared.
pub const N_STEP_TIMES: usize = 100;

impl Progress {
    /// Takes note of the time of an iteration.
    pub fn add_step_time(&mut self, time_s: f64) {
        if self.first_step_times_s.len() < N_STEP_TIMES {
            self.first_step_times_s.push(time_s);
        }
        self.last_step_times_s.push_back(time_s);
        if self.last_step_times_s.len() > N_STEP_TIMES {
            self.last_step_times_s.pop_front();
        }
    }
}

/// Sums over some iterations.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tally {
    /// Iterations.
    pub n_iterations: u64,
    /// Samples in them.
    pub n_samples: u64,
    /// Samples classified as the most probable class of their target.
    pub n_correct: u64,
    /// Sum of the iterations' losses.
    pub loss: f64,
    /// Elements, non-zero elements and sum of elements at each position.
    pub positions: Vec<(u64, u64, f64)>,
    /// Wall time in seconds.
    pub time_s: f64,
    /// Part of it spent in waiting for data.
    pub waited_s: f64,
}

impl Progress {
    /// Opens the `metrics.jsonl` that belongs to this state, without what was appended since.
    ///
    /// # Errors
    /// If it is shorter than it was, or not as it was written.
    pub fn open_metrics(&self, path: &Path) -> mbspike_results::Result<MetricsLog> {
        match &self.metrics_checksum {
            None => MetricsLog::open_unmarked(path, self.metrics_bytes),
            Some(checksum) => {
                let mark = MetricsMark { bytes: self.metrics_bytes, checksum: checksum.clone() };
                MetricsLog::open(path, Some(&mark))
            }
        }
    }
}

impl Tally {
    /// Adds an iteration, all but its times.
    pub fn add(&mut self, loss: f64, n_samples: usize, n_correct: usize, activity: &Activity) {
        self.n_iterations += 1;
        self.n_samples += n_samples as u64;
        self.n_correct += n_correct as u64;
        self.loss += loss;
        self.positions.resize(activity.positions.len(), (0, 0, 0.0));
        for (sum, position) in self.positions.iter_mut().zip(&activity.positions) {
            sum.0 += position.n_elements;
            sum.1 += position.n_nonzero;
            sum.2 += position.sum.value();
        }
    }

    /// Share of samples classified right, in `0..=1`.
    pub fn accuracy(&self) -> f64 {
        self.n_correct as f64 / self.n_samples.max(1) as f64
    }

    /// Mean loss of an iteration.
    pub fn mean_loss(&self) -> f64 {
        self.loss / self.n_iterations.max(1) as f64
    }

    /// Share of the time spent in waiting for data, in `0..=1`.
    pub fn loader_share(&self) -> f64 {
        if self.time_s > 0.0 { self.waited_s / self.time_s } else { 0.0 }
    }

    /// Mean time of an iteration in seconds.
    pub fn step_time_s(&self) -> f64 {
        self.time_s / self.n_iterations.max(1) as f64
    }

    /// What was seen at the measuring positions.
    pub fn activity(&self) -> Activity {
        let positions = self.positions.iter().map(|&(n_elements, n_nonzero, sum)| {
            PositionActivity { n_elements, n_nonzero, sum: sum.into() }
        });
        Activity { positions: positions.collect() }
    }
}

/// Saves weights as [`CHECKPOINT_FILE`] in `folder` and returns the file's checksum.
pub fn save_weights(folder: &Path, network: &Network) -> Result<String, Error> {
    // The entry that tells other tools in which framework's layout the tensors are.
    let metadata = HashMap::from([("format".to_owned(), "pt".to_owned())]);
    write(&folder.join(CHECKPOINT_FILE), weights(network), metadata)
}

/// The checksum of the weights in `folder`; `None` if there are none, or not as they were written.
pub fn checksum_of_weights(folder: &Path) -> Result<Option<String>, Error> {
    let bytes = match fs_err::read(folder.join(CHECKPOINT_FILE)) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let seal = seal::check_safetensors(&bytes).ok();
    Ok(seal.and_then(seal::Seal::checksum).map(|checksum| checksum.to_string()))
}

/// Makes the weights in `folder` those that belong to the state that `network` and `ema` were
/// [loaded](load_state) from, if they are not; returns their checksum.
pub fn mend_weights(
    folder: &Path,
    network: &Network,
    ema: Option<&mut Ema>,
    progress: &Progress,
) -> Result<String, Error> {
    match checksum_of_weights(folder)? {
        Some(there) if progress.weights.as_ref() == Some(&there) => Ok(there),
        _ => save_averaged_weights(folder, network, ema),
    }
}

/// Saves the weights that are evaluated: their averages, where there are such.
pub fn save_averaged_weights(
    folder: &Path,
    network: &Network,
    ema: Option<&mut Ema>,
) -> Result<String, Error> {
    let Some(ema) = ema else { return save_weights(folder, network) };
    ema.swap()?;
    let saved = save_weights(folder, network);
    ema.swap()?;
    saved
}

/// Loads the weights of `file` into `network`.
///
/// # Errors
/// If the file is damaged, lacks a weight, or has one of another shape or type.
pub fn load_weights(file: &Path, network: &Network) -> Result<(), Error> {
    let (tensors, _) = read(file)?;
    restore(file, network, &tensors)
}

/// Saves all that a resumed run starts from as [`STATE_FILE`] in `folder`.
pub fn save_state(
    folder: &Path,
    network: &Network,
    optimizer: &Optimizer,
    ema: Option<&Ema>,
    progress: &Progress,
) -> Result<(), Error> {
    let mut tensors = weights(network);
    tensors.extend(optimizer.state()?);
    if let Some(ema) = ema {
        tensors.extend(ema.state()?);
    }
    let progress = serde_json::to_string(progress).map_err(std::io::Error::from)?;
    let metadata = HashMap::from([(PROGRESS.to_owned(), progress)]);
    write(&folder.join(STATE_FILE), tensors, metadata)?;
    Ok(())
}

/// Restores what [`save_state`] saved.
///
/// # Errors
/// If the file is damaged or was saved by a run of another network or optimizer.
pub fn load_state(
    folder: &Path,
    network: &Network,
    optimizer: &mut Optimizer,
    ema: Option<&mut Ema>,
) -> Result<Progress, Error> {
    let file = folder.join(STATE_FILE);
    let (tensors, metadata) = read(&file)?;
    restore(&file, network, &tensors)?;
    optimizer.load_state(&tensors)?;
    if let Some(ema) = ema {
        ema.load_state(&tensors)?;
    }
    let progress = metadata.get(PROGRESS).map_or("", String::as_str);
    serde_json::from_str(progress).map_err(|error| Error::Content {
        path: file,
        message: format!("its metadata entry `{PROGRESS}` is damaged: {error}"),
    })
}

/// Names and values of parameters and buffers.
fn weights(network: &Network) -> Vec<(String, Tensor)> {
    let all = network.parameters().iter().chain(network.buffers());
    all.map(|parameter| (parameter.name.clone(), parameter.var.as_detached_tensor())).collect()
}

fn restore(path: &Path, network: &Network, tensors: &HashMap<String, Tensor>) -> Result<(), Error> {
    for parameter in network.parameters().iter().chain(network.buffers()) {
        let (name, var) = (&parameter.name, &parameter.var);
        let fail = |message| Error::Content { path: path.to_owned(), message };
        let Some(saved) = tensors.get(name) else {
            return Err(fail(format!("there is no `{name}` in it")));
        };
        if saved.dims() != var.dims() || saved.dtype() != var.dtype() {
            return Err(fail(format!(
                "`{name}` is {:?} {:?} in it, but {:?} {:?} in the network",
                saved.dtype(),
                saved.dims(),
                var.dtype(),
                var.dims()
            )));
        }
        var.set(&saved.to_device(var.device())?)?;
    }
    Ok(())
}

fn write(path: &Path, tensors: Vec<(String, Tensor)>, metadata: Metadata) -> Result<String, Error> {
    let fail = |message| Error::Content { path: path.to_owned(), message };
    let bytes =
        safetensors::serialize(tensors, Some(metadata)).map_err(|error| fail(error.to_string()))?;
    let (bytes, checksum) =
        seal::seal_safetensors(&bytes).map_err(|error| fail(error.to_string()))?;
    mbspike_files::write(path, |file: &mut dyn Write| file.write_all(&bytes))?;
    Ok(checksum.to_string())
}

fn read(path: &Path) -> Result<(HashMap<String, Tensor>, Metadata), Error> {
    let bytes = fs_err::read(path)?;
    let fail = |message: String| Error::Content { path: path.to_owned(), message };
    let damaged =
        |error: &dyn std::fmt::Display| fail(format!("not a whole safetensors file: {error}"));
    seal::check_safetensors(&bytes).map_err(|error| {
        let remedy = if path.ends_with(STATE_FILE) {
            "the run must be done again: remove its folder"
        } else {
            "`mbspike run` with --resume writes it anew from state.safetensors"
        };
        fail(format!("{error}; {remedy}"))
    })?;
    let (_, header) =
        safetensors::SafeTensors::read_metadata(&bytes).map_err(|error| damaged(&error))?;
    let metadata = header.metadata().clone().unwrap_or_default();
    let tensors = candle_core::safetensors::load_buffer(&bytes, &Device::Cpu)
        .map_err(|error| damaged(&error))?;
    Ok((tensors, metadata))
}

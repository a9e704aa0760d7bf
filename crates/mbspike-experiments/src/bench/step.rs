//! Whole training steps.

use std::path::PathBuf;
use std::time::Instant;

use candle_core::{Device, Tensor};
use mbspike_core::{DeviceName, meets_subnormals};
use mbspike_data::{Loader, LoaderConfig};
use mbspike_lif::optim::{Optimizer, clip_grad_norm};
use mbspike_lif::{Network, StepKey};
use rayon::ThreadPool;
use serde::Serialize;

use crate::checkpoint;
use crate::config::Config;
use crate::run::{Error, thread_pool};
use mbspike_results::median;

/// Steps before the first that is timed, in which buffers are allocated.
const N_UNTIMED: usize = 3;

/// Times of the steps of one network.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Times {
    /// Median time of a whole step in seconds: forward, loss, backward, optimizer.
    pub median_s: f64,
    /// Fastest step in seconds.
    pub min_s: f64,
    /// Median time of a forward pass alone (in evaluation mode) in seconds.
    pub forward_s: f64,
    /// What is left of the step: loss, backward, optimizer.
    pub backward_s: f64,
    /// Samples trained on in a second.
    pub samples_per_s: f64,
    /// Whether any step, of those before the timed ones too, met a [subnormal
    /// number](mbspike_core::meets_subnormals), over which some processors take their time; null where
    /// the processor does not say.
    pub met_subnormals: Option<bool>,
}

/// Times of a training step.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct StepTimes {
    /// Those of the network that is trained, which is what a user waits for; without warm-up of the
    /// fresh one.
    #[serde(flatten)]
    pub times: Times,
    /// With the weights that a run starts from.
    pub fresh: Times,
    /// After the warm-up, or with the weights of a checkpoint.
    pub trained: Option<Times>,
    /// Training iterations before `trained` was timed.
    pub n_warm_up: u64,
    /// Most memory the process has had, in bytes; 0 where the system does not tell.
    pub peak_rss_bytes: u64,
    /// Samples in a batch.
    pub batch_size: usize,
    /// Time steps of a sample.
    pub time_steps: usize,
    /// What it was computed on.
    pub device: String,
    /// Threads.
    pub threads: usize,
    /// Steps timed.
    pub n_steps: usize,
}

/// What the trained network that is timed comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Warmth {
    /// Training iterations on the config's data; 0 for none.
    Iterations(u64),
    /// The weights of a `checkpoint.safetensors`.
    Checkpoint(PathBuf),
}

/// Times `n_steps` training steps of a config on `device`, of the network as a run starts with it and
/// of one that is trained: both on the first batch of the data, so that data loading is not in the
/// times.
///
/// The two differ where a step's time depends on its numbers: which are zero, and which are so small
/// that a processor slows down.
pub fn bench_step(
    config: &Config,
    n_steps: usize,
    warmth: &Warmth,
    device: DeviceName,
) -> Result<StepTimes, Error> {
    let name = device.to_string();
    let device = device.open()?;
    let dataset = mbspike_data::load(&config.dataset)?;
    let pool = thread_pool()?;
    let loader = LoaderConfig {
        encoder: config.encoder.clone(),
        augment: config.augment(),
        batch_size: config.train.batch_size,
        n_classes: config.network.arch.n_classes(),
        seed: config.seed,
        shuffle: true,
    };
    let loader = Loader::new(dataset.train, loader)?;
    let Some(batch) = loader.epoch(0, 0).next().transpose()? else {
        return Err(std::io::Error::other("the training set is empty").into());
    };
    let batch_size = batch.len();
    let (x_seq, targets) = batch.into_tensors(&device)?;
    let new = || Bench::new(config, &device, &pool);
    let fresh = new()?.times(&x_seq, &targets, n_steps)?;
    let (trained, n_warm_up) = match warmth {
        Warmth::Iterations(0) => (None, 0),
        Warmth::Iterations(n) => {
            let mut bench = new()?;
            bench.train(&loader, *n)?;
            (Some(bench.times(&x_seq, &targets, n_steps)?), *n)
        }
        Warmth::Checkpoint(file) => {
            let mut bench = new()?;
            checkpoint::load_weights(file, &bench.network)?;
            (Some(bench.times(&x_seq, &targets, n_steps)?), 0)
        }
    };
    Ok(StepTimes {
        times: trained.as_ref().unwrap_or(&fresh).clone(),
        fresh,
        trained,
        n_warm_up,
        peak_rss_bytes: peak_rss_bytes(),
        batch_size,
        time_steps: config.encoder.time_steps,
        device: name,
        threads: pool.current_num_threads(),
        n_steps,
    })
}

/// A network in training.
struct Bench<'a> {
    config: &'a Config,
    device: &'a Device,
    pool: &'a ThreadPool,
    network: Network,
    optimizer: Optimizer,
    iteration: u64,
    met_subnormals: Option<bool>,
}

impl<'a> Bench<'a> {
    fn new(config: &'a Config, device: &'a Device, pool: &'a ThreadPool) -> Result<Self, Error> {
        let network = Network::new(&config.network_config(), config.seed, device)?;
        let optimizer = Optimizer::new(config.train.optimizer, network.parameters())?;
        let met_subnormals = Some(false);
        Ok(Self { config, device, pool, network, optimizer, iteration: 0, met_subnormals })
    }

    /// One training step; waits for the device.
    fn step(&mut self, x_seq: &Tensor, targets: &Tensor) -> Result<(), Error> {
        let key = StepKey { seed: self.config.seed, iteration: self.iteration };
        self.iteration += 1;
        let (lr, loss) = (self.config.train.optimizer.lr(), self.config.loss());
        let (network, optimizer, device) = (&mut self.network, &mut self.optimizer, self.device);
        let clip = self.config.train.clip_grad_norm;
        watched(self.pool, &mut self.met_subnormals, || {
            let mut step = network.train_step_deferred(x_seq, targets, loss, key)?;
            if let Some(max_norm) = clip {
                clip_grad_norm(&mut step.gradients, max_norm)?;
            }
            optimizer.step(&step.gradients, lr)?;
            Ok(device.synchronize()?)
        })
    }

    /// `n` steps on the data.
    fn train(&mut self, loader: &Loader, n: u64) -> Result<(), Error> {
        for epoch in 0.. {
            for batch in loader.epoch(epoch, 0) {
                if self.iteration >= n {
                    return Ok(());
                }
                let (x_seq, targets) = batch?.into_tensors(self.device)?;
                self.step(&x_seq, &targets)?;
            }
        }
        Ok(())
    }

    fn times(&mut self, x_seq: &Tensor, targets: &Tensor, n_steps: usize) -> Result<Times, Error> {
        let (mut steps, mut forwards) = (Vec::new(), Vec::new());
        for i in 0..N_UNTIMED + n_steps {
            let started = Instant::now();
            self.step(x_seq, targets)?;
            let step_s = started.elapsed().as_secs_f64();
            let (network, device) = (&mut self.network, self.device);
            let started = Instant::now();
            watched(self.pool, &mut self.met_subnormals, || {
                network.predict_deferred(x_seq)?;
                Ok(device.synchronize()?)
            })?;
            let forward_s = started.elapsed().as_secs_f64();
            if i >= N_UNTIMED {
                steps.push(step_s);
                forwards.push(forward_s);
            }
        }
        let min_s = steps.iter().copied().fold(f64::INFINITY, f64::min);
        let median_s = median(steps).unwrap_or(f64::NAN);
        let forward_s = median(forwards).unwrap_or(f64::NAN);
        Ok(Times {
            median_s,
            min_s,
            forward_s,
            backward_s: median_s - forward_s,
            samples_per_s: x_seq.dim(1)? as f64 / median_s,
            met_subnormals: self.met_subnormals,
        })
    }
}

/// Does `work` on `pool`; `met` becomes true if it meets subnormal numbers, None if that is unknown.
fn watched(
    pool: &ThreadPool,
    met: &mut Option<bool>,
    work: impl FnOnce() -> Result<(), Error> + Send,
) -> Result<(), Error> {
    let mut done = Ok(());
    let met_now = meets_subnormals(pool, || done = work());
    *met = met.zip(met_now).map(|(before, now)| before || now);
    done
}

/// The line `VmHWM` of Linux's `/proc/self/status`.
fn peak_rss_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kilobytes =
        line.and_then(|line| line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok());
    kilobytes.unwrap_or(0) * 1024
}

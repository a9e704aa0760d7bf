//! Whole training steps.

use std::time::Instant;

use mbspike_core::DeviceName;
use mbspike_data::{Loader, LoaderConfig};
use mbspike_lif::optim::Optimizer;
use mbspike_lif::{Network, StepKey};
use serde::Serialize;

use crate::config::Config;
use crate::run::{Error, thread_pool};
use mbspike_results::median;

/// Steps before the first that is timed.
const N_WARM_UP: usize = 3;

/// Times of a training step.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct StepTimes {
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

/// Times `n_steps` training steps of a config on `device`, all on the first batch of its data, so that data
/// loading is not in the times.
pub fn bench_step(config: &Config, n_steps: usize, device: DeviceName) -> Result<StepTimes, Error> {
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
    let mut network = Network::new(&config.network_config(), config.seed, &device)?;
    let mut optimizer = Optimizer::new(config.train.optimizer, network.parameters())?;
    let lr = config.train.optimizer.lr();

    let (mut steps, mut forwards) = (Vec::new(), Vec::new());
    for iteration in 0..N_WARM_UP + n_steps {
        let started = Instant::now();
        pool.install(|| -> Result<(), Error> {
            let key = StepKey { seed: config.seed, iteration: iteration as u64 };
            let step = network.train_step_deferred(&x_seq, &targets, config.loss(), key)?;
            optimizer.step(&step.gradients, lr)?;
            Ok(device.synchronize()?)
        })?;
        let step_s = started.elapsed().as_secs_f64();
        let started = Instant::now();
        pool.install(|| -> Result<(), Error> {
            network.predict_deferred(&x_seq)?;
            Ok(device.synchronize()?)
        })?;
        let forward_s = started.elapsed().as_secs_f64();
        if iteration >= N_WARM_UP {
            steps.push(step_s);
            forwards.push(forward_s);
        }
    }
    let min_s = steps.iter().copied().fold(f64::INFINITY, f64::min);
    let median_s = median(steps).unwrap_or(f64::NAN);
    let forward_s = median(forwards).unwrap_or(f64::NAN);
    Ok(StepTimes {
        median_s,
        min_s,
        forward_s,
        backward_s: median_s - forward_s,
        samples_per_s: batch_size as f64 / median_s,
        peak_rss_bytes: peak_rss_bytes(),
        batch_size,
        time_steps: config.encoder.time_steps,
        device: name,
        threads: pool.current_num_threads(),
        n_steps,
    })
}

/// The line `VmHWM` of Linux's `/proc/self/status`.
fn peak_rss_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kilobytes =
        line.and_then(|line| line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok());
    kilobytes.unwrap_or(0) * 1024
}

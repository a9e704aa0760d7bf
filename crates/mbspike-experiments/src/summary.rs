//! A run's summary, from its records.

use std::time::SystemTime;

use chrono::{DateTime, Utc};
use mbspike_results::files::METRICS_FILE;
use mbspike_results::{
    DatasetSummary, Environment, EpochRecord, Record, Status, Summary, median, read_metrics,
};

use crate::config::Config;
use crate::energy::Counter;
use crate::error::Error;
use crate::folder::Place;
use crate::train::{End, Setting, Trainer};

/// Sums up a run that is over.
pub(crate) fn summarize(
    place: &Place,
    trainer: &Trainer<'_>,
    end: &End,
    setting: Setting<'_>,
) -> Result<Summary, Error> {
    let point = &place.point;
    let mark = trainer.metrics_mark();
    let records = read_metrics(&place.folder.join(METRICS_FILE), Some(&mark))?;
    let mut step_times = Vec::new();
    let (mut time_s, mut waited_s) = (0.0, 0.0);
    let mut epochs: Vec<&EpochRecord> = Vec::new();
    for record in &records {
        match record {
            Record::Window(window) => {
                step_times.push(window.step_time_s);
                let window_s = window.step_time_s * window.n_iterations as f64;
                time_s += window_s;
                waited_s += window_s * window.loader_share;
            }
            Record::Epoch(epoch) => epochs.push(epoch),
        }
    }
    let last = epochs.last();
    let target = point.config.target.map(|target| target.accuracy);
    let first_reaching =
        |target| epochs.iter().find(|epoch| epoch.test_accuracy >= target).map(|epoch| epoch.epoch);
    let parameters = trainer.network().parameters();
    Ok(Summary {
        id: point.id.clone(),
        name: point.config.name.clone(),
        values: point.values.clone(),
        repeat: point.repeat,
        seed: point.config.seed,
        group: place.identity.group.clone(),
        device: place.device.to_owned(),
        bits: point.config.neuron.bits,
        layer_bits: point.config.neuron.layer_bits.clone().unwrap_or_default(),
        time_steps: point.config.encoder.time_steps,
        n_epochs: epochs.len() as u64,
        n_iterations: trainer.progress().iterations,
        positions: trainer.network().positions().to_vec(),
        final_test_accuracy: last.map(|epoch| epoch.test_accuracy),
        best_test_accuracy: epochs.iter().map(|epoch| epoch.test_accuracy).reduce(f64::max),
        final_train_accuracy: last.map(|epoch| epoch.train_accuracy),
        target_accuracy: target,
        iterations_to_target: trainer.progress().iterations_to_target,
        epochs_to_target: target.and_then(first_reaching),
        final_nonzero_rate: last.map_or_else(Vec::new, |epoch| epoch.test_nonzero_rate.clone()),
        final_mean_spike: last.map_or_else(Vec::new, |epoch| epoch.test_mean_spike.clone()),
        median_step_time_s: median(step_times),
        first_steps_median_s: median(trainer.progress().first_step_times_s.clone()),
        last_steps_median_s: median(trainer.progress().last_step_times_s.iter().copied().collect()),
        loader_share: (time_s > 0.0).then(|| waited_s / time_s),
        wall_time_s: trainer.progress().wall_time_s,
        n_parameters: parameters.iter().map(|p| p.var.elem_count() as u64).sum(),
        dense_macs: dense_macs(&point.config)?,
        metrics: Some(mark),
        weights: trainer.progress().weights.clone(),
        status: match end {
            End::Finished | End::Stopped => Status::Finished,
            End::Diverged(_) => Status::Diverged,
        },
        cause: match end {
            End::Diverged(cause) => Some(cause.clone()),
            End::Finished | End::Stopped => None,
        },
        dataset: DatasetSummary {
            name: setting.dataset.name.clone(),
            source: setting.dataset.source.clone(),
            simulated: setting.dataset.simulated,
            n_train: setting.dataset.train.len(),
            n_test: setting.dataset.test.len(),
            class_names: setting.dataset.class_names.clone(),
        },
        environment: Environment {
            finished: Some(format!("{} UTC", now().format("%Y-%m-%d %H:%M"))),
            ..environment(setting.pool.current_num_threads(), setting.commit)
        },
    })
}

/// Multiply-adds of each layer of weights for one sample and one time step, if nothing were zero.
pub(crate) fn dense_macs(config: &Config) -> Result<Vec<u64>, Error> {
    let counter = Counter::of_run(config)?;
    Ok(counter.counts().layers.iter().map(|layer| layer.dense_macs).collect())
}

/// What a program that was built from `commit` runs on, with `threads` threads.
pub fn environment(threads: usize, commit: Option<&str>) -> Environment {
    Environment {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        commit: commit.map(ToOwned::to_owned),
        threads,
        cpu_features: cpu_features(),
        processor: processor(),
        finished: None,
    }
}

fn now() -> DateTime<Utc> {
    SystemTime::now().into()
}

/// The name of the processor, where Linux tells it.
fn processor() -> Option<String> {
    let text = fs_err::read_to_string("/proc/cpuinfo").ok()?;
    let line = text.lines().find(|line| line.starts_with("model name"))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}

#[cfg(target_arch = "x86_64")]
fn cpu_features() -> Vec<String> {
    let features = [
        ("avx2", is_x86_feature_detected!("avx2")),
        ("fma", is_x86_feature_detected!("fma")),
        ("avx512f", is_x86_feature_detected!("avx512f")),
        ("avx512bw", is_x86_feature_detected!("avx512bw")),
        ("avx512bf16", is_x86_feature_detected!("avx512bf16")),
    ];
    features.iter().filter(|(_, has)| *has).map(|(name, _)| (*name).to_owned()).collect()
}

#[cfg(not(target_arch = "x86_64"))]
fn cpu_features() -> Vec<String> {
    let mut features = Vec::new();
    if cfg!(target_feature = "neon") {
        features.push("neon".to_owned());
    }
    features
}

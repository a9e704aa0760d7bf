//! Runs of a sweep, each in a folder of its own.
//!
//! `<out>/<name>/` holds `sweep.toml`, `results.csv` and `results.parquet` and one folder for each
//! run: `config.toml`, `metrics.jsonl`, `checkpoint.safetensors`, `state.safetensors`, and, once the
//! run is over, `summary.json`. A run that is over is never run again.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use mbspike_core::DeviceName;
use mbspike_data::{Dataset, DatasetConfig};
use mbspike_lif::Network;
use rayon::{ThreadPool, ThreadPoolBuilder};
use serde::Serialize;

use crate::checkpoint::{self, CHECKPOINT_FILE, STATE_FILE};
use crate::evaluate::{self, evaluate};
use crate::folder::{self, Lock};
use crate::observer::{Observer, RunEnd};
use crate::results::{self, SUMMARY_FILE, Status, Summary};
use crate::summary::summarize;
use crate::sweep::{Point, Shard, Sweep};
use crate::table;
use crate::train::{End, Setting, Trainer};

/// The resolved config of a sweep, in its folder.
pub const SWEEP_FILE: &str = "sweep.toml";
/// The resolved config of a run, in its folder.
pub const CONFIG_FILE: &str = "config.toml";

/// What running can fail with.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file could not be read or written; the message names it.
    #[error(transparent)]
    Io(#[from] std::io::Error),
    /// A config could not be read.
    #[error(transparent)]
    Config(#[from] crate::sweep::Error),
    /// A config could not be written as TOML.
    #[error("a config cannot be written as TOML")]
    Write(#[from] toml::ser::Error),
    /// The device to compute on is not there, or a kernel refused something.
    #[error(transparent)]
    Device(#[from] mbspike_core::Error),
    /// Data could not be loaded.
    #[error(transparent)]
    Data(#[from] mbspike_data::Error),
    /// The network refused something.
    #[error(transparent)]
    Network(#[from] mbspike_lif::Error),
    /// The tensor library's own error.
    #[error(transparent)]
    Tensor(#[from] candle_core::Error),
    /// A checkpoint could not be saved or loaded.
    #[error(transparent)]
    Checkpoint(#[from] checkpoint::Error),
    /// Results could not be read or written.
    #[error(transparent)]
    Results(#[from] results::Error),
    /// Threads could not be started.
    #[error("cannot start the threads of a run")]
    Threads(#[from] rayon::ThreadPoolBuildError),
    /// Another process writes to the folder.
    #[error("{}: another process is writing to this run folder", .0.display())]
    Locked(PathBuf),
    /// A folder holds results of another config.
    #[error(
        "{}: written by another config: `{key}` is {there} there, but {here} here; choose another \
         name or another folder (--out)",
        path.display()
    )]
    OtherConfig {
        /// The config in the folder.
        path: PathBuf,
        /// The first key that differs.
        key: String,
        /// Its value in the folder.
        there: String,
        /// Its value now.
        here: String,
    },
    /// A folder holds a run that was interrupted.
    #[error("{}: holds a run that was interrupted; go on with --resume, or remove it", .0.display())]
    Interrupted(PathBuf),
}

/// How to run a sweep.
#[derive(Debug, Clone)]
pub struct Options {
    /// The folder that holds the folders of sweeps.
    pub out: PathBuf,
    /// Whether interrupted runs go on from their last checkpoint; without it they are an error.
    pub resume: bool,
    /// Runs that go on at once; they share the cores.
    pub jobs: usize,
    /// Which part of the sweep to run.
    pub shard: Shard,
    /// What to compute on.
    pub device: DeviceName,
    /// The commit that the program was built from, for the record.
    pub commit: Option<&'static str>,
}

impl Default for Options {
    /// All of it in `runs`, one run at a time.
    fn default() -> Self {
        Self {
            out: "runs".into(),
            resume: false,
            jobs: 1,
            shard: Shard::default(),
            device: DeviceName::Cpu,
            commit: None,
        }
    }
}

/// What became of a sweep.
#[derive(Debug, Default)]
pub struct Report {
    /// The sweep's folder.
    pub folder: PathBuf,
    /// Summaries of the runs that are over, in the order of the sweep.
    pub summaries: Vec<Summary>,
    /// Runs that failed, with why.
    pub failed: Vec<(String, Error)>,
    /// Runs that were asked to stop, or not started any more.
    pub stopped: Vec<String>,
}

impl Report {
    /// Names of the runs that diverged.
    pub fn diverged(&self) -> impl Iterator<Item = &str> {
        let diverged = self.summaries.iter().filter(|summary| summary.status == Status::Diverged);
        diverged.map(|summary| summary.id.as_str())
    }
}

/// Runs what of a sweep is not over yet.
///
/// A run that diverges or fails does not keep the others from running. Setting `stop` lets each run
/// at hand end with a checkpoint and starts no other.
///
/// # Errors
/// Before anything runs: if the folder holds another experiment, or an interrupted run and
/// `options.resume` is not set; if data are missing. After: if the table of results cannot be
/// written.
pub fn run_sweep(
    sweep: &Sweep,
    options: &Options,
    observer: &dyn Observer,
    stop: &AtomicBool,
) -> Result<Report, Error> {
    let device = options.device.open()?;
    let folder = options.out.join(&sweep.name);
    fs_err::create_dir_all(&folder)?;
    let is_mine = |(position, _): &(usize, &Point)| options.shard.has(*position);
    let points: Vec<&Point> =
        sweep.points.iter().enumerate().filter(is_mine).map(|(_, point)| point).collect();
    {
        let _lock = Lock::wait(&folder)?;
        folder::write_sweep(&folder, &sweep.resolved)?;
    }
    let mut to_run = Vec::new();
    for &point in &points {
        if !folder::is_over(&folder.join(&point.id), point, options.resume)? {
            to_run.push(point);
        }
    }
    observer.on_sweep_start(points.len(), points.len() - to_run.len());
    let datasets = load_datasets(&to_run)?;

    let n_jobs = options.jobs.clamp(1, to_run.len().max(1));
    let n_threads = (rayon::current_num_threads() / n_jobs).max(1);
    let outcomes: Mutex<Vec<(usize, Outcome)>> = Mutex::new(Vec::new());
    let next = AtomicUsize::new(0);
    let job = || -> Result<(), Error> {
        let pool = Arc::new(ThreadPoolBuilder::new().num_threads(n_threads).build()?);
        loop {
            let index = next.fetch_add(1, Ordering::Relaxed);
            let Some(&point) = to_run.get(index) else { return Ok(()) };
            let outcome = if stop.load(Ordering::Relaxed) {
                Outcome::Stopped
            } else {
                let dataset = dataset_of(point, &datasets);
                let setting = Setting {
                    dataset,
                    device: &device,
                    pool: &pool,
                    commit: options.commit,
                    observer,
                    stop,
                };
                let outcome = match run_point(point, &folder.join(&point.id), setting) {
                    Ok(outcome) => outcome,
                    Err(error) => Outcome::Failed(error),
                };
                observer.on_run_end(point, &outcome.end());
                outcome
            };
            let is_over = matches!(outcome, Outcome::Over(_));
            outcomes.lock().unwrap_or_else(PoisonError::into_inner).push((index, outcome));
            if is_over {
                write_tables(&folder)?;
            }
        }
    };
    std::thread::scope(|scope| {
        let jobs: Vec<_> = (0..n_jobs).map(|_| scope.spawn(job)).collect();
        jobs.into_iter().try_for_each(|job| match job.join() {
            Ok(result) => result,
            Err(panic) => std::panic::resume_unwind(panic),
        })
    })?;
    if to_run.is_empty() && !points.is_empty() {
        write_tables(&folder)?;
    }

    let mut outcomes = outcomes.into_inner().unwrap_or_else(PoisonError::into_inner);
    outcomes.sort_by_key(|(index, _)| *index);
    let mut report = Report { folder: folder.clone(), ..Report::default() };
    for (index, outcome) in outcomes {
        match outcome {
            Outcome::Over(_) => {}
            Outcome::Stopped => report.stopped.push(to_run[index].id.clone()),
            Outcome::Failed(error) => report.failed.push((to_run[index].id.clone(), error)),
        }
    }
    for point in points {
        let file = folder.join(&point.id).join(SUMMARY_FILE);
        if file.exists() {
            report.summaries.push(results::read_summary(&file)?);
        }
    }
    Ok(report)
}

enum Outcome {
    Over(Box<Summary>),
    Stopped,
    Failed(Error),
}

impl Outcome {
    fn end(&self) -> RunEnd<'_> {
        match self {
            Self::Over(summary) => RunEnd::Over(summary),
            Self::Stopped => RunEnd::Stopped,
            Self::Failed(error) => RunEnd::Failed(error),
        }
    }
}

/// Runs one point in its folder, from the last checkpoint there if there is one.
fn run_point(point: &Point, folder: &Path, setting: Setting<'_>) -> Result<Outcome, Error> {
    fs_err::create_dir_all(folder)?;
    let _lock = Lock::try_lock(folder)?;
    if !folder.join(STATE_FILE).exists() {
        let config = point.config.to_toml()?;
        mbspike_files::write(&folder.join(CONFIG_FILE), |file| file.write_all(config.as_bytes()))?;
    }
    let mut trainer = Trainer::new(point, folder, setting)?;
    let end = trainer.train()?;
    if end == End::Stopped {
        return Ok(Outcome::Stopped);
    }
    let summary = summarize(point, folder, &trainer, &end, setting)?;
    let json = serde_json::to_vec_pretty(&summary).map_err(std::io::Error::from)?;
    mbspike_files::write(&folder.join(SUMMARY_FILE), |file| file.write_all(&json))?;
    Ok(Outcome::Over(Box::new(summary)))
}

/// Loads each dataset once.
fn load_datasets(points: &[&Point]) -> Result<Vec<(DatasetConfig, Dataset)>, Error> {
    let mut datasets: Vec<(DatasetConfig, Dataset)> = Vec::new();
    for point in points {
        let config = &point.config.dataset;
        if !datasets.iter().any(|(loaded, _)| loaded == config) {
            datasets.push((config.clone(), mbspike_data::load(config)?));
        }
    }
    Ok(datasets)
}

fn dataset_of<'a>(point: &Point, datasets: &'a [(DatasetConfig, Dataset)]) -> &'a Dataset {
    let loaded = datasets.iter().find(|(config, _)| *config == point.config.dataset);
    &loaded.expect("the datasets of all points are loaded").1
}

/// Writes the tables of all runs in `folder` that are over, also those of other processes.
fn write_tables(folder: &Path) -> Result<(), Error> {
    let _lock = Lock::wait(folder)?;
    let summaries = results::read_summaries(folder)?;
    table::write(folder, &summaries)?;
    Ok(())
}

/// What [`evaluate_run`] finds.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct EvaluationReport {
    /// The run's folder.
    pub folder: PathBuf,
    /// Test samples.
    pub n_samples: usize,
    /// Share of them classified as their label, in `0..=1`.
    pub test_accuracy: f64,
    /// Mean loss of a sample.
    pub test_loss: f64,
    /// Samples by their label (rows) and the class they were given (columns).
    pub confusion: Vec<Vec<u64>>,
    /// Names of the classes, in the order of the labels.
    pub class_names: Vec<String>,
    /// Where activity is measured.
    pub positions: Vec<String>,
    /// Share of non-zero elements at each position, in `0..=1`.
    pub nonzero_rate: Vec<f64>,
    /// Mean spike value at each position, in `0..=1`.
    pub mean_spike: Vec<f64>,
}

/// Evaluates the checkpoint of the run in `folder` on its test set; `None` if `stop` was set on the
/// way. `settings` change the run's config, as `--set` does; it is computed on `device`.
///
/// # Errors
/// If there is no config or checkpoint in the folder, they do not fit each other, or data are
/// missing.
pub fn evaluate_run(
    folder: &Path,
    settings: &[String],
    device: DeviceName,
    observer: &dyn Observer,
    stop: &AtomicBool,
) -> Result<Option<EvaluationReport>, Error> {
    let sweep = Sweep::read(&folder.join(CONFIG_FILE), settings)?;
    let Some(point) = sweep.points.first() else { return Ok(None) };
    let config = &point.config;
    let mut network = Network::new(&config.network_config(), config.seed, &device.open()?)?;
    checkpoint::load_weights(&folder.join(CHECKPOINT_FILE), &network)?;
    let dataset = mbspike_data::load(&config.dataset)?;
    let class_names = dataset.class_names;
    let pool = thread_pool()?;
    let loader = evaluate::loader(config, dataset.test)?;
    let loader = evaluate::prepared(loader, point, &pool, observer)?;
    let mut on_batch = |n_done| observer.on_evaluation(point, n_done, loader.n_batches());
    let loss = config.loss();
    let evaluation = evaluate(&mut network, &loader, loss, &pool, stop, &mut on_batch)?;
    Ok(evaluation.map(|evaluation| EvaluationReport {
        folder: folder.to_owned(),
        n_samples: loader.set().len(),
        test_accuracy: evaluation.accuracy,
        test_loss: evaluation.loss,
        confusion: evaluation.confusion,
        class_names,
        positions: network.positions().to_vec(),
        nonzero_rate: evaluation.activity.nonzero_rate(),
        mean_spike: evaluation.activity.mean_value(),
    }))
}

/// A pool of as many threads as rayon would take: `RAYON_NUM_THREADS`, or the cores.
pub fn thread_pool() -> Result<Arc<ThreadPool>, Error> {
    Ok(Arc::new(ThreadPoolBuilder::new().build()?))
}

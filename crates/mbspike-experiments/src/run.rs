//! Runs of a sweep, each in a folder of its own.
//!
//! `<out>/<name>/` holds `sweep.toml`, `plan.json`, `results.csv` and `results.parquet` and one folder for
//! each run: `config.toml`, `run.json`, `metrics.jsonl`, `checkpoint.safetensors`, `state.safetensors`,
//! and, once the run is over, `summary.json`. A run that is over is never run again.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use candle_core::Device;
use mbspike_core::DeviceName;
use mbspike_data::{Dataset, DatasetConfig};
use mbspike_lif::Network;
use mbspike_results::files::{
    CHECKPOINT_FILE, FAILURE_FILE, Failure, RUN_FILE, STATE_FILE, SUMMARY_FILE,
};
use mbspike_results::{Lock, Status, Summary, read_summaries, read_summary, table, write_json};
use rayon::{ThreadPool, ThreadPoolBuilder};

use crate::checkpoint;
use crate::evaluate::{self, Evaluation, EvaluationReport, evaluate};
use crate::folder::{self, Place};
use crate::machine;
use crate::observer::{Observer, RunEnd};
use crate::pace::{Pace, Paced};
use crate::summary::summarize;
use crate::sweep::{Point, Shard, Sweep};
use crate::train::{End, Setting, Trainer};

pub use crate::error::Error;
pub use crate::pool::thread_pool;
pub use mbspike_results::files::{CONFIG_FILE, SWEEP_FILE};

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
    /// Only these runs, by their names in the plan, which must be there; tables are left to [`collect`].
    pub only: Option<Vec<String>>,
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
            only: None,
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
    /// Runs that another process is at, with which.
    pub elsewhere: Vec<(String, Error)>,
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
/// `options.resume` is not set, or is set and the run was begun on another kind of device; if data
/// are missing. After: if the table of results cannot be written.
pub fn run_sweep(
    sweep: &Sweep,
    options: &Options,
    observer: &dyn Observer,
    stop: &AtomicBool,
) -> Result<Report, Error> {
    let folder = options.out.join(&sweep.name);
    if options.resume && options.only.is_none() {
        folder::check_devices(&folder, sweep, folder::kind(options.device))?;
    }
    let device = options.device.open()?;
    let places = match &options.only {
        Some(names) => folder::find_planned(&folder, sweep, folder::kind(options.device), names)?,
        None => plan(sweep, &options.out, options.device)?,
    };
    let is_mine = |(position, _): &(usize, &Place)| options.shard.has(*position);
    let places: Vec<&Place> =
        places.iter().enumerate().filter(is_mine).map(|(_, place)| place).collect();
    let mut to_run = Vec::new();
    for &place in &places {
        if !place.is_over(options.resume)? {
            to_run.push(place);
            continue;
        }
        // It may have been killed after its last file.
        Lock::clear(&place.folder)?;
        if options.resume {
            folder::mend_weights(place, &device)?;
        }
    }
    observer.on_sweep_start(places.len(), places.len() - to_run.len());
    let datasets = match load_datasets(&to_run) {
        Err(error) if options.only.is_some() => {
            // A process that has these runs and no others has no other place to say so.
            for place in &to_run {
                note_failure(&place.folder, &error);
            }
            return Err(error);
        }
        datasets => datasets?,
    };
    let with_data = to_run.iter().map(|place| (&place.point, dataset_of(&place.point, &datasets)));
    let pace = &Pace::new(with_data);

    let n_jobs = options.jobs.clamp(1, to_run.len().max(1));
    // Those of the pool that it is called in, if it is.
    let n_threads = rayon::current_thread_index()
        .map_or_else(machine::n_threads, |_| rayon::current_num_threads());
    let n_threads = (n_threads / n_jobs).max(1);
    let outcomes: Mutex<Vec<(usize, Outcome)>> = Mutex::new(Vec::new());
    let next = AtomicUsize::new(0);
    // All threads before the first run, so that a limit on them is found before anything is trained.
    let pools = (0..n_jobs).map(|_| ThreadPoolBuilder::new().num_threads(n_threads).build());
    let pools = pools.collect::<Result<Vec<_>, _>>()?;
    let job = &|pool: ThreadPool| -> Result<(), Error> {
        let pool = Arc::new(pool);
        loop {
            let index = next.fetch_add(1, Ordering::Relaxed);
            let Some(&place) = to_run.get(index) else { return Ok(()) };
            let point = &place.point;
            let outcome = if stop.load(Ordering::Relaxed) {
                Outcome::Stopped
            } else {
                let context = Context {
                    dataset: dataset_of(point, &datasets),
                    device: &device,
                    pool: &pool,
                    options,
                    observer,
                    stop,
                    pace,
                };
                let outcome = match run_place(place, &context) {
                    Ok(outcome) => outcome,
                    Err(error @ Error::Results(mbspike_results::Error::Locked { .. })) => {
                        Outcome::Elsewhere(error)
                    }
                    Err(error) => Outcome::Failed(error),
                };
                pace.end(&point.id);
                observer.on_run_end(point, &outcome.end());
                outcome
            };
            let is_over = matches!(outcome, Outcome::Over(..));
            outcomes.lock().unwrap_or_else(PoisonError::into_inner).push((index, outcome));
            if is_over && options.only.is_none() {
                collect(&folder)?;
            }
        }
    };
    std::thread::scope(|scope| {
        let mut jobs = Vec::new();
        let mut result = Ok(());
        for pool in pools {
            match std::thread::Builder::new().spawn_scoped(scope, move || job(pool)) {
                Ok(thread) => jobs.push(thread),
                Err(error) => {
                    // Those that have started end after the run at hand.
                    next.store(to_run.len(), Ordering::Relaxed);
                    result = Err(error.into());
                    break;
                }
            }
        }
        for thread in jobs {
            let outcome = thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            result = result.and(outcome);
        }
        result
    })?;
    if to_run.is_empty() && !places.is_empty() && options.only.is_none() {
        collect(&folder)?;
    }

    let mut outcomes = outcomes.into_inner().unwrap_or_else(PoisonError::into_inner);
    outcomes.sort_by_key(|(index, _)| *index);
    let mut report = Report { folder: folder.clone(), ..Report::default() };
    for (index, outcome) in outcomes {
        match outcome {
            Outcome::Stopped => report.stopped.push(to_run[index].point.id.clone()),
            Outcome::Failed(error) => report.failed.push((to_run[index].point.id.clone(), error)),
            // Unless it is done there by now.
            Outcome::Elsewhere(error) if !to_run[index].folder.join(SUMMARY_FILE).exists() => {
                report.elsewhere.push((to_run[index].point.id.clone(), error));
            }
            Outcome::Over(..) | Outcome::WasOver | Outcome::Elsewhere(_) => {}
        }
    }
    for place in places {
        let file = place.folder.join(SUMMARY_FILE);
        if file.exists() {
            report.summaries.push(read_summary(&file)?);
        }
    }
    Ok(report)
}

enum Outcome {
    /// With whether a checkpoint is there.
    Over(Box<Summary>, bool),
    /// Another process was faster.
    WasOver,
    Stopped,
    Failed(Error),
    Elsewhere(Error),
}

impl Outcome {
    fn end(&self) -> RunEnd<'_> {
        match self {
            Self::Over(summary, has_checkpoint) => {
                RunEnd::Over { summary, has_checkpoint: *has_checkpoint }
            }
            Self::WasOver => RunEnd::WasOver,
            Self::Stopped => RunEnd::Stopped,
            Self::Failed(error) => RunEnd::Failed(error),
            Self::Elsewhere(error) => RunEnd::Elsewhere(error),
        }
    }
}

/// What the runs of a sweep have in common, and the data of one.
struct Context<'a> {
    dataset: &'a Dataset,
    device: &'a Device,
    pool: &'a Arc<ThreadPool>,
    options: &'a Options,
    observer: &'a dyn Observer,
    stop: &'a AtomicBool,
    pace: &'a Pace,
}

/// Runs one point in its folder, from the last checkpoint there if there is one.
fn run_place(place: &Place, context: &Context<'_>) -> Result<Outcome, Error> {
    let Place { point, folder, .. } = place;
    fs_err::create_dir_all(folder)?;
    let lock = Lock::try_lock(folder)?;
    let has_checkpoint = || folder.join(CHECKPOINT_FILE).is_file();
    if folder.join(SUMMARY_FILE).exists() {
        return Ok(Outcome::WasOver);
    }
    match fs_err::remove_file(folder.join(FAILURE_FILE)) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error.into()),
        _ => {}
    }
    let observer = Paced::new(point, context.observer, context.pace, &lock);
    let setting = Setting {
        dataset: context.dataset,
        device: context.device,
        pool: context.pool,
        commit: context.options.commit,
        observer: &observer,
        stop: context.stop,
        lock: &lock,
    };
    match run_locked(place, setting) {
        Ok(None) => Ok(Outcome::Stopped),
        Ok(Some(summary)) => Ok(Outcome::Over(Box::new(summary), has_checkpoint())),
        Err(error) => {
            if lock.check().is_ok() {
                note_failure(folder, &error);
            }
            Err(error)
        }
    }
}

/// As [`run_place`], by the holder of the folder's lock; `None` if it was stopped.
fn run_locked(place: &Place, setting: Setting<'_>) -> Result<Option<Summary>, Error> {
    let Place { point, folder, .. } = place;
    if !folder.join(STATE_FILE).exists() {
        let config = point.config.to_toml()?;
        mbspike_files::write(&folder.join(CONFIG_FILE), |file| file.write_all(config.as_bytes()))?;
        write_json(&folder.join(RUN_FILE), &place.planned())?;
    }
    let mut trainer = Trainer::new(point, folder, setting)?;
    let end = trainer.train()?;
    if end == End::Stopped {
        return Ok(None);
    }
    let summary = summarize(place, &trainer, &end, setting)?;
    setting.lock.check()?;
    write_json(&folder.join(SUMMARY_FILE), &summary)?;
    Ok(Some(summary))
}

/// Leaves a note of why a run failed in its folder, for `status`.
fn note_failure(folder: &Path, error: &Error) {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    // It is only a note: the error itself is reported in any case.
    let _ = fs_err::create_dir_all(folder);
    let _ = write_json(&folder.join(FAILURE_FILE), &Failure::now(text));
}

/// Loads each dataset once.
fn load_datasets(places: &[&Place]) -> Result<Vec<(DatasetConfig, Dataset)>, Error> {
    let mut datasets: Vec<(DatasetConfig, Dataset)> = Vec::new();
    for place in places {
        let config = &place.point.config.dataset;
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

/// Writes the tables of all runs in `folder` that are over, also those of other processes, and returns
/// their summaries. It may be repeated at any time: one process at a time writes.
///
/// # Errors
/// If a summary is damaged or a table cannot be written.
pub fn collect(folder: &Path) -> Result<Vec<Summary>, Error> {
    let _lock = Lock::wait(folder)?;
    let summaries = read_summaries(folder)?;
    table::write(folder, &summaries)?;
    Ok(summaries)
}

/// Makes the folder of a sweep in `out`, if there is none, and writes its plan there: what
/// [`Options::only`] takes its names from.
///
/// # Errors
/// If the folder holds another experiment, or cannot be written to.
pub fn plan_sweep(sweep: &Sweep, out: &Path, device: DeviceName) -> Result<Vec<String>, Error> {
    let places = plan(sweep, out, device)?;
    Ok(places.into_iter().map(|place| place.point.id).collect())
}

fn plan(sweep: &Sweep, out: &Path, device: DeviceName) -> Result<Vec<Place>, Error> {
    let folder = out.join(&sweep.name);
    fs_err::create_dir_all(&folder)?;
    let _lock = Lock::wait(&folder)?;
    folder::check_sweep(&folder, sweep)?;
    let places = folder::find(&folder, sweep, folder::kind(device))?;
    folder::write_plan(&folder, sweep, &places)?;
    Ok(places)
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
    let point = &folder::read_point(folder, settings)?;
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
    if let Some(Evaluation { loss, .. }) = evaluation
        && !loss.is_finite()
    {
        let path = folder.join(CHECKPOINT_FILE);
        return Err(Error::NotFinite { path, what: "the test loss", value: loss });
    }
    Ok(evaluation.map(|evaluation| {
        let positions = network.positions().to_vec();
        evaluation.report(folder, loader.set().len(), class_names, positions)
    }))
}

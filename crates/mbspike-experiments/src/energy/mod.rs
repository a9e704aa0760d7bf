//! Energy of trained runs: counts what their networks do on the test set and hands it to
//! `mbspike_energy`.

mod counts;
mod group;
mod save;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use candle_core::Device;
use mbspike_energy::thesis::{self, RatedLayer};
use mbspike_energy::{
    Estimate, Hardware, HardwareTable, OperationCounts, Picojoules, Precision, Swing, sensitivity,
};
use mbspike_lif::Network;
use serde::Serialize;

use crate::checkpoint::{self, CHECKPOINT_FILE};
use crate::config::{self, Config};
use crate::evaluate;
use crate::figure;
use crate::observer::Observer;
use crate::results::{SUMMARY_FILE, Status, Summary, read_summary};
use crate::run::{self, CONFIG_FILE};
use crate::sweep::{self, Sweep};

pub use counts::Counter;
pub use group::{EnergyGroup, EnergySweep};
pub use save::{CSV_FILE, LAYERS_FILE, save};

/// What a run's network did on its test set, in the run's folder.
pub const OPERATIONS_FILE: &str = "operations.json";

/// What estimating energy can fail with.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A folder holds no run that is over.
    #[error("{}: no run that is over (a folder with a summary.json), and no folder of such runs", .0.display())]
    NoRuns(PathBuf),
    /// A table of hardware is wrong.
    #[error(transparent)]
    Table(#[from] sweep::Error),
    /// The energy model refused something.
    #[error(transparent)]
    Energy(#[from] mbspike_energy::Error),
    /// No model can be computed with a table of hardware.
    #[error(
        "`{0}` has the numbers of no estimate: arithmetic.fp32_add_pj and fp32_mult_pj, or arithmetic.int32_* and memory.sram_*, or spiking.synaptic_event_pj"
    )]
    NoEstimate(String),
    /// A run could not be read or evaluated.
    #[error(transparent)]
    Run(#[from] run::Error),
    /// A figure could not be drawn.
    #[error(transparent)]
    Figure(#[from] figure::Error),
    /// A file could not be read or written; the message names it.
    #[error(transparent)]
    Io(#[from] std::io::Error),
    /// The table could not be written as CSV.
    #[error("{}", path.display())]
    Csv {
        /// The file.
        path: PathBuf,
        /// What went wrong.
        source: csv::Error,
    },
}

macro_rules! from_run_errors {
    ($($error:ty),*) => {$(
        impl From<$error> for Error {
            fn from(error: $error) -> Self {
                Self::Run(error.into())
            }
        }
    )*};
}
from_run_errors!(
    mbspike_lif::Error,
    mbspike_data::Error,
    candle_core::Error,
    checkpoint::Error,
    crate::results::Error
);

/// The models that are computed where a table has their numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Model {
    /// [`mbspike_energy::arithmetic`] in single precision.
    Arithmetic,
    /// [`mbspike_energy::memory_aware`].
    MemoryAware,
    /// [`mbspike_energy::chip`].
    Chip,
}

impl Model {
    const ALL: [Self; 3] = [Self::Arithmetic, Self::MemoryAware, Self::Chip];

    /// `arithmetic`, `memory-aware` or `chip`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Arithmetic => "arithmetic",
            Self::MemoryAware => "memory-aware",
            Self::Chip => "chip",
        }
    }

    fn estimate(
        self,
        counts: &OperationCounts,
        hardware: &Hardware,
    ) -> mbspike_energy::Result<Estimate> {
        match self {
            Self::Arithmetic => mbspike_energy::arithmetic(counts, hardware, Precision::Fp32),
            Self::MemoryAware => mbspike_energy::memory_aware(counts, hardware),
            Self::Chip => mbspike_energy::chip(counts, hardware),
        }
    }
}

/// One model's answer for one run on one hardware.
#[derive(Debug, Clone, Serialize)]
pub struct RunEstimate {
    /// The model.
    pub model: Model,
    /// Name of the hardware table.
    pub hardware: String,
    /// Energy and time of the inference of one sample.
    #[serde(flatten)]
    pub estimate: Estimate,
    /// What the uncertain numbers of the table do to it, the most first.
    pub sensitivity: Vec<Swing>,
}

/// Energy of training, eq. 5.1, in units of its constant c.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct TrainingEnergy {
    /// `T · S`.
    pub energy_c: f64,
    /// Whether the run reached the target; if not, S is its length and this a lower bound.
    pub reached: bool,
}

/// Energy of one run.
#[derive(Debug, Clone, Serialize)]
pub struct RunEnergy {
    /// The run's folder.
    #[serde(serialize_with = "mbspike_files::serialize_path")]
    pub folder: PathBuf,
    /// How the run went.
    pub summary: Summary,
    /// What its network did on the test set.
    pub counts: OperationCounts,
    /// Eq. 5.1, where the run has a target.
    pub training: Option<TrainingEnergy>,
    /// Eq. 5.2, energy of one inference with 45 nm additions in single precision.
    pub inference_ac: Picojoules,
    /// Eq. 5.3, with multiply-adds.
    pub inference_mac: Picojoules,
    /// The other models.
    pub estimates: Vec<RunEstimate>,
}

/// What to estimate.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Tables of hardware: names of built-in ones or files. All built-in ones if empty.
    pub hardware: Vec<String>,
    /// Test samples to count; all without it.
    pub n_samples: Option<usize>,
}

/// Reads tables of hardware: built-in ones by name, others from their files.
///
/// # Errors
/// If there is no table of that name, or a file has an unknown key or an impossible number.
pub fn read_hardware(names: &[String]) -> Result<Vec<Hardware>, Error> {
    if names.is_empty() {
        return Ok(Hardware::names().map(Hardware::builtin).collect::<Result<_, _>>()?);
    }
    names.iter().map(|name| read_table(name)).collect()
}

fn read_table(name: &str) -> Result<Hardware, Error> {
    let path = Path::new(name);
    let is_file = path.is_file() || path.extension().is_some();
    if Hardware::names().any(|known| known == name) || !is_file {
        return Ok(Hardware::builtin(name)?);
    }
    let text = fs_err::read_to_string(path).map_err(sweep::Error::from)?;
    let table: HardwareTable = config::read_table(path, &text).map_err(sweep::Error::from)?;
    let stem = path.file_stem().map_or_else(|| name.into(), |s| s.to_string_lossy());
    Ok(Hardware::new(&stem, &table)?)
}

/// Estimates the energy of the runs in `folders`, each a run's folder or a folder of runs; `None` if
/// `stop` was set on the way.
///
/// What a network did is counted once and kept in its run's folder.
///
/// # Errors
/// If a folder holds no run, a table of hardware is wrong, or a run cannot be evaluated.
pub fn estimate(
    folders: &[PathBuf],
    options: &Options,
    observer: &dyn Observer,
    stop: &AtomicBool,
) -> Result<Option<Vec<RunEnergy>>, Error> {
    let hardware = read_hardware(&options.hardware)?;
    let mut runs = Vec::new();
    for folder in folders {
        for run in runs_in(folder)? {
            let summary = read_summary(&run.join(SUMMARY_FILE))?;
            let Some(counts) = counts_of(&run, &summary, options.n_samples, observer, stop)? else {
                return Ok(None);
            };
            runs.push(estimate_run(&run, summary, counts, &hardware)?);
        }
    }
    Ok(Some(runs))
}

/// What can be said of the runs in `folder` that have not diverged without evaluating them: all
/// estimates where the operations of each are counted already; else eqs. 5.1 to 5.3 alone, for which
/// the network and the records are enough.
///
/// # Errors
/// If there is no such run or one cannot be read.
pub fn from_records(folder: &Path) -> Result<Vec<RunEnergy>, Error> {
    let mut runs = Vec::new();
    for run in runs_in(folder)? {
        let summary = read_summary(&run.join(SUMMARY_FILE))?;
        if summary.status == Status::Finished {
            let counts = save::read_counts(&run.join(OPERATIONS_FILE))?;
            runs.push((run, summary, counts));
        }
    }
    let are_counted = runs.iter().all(|(_, _, counts)| counts.is_some());
    let hardware = if are_counted { read_hardware(&[])? } else { vec![] };
    let of_run = |(folder, summary, counts): (PathBuf, Summary, Option<OperationCounts>)| {
        let counts = match counts.filter(|_| are_counted) {
            Some(counts) => counts,
            None => match Sweep::read(&folder.join(CONFIG_FILE), &[])?.points.first() {
                Some(point) => Counter::of_run(&point.config)?.counts().clone(),
                None => return Err(Error::NoRuns(folder)),
            },
        };
        estimate_run(&folder, summary, counts, &hardware)
    };
    runs.into_iter().map(of_run).collect()
}

/// The folder itself if it is a run's, or the runs in it.
fn runs_in(folder: &Path) -> Result<Vec<PathBuf>, Error> {
    if folder.join(SUMMARY_FILE).is_file() {
        return Ok(vec![folder.to_owned()]);
    }
    let mut runs = Vec::new();
    for entry in fs_err::read_dir(folder)? {
        let run = entry?.path();
        if run.join(SUMMARY_FILE).is_file() {
            runs.push(run);
        }
    }
    runs.sort();
    if runs.is_empty() { Err(Error::NoRuns(folder.to_owned())) } else { Ok(runs) }
}

fn estimate_run(
    folder: &Path,
    summary: Summary,
    counts: OperationCounts,
    hardware: &[Hardware],
) -> Result<RunEnergy, Error> {
    let training = summary.target_accuracy.map(|_| TrainingEnergy {
        energy_c: thesis::training(
            summary.time_steps as u64,
            summary.iterations_to_target.unwrap_or(summary.n_iterations),
        ),
        reached: summary.iterations_to_target.is_some(),
    });
    // What layer l listens to fires at the rate of position l: the input, then the neurons.
    let rates = summary.final_nonzero_rate.iter();
    let rated: Vec<RatedLayer> = counts
        .layers
        .iter()
        .zip(rates)
        .map(|(layer, rate)| RatedLayer { dense_operations: layer.dense_macs, firing_rate: *rate })
        .collect();
    let (add, multiply_add) = Precision::Fp32.costs(&Hardware::builtin("cmos-45nm")?)?;
    let inference = |operation| thesis::inference(&rated, summary.time_steps as u64, operation);
    let mut estimates = Vec::new();
    for table in hardware {
        let n_before = estimates.len();
        for model in Model::ALL {
            match model.estimate(&counts, table) {
                Ok(estimate) => estimates.push(RunEstimate {
                    model,
                    hardware: table.name.clone(),
                    estimate,
                    sensitivity: sensitivity(table, |table| model.estimate(&counts, table))?,
                }),
                Err(mbspike_energy::Error::MissingNumber { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        if estimates.len() == n_before {
            return Err(Error::NoEstimate(table.name.clone()));
        }
    }
    Ok(RunEnergy {
        folder: folder.to_owned(),
        training,
        inference_ac: inference(add),
        inference_mac: inference(multiply_add),
        estimates,
        summary,
        counts,
    })
}

/// The counts in the run's folder if they are of as many samples as wanted; else counts and keeps
/// them. `None` if `stop` was set on the way.
fn counts_of(
    folder: &Path,
    summary: &Summary,
    n_samples: Option<usize>,
    observer: &dyn Observer,
    stop: &AtomicBool,
) -> Result<Option<OperationCounts>, Error> {
    let n_wanted = n_samples.unwrap_or(usize::MAX).min(summary.dataset.n_test);
    let path = folder.join(OPERATIONS_FILE);
    if let Some(counts) = save::read_counts(&path)?
        && counts.n_samples == n_wanted as u64
    {
        return Ok(Some(counts));
    }
    let settings = match n_samples {
        Some(_) => vec![format!("dataset.test_size={n_wanted}")],
        None => vec![],
    };
    let sweep = Sweep::read(&folder.join(CONFIG_FILE), &settings)?;
    let Some(point) = sweep.points.first() else { return Err(Error::NoRuns(folder.to_owned())) };
    let config: &Config = &point.config;
    let network = Network::new(&config.network_config(), config.seed, &Device::Cpu)?;
    checkpoint::load_weights(&folder.join(CHECKPOINT_FILE), &network)?;
    let dataset = mbspike_data::load(&config.dataset)?;
    let pool = run::thread_pool()?;
    let loader = evaluate::loader(config, dataset.test)?.with_pool(Arc::clone(&pool));
    let mut counter = Counter::of_run(config)?;
    for (index, batch) in loader.epoch(evaluate::EPOCH, 0).enumerate() {
        if stop.load(Ordering::Relaxed) {
            return Ok(None);
        }
        let (x_seq, _) = batch?.into_tensors(&Device::Cpu)?;
        pool.install(|| counter.add(&network, &x_seq))?;
        observer.on_count(&summary.id, index + 1, loader.n_batches());
    }
    save::write_counts(&path, counter.counts())?;
    Ok(Some(counter.counts().clone()))
}

/// Numbers by model and hardware, `chip on loihi1`.
pub(crate) fn by_model<T>(
    runs: &[RunEnergy],
    of: impl Fn(&Estimate) -> Option<T>,
) -> BTreeMap<(Model, String), Vec<T>> {
    let mut all: BTreeMap<(Model, String), Vec<T>> = BTreeMap::new();
    for estimate in runs.iter().flat_map(|run| &run.estimates) {
        if let Some(value) = of(&estimate.estimate) {
            all.entry((estimate.model, estimate.hardware.clone())).or_default().push(value);
        }
    }
    all
}

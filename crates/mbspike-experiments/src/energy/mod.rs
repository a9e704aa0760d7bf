//! Energy of trained runs: counts what their networks do on the test set and hands it to
//! `mbspike_energy`.

mod counts;
mod error;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use candle_core::Device;
use mbspike_energy::{Hardware, HardwareTable, OperationCounts};
use mbspike_lif::Network;
use mbspike_results::energy::{
    RunEnergy, builtin_hardware, estimate_run, read_counts, runs_in, write_counts,
};
use mbspike_results::files::{CHECKPOINT_FILE, SUMMARY_FILE};
use mbspike_results::{Lock, Status, Summary, read_summary};

use crate::checkpoint;
use crate::config::{self, Config};
use crate::evaluate;
use crate::folder::read_point;
use crate::observer::Observer;
use crate::pool::thread_pool;
use crate::sweep;

pub use counts::Counter;
pub use error::Error;
pub use mbspike_results::energy::{EnergyGroup, EnergySweep, OPERATIONS_FILE};

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
        return Ok(builtin_hardware()?);
    }
    names.iter().map(|name| read_table(name)).collect()
}

fn read_table(name: &str) -> Result<Hardware, Error> {
    let path = Path::new(name);
    let is_file = path.is_file() || path.extension().is_some();
    if Hardware::names().any(|known| known == name) || !is_file {
        return Ok(Hardware::builtin(name)?);
    }
    let text = mbspike_files::read_text(path).map_err(sweep::Error::from)?;
    let table: HardwareTable = config::read_table(path, &text).map_err(sweep::Error::from)?;
    let stem = path.file_stem().map_or_else(|| name.into(), |s| s.to_string_lossy());
    Ok(Hardware::new(&stem, &table)?)
}

/// Estimates the energy of the runs in `folders`, each a run's folder or a folder of runs; `None` if
/// `stop` was set on the way.
///
/// What a network did is counted once and kept in its run's folder. Of a run that diverged before its
/// first checkpoint nothing can be counted: it has no estimates.
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
            if summary.status == Status::Diverged && !run.join(CHECKPOINT_FILE).is_file() {
                // It has no network to count.
                runs.push(estimate_run(&run, summary, OperationCounts::default(), &[])?);
                continue;
            }
            let Some(counts) = counts_of(&run, &summary, options.n_samples, observer, stop)? else {
                return Ok(None);
            };
            runs.push(estimate_run(&run, summary, counts, &hardware)?);
        }
    }
    Ok(Some(runs))
}

/// The counts in the run's folder if they are of its weights and of as many samples as wanted; else counts and keeps
/// them. `None` if `stop` was set on the way.
fn counts_of(
    folder: &Path,
    summary: &Summary,
    n_samples: Option<usize>,
    observer: &dyn Observer,
    stop: &AtomicBool,
) -> Result<Option<OperationCounts>, Error> {
    let n_wanted = n_samples.unwrap_or(usize::MAX).min(summary.dataset.n_test);
    // Those of the file, whatever the record says: the network that is counted is the one there.
    let weights = checkpoint::checksum_of_weights(folder)?;
    if let Some(counts) = read_counts(folder, weights.as_deref())?
        && counts.n_samples == n_wanted as u64
    {
        // Whoever counted them may have been killed after that.
        Lock::clear(folder)?;
        return Ok(Some(counts));
    }
    let settings = match n_samples {
        Some(_) => vec![format!("dataset.test_size={n_wanted}")],
        None => vec![],
    };
    let point = read_point(folder, &settings)?;
    let config: &Config = &point.config;
    let network = Network::new(&config.network_config(), config.seed, &Device::Cpu)?;
    checkpoint::load_weights(&folder.join(CHECKPOINT_FILE), &network)?;
    let dataset = mbspike_data::load(&config.dataset)?;
    let pool = thread_pool()?;
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
    let _lock = Lock::wait(folder)?;
    write_counts(folder, weights.as_deref(), counter.counts())?;
    Ok(Some(counter.counts().clone()))
}

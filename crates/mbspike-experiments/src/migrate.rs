//! Folders of runs from before version 0.2: their files get checksums, and their records what they lack.

use std::path::{Path, PathBuf};

use mbspike_files::seal::{self, Seal};
use mbspike_results::files::{
    CHECKPOINT_FILE, CONFIG_FILE, METRICS_FILE, RUN_FILE, STATE_FILE, SUMMARY_FILE, sub_folders,
};
use mbspike_results::{Identity, Lock, MetricsLog, PlannedRun, read_summary, write_json};

use crate::checkpoint;
use crate::error::Error;
use crate::folder::repeat_before;
use crate::quantize::QUANTIZED_FILE;
use crate::summary::dense_macs;
use crate::sweep::Sweep;

/// The kind of device that all runs before version 0.2 which say nothing else were computed on.
const DEVICE: &str = "cpu";

/// Brings the run in `folder`, or all runs in it, to the form of this version and returns the files that
/// were written. What was written by this version already is left as it is.
///
/// # Errors
/// If there is no run, a file is damaged, or one cannot be written.
pub fn migrate(folder: &Path) -> Result<Vec<PathBuf>, Error> {
    if folder.join(CONFIG_FILE).is_file() {
        return migrate_run(folder);
    }
    let mut files = Vec::new();
    let mut n_runs = 0;
    for run in sub_folders(folder)? {
        if run.join(CONFIG_FILE).is_file() {
            n_runs += 1;
            files.extend(migrate_run(&run)?);
        }
    }
    if n_runs == 0 {
        return Err(mbspike_results::Error::NoRuns(folder.to_owned()).into());
    }
    Ok(files)
}

fn migrate_run(run: &Path) -> Result<Vec<PathBuf>, Error> {
    let _lock = Lock::try_lock(run)?;
    let mut files = Vec::new();
    let sweep = Sweep::read(&run.join(CONFIG_FILE), &[])?;
    let config = &sweep.points[0].config;
    for name in [CHECKPOINT_FILE, STATE_FILE, QUANTIZED_FILE] {
        let file = run.join(name);
        if file.is_file() && seal_tensors(&file)? {
            files.push(file);
        }
    }
    let (summary_file, run_file) = (run.join(SUMMARY_FILE), run.join(RUN_FILE));
    let repeat = repeat_before(run)?;
    let text = mbspike_files::read_text(&run.join(CONFIG_FILE))?;
    let table = text.parse().map_err(|error: toml::de::Error| {
        let message = format!("{}: {error}", run.join(CONFIG_FILE).display());
        std::io::Error::new(std::io::ErrorKind::InvalidData, message)
    })?;
    let identity = Identity::of(&table, repeat, DEVICE);
    let mut values = std::collections::BTreeMap::new();
    if summary_file.is_file() {
        let before = read_summary(&summary_file)?;
        let mut after = before.clone();
        if after.group.is_empty() {
            after.group.clone_from(&identity.group);
            after.layer_bits = config.neuron.layer_bits.clone().unwrap_or_default();
        }
        if after.dense_macs.is_empty() {
            after.dense_macs = dense_macs(config)?;
        }
        if after.metrics.is_none() {
            let metrics = run.join(METRICS_FILE);
            let length = fs_err::metadata(&metrics)?.len();
            after.metrics = Some(MetricsLog::open_unmarked(&metrics, length)?.mark());
        }
        if after.weights.is_none() {
            after.weights = checkpoint::checksum_of_weights(run)?;
        }
        values.clone_from(&after.values);
        if after != before {
            write_json(&summary_file, &after)?;
            files.push(summary_file);
        }
    }
    if !run_file.is_file() {
        let planned = PlannedRun {
            id: run.file_name().unwrap_or_default().to_string_lossy().into_owned(),
            identity,
            values,
            repeat,
            device: DEVICE.to_owned(),
            bits: config.neuron.bits,
            layer_bits: config.neuron.layer_bits.clone().unwrap_or_default(),
        };
        write_json(&run_file, &planned)?;
        files.push(run_file);
    }
    Ok(files)
}

/// Gives a safetensors file a checksum, unless it has one.
fn seal_tensors(file: &Path) -> Result<bool, Error> {
    let fail = |error: seal::SealError| checkpoint::Error::Content {
        path: file.to_owned(),
        message: error.to_string(),
    };
    let bytes = fs_err::read(file)?;
    if seal::check_safetensors(&bytes).map_err(fail)? != Seal::None {
        return Ok(false);
    }
    let (bytes, _) = seal::seal_safetensors(&bytes).map_err(fail)?;
    mbspike_files::write(file, |file| file.write_all(&bytes))?;
    Ok(true)
}

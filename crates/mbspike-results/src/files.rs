//! The files of a folder of runs, and how those of JSON are read and written.
//!
//! `<name>/` holds the sweep's `sweep.toml` and `plan.json`, the tables `results.csv` and
//! `results.parquet`, and one folder for each run.

use std::path::{Path, PathBuf};

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::{Error, Result};
use crate::record::Summary;

/// The resolved config of a sweep, in its folder.
pub const SWEEP_FILE: &str = "sweep.toml";
/// The [`Plan`](crate::Plan) of a sweep, in its folder.
pub const PLAN_FILE: &str = "plan.json";
/// The resolved config of a run, in its folder.
pub const CONFIG_FILE: &str = "config.toml";
/// Which run a folder is of: its [`PlannedRun`](crate::PlannedRun).
pub const RUN_FILE: &str = "run.json";
/// The file of [`Record`](crate::Record)s in a run folder.
pub const METRICS_FILE: &str = "metrics.jsonl";
/// The file of the [`Summary`] in a run folder.
pub const SUMMARY_FILE: &str = "summary.json";
/// Weights and running statistics, as they were evaluated.
pub const CHECKPOINT_FILE: &str = "checkpoint.safetensors";
/// All that a resumed run starts from.
pub const STATE_FILE: &str = "state.safetensors";
/// The folder of figures in a folder of runs.
pub const FIGURES_FOLDER: &str = "figures";

/// Reads a JSON file and checks its checksum, where it has one.
///
/// # Errors
/// If it cannot be read, is not such JSON, or is not as it was written.
pub fn read_json<T: DeserializeOwned>(path: &Path, remedy: &'static str) -> Result<T> {
    let bytes = fs_err::read(path)?;
    match mbspike_files::seal::from_json(&bytes) {
        Ok((content, _)) => Ok(content),
        Err(error) => Err(Error::of_seal(path.to_owned(), error, remedy)),
    }
}

/// Writes a JSON file with its checksum, whole or not at all.
///
/// # Errors
/// If it cannot be written.
pub fn write_json<T: Serialize>(path: &Path, content: &T) -> Result<()> {
    let bytes = mbspike_files::seal::to_json(content).map_err(|error| {
        Error::of_seal(path.to_owned(), error, "this is a fault of the program")
    })?;
    Ok(mbspike_files::write(path, |file| file.write_all(&bytes))?)
}

/// Reads a `summary.json`.
///
/// # Errors
/// As [`read_json`].
pub fn read_summary(path: &Path) -> Result<Summary> {
    read_json(path, "remove it, and the same run with --resume writes it anew")
}

/// Reads the summaries of all runs that are over in `folder`, in the order of their folders' names.
///
/// # Errors
/// As [`read_summary`].
pub fn read_summaries(folder: &Path) -> Result<Vec<Summary>> {
    runs_over(folder)?.iter().map(|run| read_summary(&run.join(SUMMARY_FILE))).collect()
}

/// The folders of runs in `folder` that are over, by name.
///
/// # Errors
/// If the folder cannot be read.
pub fn runs_over(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut runs = sub_folders(folder)?;
    runs.retain(|run| run.join(SUMMARY_FILE).is_file());
    Ok(runs)
}

/// The folders in a folder, by name.
///
/// # Errors
/// If the folder cannot be read.
pub fn sub_folders(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut folders = Vec::new();
    for entry in fs_err::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            folders.push(path);
        }
    }
    folders.sort();
    Ok(folders)
}

/// Reads a TOML file.
///
/// # Errors
/// If it cannot be read or is not TOML.
pub fn read_toml(path: &Path) -> Result<toml::Table> {
    mbspike_files::read_text(path)?.parse().map_err(|error: toml::de::Error| Error::Toml {
        path: path.to_owned(),
        message: error.message().to_owned(),
    })
}

//! What of a folder of runs is needed no more.

use std::path::{Path, PathBuf};

use mbspike_files::is_partial;
use serde::Serialize;

use crate::error::{Error, Result};
use crate::files::{CHECKPOINT_FILE, CONFIG_FILE, PLAN_FILE, STATE_FILE, SUMMARY_FILE};
use crate::files::{read_summary, read_toml, sub_folders};
use crate::lock::Lock;
use crate::record::Status;

/// What to look for, besides the states of runs that are over, which nothing goes on from, and what killed
/// writers have left over.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct What {
    /// Weights of runs that are over: they can be evaluated, quantized and exported no more.
    pub weights: bool,
    /// Caches of frames, which other sweeps may share and which are built anew where they are missing.
    pub caches: bool,
    /// The user's own cache of frames, if there is one.
    pub user_cache: Option<PathBuf>,
}

/// A file that can go.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Removal {
    /// The file.
    #[serde(serialize_with = "mbspike_files::serialize_path")]
    pub path: PathBuf,
    /// Its size.
    pub bytes: u64,
    /// Why it can go.
    pub why: &'static str,
}

/// What [`removals`] finds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Found {
    /// What can go, by path.
    pub removals: Vec<Removal>,
    /// Files that stay although they were asked for, with why.
    pub kept: Vec<(PathBuf, String)>,
}

/// What can go of the sweep in `folder`: of runs that are over and that nobody is writing to. Nothing is
/// removed.
///
/// # Errors
/// If there is no sweep, or a file cannot be read or is damaged.
pub fn removals(folder: &Path, what: &What) -> Result<Found> {
    let mut found = Found::default();
    let mut n_runs = 0;
    let mut caches = Vec::new();
    if Lock::holder(folder)?.is_none() {
        add_partial(folder, &mut found)?;
    }
    for run in sub_folders(folder)? {
        if !run.join(CONFIG_FILE).is_file() {
            continue;
        }
        n_runs += 1;
        if what.caches {
            caches.extend(cache_of(&run, what)?);
        }
        if Lock::holder(&run)?.is_some() {
            continue;
        }
        add_partial(&run, &mut found)?;
        let summary = run.join(SUMMARY_FILE);
        if !summary.is_file() {
            continue;
        }
        let summary = read_summary(&summary)?;
        if what.weights {
            let why = "weights of a run that is over";
            add(&run.join(CHECKPOINT_FILE), why, &mut found)?;
        }
        let state = run.join(STATE_FILE);
        if state.is_file() {
            // Weights that are damaged can be written anew from the state, and from nothing else.
            let has_weights = what.weights
                || summary.status == Status::Diverged
                || weights_are_whole(&run, summary.weights.as_deref())?;
            if has_weights {
                add(&state, "state of a run that is over", &mut found)?;
            } else {
                let why = "checkpoint.safetensors beside it is damaged or gone; `mbspike run --resume` \
                           writes it anew from this";
                found.kept.push((state, why.to_owned()));
            }
        }
    }
    if n_runs == 0 && !folder.join(PLAN_FILE).is_file() {
        return Err(Error::NoSweep(folder.to_owned()));
    }
    caches.sort();
    caches.dedup();
    for cache in caches.iter().filter(|cache| cache.is_dir()) {
        for entry in fs_err::read_dir(cache)? {
            let path = entry?.path();
            if path.extension().is_some_and(|extension| extension == "frames") {
                add(&path, "cache of frames", &mut found)?;
            }
        }
    }
    found.removals.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(found)
}

/// Removes what was found; what is gone by now, or in a run that somebody writes to by now, is left out.
/// Says which were removed.
///
/// # Errors
/// If a file cannot be removed.
pub fn remove(removals: &[Removal]) -> Result<Vec<&Removal>> {
    let mut removed = Vec::new();
    for removal in removals {
        let folder = removal.path.parent().unwrap_or(Path::new("."));
        let is_run = folder.join(CONFIG_FILE).is_file();
        let _lock = match is_run.then(|| Lock::try_lock(folder)).transpose() {
            Err(Error::Locked { .. }) => continue,
            lock => lock?,
        };
        match fs_err::remove_file(&removal.path) {
            // Whoever takes the lock clears away what was left over.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                if removal.why == LEFT_OVER {
                    removed.push(removal);
                }
            }
            result => {
                result?;
                removed.push(removal);
            }
        }
    }
    Ok(removed)
}

const LEFT_OVER: &str = "left over by a killed writer";

fn add(path: &Path, why: &'static str, found: &mut Found) -> Result<()> {
    if path.is_file() {
        let bytes = fs_err::metadata(path)?.len();
        found.removals.push(Removal { path: path.to_owned(), bytes, why });
    }
    Ok(())
}

fn add_partial(folder: &Path, found: &mut Found) -> Result<()> {
    for entry in fs_err::read_dir(folder)? {
        let entry = entry?;
        if is_partial(&entry.file_name()) {
            add(&entry.path(), LEFT_OVER, found)?;
        }
    }
    Ok(())
}

/// Whether the weights of a run are as they were written.
fn weights_are_whole(run: &Path, expected: Option<&str>) -> Result<bool> {
    let path = run.join(CHECKPOINT_FILE);
    if !path.is_file() {
        return Ok(false);
    }
    let seal = mbspike_files::seal::check_safetensors(&fs_err::read(path)?);
    let Ok(seal) = seal else { return Ok(false) };
    let there = seal.checksum().map(|checksum| checksum.to_string());
    Ok(expected.is_none() || there.as_deref() == expected)
}

/// The folder of the cache of frames of a run's data.
fn cache_of(run: &Path, what: &What) -> Result<Option<PathBuf>> {
    let config = read_toml(&run.join(CONFIG_FILE))?;
    let dataset = config.get("dataset").and_then(toml::Value::as_table);
    Ok(dataset.and_then(|dataset| match dataset.get("frame_cache")? {
        toml::Value::String(folder) => Some(PathBuf::from(folder)),
        toml::Value::Boolean(true) => what.user_cache.clone(),
        _ => None,
    }))
}

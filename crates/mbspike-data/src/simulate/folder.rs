//! The folder that a simulation writes.
//!
//! While it is written it holds [`UNFINISHED`], at the end [`MARKER`]: the same file under another
//! name, with all that decides the recordings. What has its name is whole, whenever the program is
//! killed; what it was writing then is left under other names and removed when the simulation goes on.

use std::fs::TryLockError;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use rayon::prelude::*;
use serde::Serialize;
use toml::{Table, Value};

use super::{MODEL_VERSION, Plan, Progress, Simulated};
use crate::archive::write_whole;
use crate::{Error, Result};

/// The file that marks a folder as simulated and holds the settings it was made with.
pub const MARKER: &str = "simulated.toml";
/// Its name until all recordings are there.
const UNFINISHED: &str = "simulated.unfinished.toml";
const LOCK: &str = ".lock";
/// The folder in which an older version kept files that it was writing.
const OLD_TEMPORARY: &str = ".unfinished";

const NOTE: &str = "\
# The recordings in this folder are simulated, not measured. They were written by
# `mbspike data simulate` with these settings, which give the same files again.
";

/// Whether the data in `folder` say that they are simulated.
///
/// # Errors
/// If the folder was left by a simulation that was interrupted: a part must not pass for the whole.
pub fn is_simulated(folder: &Path) -> Result<bool> {
    if folder.join(UNFINISHED).is_file() {
        return Err(Error::Incomplete {
            dataset: "simulated data".to_owned(),
            folder: folder.to_owned(),
            missing: vec![
                "the recordings still to come: its simulation was interrupted, the same command \
                 goes on with it"
                    .to_owned(),
            ],
        });
    }
    Ok(folder.join(MARKER).is_file())
}

/// A file to be simulated: its path within the folder, and its number, which keys its randomness.
pub(super) struct Job<T> {
    pub name: String,
    pub task: T,
}

/// What decides the recordings, as the marker holds it.
pub(super) fn settings(dataset: &str, plan: &Plan, config: &impl Serialize) -> Result<Table> {
    let seed = i64::try_from(plan.seed)
        .map_err(|_| Error::config("seed", format!("must be below 2^63: {}", plan.seed)))?;
    let mut table = Table::new();
    table.insert("dataset".into(), dataset.into());
    table.insert("model".into(), i64::from(MODEL_VERSION).into());
    table.insert("seed".into(), seed.into());
    for (key, n) in [("train", plan.n_train), ("test", plan.n_test)] {
        if n == 0 {
            return Err(Error::config(key, "must be at least 1: 0"));
        }
        table.insert(key.into(), (n as i64).into());
    }
    let config = Table::try_from(config)
        .map_err(|error| Error::config(dataset, format!("cannot be written: {error}")))?;
    table.extend(config);
    Ok(table)
}

/// Writes the files of all `jobs` that are not there yet, in parallel, then `lists`, then the marker.
/// `simulate` gives the contents of a job's files by their extensions; the first file is written
/// last, and its being there says that the job is done.
pub(super) fn write_all<T: Sync>(
    out: &Path,
    settings: &Table,
    jobs: &[Job<T>],
    lists: &[(&str, String)],
    progress: Progress,
    simulate: impl Fn(&T, &Path) -> Result<Vec<(String, Vec<u8>)>> + Sync,
) -> Result<Simulated> {
    let folder = Folder::open(out, settings)?;
    let is_there: Vec<bool> = jobs.iter().map(|job| out.join(&job.name).is_file()).collect();
    let n_found = is_there.iter().filter(|&&is_there| is_there).count();
    let done = Simulated { folder: out.to_owned(), n_files: jobs.len(), n_found };
    let Some(folder) = folder else { return Ok(done) };
    let n_done = AtomicUsize::new(n_found);
    progress(n_found, jobs.len());
    let left = jobs.iter().zip(is_there).filter(|(_, is_there)| !is_there).map(|(job, _)| job);
    left.collect::<Vec<_>>().into_par_iter().try_for_each(|job| {
        let file = out.join(&job.name);
        for (name, content) in simulate(&job.task, &file)?.into_iter().rev() {
            folder.write(&name, &content)?;
        }
        progress(n_done.fetch_add(1, Ordering::Relaxed) + 1, jobs.len());
        Ok::<_, Error>(())
    })?;
    for (name, content) in lists {
        folder.write(name, content.as_bytes())?;
    }
    folder.finish()?;
    Ok(done)
}

/// The right to write to a folder.
struct Folder {
    path: PathBuf,
    _lock: std::fs::File,
}

impl Folder {
    /// Begins to write `path` or goes on with it; `None` if it holds the whole simulation already.
    fn open(path: &Path, settings: &Table) -> Result<Option<Self>> {
        let refuse = |message: &str| Error::config("out", format!("{} {message}", path.display()));
        // What a simulation leaves that was killed in its first moments.
        let is_used = |entry: &fs_err::DirEntry| {
            let name = entry.file_name();
            name != LOCK && name != OLD_TEMPORARY && !mbspike_files::is_partial(&name)
        };
        if path.exists()
            && !path.join(MARKER).exists()
            && !path.join(UNFINISHED).exists()
            && fs_err::read_dir(path)?.filter_map(Result::ok).any(|entry| is_used(&entry))
        {
            return Err(refuse("holds other files; simulate into a new folder"));
        }
        fs_err::create_dir_all(path)?;
        let mut options = fs_err::OpenOptions::new();
        let lock = options.create(true).truncate(false).write(true).open(path.join(LOCK))?;
        let lock = lock.into_parts().0;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(refuse("is being written by another process"));
            }
            Err(TryLockError::Error(error)) => {
                return Err(refuse(&format!("cannot be locked: {error}")));
            }
        }
        let folder = Self { path: path.to_owned(), _lock: lock };
        let (marker, unfinished) = (path.join(MARKER), path.join(UNFINISHED));
        if marker.exists() {
            check_same(&marker, settings)?;
            return Ok(None);
        }
        if unfinished.exists() {
            check_same(&unfinished, settings)?;
        }
        folder.remove_partial()?;
        if !unfinished.exists() {
            folder.write(UNFINISHED, format!("{NOTE}{settings}").as_bytes())?;
        }
        Ok(Some(folder))
    }

    /// Writes a file, which is then whole or not there.
    fn write(&self, name: &str, content: &[u8]) -> Result<()> {
        write_whole(&self.path.join(name), |file| file.write_all(content))
    }

    /// Removes what a killed simulation was writing.
    fn remove_partial(&self) -> Result<()> {
        let old = self.path.join(OLD_TEMPORARY);
        if old.is_dir() {
            fs_err::remove_dir_all(old)?;
        }
        let mut folders = vec![self.path.clone()];
        while let Some(folder) = folders.pop() {
            mbspike_files::remove_partial(&folder)?;
            for entry in fs_err::read_dir(&folder)? {
                let entry = entry?;
                if entry.file_type()?.is_dir() {
                    folders.push(entry.path());
                }
            }
        }
        Ok(())
    }

    /// Says that all is there.
    fn finish(self) -> Result<()> {
        fs_err::rename(self.path.join(UNFINISHED), self.path.join(MARKER))?;
        // Brings the renamed entry of the folder to the disk.
        #[cfg(unix)]
        fs_err::File::open(&self.path)?.sync_all()?;
        Ok(())
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // A lock file that stays behind is taken by the next process; it does no harm.
        let _ = fs_err::remove_file(self.path.join(LOCK));
    }
}

/// Refuses a folder that was made with other settings, naming the first that differs.
fn check_same(marker: &Path, settings: &Table) -> Result<()> {
    let text = fs_err::read_to_string(marker)?;
    let there: Table = text.parse().map_err(|error: toml::de::Error| {
        Error::config(&marker.display().to_string(), error.message())
    })?;
    if let Some((key, there, here)) = difference("", &there, settings) {
        let message = format!(
            "{} is of a simulation with {key} = {there}, not {here}; simulate into another folder",
            marker.display()
        );
        return Err(Error::config("out", message));
    }
    Ok(())
}

fn difference(prefix: &str, there: &Table, here: &Table) -> Option<(String, String, String)> {
    let shown = |value: Option<&Value>| value.map_or("absent".to_owned(), ToString::to_string);
    for key in here.keys().chain(there.keys()) {
        let path = format!("{prefix}{key}");
        match (there.get(key), here.get(key)) {
            (Some(Value::Table(a)), Some(Value::Table(b))) => {
                if let Some(found) = difference(&format!("{path}."), a, b) {
                    return Some(found);
                }
            }
            (a, b) if a != b => return Some((path, shown(a), shown(b))),
            _ => {}
        }
    }
    None
}

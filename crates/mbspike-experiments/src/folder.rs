//! The folders of sweeps and runs: who writes to them, and whether they belong to a config.

use std::fs::TryLockError;
use std::path::{Path, PathBuf};

use crate::checkpoint::STATE_FILE;
use crate::results::SUMMARY_FILE;
use crate::run::{CONFIG_FILE, Error, SWEEP_FILE};
use crate::sweep::Point;

/// Settings that decide when and where something is done, but not the results.
const FREE_KEYS: [&str; 5] = [
    "dataset.path",
    "train.tensorboard",
    "train.checkpoint_every",
    "train.checkpoint_every_s",
    "train.memory_limit_mib",
];

/// The right to write to a folder. It ends with the value, or with the process, however that ends.
#[derive(Debug)]
pub(crate) struct Lock {
    _file: std::fs::File,
}

impl Lock {
    /// Takes the lock, or fails if another process has it.
    pub(crate) fn try_lock(folder: &Path) -> Result<Self, Error> {
        let (path, file) = Self::open(folder)?;
        match file.try_lock() {
            Ok(()) => Ok(Self { _file: file }),
            Err(TryLockError::WouldBlock) => Err(Error::Locked(folder.to_owned())),
            Err(TryLockError::Error(error)) => Err(Self::named(&path, &error)),
        }
    }

    /// Takes the lock as soon as no other process has it.
    pub(crate) fn wait(folder: &Path) -> Result<Self, Error> {
        let (path, file) = Self::open(folder)?;
        file.lock().map_err(|error| Self::named(&path, &error))?;
        Ok(Self { _file: file })
    }

    fn open(folder: &Path) -> Result<(PathBuf, std::fs::File), Error> {
        let path = folder.join(".lock");
        let mut options = fs_err::OpenOptions::new();
        let file = options.create(true).truncate(false).write(true).open(&path)?;
        Ok((path, file.into_parts().0))
    }

    fn named(path: &Path, error: &std::io::Error) -> Error {
        let message = format!("cannot lock {}: {error}", path.display());
        std::io::Error::new(error.kind(), message).into()
    }
}

/// Writes `sweep.toml`, unless the folder holds another experiment. The part `[sweep]` may differ:
/// a sweep may be extended.
pub(crate) fn write_sweep(folder: &Path, resolved: &toml::Table) -> Result<(), Error> {
    let path = folder.join(SWEEP_FILE);
    if path.exists() {
        let there = read_table(&path)?;
        let without_sweep = |table: &toml::Table| {
            let mut table = table.clone();
            table.remove("sweep");
            table
        };
        check_same(&path, &without_sweep(&there), &without_sweep(resolved))?;
    }
    let text = toml::to_string(resolved)?;
    mbspike_files::write(&path, |file| file.write_all(text.as_bytes()))?;
    Ok(())
}

/// Whether the run in `folder` is over.
///
/// # Errors
/// If it was written by another config, or was interrupted and is not to be resumed.
pub(crate) fn is_over(folder: &Path, point: &Point, resume: bool) -> Result<bool, Error> {
    let path = folder.join(CONFIG_FILE);
    let is_started = folder.join(STATE_FILE).exists();
    let is_over = folder.join(SUMMARY_FILE).exists();
    if path.exists() && (is_started || is_over) {
        // Through text, as what is there was: in memory an f32 has other digits than in the file.
        let here = parse_table(&path, &point.config.to_toml()?)?;
        check_same(&path, &read_table(&path)?, &here)?;
    }
    if is_started && !is_over && !resume {
        return Err(Error::Interrupted(folder.to_owned()));
    }
    Ok(is_over)
}

/// Reads a TOML file.
pub(crate) fn read_table(path: &Path) -> Result<toml::Table, Error> {
    parse_table(path, &fs_err::read_to_string(path)?)
}

fn parse_table(path: &Path, text: &str) -> Result<toml::Table, Error> {
    text.parse().map_err(|error: toml::de::Error| {
        let message = format!("{}: {}", path.display(), error.message());
        std::io::Error::new(std::io::ErrorKind::InvalidData, message).into()
    })
}

/// Refuses two configs that differ in a key that decides results.
fn check_same(path: &Path, there: &toml::Table, here: &toml::Table) -> Result<(), Error> {
    let (there, here) = (flatten(there), flatten(here));
    let value = |table: &[(String, String)], key: &str| {
        table.iter().find(|(other, _)| other == key).map(|(_, value)| value.clone())
    };
    for (key, _) in there.iter().chain(&here) {
        let (a, b) = (value(&there, key), value(&here, key));
        if a != b && !FREE_KEYS.contains(&key.as_str()) {
            let or_absent = |value: Option<String>| value.unwrap_or_else(|| "absent".to_owned());
            return Err(Error::OtherConfig {
                path: path.to_owned(),
                key: key.clone(),
                there: or_absent(a),
                here: or_absent(b),
            });
        }
    }
    Ok(())
}

/// Dotted keys and values, in the order of the table.
fn flatten(table: &toml::Table) -> Vec<(String, String)> {
    fn visit(prefix: &str, table: &toml::Table, into: &mut Vec<(String, String)>) {
        for (key, value) in table {
            let key = if prefix.is_empty() { key.clone() } else { format!("{prefix}.{key}") };
            match value {
                toml::Value::Table(inner) => visit(&key, inner, into),
                value => into.push((key, value.to_string())),
            }
        }
    }
    let mut flat = Vec::new();
    visit("", table, &mut flat);
    flat
}

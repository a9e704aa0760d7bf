//! Folders of classes, and of training and test samples.

use std::path::{Path, PathBuf};

use crate::{DatasetConfig, Error, Result};

/// The names of the folders in `folder`, in order; hidden ones are left out.
pub(super) fn folders_in(folder: &Path) -> Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs_err::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name();
        let name = name.to_str().ok_or_else(|| {
            let message = format!("{} is no Unicode name", entry.path().display());
            Error::config("dataset.path", message)
        })?;
        if entry.path().is_dir() && !name.starts_with('.') {
            names.push(name.to_owned());
        }
    }
    names.sort();
    Ok(names)
}

/// The folders of the training and the test set: `path` and `test_path`, or the two in `path` that
/// are called train and test; only the first, where it is to be divided.
pub(super) fn two_folders(
    path: &Path,
    config: &DatasetConfig,
) -> Result<(PathBuf, Option<PathBuf>)> {
    if let Some(test) = &config.test_path {
        return Ok((path.to_owned(), Some(test.clone())));
    }
    let names = folders_in(path)?;
    let named = |wanted: &str| names.iter().find(|name| name.eq_ignore_ascii_case(wanted));
    match (named("train"), named("test")) {
        (Some(train), Some(test)) if names.len() == 2 && !config.is_divided() => {
            Ok((path.join(train), Some(path.join(test))))
        }
        _ => Ok((path.to_owned(), None)),
    }
}

//! Who may write to a folder.

use std::fs::TryLockError;
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};

/// The right to write to a folder. It ends with the value, or with the process, however that ends.
///
/// Whoever takes it removes what killed writers have left over there.
#[derive(Debug)]
pub struct Lock {
    _file: std::fs::File,
}

impl Lock {
    /// Takes the lock, or fails if another process has it.
    ///
    /// # Errors
    /// [`Error::Locked`] then; or if the folder cannot be written to.
    pub fn try_lock(folder: &Path) -> Result<Self> {
        let (path, file) = Self::open(folder)?;
        match file.try_lock() {
            Ok(()) => Self::taken(folder, file),
            Err(TryLockError::WouldBlock) => Err(Error::Locked(folder.to_owned())),
            Err(TryLockError::Error(error)) => Err(Self::named(&path, &error)),
        }
    }

    /// Takes the lock as soon as no other process has it.
    ///
    /// # Errors
    /// If the folder cannot be written to.
    pub fn wait(folder: &Path) -> Result<Self> {
        let (path, file) = Self::open(folder)?;
        file.lock().map_err(|error| Self::named(&path, &error))?;
        Self::taken(folder, file)
    }

    fn taken(folder: &Path, file: std::fs::File) -> Result<Self> {
        mbspike_files::remove_partial(folder)?;
        Ok(Self { _file: file })
    }

    fn open(folder: &Path) -> Result<(PathBuf, std::fs::File)> {
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

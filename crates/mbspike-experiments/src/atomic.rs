//! Files that are there whole or not at all.

use std::io::{BufWriter, Result, Write};
use std::path::{Path, PathBuf};

use fs_err::File;

/// Writes a file under a temporary name beside it, brings it to the disk and renames it. Whenever
/// the program or the machine stops, or the disk is full, `path` is as before or as wanted.
///
/// Two processes must not write the same file at once.
pub(crate) fn write(path: &Path, content: impl FnOnce(&mut dyn Write) -> Result<()>) -> Result<()> {
    let temporary = temporary(path);
    let written = write_to(&temporary, content).and_then(|()| fs_err::rename(&temporary, path));
    if let Err(error) = written {
        // What is there of it is of no use; that it cannot be removed changes nothing.
        let _ = fs_err::remove_file(&temporary);
        return Err(error);
    }
    sync_folder(path)
}

fn write_to(path: &Path, content: impl FnOnce(&mut dyn Write) -> Result<()>) -> Result<()> {
    let mut writer = BufWriter::new(File::create(path)?);
    content(&mut writer)?;
    writer.into_inner().map_err(std::io::IntoInnerError::into_error)?.sync_all()
}

/// The name a file has until it is whole.
fn temporary(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".tmp");
    path.with_file_name(name)
}

/// Brings a renamed entry of a folder to the disk.
fn sync_folder(path: &Path) -> Result<()> {
    match path.parent() {
        #[cfg(unix)]
        // The parent of a bare file name is the empty path.
        Some(folder) if folder.as_os_str().is_empty() => File::open(".")?.sync_all(),
        #[cfg(unix)]
        Some(folder) => File::open(folder)?.sync_all(),
        _ => Ok(()),
    }
}

//! Files that are there whole or not at all.

use std::ffi::OsStr;
use std::io::{BufWriter, Error, Result, Write};
use std::path::Path;

use fs_err::File;

/// How the names of files begin that are not whole yet.
const PARTIAL: &str = ".partial-";

/// Writes a file under a name of its own beside `path`, brings it to the disk and renames it.
/// Whenever the program or the machine stops, or the disk is full, `path` is as before or as wanted;
/// at most a file is left over that [`is_partial`]. Several writers may write one path at once.
///
/// # Errors
/// If the file cannot be created, written or renamed, which the message names, or `content` fails.
/// Nothing is left over then.
pub fn write(path: &Path, content: impl FnOnce(&mut dyn Write) -> Result<()>) -> Result<()> {
    let named = |error: &Error| {
        Error::new(error.kind(), format!("cannot write {}: {error}", path.display()))
    };
    let folder = match path.parent() {
        // The parent of a bare file name is the empty path.
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let mut builder = tempfile::Builder::new();
    builder.prefix(PARTIAL);
    // What the user's umask leaves of it, as for any other file; the default is 0600.
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    let temporary = builder.tempfile_in(folder).map_err(|error| named(&error))?;
    let mut writer = BufWriter::new(temporary);
    content(&mut writer).map_err(|error| named(&error))?;
    let temporary = writer.into_inner().map_err(|error| named(error.error()))?;
    temporary.as_file().sync_all().map_err(|error| named(&error))?;
    let (_, temporary) = temporary.into_parts();
    fs_err::rename(&temporary, path).map_err(|error| named(&error))?;
    // It has another name now, under which it stays.
    temporary.keep().map_err(|error| named(&error.error))?;
    // Brings the renamed entry of the folder to the disk.
    #[cfg(unix)]
    File::open(folder)?.sync_all()?;
    Ok(())
}

/// Whether a name in a folder is that of a file which [`write`] did not finish.
pub fn is_partial(name: &OsStr) -> bool {
    name.as_encoded_bytes().starts_with(PARTIAL.as_bytes())
}

/// Removes what killed writers have left over in `folder`. To be called by whoever has the sole right
/// to write there: it would take away what another writer is at.
///
/// # Errors
/// If the folder cannot be read or a file not removed.
pub fn remove_partial(folder: &Path) -> Result<()> {
    for entry in fs_err::read_dir(folder)? {
        let entry = entry?;
        if is_partial(&entry.file_name()) && entry.file_type()?.is_file() {
            fs_err::remove_file(entry.path())?;
        }
    }
    Ok(())
}

//! Files that are there whole or not at all.

use std::ffi::OsStr;
use std::io::{BufWriter, Error, ErrorKind, Result, Write};
use std::path::Path;
use std::time::SystemTime;

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
    let folder = folder_of(path);
    let temporary = partial_in(folder).map_err(|error| named(&error))?;
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

/// The folder of a file.
fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        // The parent of a bare file name is the empty path.
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

/// A file in `folder` under a name that nobody else has.
fn partial_in(folder: &Path) -> Result<tempfile::NamedTempFile> {
    let mut builder = tempfile::Builder::new();
    builder.prefix(PARTIAL);
    // What the user's umask leaves of it, as for any other file; the default is 0600.
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    builder.tempfile_in(folder)
}

/// Makes a file that was not there, and says whether it did: of all that try at once, on whatever machine,
/// one does.
///
/// It is linked to its name when it is whole, which file systems over a network do at once, too. Where
/// there are no links it is opened under its name, which is exclusive as well; who reads it in that moment
/// finds it cut short.
///
/// # Errors
/// If the file cannot be made, for another reason than that it is there. The file is not brought to the
/// disk: it is for those who look while the machine is on.
pub fn create(path: &Path, content: &[u8]) -> Result<bool> {
    create_by(path, content, |from, to| std::fs::hard_link(from, to))
}

fn create_by(
    path: &Path,
    content: &[u8],
    link: impl Fn(&Path, &Path) -> Result<()>,
) -> Result<bool> {
    let named = |error: Error| {
        Error::new(error.kind(), format!("cannot write {}: {error}", path.display()))
    };
    let mut temporary = partial_in(folder_of(path)).map_err(named)?;
    temporary.write_all(content).map_err(named)?;
    // Others see what is written once it is closed.
    let temporary = temporary.into_temp_path();
    match link(&temporary, path) {
        Ok(()) => Ok(true),
        // A server may have linked it, lost its answer, and be asked again.
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(is_linked(&temporary)),
        // Whoever has the sole right to write here has cleared it away.
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
        Err(_) => {
            let mut options = fs_err::OpenOptions::new();
            match options.write(true).create_new(true).open(path) {
                Ok(mut file) => file.write_all(content).map_err(named).map(|()| true),
                Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(false),
                Err(error) => Err(named(error)),
            }
        }
    }
}

/// Whether a file has two names.
#[cfg(unix)]
fn is_linked(path: &Path) -> bool {
    std::fs::metadata(path).is_ok_and(|file| std::os::unix::fs::MetadataExt::nlink(&file) == 2)
}

#[cfg(not(unix))]
fn is_linked(_: &Path) -> bool {
    false
}

/// The time of the file system that `folder` is on, by which the times of its files are: the clocks of the
/// machines that share it may differ.
///
/// # Errors
/// If nothing can be written there.
pub fn time_in(folder: &Path) -> Result<SystemTime> {
    let named = |error: Error| {
        Error::new(error.kind(), format!("cannot write in {}: {error}", folder.display()))
    };
    let mut temporary = partial_in(folder).map_err(named)?;
    temporary.write_all(b".").map_err(named)?;
    temporary.as_file().metadata().and_then(|file| file.modified()).map_err(named)
}

/// Whether a name in a folder is that of a file which [`write()`] did not finish.
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
        if is_partial(&entry.file_name()) {
            match fs_err::remove_file(entry.path()) {
                // Of one that tries to get that right, and has given up.
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                removed => removed?,
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::io::{Error, ErrorKind};
    use std::path::Path;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::{create, create_by};

    fn no_links(_: &Path, _: &Path) -> Result<(), Error> {
        Err(Error::from(ErrorKind::Unsupported))
    }

    #[test]
    fn of_many_that_create_a_file_at_once_one_does_with_links_and_without() {
        for round in 0..50 {
            let folder = tempfile::tempdir().unwrap();
            let file = folder.path().join("file");
            let n_created = AtomicUsize::new(0);
            std::thread::scope(|scope| {
                for _ in 0..8 {
                    scope.spawn(|| {
                        let is_mine = if round % 2 == 0 {
                            create(&file, b"whole").unwrap()
                        } else {
                            create_by(&file, b"whole", no_links).unwrap()
                        };
                        n_created.fetch_add(usize::from(is_mine), Ordering::Relaxed);
                    });
                }
            });
            assert_eq!(n_created.into_inner(), 1, "round {round}");
            assert_eq!(std::fs::read(&file).unwrap(), b"whole");
            assert_eq!(
                std::fs::read_dir(folder.path()).unwrap().count(),
                1,
                "nothing is left over"
            );
        }
    }

    #[test]
    fn a_link_whose_answer_was_lost_counts() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        let lost = |from: &Path, to: &Path| {
            std::fs::hard_link(from, to).unwrap();
            Err(Error::from(ErrorKind::AlreadyExists))
        };
        assert_eq!(create_by(&file, b"a", lost).unwrap(), cfg!(unix));
        assert!(!create(&file, b"b").unwrap());
        assert_eq!(std::fs::read(&file).unwrap(), b"a");
    }
}

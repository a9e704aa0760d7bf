//! Archives (zip, tar, gzipped tar) and folders, file by file, without trusting what they say.
//!
//! A file's path within an archive must stay within it (no `..`, no absolute path, no drive), links
//! and other special entries are refused, and both the number of files and the bytes they unpack to
//! are bounded, by what is really read and not by what a header announces.

use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Component, Path, PathBuf};

use flate2::bufread::MultiGzDecoder;
use fs_err::File;

use crate::{Error, Result};

/// What an archive may hold at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of all files together, unpacked.
    pub n_bytes: u64,
    /// Files.
    pub n_files: usize,
}

impl Default for Limits {
    /// Room for every dataset of the catalog: DVS128 Gesture unpacks to some 5 GB, N-MNIST has
    /// 70,000 files.
    fn default() -> Self {
        Self { n_bytes: 16 << 30, n_files: 200_000 }
    }
}

/// Calls `visit` with the path and the content of each file of an archive, in its order, or of a
/// folder, in the order of the names. What `visit` leaves unread is passed over.
///
/// # Errors
/// If it is no archive, an entry leaves it or is no plain file, a limit is exceeded, the data are
/// damaged, or `visit` fails.
pub fn for_each_file(
    source: &Path,
    limits: Limits,
    visit: &mut dyn FnMut(&Path, &mut dyn Read) -> Result<()>,
) -> Result<()> {
    if source.is_dir() {
        let mut meter = Meter::new(source, limits);
        return visit_folder(source, source, &mut meter, visit);
    }
    let mut input = BufReader::new(File::open(source)?);
    let start = input.fill_buf()?;
    let (is_zip, is_gzip) = (start.starts_with(b"PK"), start.starts_with(&[0x1f, 0x8b]));
    if is_zip {
        visit_zip(input, source, limits, visit)
    } else if is_gzip {
        parse_tar(MultiGzDecoder::new(input), source, limits, visit)
    } else {
        parse_tar(input, source, limits, visit)
    }
}

/// Unpacks an archive into `folder`, which is made if it is not there. Each file is written under a
/// temporary name and renamed once it is whole; files of the same names are replaced. Returns what
/// was written.
pub fn extract(source: &Path, folder: &Path, limits: Limits) -> Result<Vec<PathBuf>> {
    let mut written = Vec::new();
    for_each_file(source, limits, &mut |path, content| {
        let target = folder.join(path);
        let mut damage = None;
        let result = write_whole(&target, |file| {
            // Damage of the archive is no error of writing.
            let mut content = Noted { input: &mut *content, error: &mut damage };
            std::io::copy(&mut content, file).map(drop)
        });
        if let Some(damage) = damage {
            return Err(damage.into());
        }
        result?;
        written.push(target);
        Ok(())
    })?;
    Ok(written)
}

/// Writes a file under a temporary name beside it and renames it, so that it is there whole or not
/// at all. Its folder is made if it is not there.
pub(crate) fn write_whole(
    path: &Path,
    content: impl FnOnce(&mut dyn Write) -> std::io::Result<()>,
) -> Result<()> {
    if let Some(folder) = path.parent() {
        fs_err::create_dir_all(folder)?;
    }
    Ok(mbspike_files::write(path, content)?)
}

/// Visits the files of a tar archive that is read from `input`; `source` is its name in errors.
pub fn parse_tar(
    input: impl Read,
    source: &Path,
    limits: Limits,
    visit: &mut dyn FnMut(&Path, &mut dyn Read) -> Result<()>,
) -> Result<()> {
    let mut meter = Meter::new(source, limits);
    // What the tar crate reads on its own (headers, long names, what a visitor left) counts too.
    let all = Counted { input, left: limits.n_bytes.saturating_mul(2).saturating_add(1 << 20) };
    let mut archive = tar::Archive::new(all);
    let damage = |offset: u64, error: std::io::Error| {
        refusal(source, offset, "a tar archive", error.to_string())
    };
    let mut offset = 0;
    // What a header of its own says of the name of the entry after it.
    let mut long_name = None;
    // Raw: the crate itself would read headers of any length into memory.
    for entry in archive.entries().map_err(|error| damage(0, error))?.raw(true) {
        let mut entry = entry.map_err(|error| damage(offset, error))?;
        offset = entry.raw_header_position();
        match entry.header().entry_type() {
            tar::EntryType::GNULongName => {
                let mut name = read_header(&mut entry, source, offset)?;
                name.truncate(name.iter().position(|&byte| byte == 0).unwrap_or(name.len()));
                long_name = Some(name);
                continue;
            }
            tar::EntryType::XHeader => {
                let header = read_header(&mut entry, source, offset)?;
                long_name = pax_name(&header, source, offset)?.or(long_name);
                continue;
            }
            tar::EntryType::GNULongLink | tar::EntryType::XGlobalHeader => {
                read_header(&mut entry, source, offset)?;
                continue;
            }
            _ => {}
        }
        let name = long_name.take().unwrap_or_else(|| entry.path_bytes().into_owned());
        let name = PathBuf::from(String::from_utf8_lossy(&name).into_owned());
        match entry.header().entry_type() {
            tar::EntryType::Regular | tar::EntryType::Continuous => {}
            tar::EntryType::Directory => continue,
            other => {
                let found = format!("{} ({other:?})", name.display());
                return Err(refusal(source, offset, "plain files only", found));
            }
        }
        let path = inside(&name).ok_or_else(|| escape(source, offset, &name))?;
        meter.file(offset)?;
        visit_metered(&mut meter, &path, &mut entry, visit)?;
    }
    Ok(())
}

/// No path of a file is longer, on any system; no other header of use is, either.
const MAX_HEADER_BYTES: u64 = 1 << 16;

/// The content of an entry that is the header of another, of bounded size.
fn read_header(entry: &mut impl Read, source: &Path, offset: u64) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let read = entry.by_ref().take(MAX_HEADER_BYTES + 1).read_to_end(&mut bytes);
    read.map_err(|error| refusal(source, offset, "a header of tar", error.to_string()))?;
    if bytes.len() as u64 > MAX_HEADER_BYTES {
        let expected =
            format!("a long name or extended header of at most {MAX_HEADER_BYTES} bytes");
        return Err(refusal(source, offset, &expected, "a longer one".to_owned()));
    }
    Ok(bytes)
}

/// The path that an extended header gives to the next entry. Other sizes than the entry's own are
/// refused: they are for files beyond 8 GiB.
fn pax_name(header: &[u8], source: &Path, offset: u64) -> Result<Option<Vec<u8>>> {
    let mut name = None;
    // Values of several lines, which only other keywords have, are not understood and passed over.
    for extension in tar::PaxExtensions::new(header).filter_map(std::result::Result::ok) {
        match extension.key_bytes() {
            b"path" => name = Some(extension.value_bytes().to_vec()),
            b"size" => {
                let found = "a larger one".to_owned();
                return Err(refusal(source, offset, "a file of at most 8 GiB", found));
            }
            _ => {}
        }
    }
    Ok(name)
}

/// Visits the files of a zip archive; `source` is its name in errors.
pub fn visit_zip(
    input: impl Read + std::io::Seek,
    source: &Path,
    limits: Limits,
    visit: &mut dyn FnMut(&Path, &mut dyn Read) -> Result<()>,
) -> Result<()> {
    let mut meter = Meter::new(source, limits);
    let damage = |error: zip::result::ZipError| {
        refusal(source, 0, "a zip archive", format!("damage ({error})"))
    };
    let mut archive = zip::ZipArchive::new(input).map_err(damage)?;
    for index in 0..archive.len() {
        let mut entry = archive.by_index(index).map_err(damage)?;
        if entry.is_dir() {
            continue;
        }
        let offset = entry.header_start();
        let name = PathBuf::from(entry.name().map_err(damage)?.into_owned());
        if entry.is_symlink() {
            let found = format!("{} (a link)", name.display());
            return Err(refusal(source, offset, "plain files only", found));
        }
        let path = inside(&name).ok_or_else(|| escape(source, offset, &name))?;
        meter.file(offset)?;
        visit_metered(&mut meter, &path, &mut entry, visit)?;
    }
    Ok(())
}

fn visit_folder(
    root: &Path,
    folder: &Path,
    meter: &mut Meter<'_>,
    visit: &mut dyn FnMut(&Path, &mut dyn Read) -> Result<()>,
) -> Result<()> {
    let mut entries: Vec<_> = fs_err::read_dir(folder)?.collect::<std::io::Result<_>>()?;
    entries.sort_by_key(fs_err::DirEntry::file_name);
    for entry in entries {
        let (path, kind) = (entry.path(), entry.file_type()?);
        if kind.is_dir() {
            visit_folder(root, &path, meter, visit)?;
        } else if kind.is_file() {
            meter.file(0)?;
            let relative = path.strip_prefix(root).unwrap_or(&path).to_owned();
            visit_metered(meter, &relative, &mut File::open(&path)?, visit)?;
        }
    }
    Ok(())
}

fn visit_metered(
    meter: &mut Meter<'_>,
    path: &Path,
    content: &mut dyn Read,
    visit: &mut dyn FnMut(&Path, &mut dyn Read) -> Result<()>,
) -> Result<()> {
    let mut counted = Counted { input: content, left: meter.limits.n_bytes - meter.n_bytes };
    let result = visit(path, &mut counted);
    meter.n_bytes = meter.limits.n_bytes - counted.left;
    result.map_err(|error| match error {
        // Reading failed within an archive: say in which file of which archive.
        Error::Io(error) if is_damage(&error) => {
            let file = meter.source.join(path);
            refusal(&file, 0, "intact content within the limits", error.to_string())
        }
        other => other,
    })
}

fn is_damage(error: &std::io::Error) -> bool {
    use std::io::ErrorKind::{InvalidData, InvalidInput, Other, UnexpectedEof};
    matches!(error.kind(), InvalidData | InvalidInput | UnexpectedEof | Other)
}

/// Counts what was unpacked so far.
struct Meter<'a> {
    source: &'a Path,
    limits: Limits,
    n_bytes: u64,
    n_files: usize,
}

impl<'a> Meter<'a> {
    fn new(source: &'a Path, limits: Limits) -> Self {
        Self { source, limits, n_bytes: 0, n_files: 0 }
    }

    fn file(&mut self, offset: u64) -> Result<()> {
        self.n_files += 1;
        if self.n_files > self.limits.n_files {
            let expected = format!("at most {} files", self.limits.n_files);
            return Err(refusal(self.source, offset, &expected, "more".to_owned()));
        }
        Ok(())
    }
}

/// Keeps the first error of reading.
struct Noted<'a> {
    input: &'a mut dyn Read,
    error: &'a mut Option<std::io::Error>,
}

impl Read for Noted<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        self.input.read(buffer).map_err(|error| {
            let (kind, message) = (error.kind(), error.to_string());
            if kind != std::io::ErrorKind::Interrupted {
                *self.error = Some(error);
            }
            std::io::Error::new(kind, message)
        })
    }
}

/// Fails once more bytes were read than are left.
struct Counted<R> {
    input: R,
    left: u64,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let n = self.input.read(buffer)?;
        let Some(left) = self.left.checked_sub(n as u64) else {
            self.left = 0;
            let message = "more bytes than the limit of what may be unpacked";
            return Err(std::io::Error::new(std::io::ErrorKind::InvalidData, message));
        };
        self.left = left;
        Ok(n)
    }
}

/// The path, without `.`, if it stays within the archive.
fn inside(name: &Path) -> Option<PathBuf> {
    let text = name.to_str()?;
    // Also where another system would see a separator, a drive or the end of a string.
    if text.contains(['\\', '\0', ':']) {
        return None;
    }
    let mut path = PathBuf::new();
    for component in name.components() {
        match component {
            Component::Normal(part) => path.push(part),
            Component::CurDir => {}
            Component::ParentDir | Component::RootDir | Component::Prefix(_) => return None,
        }
    }
    if path.as_os_str().is_empty() { None } else { Some(path) }
}

fn escape(source: &Path, offset: u64, name: &Path) -> Error {
    refusal(source, offset, "paths that stay within the archive", name.display().to_string())
}

fn refusal(source: &Path, offset: u64, expected: &str, found: String) -> Error {
    Error::Format { file: source.to_owned(), offset, expected: expected.to_owned(), found }
}

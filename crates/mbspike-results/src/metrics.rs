//! `metrics.jsonl`: one record a line, appended while a run goes on.

use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::path::Path;

use mbspike_files::RunningChecksum;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::record::Record;

/// The part of a `metrics.jsonl` that belongs to a checkpoint or to a run that is over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MetricsMark {
    /// Its length.
    pub bytes: u64,
    /// Its checksum, 16 hexadecimal digits.
    pub checksum: String,
}

impl MetricsMark {
    /// Of the first bytes of a file.
    fn of(bytes: &[u8]) -> Self {
        let mut checksum = RunningChecksum::new();
        checksum.update(bytes);
        Self { bytes: bytes.len() as u64, checksum: checksum.checksum().to_string() }
    }
}

/// What to do about a damaged `metrics.jsonl`.
const REMEDY: &str = "the run must be done again: remove its folder";

/// The records at the beginning of a `metrics.jsonl` which `mark` stands for; all without it.
///
/// Without a mark, the last line of a run that was killed may be cut short: without its line end it does
/// not count.
///
/// # Errors
/// If the file cannot be read, a line is not a record, or the marked part is not as it was written.
pub fn read_metrics(path: &Path, mark: Option<&MetricsMark>) -> Result<Vec<Record>> {
    let bytes = fs_err::read(path)?;
    let bytes = match mark {
        Some(mark) => marked(path, &bytes, mark)?,
        None => &bytes,
    };
    let complete =
        bytes.iter().rposition(|byte| *byte == b'\n').map_or(&bytes[..0], |end| &bytes[..end]);
    let lines = complete.split(|byte| *byte == b'\n').enumerate();
    lines
        .filter(|(_, line)| !line.is_empty())
        .map(|(i, line)| {
            let fail = |source| Error::Json { path: path.to_owned(), line: i + 1, source };
            serde_json::from_slice(line).map_err(fail)
        })
        .collect()
}

/// The part of a file's bytes that a mark stands for.
fn marked<'a>(path: &Path, bytes: &'a [u8], mark: &MetricsMark) -> Result<&'a [u8]> {
    let damaged =
        |message: String| Error::Damaged { path: path.to_owned(), message, remedy: REMEDY };
    let part = usize::try_from(mark.bytes).ok().and_then(|n| bytes.get(..n)).ok_or_else(|| {
        damaged(format!("{} bytes, but {} were written", bytes.len(), mark.bytes))
    })?;
    let found = MetricsMark::of(part).checksum;
    if found != mark.checksum {
        return Err(damaged(format!(
            "damaged or edited: its first {} bytes have the checksum {found}, not {}",
            mark.bytes, mark.checksum
        )));
    }
    Ok(part)
}

/// An open `metrics.jsonl`.
#[derive(Debug)]
pub struct MetricsLog {
    file: fs_err::File,
    position: u64,
    checksum: RunningChecksum,
    line: Vec<u8>,
}

impl MetricsLog {
    /// Opens `path`, or creates it, and drops everything after what `mark` stands for: what a run killed
    /// after its last checkpoint had written since. Without a mark that is everything.
    ///
    /// # Errors
    /// If the file cannot be opened, or the marked part is not as it was written; nothing is dropped then.
    pub fn open(path: &Path, mark: Option<&MetricsMark>) -> Result<Self> {
        let mut file = fs_err::OpenOptions::new()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .open(path)?;
        let mut checksum = RunningChecksum::new();
        let position = mark.map_or(0, |mark| mark.bytes);
        if let Some(mark) = mark {
            let mut bytes = Vec::new();
            file.read_to_end(&mut bytes)?;
            checksum.update(marked(path, &bytes, mark)?);
        }
        if file.metadata()?.len() > position {
            file.set_len(position)?;
        }
        file.seek(SeekFrom::Start(position))?;
        Ok(Self { file, position, checksum, line: Vec::new() })
    }

    /// As [`MetricsLog::open`] for a checkpoint before version 0.2, which knows only the length.
    ///
    /// # Errors
    /// If the file cannot be opened or is shorter.
    pub fn open_unmarked(path: &Path, length: u64) -> Result<Self> {
        if length == 0 {
            return Self::open(path, None);
        }
        let bytes = fs_err::read(path)?;
        let part = usize::try_from(length).ok().and_then(|n| bytes.get(..n));
        let part = part.ok_or_else(|| Error::Damaged {
            path: path.to_owned(),
            message: format!("{} bytes, but {length} were written", bytes.len()),
            remedy: REMEDY,
        })?;
        Self::open(path, Some(&MetricsMark::of(part)))
    }

    /// Appends a record.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn append(&mut self, record: &Record) -> Result<()> {
        self.line.clear();
        serde_json::to_writer(&mut self.line, record).map_err(std::io::Error::from)?;
        self.line.push(b'\n');
        self.file.write_all(&self.line)?;
        self.checksum.update(&self.line);
        self.position += self.line.len() as u64;
        Ok(())
    }

    /// Brings everything appended so far to the disk and returns what stands for it.
    ///
    /// # Errors
    /// If that fails.
    pub fn sync(&mut self) -> Result<MetricsMark> {
        self.file.sync_data()?;
        Ok(self.mark())
    }

    /// What stands for everything appended so far.
    pub fn mark(&self) -> MetricsMark {
        MetricsMark { bytes: self.position, checksum: self.checksum.checksum().to_string() }
    }
}

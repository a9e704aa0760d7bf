use std::io::{Read, Seek, SeekFrom};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use flate2::bufread::DeflateDecoder;
use fs_err::File;

use crate::dataset::class_balanced_prefix;
use crate::{Error, Events, Result, Split, aedat, atis, read_recording};

/// Labelled recordings of an event camera. They stay in their files until they are needed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventSet {
    /// Where each recording is.
    pub recordings: Vec<Recording>,
    /// The class of each recording.
    pub labels: Vec<u8>,
    /// Height and width of the sensor.
    pub sensor: [usize; 2],
    /// Which half of its dataset this is.
    pub split: Split,
}

impl EventSet {
    /// Number of recordings.
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// Whether there is no recording.
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }

    /// Reads recording `index`.
    pub fn read(&self, index: usize) -> Result<Events> {
        self.recordings[index].read(self.sensor)
    }

    pub(crate) fn subset(&self, n: usize) -> Self {
        let chosen = class_balanced_prefix(&self.labels, n);
        Self {
            recordings: chosen.iter().map(|&i| self.recordings[i].clone()).collect(),
            labels: chosen.iter().map(|&i| self.labels[i]).collect(),
            sensor: self.sensor,
            split: self.split,
        }
    }
}

/// Where a recording is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Recording {
    /// A file in any format that [`read_recording`] knows.
    File(PathBuf),
    /// A span of time of such a file.
    Span {
        /// The file, which many recordings may share.
        file: Arc<PathBuf>,
        /// Times in microseconds.
        times: Range<i64>,
    },
    /// A file of 40-bit address events (see [`crate::atis`]).
    AtisFile(PathBuf),
    /// The same within a zip archive.
    AtisZipEntry(ZipEntry),
    /// A span of time of an AEDAT 3.1 file (see [`crate::aedat`]).
    AedatSpan {
        /// The file, which many recordings share.
        file: Arc<PathBuf>,
        /// Times in microseconds.
        times: Range<i64>,
    },
}

impl Recording {
    /// The file that it is in.
    pub fn file(&self) -> &Path {
        match self {
            Self::File(file) | Self::AtisFile(file) => file,
            Self::AtisZipEntry(entry) => entry.archive(),
            Self::Span { file, .. } | Self::AedatSpan { file, .. } => file,
        }
    }

    /// Where in its file it is, and in which format; empty for a file of its own.
    pub(crate) fn place(&self) -> String {
        match self {
            Self::File(_) | Self::AtisFile(_) => String::new(),
            Self::Span { times, .. } => format!("span {times:?}"),
            Self::AtisZipEntry(entry) => format!("zip {}", entry.name()),
            Self::AedatSpan { times, .. } => format!("aedat {times:?}"),
        }
    }

    /// Reads the recording of a camera with `sensor` = height, width.
    pub fn read(&self, sensor: [usize; 2]) -> Result<Events> {
        match self {
            Self::File(file) => read_recording(file, Some(sensor)),
            Self::Span { file, times } => {
                Ok(read_recording(file, Some(sensor))?.between(times.clone()))
            }
            Self::AtisFile(file) => atis::parse(&read_bounded(file)?, sensor, file),
            Self::AtisZipEntry(entry) => {
                atis::parse(&entry.read(MAX_RECORDING_BYTES)?, sensor, &entry.path())
            }
            Self::AedatSpan { file, times } => aedat::read(file, sensor, times.clone()),
        }
    }
}

/// Recordings of N-MNIST have at most some 50 KB.
pub(crate) const MAX_RECORDING_BYTES: u64 = 1 << 26;
/// Deflate makes of a byte 1032 at most (RFC 1951: a match of 258 bytes takes two bits).
const MAX_DEFLATED: u64 = 1032;

pub(crate) fn read_bounded(file: &Path) -> Result<Vec<u8>> {
    let mut input = File::open(file)?;
    let n_bytes = input.metadata()?.len();
    if n_bytes > MAX_RECORDING_BYTES {
        return Err(Error::Format {
            file: file.to_owned(),
            offset: 0,
            expected: format!("a recording of at most {MAX_RECORDING_BYTES} bytes"),
            found: n_bytes.to_string(),
        });
    }
    let mut bytes = Vec::with_capacity(n_bytes as usize);
    input.read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// A file within a zip archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ZipEntry {
    archive: Arc<PathBuf>,
    name: String,
    /// Where its compressed bytes begin.
    start: u64,
    n_compressed: u64,
    n_bytes: u64,
    crc32: u32,
    is_deflated: bool,
}

impl ZipEntry {
    /// The files of an archive, in its order. Reads the directory only.
    pub(crate) fn all_of(archive: &Path) -> Result<Vec<Self>> {
        let refuse = |found: String| Error::Format {
            file: archive.to_owned(),
            offset: 0,
            expected: "a zip archive of recordings".to_owned(),
            found,
        };
        let shared = Arc::new(archive.to_owned());
        let mut zip = zip::ZipArchive::new(std::io::BufReader::new(File::open(archive)?))
            .map_err(|error| refuse(error.to_string()))?;
        let mut entries = Vec::new();
        for index in 0..zip.len() {
            let file = zip.by_index_raw(index).map_err(|error| refuse(error.to_string()))?;
            if file.is_dir() {
                continue;
            }
            let name = file.name().map_err(|error| refuse(error.to_string()))?.into_owned();
            let is_deflated = match file.compression() {
                zip::CompressionMethod::Stored => false,
                zip::CompressionMethod::DEFLATE => true,
                other => return Err(refuse(format!("{name} compressed by {other:?}"))),
            };
            let start = file.data_start().ok_or_else(|| refuse(format!("no data for {name}")))?;
            entries.push(Self {
                archive: Arc::clone(&shared),
                name,
                start,
                n_compressed: file.compressed_size(),
                n_bytes: file.size(),
                crc32: file.crc32(),
                is_deflated,
            });
        }
        Ok(entries)
    }

    /// The archive.
    pub fn archive(&self) -> &Path {
        &self.archive
    }

    /// Its name in the archive.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The archive's path with the name in it, for messages.
    pub fn path(&self) -> PathBuf {
        self.archive.join(&self.name)
    }

    /// The content, which must have the announced size and checksum. Memory is bounded by the
    /// announced size, and that by `n_bytes` and by what the compressed bytes can hold.
    pub fn read(&self, n_bytes: u64) -> Result<Vec<u8>> {
        let refuse = |expected: String, found: String| Error::Format {
            file: self.path(),
            offset: 0,
            expected,
            found,
        };
        if self.n_bytes > n_bytes {
            let expected = format!("content of at most {n_bytes} bytes");
            return Err(refuse(expected, format!("{} announced", self.n_bytes)));
        }
        let factor = if self.is_deflated { MAX_DEFLATED } else { 1 };
        if self.n_bytes > self.n_compressed.saturating_mul(factor) {
            let expected = format!("what {} bytes in the archive can hold", self.n_compressed);
            return Err(refuse(expected, format!("{} bytes announced", self.n_bytes)));
        }
        let mut archive = File::open(self.archive.as_path())?;
        archive.seek(SeekFrom::Start(self.start))?;
        let compressed = std::io::BufReader::new(archive.take(self.n_compressed));
        let mut bytes = Vec::new();
        let limit = self.n_bytes + 1;
        let result = if self.is_deflated {
            DeflateDecoder::new(compressed).take(limit).read_to_end(&mut bytes)
        } else {
            compressed.take(limit).read_to_end(&mut bytes)
        };
        if let Err(error) = result {
            return Err(refuse("intact compressed data".to_owned(), format!("damage ({error})")));
        }
        let mut crc = flate2::Crc::new();
        crc.update(&bytes);
        if bytes.len() as u64 != self.n_bytes || crc.sum() != self.crc32 {
            let expected = format!("{} bytes with CRC {:08x}", self.n_bytes, self.crc32);
            return Err(refuse(expected, format!("{} with {:08x}", bytes.len(), crc.sum())));
        }
        Ok(bytes)
    }
}

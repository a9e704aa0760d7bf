use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use flate2::bufread::DeflateDecoder;
use fs_err::File;

use crate::{Error, Result};

/// Deflate makes of a byte 1032 at most (RFC 1951: a match of 258 bytes takes two bits).
const MAX_DEFLATED: u64 = 1032;

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

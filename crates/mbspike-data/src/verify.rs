//! Which datasets are here, and whether their files are the published ones.

use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use flate2::bufread::MultiGzDecoder;
use fs_err::File;
use md5::{Digest, Md5};
use serde::Serialize;

use crate::catalog::{DatasetInfo, DatasetName};
use crate::locate::{find_files, search_folders};
use crate::{Error, Result};

/// A dataset and whether it is on this machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Listing {
    /// Its name, as in configs.
    pub name: DatasetName,
    /// What is known of it.
    #[serde(flatten)]
    pub info: &'static DatasetInfo,
    /// The folder it would be loaded from; `None` if it is missing or a part of the program.
    #[serde(serialize_with = "mbspike_files::serialize_optional_path")]
    pub folder: Option<PathBuf>,
    /// Whether it can be loaded.
    pub is_available: bool,
    /// Where it is searched.
    #[serde(serialize_with = "mbspike_files::serialize_paths")]
    pub searched: Vec<PathBuf>,
}

/// Every dataset the crate knows.
pub fn list() -> Vec<Listing> {
    let listing = |name: DatasetName| {
        let info = name.info();
        let is_embedded = info.files.is_empty();
        let found = if is_embedded { None } else { files(name, None).ok() };
        let folder = found.map(|(folder, _)| folder);
        let is_available = is_embedded || folder.is_some();
        let searched = search_folders(name, None);
        Listing { name, info, folder, is_available, searched }
    };
    DatasetName::ALL.into_iter().map(listing).collect()
}

/// What comparing a file with the published checksums says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// The published file, byte for byte.
    Published,
    /// Another compression of the published content.
    SameContent,
    /// Something else.
    Different,
    /// No checksum is published for this file.
    Unknown,
}

/// A file of a dataset with its checksums.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FileCheck {
    /// The file.
    #[serde(serialize_with = "mbspike_files::serialize_path")]
    pub file: PathBuf,
    /// Its size in bytes.
    pub n_bytes: u64,
    /// MD5 of the file.
    pub md5: String,
    /// MD5 of its decompressed content; the same if it is not compressed.
    pub content_md5: String,
    /// What they say.
    pub verdict: Verdict,
}

/// Compares the files of a dataset with the published checksums.
pub fn verify(name: DatasetName, path: Option<&Path>) -> Result<Vec<FileCheck>> {
    if name.info().files.is_empty() {
        return Ok(Vec::new());
    }
    let (_, files) = files(name, path)?;
    let check = |(file, info): (PathBuf, &crate::catalog::FileInfo)| {
        let (md5, n_bytes) = md5_of(BufReader::new(File::open(&file)?), &file)?;
        let mut input = BufReader::new(File::open(&file)?);
        let content_md5 = if input.fill_buf()?.starts_with(&[0x1f, 0x8b]) {
            md5_of(MultiGzDecoder::new(input), &file)?.0
        } else {
            md5.clone()
        };
        let verdict = match (info.published_md5, info.content_md5) {
            (None, None) => Verdict::Unknown,
            (Some(published), _) if published == md5 => Verdict::Published,
            (_, Some(content)) if content == content_md5 => Verdict::SameContent,
            _ => Verdict::Different,
        };
        Ok(FileCheck { file, n_bytes, md5, content_md5, verdict })
    };
    files.into_iter().zip(name.info().files).map(check).collect()
}

fn files(name: DatasetName, path: Option<&Path>) -> Result<(PathBuf, Vec<PathBuf>)> {
    let names: Vec<_> = name.info().files.iter().map(|file| file.name).collect();
    find_files(name, path, &names)
}

/// No file of a dataset has more content; what unpacks to more was made to do harm.
const MAX_BYTES: u64 = 1 << 34;

/// The MD5 of a stream in hexadecimal digits, and its length; `file` is its name in errors.
pub(crate) fn md5_of(mut input: impl Read, file: &Path) -> Result<(String, u64)> {
    let refuse = |offset: u64, expected: &str, found: String| Error::Format {
        file: file.to_owned(),
        offset,
        expected: expected.to_owned(),
        found,
    };
    let mut hasher = Md5::new();
    let mut buffer = vec![0; 1 << 16];
    let mut n_bytes = 0_u64;
    loop {
        let n = match input.read(&mut buffer) {
            Ok(0) => break,
            Ok(n) => n,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
            Err(error) => {
                return Err(refuse(n_bytes, "intact content", format!("damage ({error})")));
            }
        };
        hasher.update(&buffer[..n]);
        n_bytes += n as u64;
        if n_bytes > MAX_BYTES {
            return Err(refuse(n_bytes, "content of at most 16 GiB", "more".to_owned()));
        }
    }
    Ok((hex::encode(hasher.finalize()), n_bytes))
}

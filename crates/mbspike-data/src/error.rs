use std::path::PathBuf;

use thiserror::Error;

/// What reading, encoding and batching data can refuse.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum Error {
    /// A file could not be read or written; the message names it.
    #[error(transparent)]
    Io(#[from] std::io::Error),
    /// A file is not what it should be.
    #[error("{}: byte {offset}: expected {expected}, found {found}", file.display())]
    Format {
        /// The file, or a name for it.
        file: PathBuf,
        /// Where in the file; of a compressed file, where in its decompressed content.
        offset: u64,
        /// What should be there.
        expected: String,
        /// What is there.
        found: String,
    },
    /// A line of a text file is not what it should be.
    #[error("{}: line {line}: {message}", file.display())]
    Line {
        /// The file.
        file: PathBuf,
        /// The line, counted from 1.
        line: u64,
        /// What is wrong with it.
        message: String,
    },
    /// Two files that belong together disagree.
    #[error("{} and {} do not belong together: {message}", files[0].display(), files[1].display())]
    Mismatch {
        /// The files.
        files: [PathBuf; 2],
        /// How they disagree.
        message: String,
    },
    /// A dataset is not on this machine, or not all of it.
    #[error("{dataset}: no data in {}\n{hint}", list(searched))]
    NotFound {
        /// The dataset's name.
        dataset: String,
        /// Folders that were searched.
        searched: Vec<PathBuf>,
        /// What to put where.
        hint: String,
    },
    /// A folder holds a part of a dataset.
    #[error("{dataset}: {} holds a part of it but not {}", folder.display(), missing.join(", "))]
    Incomplete {
        /// The dataset's name.
        dataset: String,
        /// The folder.
        folder: PathBuf,
        /// Files that are not there.
        missing: Vec<String>,
    },
    /// A configuration value cannot be used.
    #[error("{key}: {message}")]
    Config {
        /// The key, as in the configuration file.
        key: String,
        /// What is wrong with its value.
        message: String,
    },
    /// A download failed or is not possible.
    #[error("{dataset} cannot be downloaded: {message}")]
    Download {
        /// The dataset's name.
        dataset: String,
        /// Why, and what to do instead.
        message: String,
    },
    /// The loader's thread ended without handing over its batch.
    #[error("the loader thread died: {0}")]
    Loader(String),
    /// A picture could not be encoded.
    #[error("writing a PNG picture")]
    Png(#[from] png::EncodingError),
    /// An encoding kernel refused its arguments.
    #[error(transparent)]
    Kernel(#[from] mbspike_core::Error),
    /// The tensor library's own error.
    #[error(transparent)]
    Tensor(#[from] candle_core::Error),
}

/// `Result` with this crate's [`enum@Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    pub(crate) fn config(key: &str, message: impl Into<String>) -> Self {
        Self::Config { key: key.to_owned(), message: message.into() }
    }
}

fn list(folders: &[PathBuf]) -> String {
    let folders: Vec<_> = folders.iter().map(|folder| folder.display().to_string()).collect();
    folders.join(", ")
}

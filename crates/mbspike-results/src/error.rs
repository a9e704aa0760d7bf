use std::path::PathBuf;

use mbspike_files::seal::SealError;

/// What reading or writing results can fail with.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file could not be read or written; the message names it.
    #[error(transparent)]
    Io(#[from] std::io::Error),
    /// A file does not hold what it should.
    #[error("{}:{line}: {source}", path.display())]
    Json {
        /// The file.
        path: PathBuf,
        /// The line, counted from 1.
        line: usize,
        /// What is wrong with it.
        source: serde_json::Error,
    },
    /// A file is not as it was written.
    #[error("{}: {message}; {remedy}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        message: String,
        /// What to do.
        remedy: &'static str,
    },
    /// A file is not TOML.
    #[error("{}: {message}", path.display())]
    Toml {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        message: String,
    },
    /// There is no run in the folder.
    #[error("{}: no run that is over (a folder with a summary.json)", .0.display())]
    NoRuns(PathBuf),
    /// Another process writes to the folder.
    #[error("{}: {holder} is writing to this folder", path.display())]
    Locked {
        /// The folder.
        path: PathBuf,
        /// Who: host, process and job; and until when, if it gives no sign of life.
        holder: String,
    },
    /// The right to write to a folder was lost: this process was taken for dead.
    #[error(
        "{}: another process has taken this folder over, as this one gave no sign of life for minutes; \
         nothing more is written here",
        .0.display()
    )]
    LockLost(PathBuf),
    /// The folder has no runs, finished or not.
    #[error("{}: no sweep and no run (a folder with a plan.json, or folders with a config.toml)", .0.display())]
    NoSweep(PathBuf),
    /// An estimate of energy was refused.
    #[error(transparent)]
    Energy(#[from] mbspike_energy::Error),
    /// No model can be computed with a table of hardware.
    #[error(
        "`{0}` has the numbers of no estimate: arithmetic.fp32_add_pj and fp32_mult_pj, or arithmetic.int32_* and memory.sram_*, or spiking.synaptic_event_pj"
    )]
    NoEstimate(String),
    /// The table could not be written as CSV.
    #[error("{}", path.display())]
    Csv {
        /// The file.
        path: PathBuf,
        /// What went wrong.
        source: csv::Error,
    },
    /// The table could not be written as Parquet.
    #[error("{}", path.display())]
    Parquet {
        /// The file.
        path: PathBuf,
        /// What went wrong.
        source: parquet::errors::ParquetError,
    },
}

impl Error {
    /// Of a file with a seal.
    pub(crate) fn of_seal(path: PathBuf, error: SealError, remedy: &'static str) -> Self {
        match error {
            SealError::Json(source) => Self::Json { path, line: source.line(), source },
            error => Self::Damaged { path, message: error.to_string(), remedy },
        }
    }
}

/// `Result` with this crate's [`enum@Error`].
pub type Result<T> = std::result::Result<T, Error>;

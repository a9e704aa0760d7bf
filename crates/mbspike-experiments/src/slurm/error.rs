use std::path::PathBuf;

/// The folder of what was submitted, in a sweep's.
pub const FOLDER: &str = "slurm";

/// What submitting can fail with.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file could not be read or written; the message names it.
    #[error(transparent)]
    Io(#[from] std::io::Error),
    /// Settings say something that Slurm does not understand.
    #[error("{place}: {message}")]
    Settings {
        /// The file, or the command line.
        place: String,
        /// The key, and what is wrong with it.
        message: String,
    },
    /// The run folder could not be read or written.
    #[error(transparent)]
    Results(#[from] mbspike_results::Error),
    /// The sweep could not be planned.
    #[error(transparent)]
    Run(#[from] crate::error::Error),
    /// A command of Slurm is not there.
    #[error("cannot start `{program}`: {source}; is Slurm installed here, and in PATH?")]
    NoSlurm {
        /// The command.
        program: &'static str,
        /// What went wrong.
        source: std::io::Error,
    },
    /// A command of Slurm failed.
    #[error("`{program}` failed: {message}")]
    Refused {
        /// The command.
        program: &'static str,
        /// What it says.
        message: String,
    },
    /// A path cannot be written in a script.
    #[error("{}: its path has a line break or a quotation mark in it, which scripts of Slurm cannot have", .0.display())]
    Path(PathBuf),
    /// Nothing was submitted from a folder.
    #[error("{}: no sweep that was submitted; `mbspike slurm CONFIG --submit` does that", .0.display())]
    NotSubmitted(PathBuf),
}

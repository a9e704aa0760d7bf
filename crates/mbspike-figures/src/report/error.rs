use std::path::PathBuf;

/// What reporting can fail with.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// There is nothing to report on.
    #[error("{}: not a folder of runs (with a sweep.toml, or sub-folders with a summary.json), nor a folder of such", .0.display())]
    NoRuns(PathBuf),
    /// A file could not be read or written; the message names it.
    #[error(transparent)]
    Io(#[from] std::io::Error),
    /// A record could not be read.
    #[error(transparent)]
    Results(#[from] mbspike_results::Error),
    /// A figure could not be drawn.
    #[error(transparent)]
    Figure(#[from] crate::figure::Error),
    /// A config could not be written as TOML.
    #[error("a config cannot be written as TOML")]
    Write(#[from] toml::ser::Error),
    /// The numbers of a publication that a config names cannot be read.
    #[error(
        "the numbers of a publication that `reference` in the config of {} names; --reference names \
         others",
        .0.display()
    )]
    Reference(PathBuf, #[source] mbspike_results::Error),
}

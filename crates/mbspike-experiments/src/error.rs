use std::path::PathBuf;

use crate::checkpoint;

/// What running can fail with.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file could not be read or written; the message names it.
    #[error(transparent)]
    Io(#[from] std::io::Error),
    /// A config could not be read.
    #[error(transparent)]
    Config(#[from] crate::sweep::Error),
    /// A config could not be written as TOML.
    #[error("a config cannot be written as TOML")]
    Write(#[from] toml::ser::Error),
    /// The device to compute on is not there, or a kernel refused something.
    #[error(transparent)]
    Device(#[from] mbspike_core::Error),
    /// Data could not be loaded.
    #[error(transparent)]
    Data(#[from] mbspike_data::Error),
    /// The network refused something.
    #[error(transparent)]
    Network(#[from] mbspike_lif::Error),
    /// The tensor library's own error.
    #[error(transparent)]
    Tensor(#[from] candle_core::Error),
    /// A checkpoint could not be saved or loaded.
    #[error(transparent)]
    Checkpoint(#[from] checkpoint::Error),
    /// Results could not be read or written.
    #[error(transparent)]
    Results(#[from] mbspike_results::Error),
    /// Threads could not be started.
    #[error("cannot start the threads of a run")]
    Threads(#[from] rayon::ThreadPoolBuildError),
    /// A folder's config is not the one that its run was started with.
    #[error(
        "{}: damaged or edited: a key that decides results is not what the run was started with; run.json \
         beside it says which run it is",
        .0.display()
    )]
    EditedConfig(PathBuf),
    /// A network's numbers are not finite.
    #[error("{}: {what} is {value}: the weights are damaged, or the run diverged before they were saved", path.display())]
    NotFinite {
        /// The file with the weights.
        path: PathBuf,
        /// What is not finite.
        what: &'static str,
        /// Its value.
        value: f64,
    },
    /// A folder holds results of another config.
    #[error(
        "{}: written by another config: `{key}` is {there} there, but {here} here; choose another \
         name or another folder (--out)",
        path.display()
    )]
    OtherConfig {
        /// The config in the folder.
        path: PathBuf,
        /// The first key that differs.
        key: String,
        /// Its value in the folder.
        there: String,
        /// Its value now.
        here: String,
    },
    /// A run is asked for that the sweep in a folder does not have.
    #[error(
        "{}: its plan has no run `{run}` for this config and device; `mbspike status` lists the names",
        folder.display()
    )]
    NotPlanned {
        /// The sweep's folder.
        folder: PathBuf,
        /// The name asked for.
        run: String,
    },
    /// A folder holds a run that was interrupted.
    #[error("{}: holds a run that was interrupted; go on with --resume, or remove it", .0.display())]
    Interrupted(PathBuf),
    /// A run is to go on on another kind of device than it was begun on.
    #[error(
        "{}: was begun on {there} and cannot go on on {here}, which computes other bits; go on with \
         --device {there}, or without --resume begin it again on {here}, beside it",
        run.display()
    )]
    OtherDevice {
        /// The run's folder.
        run: PathBuf,
        /// The kind of device it was begun on.
        there: String,
        /// The kind of device asked for.
        here: &'static str,
    },
}

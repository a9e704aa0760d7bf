use std::path::PathBuf;

use crate::checkpoint;

/// What exchanging weights can fail with.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file could not be read or written; the message names it.
    #[error(transparent)]
    Io(#[from] std::io::Error),
    /// A config could not be read.
    #[error(transparent)]
    Config(#[from] crate::sweep::Error),
    /// A run's folder could not be read.
    #[error(transparent)]
    Run(Box<crate::Error>),
    /// A config could not be written as TOML.
    #[error("a config cannot be written as TOML")]
    Write(#[from] toml::ser::Error),
    /// A network refused something.
    #[error(transparent)]
    Network(#[from] mbspike_lif::Error),
    /// The device to compute on is not there.
    #[error(transparent)]
    Device(#[from] mbspike_core::Error),
    /// A checkpoint could not be saved or loaded.
    #[error(transparent)]
    Checkpoint(#[from] checkpoint::Error),
    /// The tensor library's own error.
    #[error(transparent)]
    Tensor(#[from] candle_core::Error),
    /// A file of tensors is damaged or of another format.
    #[error("{}: {message}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        message: String,
    },
    /// The config is a sweep.
    #[error("{}: it describes {n} runs; give one with `--set`, or take out [sweep]", path.display())]
    Several {
        /// The config.
        path: PathBuf,
        /// The runs it describes.
        n: usize,
    },
    /// Tensors do not fit a network.
    #[error("the weights do not fit the config's network: {0}")]
    Place(String),
    /// A folder already holds something.
    #[error("{}: the folder is not empty; choose another --out", .0.display())]
    NotEmpty(PathBuf),
}

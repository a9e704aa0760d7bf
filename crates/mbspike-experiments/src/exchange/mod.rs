//! Weights and runs in and out: what other programs trained becomes a run, and a run becomes what
//! they read.

mod error;
mod lava;
mod place;
mod tensors;

use std::path::Path;

use mbspike_core::DeviceName;
use mbspike_lif::Network;

use crate::checkpoint::{self, CHECKPOINT_FILE};
use crate::config::Config;
use crate::folder;
use crate::run::CONFIG_FILE;
use crate::sweep::Sweep;

pub use error::Error;
pub use lava::{LavaFile, MODEL_FILE, why_not_net, write_lava};
pub use place::{Placed, Placement, place};
pub use tensors::{NamedTensor, read_tensors, write_tensors};

/// The config of one run, from a config file with `settings` as of `--set`.
///
/// # Errors
/// If it cannot be read, or describes several runs.
pub fn read_config(path: &Path, settings: &[String]) -> Result<Config, Error> {
    one(path, Sweep::read(path, settings)?)
}

/// The config of one run from its text; `path` is used in messages only.
///
/// # Errors
/// As [`read_config`].
pub fn parse_config(path: &Path, text: &str, settings: &[String]) -> Result<Config, Error> {
    one(path, Sweep::parse(path, text, settings)?)
}

fn one(path: &Path, mut sweep: Sweep) -> Result<Config, Error> {
    match (sweep.points.pop(), sweep.points.len()) {
        (Some(point), 0) => Ok(point.config),
        (_, n) => Err(Error::Several { path: path.to_owned(), n: n + 1 }),
    }
}

/// The network of the run in `folder`, with its weights, on the CPU; `settings` change its config.
///
/// # Errors
/// If there is no config or checkpoint in the folder, or they do not fit each other.
pub fn open_run(folder: &Path, settings: &[String]) -> Result<(Config, Network), Error> {
    let point = folder::read_point(folder, settings).map_err(|error| Error::Run(error.into()))?;
    let config = point.config;
    let network = new_network(&config)?;
    checkpoint::load_weights(&folder.join(CHECKPOINT_FILE), &network)?;
    Ok((config, network))
}

/// The network of a config on the CPU, with the weights that training would start from.
///
/// # Errors
/// If the network refuses its settings.
pub fn new_network(config: &Config) -> Result<Network, Error> {
    Ok(Network::new(&config.network_config(), config.seed, &DeviceName::Cpu.open()?)?)
}

/// Makes `folder` a run: its config and its checkpoint, which `eval`, `quantize`, `energy` and
/// `export` read.
///
/// # Errors
/// If the folder holds something already, the config cannot be read back, or a file cannot be
/// written.
pub fn write_run(folder: &Path, config: &Config, network: &Network) -> Result<(), Error> {
    let text = config.to_toml()?;
    let path = folder.join(CONFIG_FILE);
    parse_config(&path, &text, &[])?;
    fs_err::create_dir_all(folder)?;
    if fs_err::read_dir(folder)?.next().is_some() {
        return Err(Error::NotEmpty(folder.to_owned()));
    }
    mbspike_files::write(&path, |file| file.write_all(text.as_bytes()))?;
    checkpoint::save_weights(folder, network)?;
    Ok(())
}

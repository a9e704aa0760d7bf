//! From the text of a config to what it means.

use std::path::Path;

use super::document::Node;
use super::origin::ConfigError;
use super::settings::Config;
use super::{de, validate, wire};
use crate::machine::Machine;

/// Reads a TOML file of another kind, with the same kind of errors.
pub(crate) fn read_table<T: serde::de::DeserializeOwned>(
    path: &Path,
    text: &str,
) -> Result<T, ConfigError> {
    de::read(&Node::parse(path, text)?)
}

/// Reads the config of one run, without a sweep, and refuses what cannot run on `machine`.
pub(crate) fn read(root: &Node, machine: &Machine) -> Result<Config, ConfigError> {
    let config = de::read::<wire::Config>(root)?.resolve(root)?;
    validate::validate(&config, root, machine)?;
    Ok(config)
}

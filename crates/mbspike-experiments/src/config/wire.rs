//! The config as it is written: optional keys, short forms, presets. No type here uses serde's
//! `flatten` or tagged enums, which would take the places from the errors.

mod network;
mod neuron;
mod only;
mod train;

use mbspike_data::{DatasetConfig, EncoderConfig};
use serde::Deserialize;

use network::Network;
use neuron::Neuron;
use train::Train;

use super::document::Node;
use super::origin::ConfigError;
use super::settings::{self, TargetConfig};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Config {
    name: String,
    seed: u64,
    dataset: DatasetConfig,
    encoder: EncoderConfig,
    network: Network,
    neuron: Neuron,
    train: Train,
    target: Option<Target>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Target {
    accuracy: f64,
}

impl Config {
    /// Fills in the defaults and turns names into what they stand for.
    pub(super) fn resolve(self, root: &Node) -> Result<settings::Config, ConfigError> {
        Ok(settings::Config {
            name: self.name,
            seed: self.seed,
            dataset: self.dataset,
            encoder: self.encoder,
            network: self.network.resolve(root)?,
            neuron: self.neuron.resolve(root)?,
            train: self.train.resolve(root)?,
            target: self.target.map(|target| TargetConfig { accuracy: target.accuracy }),
        })
    }
}

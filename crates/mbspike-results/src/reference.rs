//! Numbers of a publication to set beside those of runs, with their sources, from a TOML file.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;

use crate::error::{Error, Result};

/// The numbers of a publication.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reference {
    /// What it is called in a sentence: `the thesis`.
    pub name: String,
    /// What of its experiments all numbers have in common, such as the target.
    #[serde(default)]
    pub note: String,
    #[serde(default)]
    number: Vec<Number>,
    #[serde(default)]
    experiment: Vec<Experiment>,
}

/// A number in the text.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Number {
    /// What it is of.
    pub quantity: Quantity,
    /// The datasets it is said of, by their names in configs.
    pub datasets: Vec<String>,
    /// The bit widths it is said of; all without it.
    #[serde(default)]
    pub bits: Vec<u32>,
    /// The number as it is printed.
    pub printed: String,
    /// Section, figure.
    pub source: String,
}

/// What a number is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Quantity {
    /// Iterations to the target training accuracy, relative to 1 bit.
    RelativeIterationsToTarget,
    /// Epochs to the target test accuracy, relative to 1 bit.
    RelativeEpochsToTarget,
    /// Eq. 5.1, relative to 1 bit.
    RelativeTrainingEnergy,
    /// Epochs to the target test accuracy.
    EpochsToTarget,
    /// Share of the input that is not zero.
    InputNonzeroRate,
}

/// How an experiment was launched, and which figures show it.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Experiment {
    /// The name of the config that repeats it.
    pub name: String,
    /// Where it is described.
    pub source: String,
    /// Its bit widths, in words.
    pub bits: String,
    /// How often each point was repeated.
    pub repeats: u32,
    /// Its time steps, in words; `None` where it is not said.
    pub time_steps: Option<String>,
    /// Its epochs.
    pub epochs: Option<u32>,
    /// Its learning rate.
    pub lr: Option<f64>,
    /// Names of our figures to numbers of the publication's.
    pub figures: BTreeMap<String, String>,
}

impl Number {
    /// The bit widths it is said of, in words.
    pub fn of_bits(&self) -> String {
        match self.bits[..] {
            [] => "all bits".to_owned(),
            [bits] => format!("{bits} bits"),
            [first, .., last] => format!("{first} to {last} bits"),
        }
    }
}

impl Reference {
    /// Reads a file of numbers.
    ///
    /// # Errors
    /// If it cannot be read or has an unknown key.
    pub fn read(path: &Path) -> Result<Self> {
        let text = mbspike_files::read_text(path)?;
        toml::from_str(&text).map_err(|error| Error::Toml {
            path: path.to_owned(),
            message: error.to_string().trim_end().to_owned(),
        })
    }

    /// The numbers that are said of a dataset.
    pub fn numbers_of(&self, dataset: &str) -> impl Iterator<Item = &Number> {
        self.number.iter().filter(move |number| number.datasets.iter().any(|d| d == dataset))
    }

    /// The experiment of that name.
    pub fn experiment(&self, name: &str) -> Option<&Experiment> {
        self.experiment.iter().find(|experiment| experiment.name == name)
    }
}

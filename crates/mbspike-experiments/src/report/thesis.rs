//! What the thesis gives in numbers, as data with their sources.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use serde::Deserialize;

/// All of it.
pub(super) static THESIS: LazyLock<Thesis> = LazyLock::new(|| {
    toml::from_str(include_str!("../../data/thesis.toml")).expect("a test reads the same text")
});

/// The numbers of the thesis.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Thesis {
    pub number: Vec<Number>,
    pub experiment: Vec<Experiment>,
}

/// A number in the text.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Number {
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
pub(super) enum Quantity {
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
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Experiment {
    /// The name of the config that repeats it.
    pub name: String,
    /// Where it is described.
    pub source: String,
    pub bits: String,
    pub repeats: u32,
    pub time_steps: Option<String>,
    pub epochs: Option<u32>,
    pub lr: Option<f64>,
    /// Names of our figures to numbers of the thesis's.
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

impl Thesis {
    /// The numbers that are said of a dataset.
    pub fn numbers_of(&self, dataset: &str) -> impl Iterator<Item = &Number> {
        self.number.iter().filter(move |number| number.datasets.iter().any(|d| d == dataset))
    }

    /// The experiment of that name.
    pub fn experiment(&self, name: &str) -> Option<&Experiment> {
        self.experiment.iter().find(|experiment| experiment.name == name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_numbers_are_read_and_every_dataset_is_one() {
        for number in &THESIS.number {
            for dataset in &number.datasets {
                assert!(dataset.parse::<mbspike_data::catalog::DatasetName>().is_ok(), "{dataset}");
            }
        }
        let fashion: Vec<_> = THESIS.numbers_of("fashion-mnist").collect();
        assert_eq!(fashion[0].printed, "50.00 ± 10.84 %");
        assert_eq!(fashion[0].quantity, Quantity::RelativeIterationsToTarget);
        assert_eq!(THESIS.experiment("accuracy-cifar10").unwrap().repeats, 5);
    }

    #[test]
    fn every_experiment_is_a_config_with_its_settings() {
        let configs = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../configs/thesis");
        for experiment in &THESIS.experiment {
            let path = configs.join(format!("{}.toml", experiment.name));
            let sweep = crate::sweep::Sweep::read(&path, &[]).unwrap();
            let config = &sweep.points[0].config;
            assert_eq!(sweep.name, experiment.name);
            assert_eq!(experiment.epochs.unwrap_or(config.train.epochs), config.train.epochs);
            let lr = config.train.optimizer.lr();
            assert_eq!(experiment.lr.unwrap_or(lr), lr, "{}", experiment.name);
            let repeats = sweep.points.iter().map(|point| point.repeat).max();
            assert_eq!(repeats, Some(experiment.repeats), "{}", experiment.name);
        }
    }
}

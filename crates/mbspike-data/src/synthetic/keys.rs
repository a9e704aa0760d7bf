//! The keys of synthetic tasks in a config.

use super::task::SyntheticTask;
use crate::{DatasetConfig, Error, Result};

/// The shortest sequences: tenths and thirds of them must differ.
const MIN_STEPS: usize = 10;
const MAX_STEPS: usize = 1 << 14;
const MAX_SAMPLES: usize = 1 << 20;

impl DatasetConfig {
    /// Refuses what no sample can be made of.
    pub(crate) fn validate_synthetic(&self, task: SyntheticTask) -> Result<()> {
        let refuse =
            |key: &str, message: String| Err(Error::config(&format!("dataset.{key}"), message));
        for key in self.own_keys() {
            if !["length", "seed", "noise"].contains(&key) {
                return refuse(key, format!("is of no use to \"{}\"", task.as_str()));
            }
        }
        if self.path.is_some() {
            return refuse(
                "path",
                format!("is of no use to \"{}\", which has no files", task.as_str()),
            );
        }
        for (key, size) in [("train_size", self.train_size), ("test_size", self.test_size)] {
            match size {
                None => {
                    return refuse(
                        key,
                        format!("is missing: how many samples of \"{}\" to make", task.as_str()),
                    );
                }
                Some(n) if !(task.n_patterns()..=MAX_SAMPLES).contains(&n) => {
                    return refuse(
                        key,
                        format!("must be in {}..={MAX_SAMPLES}: {n}", task.n_patterns()),
                    );
                }
                Some(_) => {}
            }
        }
        match self.length {
            None => return refuse("length", "is missing: the steps of a sequence".to_owned()),
            Some(n) if !(MIN_STEPS..=MAX_STEPS).contains(&n) => {
                return refuse("length", format!("must be in {MIN_STEPS}..={MAX_STEPS}: {n}"));
            }
            Some(_) => {}
        }
        match self.noise {
            Some(noise) if !(0.0..1.0).contains(&noise) => {
                refuse("noise", format!("must be at least 0 and below 1: {noise}"))
            }
            _ => Ok(()),
        }
    }
}

//! The keys of own data in a config.

use super::kind::OwnKind;
use crate::{DatasetConfig, Error, Result};

impl DatasetConfig {
    /// The keys of own data that are set.
    pub(crate) fn own_keys(&self) -> Vec<&'static str> {
        let all = [
            ("test_path", self.test_path.is_some()),
            ("test_fraction", self.test_fraction.is_some()),
            ("folds", self.folds.is_some()),
            ("fold", self.fold.is_some()),
            ("split_seed", self.split_seed.is_some()),
            ("allow_shared", self.allow_shared.is_some()),
            ("class_names", self.class_names.is_some()),
            ("size", self.size.is_some()),
            ("grey", self.grey.is_some()),
            ("samples", self.samples.is_some()),
            ("labels", self.labels.is_some()),
            ("test_samples", self.test_samples.is_some()),
            ("test_labels", self.test_labels.is_some()),
            ("first_label", self.first_label.is_some()),
            ("transpose", self.transpose.is_some()),
            ("sensor", self.sensor.is_some()),
            ("table", self.table.is_some()),
            ("length", self.length.is_some()),
            ("seed", self.seed.is_some()),
            ("noise", self.noise.is_some()),
        ];
        all.into_iter().filter(|(_, is_set)| *is_set).map(|(key, _)| key).collect()
    }

    /// Refuses values that cannot be used, and keys that mean nothing to `kind`.
    pub(crate) fn validate_own(&self, kind: OwnKind) -> Result<()> {
        const COMMON: [&str; 7] = [
            "test_path",
            "test_fraction",
            "folds",
            "fold",
            "split_seed",
            "allow_shared",
            "class_names",
        ];
        for key in self.own_keys() {
            if !COMMON.contains(&key) && !kind.keys().contains(&key) {
                let message = format!("is of no use to \"{}\"", kind.as_str());
                return Err(Error::config(&format!("dataset.{key}"), message));
            }
        }
        self.validate_split()?;
        if self.length == Some(0) {
            return Err(Error::config("dataset.length", "must be at least 1: 0"));
        }
        if self.size.is_some_and(|size| size.iter().any(|n| !(1..=1 << 14).contains(n))) {
            return Err(Error::config("dataset.size", "must be rows and columns in 1..=16384"));
        }
        if let Some(sensor) = self.sensor {
            crate::events::check_sensor(sensor).map_err(|error| match error {
                Error::Config { message, .. } => Error::config("dataset.sensor", message),
                other => other,
            })?;
        }
        Ok(())
    }
}

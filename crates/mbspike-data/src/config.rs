use std::path::PathBuf;

use serde::de::Visitor;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::catalog::DatasetName;
use crate::synthetic::SyntheticTask;
use crate::{Error, OwnKind, Result};

/// Where samples come from: a published dataset, a user's own data or a rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SourceName {
    /// A dataset of the catalog.
    Published(DatasetName),
    /// Own data.
    Own(OwnKind),
    /// A synthetic task.
    Synthetic(SyntheticTask),
}

impl SourceName {
    /// The name, as in configs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Published(name) => name.as_str(),
            Self::Own(kind) => kind.as_str(),
            Self::Synthetic(task) => task.as_str(),
        }
    }

    fn all() -> impl Iterator<Item = Self> {
        let published = DatasetName::ALL.into_iter().map(Self::Published);
        let own = OwnKind::ALL.into_iter().map(Self::Own);
        published.chain(own).chain(SyntheticTask::ALL.into_iter().map(Self::Synthetic))
    }
}

impl std::fmt::Display for SourceName {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

impl From<DatasetName> for SourceName {
    fn from(name: DatasetName) -> Self {
        Self::Published(name)
    }
}

impl From<OwnKind> for SourceName {
    fn from(kind: OwnKind) -> Self {
        Self::Own(kind)
    }
}

impl From<SyntheticTask> for SourceName {
    fn from(task: SyntheticTask) -> Self {
        Self::Synthetic(task)
    }
}

impl PartialEq<DatasetName> for SourceName {
    fn eq(&self, name: &DatasetName) -> bool {
        *self == Self::Published(*name)
    }
}

impl Serialize for SourceName {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

/// The names, for errors of serde, which wants them to live for ever.
const SOURCE_NAMES: [&str; 17] = [
    "mnist",
    "fashion-mnist",
    "fashion-mnist-subset",
    "cifar10",
    "nmnist",
    "dvs-gesture",
    "image-folder",
    "arrays",
    "idx",
    "events-folder",
    "spikes-hdf5",
    "csv",
    "ts",
    "arff",
    "delayed-xor",
    "temporal-order",
    "store-recall",
];

impl<'de> Deserialize<'de> for SourceName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Name;
        impl Visitor<'_> for Name {
            type Value = SourceName;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("the name of a dataset, of a kind of own data or of a synthetic task")
            }

            fn visit_str<E: serde::de::Error>(self, name: &str) -> Result<SourceName, E> {
                SourceName::all()
                    .find(|known| known.as_str() == name)
                    .ok_or_else(|| E::unknown_variant(name, &SOURCE_NAMES))
            }
        }
        deserializer.deserialize_str(Name)
    }
}

/// The `[dataset]` part of a config.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DatasetConfig {
    /// Which dataset, or what own data are made of.
    pub name: SourceName,
    /// The folder (of own data: or file) that holds it; without it the user's data folder and the
    /// system's are searched (see [`crate::locate::search_folders`]).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<PathBuf>,
    /// Train on a class-balanced part of this many samples; on all without it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub train_size: Option<usize>,
    /// Test on a class-balanced part of this many samples; on all without it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub test_size: Option<usize>,
    /// Where event frames are kept between runs.
    #[serde(default, skip_serializing_if = "FrameCachePlace::is_off")]
    pub frame_cache: FrameCachePlace,
    /// Own data: the folder or file of the test set; without it the test set is taken from `path`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub test_path: Option<PathBuf>,
    /// The share of the samples of each class that is the test set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub test_fraction: Option<f64>,
    /// The number of folds; one of them is the test set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub folds: Option<usize>,
    /// Which fold is the test set, from 0 on; a key to sweep over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fold: Option<usize>,
    /// Seed of the choice of test samples, by fraction and by fold; 0 without it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub split_seed: Option<u64>,
    /// Keep samples that are in both sets, instead of refusing them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allow_shared: Option<bool>,
    /// Names of the classes, in the order of the labels.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub class_names: Option<Vec<String>>,
    /// `image-folder`: height and width that pictures are resized to; needed where they differ.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<[usize; 2]>,
    /// `image-folder`: one channel of grey instead of three of colour.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grey: Option<bool>,
    /// `arrays`: the name of the array of samples (or a file, of `.npy`); `idx`: the file of images.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub samples: Option<String>,
    /// The array, file or (`csv`) column of labels.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub labels: Option<String>,
    /// `arrays`, `idx`: the same for the test set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub test_samples: Option<String>,
    /// `arrays`, `idx`: the same for the test set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub test_labels: Option<String>,
    /// `arrays`, `idx`: the label of the first class; 0 without it, 1 for EMNIST's letters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_label: Option<i64>,
    /// `idx`: exchange rows and columns, as EMNIST needs it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub transpose: Option<bool>,
    /// `events-folder`: height and width of the sensor, where the recordings do not tell them;
    /// `spikes-hdf5`: 1 and the number of lines, 700 without it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sensor: Option<[usize; 2]>,
    /// `events-folder`: a table in `path` with the columns file, label and, for parts of recordings,
    /// `start_us` and `end_us`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub table: Option<String>,
    /// Time series: cut or padded with zeros to so many steps; the longest's without it. Synthetic
    /// tasks: the steps of a sequence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub length: Option<usize>,
    /// Synthetic tasks: the seed of the samples; 0 without it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seed: Option<u64>,
    /// Synthetic tasks: the probability that a silent line fires in a step between the bits; 0 without it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub noise: Option<f32>,
}

/// Where event frames are kept, so that recordings are integrated once and not in every epoch:
/// `false`, `true` (the folder `mbspike/frames` of the user's cache folder) or a folder.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum FrameCachePlace {
    /// Nowhere.
    #[default]
    Off,
    /// In the user's cache folder.
    User,
    /// In this folder.
    Folder(PathBuf),
}

impl FrameCachePlace {
    fn is_off(&self) -> bool {
        *self == Self::Off
    }

    /// The folder; `None` if frames are not kept.
    ///
    /// # Errors
    /// If the user has no cache folder.
    pub fn folder(&self) -> Result<Option<PathBuf>> {
        match self {
            Self::Off => Ok(None),
            Self::Folder(folder) => Ok(Some(folder.clone())),
            Self::User => {
                let message = "this user has no cache folder; name a folder instead of true";
                let folder = dirs::cache_dir()
                    .ok_or_else(|| Error::config("dataset.frame_cache", message))?;
                Ok(Some(folder.join("mbspike").join("frames")))
            }
        }
    }
}

impl Serialize for FrameCachePlace {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Off => serializer.serialize_bool(false),
            Self::User => serializer.serialize_bool(true),
            Self::Folder(folder) => folder.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for FrameCachePlace {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Place;
        impl Visitor<'_> for Place {
            type Value = FrameCachePlace;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("true, false or a folder")
            }

            fn visit_bool<E>(self, is_on: bool) -> Result<FrameCachePlace, E> {
                Ok(if is_on { FrameCachePlace::User } else { FrameCachePlace::Off })
            }

            fn visit_str<E: serde::de::Error>(self, folder: &str) -> Result<FrameCachePlace, E> {
                if folder.is_empty() {
                    return Err(E::invalid_value(serde::de::Unexpected::Str(folder), &self));
                }
                Ok(FrameCachePlace::Folder(folder.into()))
            }
        }
        deserializer.deserialize_any(Place)
    }
}

impl DatasetConfig {
    /// All of the dataset `name`, from wherever it is found.
    pub fn new(name: impl Into<SourceName>) -> Self {
        Self {
            name: name.into(),
            path: None,
            train_size: None,
            test_size: None,
            frame_cache: FrameCachePlace::Off,
            test_path: None,
            test_fraction: None,
            folds: None,
            fold: None,
            split_seed: None,
            allow_shared: None,
            class_names: None,
            size: None,
            grey: None,
            samples: None,
            labels: None,
            test_samples: None,
            test_labels: None,
            first_label: None,
            transpose: None,
            sensor: None,
            table: None,
            length: None,
            seed: None,
            noise: None,
        }
    }

    /// Refuses what cannot be loaded, before any file is touched.
    pub fn validate(&self) -> Result<()> {
        for (key, size) in
            [("dataset.train_size", self.train_size), ("dataset.test_size", self.test_size)]
        {
            if size == Some(0) {
                return Err(Error::config(key, "must be at least 1: 0"));
            }
        }
        self.frame_cache.folder()?;
        let name = match self.name {
            SourceName::Published(name) => name,
            SourceName::Own(kind) => {
                if self.path.is_none() {
                    let message =
                        format!("is missing: the folder or file of \"{}\"", kind.as_str());
                    return Err(Error::config("dataset.path", message));
                }
                return self.validate_own(kind);
            }
            SourceName::Synthetic(task) => return self.validate_synthetic(task),
        };
        if let Some(key) = self.own_keys().first() {
            let message = format!("is of no use to \"{name}\", whose parts are published");
            return Err(Error::config(&format!("dataset.{key}"), message));
        }
        let info = name.info();
        for (key, size, available) in [
            ("dataset.train_size", self.train_size, info.n_train),
            ("dataset.test_size", self.test_size, info.n_test),
        ] {
            if let Some(n) = size
                && n > available
            {
                let message = format!("{name} has only {available} samples: {n}");
                return Err(Error::config(key, message));
            }
        }
        if let Some(path) = &self.path {
            let fail = |message: &str| {
                Err(Error::config("dataset.path", format!("{message}: {}", path.display())))
            };
            if name.is_embedded() {
                return fail("is of no use to a dataset that is part of the program");
            }
            if path.as_os_str().is_empty() {
                return fail("must name a folder");
            }
        }
        if self.frame_cache != FrameCachePlace::Off && !name.is_events() {
            let message = format!("is of no use to {}, which has images, not events", self.name);
            return Err(Error::config("dataset.frame_cache", message));
        }
        if let Some(folder) = self.frame_cache.folder()?
            && folder.exists()
            && !folder.is_dir()
        {
            let message = format!("must be a folder: {}", folder.display());
            return Err(Error::config("dataset.frame_cache", message));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_source_is_found_by_its_name() {
        let names: Vec<&str> = SourceName::all().map(SourceName::as_str).collect();
        assert_eq!(names, SOURCE_NAMES);
        for name in names {
            let config: DatasetConfig = toml::from_str(&format!("name = \"{name}\"")).unwrap();
            assert_eq!(toml::to_string(&config).unwrap(), format!("name = \"{name}\"\n"));
        }
        assert!(toml::from_str::<DatasetConfig>("name = \"mnis\"").is_err());
    }

    #[test]
    fn keys_of_other_sources_are_refused() {
        let message = |text: &str| {
            let config: DatasetConfig = toml::from_str(text).unwrap();
            config.validate().unwrap_err().to_string()
        };
        let published = message("name = \"mnist\"\nfirst_label = 1");
        assert_eq!(
            published,
            "dataset.first_label: is of no use to \"mnist\", whose parts are published"
        );
        let own = message("name = \"ts\"\npath = \"p\"\ntranspose = true");
        assert_eq!(own, "dataset.transpose: is of no use to \"ts\"");
        assert!(message("name = \"idx\"").starts_with("dataset.path: is missing"));
        assert!(
            message("name = \"events-folder\"\npath = \"p\"\nsensor = [32768, 32768]")
                .starts_with("dataset.sensor: must have 1 to")
        );
    }
}

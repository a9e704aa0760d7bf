use std::path::PathBuf;

use serde::de::Visitor;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::catalog::DatasetName;
use crate::{Dataset, Error, Result, cifar10, dvs_gesture, mnist, nmnist};

/// The `[dataset]` part of a config.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DatasetConfig {
    /// Which dataset.
    pub name: DatasetName,
    /// The folder that holds it; without it the user's data folder and the system's are searched
    /// (see [`crate::locate::search_folders`]).
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
    pub fn new(name: DatasetName) -> Self {
        let frame_cache = FrameCachePlace::Off;
        Self { name, path: None, train_size: None, test_size: None, frame_cache }
    }

    /// Refuses what cannot be loaded, before any file is touched.
    pub fn validate(&self) -> Result<()> {
        let info = self.name.info();
        for (key, size, available) in [
            ("dataset.train_size", self.train_size, info.n_train),
            ("dataset.test_size", self.test_size, info.n_test),
        ] {
            match size {
                Some(0) => return Err(Error::config(key, "must be at least 1: 0")),
                Some(n) if n > available => {
                    let message = format!("{} has only {available} samples: {n}", self.name);
                    return Err(Error::config(key, message));
                }
                _ => {}
            }
        }
        if let Some(path) = &self.path {
            let fail = |message: &str| {
                Err(Error::config("dataset.path", format!("{message}: {}", path.display())))
            };
            if self.name.is_embedded() {
                return fail("is of no use to a dataset that is part of the program");
            }
            if path.as_os_str().is_empty() {
                return fail("must name a folder");
            }
        }
        if self.frame_cache != FrameCachePlace::Off && !self.name.is_events() {
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

/// Loads a dataset. Nothing stands in for a dataset that is missing: the embedded part of
/// Fashion-MNIST is used only under its own name, `fashion-mnist-subset`.
pub fn load(config: &DatasetConfig) -> Result<Dataset> {
    config.validate()?;
    let mut dataset = match config.name {
        DatasetName::Mnist | DatasetName::FashionMnist => {
            mnist::load(config.name, config.path.as_deref())?
        }
        DatasetName::FashionMnistSubset => mnist::load_embedded()?,
        DatasetName::Cifar10 => cifar10::load(config.path.as_deref())?,
        DatasetName::Nmnist => nmnist::load(config.path.as_deref())?,
        DatasetName::DvsGesture => dvs_gesture::load(config.path.as_deref())?,
    };
    for (key, size, set) in [
        ("dataset.train_size", config.train_size, &mut dataset.train),
        ("dataset.test_size", config.test_size, &mut dataset.test),
    ] {
        let Some(n) = size else { continue };
        if n > set.len() {
            let message = format!("there are only {} samples: {n}", set.len());
            return Err(Error::config(key, message));
        }
        *set = set.subset(n);
    }
    Ok(dataset)
}

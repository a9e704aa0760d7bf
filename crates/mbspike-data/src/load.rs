use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use crate::catalog::DatasetName;
use crate::config::{DatasetConfig, SourceName};
use crate::locate::data_folder;
use crate::synthetic::SyntheticTask;
use crate::{
    Dataset, EncoderConfig, Error, InputCode, Result, SampleKind, cifar10, dvs_gesture, mnist,
    nmnist, own, synthetic,
};

impl DatasetConfig {
    /// What the samples are, to be held against a network before anything is trained. Of own data the
    /// files are read, once for all folds.
    ///
    /// # Errors
    /// If the configuration is not valid, or own data cannot be read.
    pub fn describe(&self) -> Result<Description> {
        self.validate()?;
        let name = match self.name {
            SourceName::Published(name) => name,
            SourceName::Own(_) => return self.describe_own(),
            SourceName::Synthetic(task) => return Ok(self.describe_synthetic(task)),
        };
        let info = name.info();
        Ok(Description {
            kind: if name.is_events() { SampleKind::Events } else { SampleKind::Images },
            shape: info.shape,
            class_names: info.class_names.iter().map(|&name| name.to_owned()).collect(),
            n_train: info.n_train,
            n_test: info.n_test,
        })
    }

    /// What the numbers are that `encoder` makes of its samples.
    ///
    /// # Errors
    /// If own data cannot be read.
    pub fn input_code(&self, encoder: &EncoderConfig) -> Result<InputCode> {
        match self.name {
            SourceName::Published(_) => Ok(encoder.code()),
            SourceName::Own(_) | SourceName::Synthetic(_) => {
                Ok(encoder.code_of(self.describe()?.kind))
            }
        }
    }

    /// No sample has to be made for it.
    fn describe_synthetic(&self, task: SyntheticTask) -> Description {
        Description {
            kind: SampleKind::Sequences { n_steps: self.length.unwrap_or(1) },
            shape: [task.n_channels(), 1, 1],
            class_names: task.class_names().iter().map(|&name| name.to_owned()).collect(),
            n_train: self.train_size.unwrap_or(0),
            n_test: self.test_size.unwrap_or(0),
        }
    }

    /// The same with paths that are relative, and not there, looked for in the user's data folder.
    fn with_paths_found(&self) -> Self {
        let found = |path: &Option<PathBuf>| {
            let path = path.clone()?;
            let elsewhere = data_folder().map(|folder| folder.join(&path));
            match elsewhere {
                Some(other) if path.is_relative() && !path.exists() && other.exists() => {
                    Some(other)
                }
                _ => Some(path),
            }
        };
        Self { path: found(&self.path), test_path: found(&self.test_path), ..self.clone() }
    }

    fn describe_own(&self) -> Result<Description> {
        static KNOWN: Mutex<Vec<(DatasetConfig, Description)>> = Mutex::new(Vec::new());
        // Which fold is tested changes neither sizes nor classes.
        let key =
            Self { fold: self.fold.map(|_| 0), train_size: None, test_size: None, ..self.clone() };
        let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, description)) = known.iter().find(|(config, _)| *config == key) {
            return Ok(description.clone());
        }
        let dataset = load(&key)?;
        let (kind, shape) = (dataset.train.kind(), dataset.train.shape());
        let (n_train, n_test) = (dataset.train.len(), dataset.test.len());
        let class_names = dataset.class_names;
        let description = Description { kind, shape, class_names, n_train, n_test };
        known.push((key, description.clone()));
        Ok(description)
    }
}

/// What the samples of a dataset are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Description {
    /// Images, recordings or sequences.
    pub kind: SampleKind,
    /// Channels, height and width of a sample, before it is encoded.
    pub shape: [usize; 3],
    /// Names of the classes, in the order of the labels.
    pub class_names: Vec<String>,
    /// Samples to train on, as many as there are.
    pub n_train: usize,
    /// Samples to test on, as many as there are.
    pub n_test: usize,
}

impl Description {
    /// Whether samples are recordings of event cameras.
    pub fn is_events(&self) -> bool {
        self.kind == SampleKind::Events
    }
}

/// Loads a dataset. Nothing stands in for a dataset that is missing: the embedded part of
/// Fashion-MNIST is used only under its own name, `fashion-mnist-subset`.
pub fn load(config: &DatasetConfig) -> Result<Dataset> {
    config.validate()?;
    let path = config.path.as_deref();
    let mut dataset = match config.name {
        SourceName::Published(name @ (DatasetName::Mnist | DatasetName::FashionMnist)) => {
            mnist::load(name, path)?
        }
        SourceName::Published(DatasetName::FashionMnistSubset) => mnist::load_embedded()?,
        SourceName::Published(DatasetName::Cifar10) => cifar10::load(path)?,
        SourceName::Published(DatasetName::Nmnist) => nmnist::load(path)?,
        SourceName::Published(DatasetName::DvsGesture) => dvs_gesture::load(path)?,
        SourceName::Own(kind) => own::load(kind, &config.with_paths_found())?,
        SourceName::Synthetic(task) => return Ok(synthetic::make(task, config)),
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

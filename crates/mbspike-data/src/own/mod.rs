//! A user's own data: folders of images or recordings, arrays, idx files, tables of signals.
//!
//! A reader gives labelled samples; here they become a training and a test set: of files given for
//! each, of a share chosen by a seed, or of one fold of several. No sample is in both, by its content.

mod arrays;
mod events_folder;
mod idx;
mod image_folder;
mod series;
mod split;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::{
    ArraySet, Dataset, DatasetConfig, Error, EventSet, ImageSet, Recording, Result, SampleSet,
    Split,
};

pub use series::{Series, parse_arff, parse_ts};
use split::Parts;

/// What own data are made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum OwnKind {
    /// One folder a class, with pictures in it.
    ImageFolder,
    /// NumPy or safetensors arrays of images `[N, C, H, W]`, `[N, H, W]` or sequences `[N, T, C]`.
    Arrays,
    /// Files in the format of MNIST, such as EMNIST's and KMNIST's.
    Idx,
    /// One folder a class, with recordings of an event camera in it, or a table of them.
    EventsFolder,
    /// A table of time series, one row a time.
    Csv,
    /// Time series in the format of the UEA archive.
    Ts,
    /// Time series in Weka's format, as the UCR archive has them.
    Arff,
}

impl OwnKind {
    /// Every kind.
    pub const ALL: [Self; 7] = [
        Self::ImageFolder,
        Self::Arrays,
        Self::Idx,
        Self::EventsFolder,
        Self::Csv,
        Self::Ts,
        Self::Arff,
    ];

    /// The name, as in configs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ImageFolder => "image-folder",
            Self::Arrays => "arrays",
            Self::Idx => "idx",
            Self::EventsFolder => "events-folder",
            Self::Csv => "csv",
            Self::Ts => "ts",
            Self::Arff => "arff",
        }
    }

    /// The keys of [`DatasetConfig`] that mean something to it, besides those of the split.
    fn keys(self) -> &'static [&'static str] {
        match self {
            Self::ImageFolder => &["size", "grey"],
            Self::Arrays => &["samples", "labels", "test_samples", "test_labels", "first_label"],
            Self::Idx => {
                &["samples", "labels", "test_samples", "test_labels", "first_label", "transpose"]
            }
            Self::EventsFolder => &["sensor", "table"],
            Self::Csv => &["labels", "length"],
            Self::Ts | Self::Arff => &["length"],
        }
    }
}

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

/// Loads own data of `kind` from `path`.
pub(crate) fn load(kind: OwnKind, path: &Path, config: &DatasetConfig) -> Result<Dataset> {
    let parts = match kind {
        OwnKind::ImageFolder => image_folder::load(path, config)?,
        OwnKind::Arrays => arrays::load(path, config)?,
        OwnKind::Idx => idx::load(path, config)?,
        OwnKind::EventsFolder => events_folder::load(path, config)?,
        OwnKind::Csv | OwnKind::Ts | OwnKind::Arff => series::load(kind, path, config)?,
    };
    let (train, test, class_names) = parts.divide(config, path)?;
    let simulated = crate::simulate::is_simulated(path)?;
    Ok(Dataset {
        name: kind.as_str().to_owned(),
        train,
        test,
        class_names,
        source: path.display().to_string(),
        simulated,
    })
}

/// Samples of one kind, with what messages call them and the names of their classes.
#[derive(Debug, Clone)]
pub(crate) struct Labelled {
    pub(crate) samples: Samples,
    /// The class of each sample, by name.
    pub(crate) labels: Vec<String>,
    /// Where each sample is, for messages.
    pub(crate) places: Vec<String>,
}

/// What the samples are.
#[derive(Debug, Clone)]
pub(crate) enum Samples {
    /// `[N, C, H, W]`, 0 to 255.
    Images { shape: [usize; 3], pixels: Vec<u8> },
    /// `[N, T, C, H, W]`, with the number of steps that are not padding.
    Arrays { shape: [usize; 3], n_steps: usize, values: Vec<f32>, lengths: Vec<usize> },
    /// Recordings.
    Events { sensor: [usize; 2], recordings: Vec<Recording> },
}

impl Labelled {
    pub(crate) fn len(&self) -> usize {
        self.labels.len()
    }

    /// What decides whether two samples are one; `None` for samples without content, which are equal
    /// by nature.
    pub(crate) fn content(&self, index: usize) -> Result<Option<u128>> {
        use md5::{Digest, Md5};
        let digest = |bytes: &[u8]| u128::from_le_bytes(Md5::digest(bytes).into());
        Ok(match &self.samples {
            Samples::Images { shape, pixels } => {
                let n: usize = shape.iter().product();
                let image = &pixels[index * n..][..n];
                let is_blank = image.iter().all(|pixel| *pixel == image[0]);
                (!is_blank).then(|| digest(image))
            }
            Samples::Arrays { shape, n_steps, values, .. } => {
                let n = shape.iter().product::<usize>() * n_steps;
                let sample = &values[index * n..][..n];
                let is_blank = sample.iter().all(|value| *value == sample[0]);
                let bytes: Vec<u8> = sample.iter().flat_map(|value| value.to_le_bytes()).collect();
                (!is_blank).then(|| digest(&bytes))
            }
            Samples::Events { sensor, recordings } => {
                let events = recordings[index].read(*sensor)?;
                let mut bytes = Vec::with_capacity(events.len() * 13);
                let first = events.t_us.first().copied().unwrap_or(0);
                for i in 0..events.len() {
                    bytes.extend((events.t_us[i] - first).to_le_bytes());
                    bytes.extend(events.x[i].to_le_bytes());
                    bytes.extend(events.y[i].to_le_bytes());
                    bytes.push(events.on[i].into());
                }
                (!events.is_empty()).then(|| digest(&bytes))
            }
        })
    }

    /// The samples of `chosen`, with their labels as numbers.
    pub(crate) fn select(&self, chosen: &[usize], labels: &[u8], split: Split) -> SampleSet {
        let labels = chosen.iter().map(|&i| labels[i]).collect();
        match &self.samples {
            Samples::Images { shape, pixels } => {
                let n: usize = shape.iter().product();
                let images = chosen.iter().flat_map(|&i| &pixels[i * n..][..n]).copied().collect();
                SampleSet::Images(Arc::new(ImageSet { images, labels, shape: *shape, split }))
            }
            Samples::Arrays { shape, n_steps, values, lengths } => {
                let n = shape.iter().product::<usize>() * n_steps;
                SampleSet::Arrays(Arc::new(ArraySet {
                    values: chosen.iter().flat_map(|&i| &values[i * n..][..n]).copied().collect(),
                    lengths: chosen.iter().map(|&i| lengths[i]).collect(),
                    labels,
                    shape: *shape,
                    n_steps: *n_steps,
                    split,
                }))
            }
            Samples::Events { sensor, recordings } => SampleSet::Events(Arc::new(EventSet {
                recordings: chosen.iter().map(|&i| recordings[i].clone()).collect(),
                labels,
                sensor: *sensor,
                split,
            })),
        }
    }

    /// Refuses samples of another kind or size than `other`'s, which are of the same data.
    pub(crate) fn check_like(&self, other: &Self, files: [&Path; 2]) -> Result<()> {
        let described = |samples: &Samples| match samples {
            Samples::Images { shape, .. } => format!("images of {shape:?}"),
            Samples::Arrays { shape, n_steps, .. } => format!("{n_steps} steps of {shape:?}"),
            Samples::Events { sensor, .. } => format!("recordings of a sensor of {sensor:?}"),
        };
        let (a, b) = (described(&self.samples), described(&other.samples));
        if a == b {
            return Ok(());
        }
        let files = files.map(Path::to_path_buf);
        Err(Error::Mismatch { files, message: format!("{a}, {b}") })
    }
}

/// The names of the folders in `folder`, in order; hidden ones are left out.
fn folders_in(folder: &Path) -> Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs_err::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name();
        let name = name.to_str().ok_or_else(|| {
            let message = format!("{} is no Unicode name", entry.path().display());
            Error::config("dataset.path", message)
        })?;
        if entry.path().is_dir() && !name.starts_with('.') {
            names.push(name.to_owned());
        }
    }
    names.sort();
    Ok(names)
}

/// The folders of the training and the test set: `path` and `test_path`, or the two in `path` that
/// are called train and test; only the first, where it is to be divided.
fn two_folders(path: &Path, config: &DatasetConfig) -> Result<(PathBuf, Option<PathBuf>)> {
    if let Some(test) = &config.test_path {
        return Ok((path.to_owned(), Some(test.clone())));
    }
    let names = folders_in(path)?;
    let named = |wanted: &str| names.iter().find(|name| name.eq_ignore_ascii_case(wanted));
    match (named("train"), named("test")) {
        (Some(train), Some(test)) if names.len() == 2 && !config.is_divided() => {
            Ok((path.join(train), Some(path.join(test))))
        }
        _ => Ok((path.to_owned(), None)),
    }
}

//! Spikes of lines in HDF5, as the Spiking Heidelberg Digits and Spiking Speech Commands have them.

use std::path::Path;
use std::sync::Arc;

use super::labelled::{Labelled, Samples};
use super::split::Parts;
use crate::heidelberg::{N_LINES, SpikeFile};
use crate::{DatasetConfig, Error, Recording, Result};

/// The samples, and the names of the classes in the order of their numbers: those of the config, else those
/// that the file tells.
pub(super) fn load(path: &Path, config: &DatasetConfig) -> Result<(Parts, Option<Vec<String>>)> {
    let sensor = config.sensor.unwrap_or([1, N_LINES]);
    if sensor[0] != 1 {
        let message = format!("of lines must have one row: {sensor:?}");
        return Err(Error::config("dataset.sensor", message));
    }
    let (file, known) = SpikeFile::open(path)?;
    let names = config.class_names.clone().or(known.class_names);
    let train = labelled(file, &known.labels, names.as_deref(), sensor);
    let test = match &config.test_path {
        Some(path) => {
            let (file, known) = SpikeFile::open(path)?;
            Some((labelled(file, &known.labels, names.as_deref(), sensor), path.clone()))
        }
        None => None,
    };
    Ok((Parts { train, test }, names))
}

fn labelled(
    file: SpikeFile,
    labels: &[i64],
    names: Option<&[String]>,
    sensor: [usize; 2],
) -> Labelled {
    let file = Arc::new(file);
    let name = |label: &i64| {
        let name = names.and_then(|names| names.get(usize::try_from(*label).ok()?));
        name.cloned().unwrap_or_else(|| label.to_string())
    };
    let recording = |index| Recording::Spikes { file: Arc::clone(&file), index };
    Labelled {
        samples: Samples::Events {
            sensor,
            n_polarities: 1,
            recordings: (0..file.len()).map(recording).collect(),
        },
        labels: labels.iter().map(name).collect(),
        places: (0..file.len())
            .map(|i| format!("sample {i} of {}", file.path().display()))
            .collect(),
    }
}

//! Spikes of lines in HDF5, the layout of the Spiking Heidelberg Digits and Spiking Speech Commands
//! (Cramer, Stradmann, Schemmel and Zenke 2020), whose 700 lines are the channels of a cochlea.
//!
//! | dataset | holds |
//! |---|---|
//! | `spikes/times` | for each sample the times of its spikes in seconds (a sequence, of half precision as published) |
//! | `spikes/units` | for each sample the line of each spike |
//! | `labels` | the class of each sample |
//! | `extra/keys` | the names of the classes; may be missing |
//!
//! The lines are a sensor of one row; every spike is of the same polarity. Times become whole microseconds,
//! rounded down as Tonic does.

use std::path::{Path, PathBuf};

use crate::events::Checked;
use crate::hdf5::{Hdf5, Sequences};
use crate::{Error, Events, Result};

/// The lines of the published files.
pub(crate) const N_LINES: usize = 700;
const MICROSECONDS: f64 = 1e6;

/// A file of spikes, of which only the structure is in memory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SpikeFile {
    path: PathBuf,
    times: Sequences,
    units: Sequences,
}

/// What is known of the samples of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SpikeLabels {
    /// The class of each sample.
    pub labels: Vec<i64>,
    /// Names of the classes, where the file tells them.
    pub class_names: Option<Vec<String>>,
}

impl SpikeFile {
    /// Opens a file and reads its labels. The spikes stay in it.
    ///
    /// # Errors
    /// If it is no HDF5 file in this layout.
    pub fn open(path: &Path) -> Result<(Self, SpikeLabels)> {
        let file = Hdf5::open(path)?;
        let (times, units) = (file.sequences("spikes/times")?, file.sequences("spikes/units")?);
        let Some(labels) = file.integers("labels")? else {
            return Err(file.refuse("labels", "is not there".to_owned()));
        };
        for (name, n) in [("spikes/times", times.len()), ("spikes/units", units.len())] {
            if n != labels.len() {
                let message = format!("has {n} samples, but there are {} labels", labels.len());
                return Err(file.refuse(name, message));
            }
        }
        let class_names = file.texts("extra/keys")?;
        Ok((Self { path: path.to_owned(), times, units }, SpikeLabels { labels, class_names }))
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Number of samples.
    pub fn len(&self) -> usize {
        self.times.len()
    }

    /// Whether there is no sample.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Reads the spikes of sample `index`, of `sensor[1]` lines.
    ///
    /// # Errors
    /// If the file is damaged, or a spike is of no line.
    pub fn read(&self, index: usize, sensor: [usize; 2]) -> Result<Events> {
        let times = self.times.floats(&self.path, index)?;
        let units = self.units.integers(&self.path, index)?;
        if times.len() != units.len() {
            return Err(Error::Array {
                file: self.path.clone(),
                array: format!("spikes/units[{index}]"),
                message: format!("has {} lines for {} times", units.len(), times.len()),
            });
        }
        let mut events = Checked::new(sensor, &self.path);
        for (event, (time, unit)) in times.into_iter().zip(units).enumerate() {
            let refuse = |(expected, found)| Error::Event {
                file: self.path.clone(),
                event,
                expected: format!("{expected} in sample {index}"),
                found,
            };
            // Beyond every time where it is no number, which is then refused.
            let t_us = if time.is_finite() { (time * MICROSECONDS) as i64 } else { i64::MAX };
            events.push_wide([t_us, unit, 0], true).map_err(refuse)?;
        }
        Ok(events.finish())
    }
}

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::heidelberg::SpikeFile;
use crate::recording::{MAX_RECORDING_BYTES, read_bounded};
use crate::split::class_balanced_prefix;
use crate::zip_entry::ZipEntry;
use crate::{Events, Result, Split, aedat, atis, read_recording};

/// Labelled recordings of an event camera. They stay in their files until they are needed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventSet {
    /// Where each recording is.
    pub recordings: Vec<Recording>,
    /// The class of each recording.
    pub labels: Vec<u8>,
    /// Height and width of the sensor.
    pub sensor: [usize; 2],
    /// Polarities of its events: 2, OFF and ON, or 1, of spikes of lines.
    pub n_polarities: usize,
    /// Which half of its dataset this is.
    pub split: Split,
}

impl EventSet {
    /// Number of recordings.
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// Whether there is no recording.
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }

    /// Reads recording `index`.
    pub fn read(&self, index: usize) -> Result<Events> {
        self.recordings[index].read(self.sensor)
    }

    pub(crate) fn subset(&self, n: usize) -> Self {
        let chosen = class_balanced_prefix(&self.labels, n);
        Self {
            recordings: chosen.iter().map(|&i| self.recordings[i].clone()).collect(),
            labels: chosen.iter().map(|&i| self.labels[i]).collect(),
            sensor: self.sensor,
            n_polarities: self.n_polarities,
            split: self.split,
        }
    }
}

/// Where a recording is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Recording {
    /// A file in any format that [`read_recording`] knows.
    File(PathBuf),
    /// A span of time of such a file.
    Span {
        /// The file, which many recordings may share.
        file: Arc<PathBuf>,
        /// Times in microseconds.
        times: Range<i64>,
    },
    /// A file of 40-bit address events (see [`crate::atis`]).
    AtisFile(PathBuf),
    /// The same within a zip archive.
    AtisZipEntry(ZipEntry),
    /// A span of time of an AEDAT 3.1 file (see [`crate::aedat`]).
    AedatSpan {
        /// The file, which many recordings share.
        file: Arc<PathBuf>,
        /// Times in microseconds.
        times: Range<i64>,
    },
    /// A sample of a file of spikes (see [`crate::heidelberg`]).
    Spikes {
        /// The file, which many recordings share.
        file: Arc<SpikeFile>,
        /// Which of its samples.
        index: usize,
    },
}

impl Recording {
    /// The file that it is in.
    pub fn file(&self) -> &Path {
        match self {
            Self::File(file) | Self::AtisFile(file) => file,
            Self::AtisZipEntry(entry) => entry.archive(),
            Self::Spikes { file, .. } => file.path(),
            Self::Span { file, .. } | Self::AedatSpan { file, .. } => file,
        }
    }

    /// Where in its file it is, and in which format; empty for a file of its own.
    pub(crate) fn place(&self) -> String {
        match self {
            Self::File(_) | Self::AtisFile(_) => String::new(),
            Self::Span { times, .. } => format!("span {times:?}"),
            Self::AtisZipEntry(entry) => format!("zip {}", entry.name()),
            Self::AedatSpan { times, .. } => format!("aedat {times:?}"),
            Self::Spikes { index, .. } => format!("spikes {index}"),
        }
    }

    /// Reads the recording of a camera with `sensor` = height, width.
    pub fn read(&self, sensor: [usize; 2]) -> Result<Events> {
        match self {
            Self::File(file) => read_recording(file, Some(sensor)),
            Self::Span { file, times } => {
                Ok(read_recording(file, Some(sensor))?.between(times.clone()))
            }
            Self::AtisFile(file) => atis::parse(&read_bounded(file)?, sensor, file),
            Self::AtisZipEntry(entry) => {
                atis::parse(&entry.read(MAX_RECORDING_BYTES)?, sensor, &entry.path())
            }
            Self::AedatSpan { file, times } => aedat::read(file, sensor, times.clone()),
            Self::Spikes { file, index } => file.read(*index, sensor),
        }
    }
}

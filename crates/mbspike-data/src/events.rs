//! Streams of events from cameras that report changes of brightness pixel by pixel.

use std::ops::Range;
use std::path::Path;

use crate::{Error, Result};

/// A recording of an event camera, as a structure of arrays in the order of time.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Events {
    /// Timestamps in microseconds, never decreasing.
    pub t_us: Vec<i64>,
    /// Columns, from the left.
    pub x: Vec<u16>,
    /// Rows, from the top.
    pub y: Vec<u16>,
    /// Whether the pixel became brighter (ON).
    pub on: Vec<bool>,
    /// Height and width of the sensor.
    pub sensor: [usize; 2],
}

impl Events {
    /// A recording without events.
    pub fn new(sensor: [usize; 2]) -> Self {
        Self { sensor, ..Self::default() }
    }

    /// Number of events.
    pub fn len(&self) -> usize {
        self.t_us.len()
    }

    /// Whether there is no event.
    pub fn is_empty(&self) -> bool {
        self.t_us.is_empty()
    }

    /// Adds an event at the end, unchecked.
    #[inline]
    pub fn push(&mut self, t_us: i64, x: u16, y: u16, on: bool) {
        self.t_us.push(t_us);
        self.x.push(x);
        self.y.push(y);
        self.on.push(on);
    }

    /// Time from the first to the last event in microseconds.
    pub fn duration_us(&self) -> i64 {
        self.t_us.last().zip(self.t_us.first()).map_or(0, |(last, first)| last - first)
    }

    /// The events of an index range.
    #[must_use]
    pub fn slice(&self, range: Range<usize>) -> Self {
        Self {
            t_us: self.t_us[range.clone()].to_vec(),
            x: self.x[range.clone()].to_vec(),
            y: self.y[range.clone()].to_vec(),
            on: self.on[range].to_vec(),
            sensor: self.sensor,
        }
    }
}

/// Checks the events of a file as they are decoded, in the order of the file.
#[derive(Debug)]
pub(crate) struct Checked<'a> {
    pub(crate) events: Events,
    file: &'a Path,
    latest: i64,
}

impl<'a> Checked<'a> {
    pub(crate) fn new(sensor: [usize; 2], file: &'a Path) -> Self {
        Self { events: Events::new(sensor), file, latest: i64::MIN }
    }

    /// Adds an event that was decoded at byte `offset`.
    #[inline]
    pub(crate) fn push(&mut self, t_us: i64, x: u16, y: u16, on: bool, offset: u64) -> Result<()> {
        let [height, width] = self.events.sensor;
        if usize::from(x) >= width || usize::from(y) >= height || t_us < self.latest {
            return Err(self.refusal(t_us, x, y, offset));
        }
        self.latest = t_us;
        self.events.push(t_us, x, y, on);
        Ok(())
    }

    #[cold]
    fn refusal(&self, t_us: i64, x: u16, y: u16, offset: u64) -> Error {
        let [height, width] = self.events.sensor;
        let (expected, found) = if t_us < self.latest {
            (format!("a timestamp of at least {} us", self.latest), format!("{t_us} us"))
        } else {
            (format!("an event on the {width}x{height} sensor"), format!("one at x = {x}, y = {y}"))
        };
        Error::Format { file: self.file.to_owned(), offset, expected, found }
    }
}

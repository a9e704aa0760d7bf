//! Streams of events from cameras that report changes of brightness pixel by pixel.

use std::ops::Range;
use std::path::Path;

use crate::{Error, Result};

/// The largest sensor that is believed, in pixels; cameras on sale have up to 1.3 million.
pub const MAX_PIXELS: usize = 1 << 22;
/// The latest time, of either sign, that is believed: 285 years in microseconds, up to which whole
/// numbers are exact in f64.
pub(crate) const MAX_TIME_US: i64 = 1 << 53;

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
    /// When the recording begins: 0, or where it was cut out of a longer one.
    pub start_us: i64,
    /// What was put into order when the events were read; `None` if they were in order.
    pub disorder: Option<Disorder>,
}

/// Events of a file that came after later ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Disorder {
    /// Their number.
    pub n_events: usize,
    /// The first of them, counted from 0 in the order of the file.
    pub first: usize,
    /// Its time.
    pub t_us: i64,
    /// The time of an event before it.
    pub after_us: i64,
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
            ..*self
        }
    }

    /// The events whose time is in `times`, which is when the recording then begins.
    #[must_use]
    pub fn between(&self, times: Range<i64>) -> Self {
        let at = |time: i64| self.t_us.partition_point(|&t| t < time);
        let (start, end) = (at(times.start), at(times.end));
        Self { start_us: times.start, ..self.slice(start..end.max(start)) }
    }

    /// Refuses events that were not in order in `file`.
    pub fn require_order(&self, file: &Path) -> Result<()> {
        let Some(Disorder { n_events, first, t_us, after_us }) = self.disorder else {
            return Ok(());
        };
        let found = format!("{t_us} us; {n_events} events come after later ones");
        let expected = format!("a timestamp of at least {after_us} us");
        Err(Error::Event { file: file.to_owned(), event: first, expected, found })
    }

    /// Puts the events into the order of time; simultaneous ones stay as they are.
    pub(crate) fn sort(&mut self) {
        if self.t_us.is_sorted() {
            return;
        }
        let mut order: Vec<usize> = (0..self.len()).collect();
        order.sort_by_key(|&i| self.t_us[i]);
        self.t_us = order.iter().map(|&i| self.t_us[i]).collect();
        self.x = order.iter().map(|&i| self.x[i]).collect();
        self.y = order.iter().map(|&i| self.y[i]).collect();
        self.on = order.iter().map(|&i| self.on[i]).collect();
    }
}

/// Refuses a sensor without pixels, or of more than any camera has.
pub(crate) fn check_sensor([height, width]: [usize; 2]) -> Result<()> {
    match height.checked_mul(width) {
        Some(1..=MAX_PIXELS) if height.max(width) <= 1 << 16 => Ok(()),
        _ => {
            let message = format!("must have 1 to {MAX_PIXELS} pixels: {height}x{width}");
            Err(Error::config("sensor", message))
        }
    }
}

/// The sensor of a recording, which is told or known; refuses it as [`check_sensor`] does.
pub(crate) fn told_sensor(sensor: Option<[usize; 2]>, file: &Path) -> Result<[usize; 2]> {
    let sensor = sensor.ok_or_else(|| {
        let message = format!(
            "{} does not say how large its sensor is; tell its height and width",
            file.display()
        );
        Error::config("sensor", message)
    })?;
    check_sensor(sensor)?;
    Ok(sensor)
}

/// The events whose times, columns, rows and polarities these are, as many of each; above 0 is ON.
pub(crate) fn from_columns(
    [t, x, y, p]: [&[i64]; 4],
    sensor: [usize; 2],
    file: &Path,
) -> Result<Events> {
    let mut events = Checked::new(sensor, file);
    for i in 0..t.len() {
        events.push_wide([t[i], x[i], y[i]], p[i] > 0).map_err(|(expected, found)| {
            Error::Event { file: file.to_owned(), event: i, expected, found }
        })?;
    }
    Ok(events.finish())
}

/// Checks the events of a file as they are decoded, in the order of the file, and puts them into the
/// order of time at the end.
#[derive(Debug)]
pub(crate) struct Checked<'a> {
    events: Events,
    file: &'a Path,
    latest: i64,
    n_seen: usize,
}

impl<'a> Checked<'a> {
    pub(crate) fn new(sensor: [usize; 2], file: &'a Path) -> Self {
        Self { events: Events::new(sensor), file, latest: i64::MIN, n_seen: 0 }
    }

    /// Adds an event that was decoded at byte `offset`.
    #[inline]
    pub(crate) fn push(&mut self, t_us: i64, x: u16, y: u16, on: bool, offset: u64) -> Result<()> {
        self.add(t_us, x, y, on).map_err(|(expected, found)| Error::Format {
            file: self.file.to_owned(),
            offset,
            expected,
            found,
        })
    }

    /// Adds an event of numbers of any size; what was expected and what was found if it is none.
    pub(crate) fn push_wide(
        &mut self,
        [t, x, y]: [i64; 3],
        on: bool,
    ) -> Result<(), (String, String)> {
        match (u16::try_from(x), u16::try_from(y)) {
            (Ok(column), Ok(row)) => self.add(t, column, row, on),
            _ => Err(self.refusal(t, x, y)),
        }
    }

    #[inline]
    fn add(&mut self, t_us: i64, x: u16, y: u16, on: bool) -> Result<(), (String, String)> {
        let [height, width] = self.events.sensor;
        if usize::from(x) >= width
            || usize::from(y) >= height
            || !(-MAX_TIME_US..=MAX_TIME_US).contains(&t_us)
        {
            return Err(self.refusal(t_us, x.into(), y.into()));
        }
        if t_us < self.latest {
            let (first, after_us) = (self.n_seen, self.latest);
            let none = Disorder { n_events: 0, first, t_us, after_us };
            self.events.disorder.get_or_insert(none).n_events += 1;
        } else {
            self.latest = t_us;
        }
        self.n_seen += 1;
        self.events.push(t_us, x, y, on);
        Ok(())
    }

    #[cold]
    fn refusal(&self, t_us: i64, x: i64, y: i64) -> (String, String) {
        let [height, width] = self.events.sensor;
        let is_inside = |value: i64, size: usize| usize::try_from(value).is_ok_and(|v| v < size);
        if is_inside(x, width) && is_inside(y, height) {
            (format!("a timestamp within {MAX_TIME_US} us of 0"), format!("{t_us} us"))
        } else {
            let expected = format!("an event on the {height}x{width} sensor (rows x columns)");
            (expected, format!("one at x = {x}, y = {y}"))
        }
    }

    /// The events in the order of time.
    pub(crate) fn finish(self) -> Events {
        let mut events = self.events;
        if events.disorder.is_some() {
            events.sort();
        }
        events
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_out_of_order_are_sorted_and_counted() {
        let file = Path::new("a");
        let mut checked = Checked::new([4, 6], file);
        for (i, t) in [10, 20, 19, 40, 5, 40].into_iter().enumerate() {
            checked.push(t, i as u16, 0, true, 0).unwrap();
        }
        let events = checked.finish();
        assert_eq!(events.t_us, [5, 10, 19, 20, 40, 40]);
        assert_eq!(events.x, [4, 0, 2, 1, 3, 5], "simultaneous events stay in their order");
        let disorder = Disorder { n_events: 2, first: 2, t_us: 19, after_us: 20 };
        assert_eq!(events.disorder, Some(disorder));
        assert_eq!(
            events.require_order(file).unwrap_err().to_string(),
            "a: event 2: expected a timestamp of at least 20 us, found 19 us; 2 events come after \
             later ones"
        );
        assert!(Events::new([4, 6]).require_order(file).is_ok());
    }

    #[test]
    fn times_beyond_all_recordings_are_refused() {
        let mut checked = Checked::new([4, 6], Path::new("a"));
        for t in [i64::MIN, -MAX_TIME_US - 1, MAX_TIME_US + 1, i64::MAX] {
            let message = checked.push(t, 0, 0, true, 7).unwrap_err().to_string();
            assert!(message.starts_with("a: byte 7: expected a timestamp within"), "{message}");
        }
        checked.push(-MAX_TIME_US, 0, 0, true, 0).unwrap();
        checked.push(MAX_TIME_US, 0, 0, true, 0).unwrap();
        assert_eq!(checked.finish().duration_us(), 1 << 54);
    }

    #[test]
    fn sensors_beyond_all_cameras_are_refused() {
        for sensor in [[0, 5], [5, 0], [32_768, 32_768], [usize::MAX, 2], [1, 1 << 17]] {
            assert!(check_sensor(sensor).is_err(), "{sensor:?}");
        }
        assert!(check_sensor([720, 1280]).is_ok() && check_sensor([1, 1]).is_ok());
    }
}

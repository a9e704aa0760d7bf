//! From events to frames: which events a frame gathers, and their sum.
//!
//! The index arithmetic is that of SpikingJelly 2.0 (`datasets/utils.py`) and Tonic 1.7
//! (`slicers.py`), whole arrays equal, with one difference: where they fail on an empty slice there
//! is an empty frame here.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::archive::write_whole;
use crate::events::MAX_TIME_US;
use crate::{Error, Events, Result};

/// Which events the frames of a recording gather. `N` is the number of events, `t` their times,
/// and all divisions of integers round down.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(tag = "by", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Slicing {
    /// SpikingJelly's `split_by='number'`: T frames of N / T events, the remainder in the last.
    Number {
        /// T.
        n_frames: usize,
    },
    /// SpikingJelly's `split_by='time'`: T frames of (last − first time) / T µs, the remainder and
    /// the last event in the last.
    Time {
        /// T.
        n_frames: usize,
    },
    /// SpikingJelly's `duration`: frames of so many µs, as many as are needed; events at the very
    /// end of the last frame belong to it.
    Duration {
        /// Length of a frame in microseconds.
        us: i64,
    },
    /// Tonic's `n_time_bins`: like `time`, but what comes after the last bin is dropped, which is
    /// at least the last event. Bins are longer by the share `overlap` and overlap by it.
    TonicTimeBins {
        /// T.
        n_frames: usize,
        /// Share of a bin.
        #[serde(default)]
        overlap: f64,
    },
    /// Tonic's `n_event_bins`: like `number`, but the remainder is dropped.
    TonicEventBins {
        /// T.
        n_frames: usize,
        /// Share of a bin.
        #[serde(default)]
        overlap: f64,
    },
    /// Tonic's `time_window`: windows of so many µs.
    TonicTimeWindow {
        /// Length of a window in microseconds.
        us: i64,
        /// By how many microseconds windows overlap.
        #[serde(default)]
        overlap_us: i64,
        /// Whether a last window that is not full counts.
        #[serde(default)]
        include_incomplete: bool,
    },
    /// Tonic's `event_count`: windows of so many events.
    TonicEventCount {
        /// Events of a window.
        count: usize,
        /// By how many events windows overlap.
        #[serde(default)]
        overlap: usize,
        /// Whether a last window that is not full counts.
        #[serde(default)]
        include_incomplete: bool,
    },
}

/// Where the first window of time begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Origin {
    /// At the first event, as in SpikingJelly and Tonic: silence before it is no part of any frame.
    #[default]
    FirstEvent,
    /// At time 0, where the recording begins (where it was cut out of a longer one: at the cut). Frames
    /// before the first event are empty.
    Zero,
}

impl Slicing {
    /// Refuses values that slice nothing, or more than can be.
    pub fn validate(&self) -> Result<()> {
        let refuse = |key: &str, range: String, value: &dyn std::fmt::Display| {
            Err(Error::config(key, format!("must be {range}: {value}")))
        };
        match *self {
            Self::Number { n_frames }
            | Self::Time { n_frames }
            | Self::TonicTimeBins { n_frames, .. }
            | Self::TonicEventBins { n_frames, .. }
                if !(1..=MAX_FRAMES as usize).contains(&n_frames) =>
            {
                return refuse("n_frames", format!("in 1..={MAX_FRAMES}"), &n_frames);
            }
            Self::Duration { us } | Self::TonicTimeWindow { us, .. }
                if !(1..=MAX_TIME_US).contains(&us) =>
            {
                return refuse("us", format!("in 1..={MAX_TIME_US}"), &us);
            }
            Self::TonicEventCount { count: 0, .. } => {
                return refuse("count", "at least 1".to_owned(), &0);
            }
            _ => {}
        }
        match *self {
            Self::TonicTimeBins { overlap, .. } | Self::TonicEventBins { overlap, .. }
                if !(0.0..1.0).contains(&overlap) =>
            {
                refuse("overlap", "0 or more and below 1".to_owned(), &overlap)
            }
            Self::TonicTimeWindow { us, overlap_us, .. } if !(0..us).contains(&overlap_us) => {
                refuse("overlap", format!("0 or more and below the window of {us}"), &overlap_us)
            }
            Self::TonicEventCount { count, overlap, .. } if overlap >= count => {
                refuse("overlap", format!("below the window of {count}"), &overlap)
            }
            _ => Ok(()),
        }
    }

    /// Whether frames are windows of time, which have an [`Origin`].
    pub fn is_of_time(&self) -> bool {
        match self {
            Self::Time { .. }
            | Self::Duration { .. }
            | Self::TonicTimeBins { .. }
            | Self::TonicTimeWindow { .. } => true,
            Self::Number { .. } | Self::TonicEventBins { .. } | Self::TonicEventCount { .. } => {
                false
            }
        }
    }

    /// The events of each frame of a recording, as ranges of indices; windows of time begin at
    /// `origin`. Events before it are in no frame.
    pub fn ranges_of(&self, events: &Events, origin: Origin) -> Result<Vec<Range<usize>>> {
        match origin {
            Origin::FirstEvent => self.ranges(&events.t_us),
            Origin::Zero => self.ranges_from(&events.t_us, Some(events.start_us)),
        }
    }

    /// The events of each frame, as ranges of indices into `t_us`, which must not decrease. A
    /// recording without events gives the fixed number of empty frames, or none.
    pub fn ranges(&self, t_us: &[i64]) -> Result<Vec<Range<usize>>> {
        self.ranges_from(t_us, None)
    }

    /// The same with windows of time that begin at `origin`, instead of the first event.
    fn ranges_from(&self, t_us: &[i64], origin: Option<i64>) -> Result<Vec<Range<usize>>> {
        self.validate()?;
        let n = t_us.len();
        let (Some(&first), Some(&last)) = (t_us.first(), t_us.last()) else {
            return Ok(vec![0..0; self.n_fixed().unwrap_or(0)]);
        };
        let first = origin.unwrap_or(first);
        // Where all events are before the origin, no window has any.
        let last = last.max(first);
        let at = |time: i64| t_us.partition_point(|&t| t < time);
        // Tonic compares with window edges that are floating-point numbers.
        let at_float = |time: f64| t_us.partition_point(|&t| (t as f64) < time);
        Ok(match *self {
            Self::Number { n_frames } => {
                let per_frame = n / n_frames;
                let end = |i| if i + 1 == n_frames { n } else { (i + 1) * per_frame };
                (0..n_frames).map(|i| i * per_frame..end(i)).collect()
            }
            Self::Time { n_frames } => {
                let dt = (last - first) / n_frames as i64;
                let end = |i| if i + 1 == n_frames { n } else { at(first + (i as i64 + 1) * dt) };
                (0..n_frames).map(|i| at(first + i as i64 * dt)..end(i)).collect()
            }
            Self::Duration { us } => {
                let n_frames = bounded(div_ceil(last - first, us).max(1))?;
                let end = |i| if i + 1 == n_frames { n } else { at(first + (i + 1) * us) };
                (0..n_frames).map(|i| at(first + i * us)..end(i)).collect()
            }
            Self::TonicTimeBins { n_frames, overlap } => {
                let window = ((last - first) / n_frames as i64) as f64 * (1.0 + overlap);
                let stride = window * (1.0 - overlap);
                let start = |i: usize| i as f64 * stride + first as f64;
                (0..n_frames).map(|i| at_float(start(i))..at_float(start(i) + window)).collect()
            }
            Self::TonicEventBins { n_frames, overlap } => {
                let count = ((n / n_frames) as f64 * (1.0 + overlap)) as usize;
                let stride = (count as f64 * (1.0 - overlap)) as usize;
                let range = |i: usize| (i * stride).min(n)..(i * stride + count).min(n);
                (0..n_frames).map(range).collect()
            }
            Self::TonicTimeWindow { us, overlap_us, include_incomplete } => {
                let stride = us - overlap_us;
                let rest = last - first - us;
                let full = if include_incomplete {
                    div_ceil(rest, stride)
                } else {
                    rest.div_euclid(stride)
                };
                let start = |i: i64| first + i * stride;
                (0..bounded((full + 1).max(1))?).map(|i| at(start(i))..at(start(i) + us)).collect()
            }
            Self::TonicEventCount { count, overlap, include_incomplete } => {
                let count = count.min(n);
                // Of a recording shorter than the overlap every window would be the same.
                let stride = count.saturating_sub(overlap).max(1);
                let rest = n - count;
                let full = if include_incomplete { rest.div_ceil(stride) } else { rest / stride };
                (0..bounded(full as i64 + 1)? as usize)
                    .map(|i| i * stride..(i * stride + count).min(n))
                    .collect()
            }
        })
    }

    /// The number of frames, where it does not depend on the recording.
    pub fn n_fixed(&self) -> Option<usize> {
        match *self {
            Self::Number { n_frames }
            | Self::Time { n_frames }
            | Self::TonicTimeBins { n_frames, .. }
            | Self::TonicEventBins { n_frames, .. } => Some(n_frames),
            _ => None,
        }
    }
}

/// More frames than any use has would only be memory.
pub const MAX_FRAMES: i64 = 1 << 16;

fn bounded(n_frames: i64) -> Result<i64> {
    if n_frames <= MAX_FRAMES {
        return Ok(n_frames);
    }
    let message =
        format!("cuts the recording into {n_frames} frames; at most {MAX_FRAMES} are made");
    Err(Error::config("slicing", message))
}

/// Rounds towards infinity; `b` is positive.
fn div_ceil(a: i64, b: i64) -> i64 {
    -(-a).div_euclid(b)
}

/// What becomes of the sensor before events are summed: the middle `crop` is cut out, then
/// `downsample` × `downsample` pixels become one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct View {
    /// Height and width of the sensor.
    pub sensor: [usize; 2],
    /// Height and width of the part of it that is used, from its middle.
    pub crop: [usize; 2],
    /// Side of the squares of pixels that become one.
    pub downsample: usize,
}

impl View {
    /// The whole sensor, pixel by pixel.
    pub fn whole(sensor: [usize; 2]) -> Self {
        Self { sensor, crop: sensor, downsample: 1 }
    }

    /// Height and width of a frame.
    pub fn size(&self) -> [usize; 2] {
        self.crop.map(|size| size / self.downsample)
    }
}

/// Adds the events of `range` to `frame`, `[2, H, W]` of the view's size: channel 0 counts OFF
/// events, channel 1 ON events. Of a frame `[1, H, W]` the one channel counts all of them.
///
/// # Panics
/// If the frame has another size, or an event lies outside of the sensor.
pub fn accumulate(frame: &mut [f32], events: &Events, range: Range<usize>, view: &View) {
    let [height, width] = view.size();
    let plane = height * width;
    let on_plane = frame.len() - plane;
    assert!(on_plane == 0 || on_plane == plane, "a frame of [1 or 2, {height}, {width}]");
    let (x, y, on) = (&events.x[range.clone()], &events.y[range.clone()], &events.on[range]);
    if *view == View::whole(view.sensor) {
        for ((&x, &y), &on) in x.iter().zip(y).zip(on) {
            frame[usize::from(on) * on_plane + usize::from(y) * width + usize::from(x)] += 1.0;
        }
        return;
    }
    let top = (view.sensor[0] - view.crop[0]) / 2;
    let left = (view.sensor[1] - view.crop[1]) / 2;
    for ((&x, &y), &on) in x.iter().zip(y).zip(on) {
        // Events before the edge wrap around to numbers beyond every frame.
        let row = usize::from(y).wrapping_sub(top) / view.downsample;
        let column = usize::from(x).wrapping_sub(left) / view.downsample;
        if row < height && column < width {
            frame[usize::from(on) * on_plane + row * width + column] += 1.0;
        }
    }
}

/// The most that [`save`] writes.
const MAX_FILE_BYTES: u64 = 16 << 30;

/// Integrates a recording into a safetensors file: the tensor `frames`, `[T, 2, H, W]`, f32, with
/// `metadata`. Returns the number of frames. One frame is in memory at a time, and the same call
/// writes the same bytes.
///
/// # Errors
/// If the slicing is not possible, the file would be larger than 16 GiB or cannot be written.
pub fn save(
    path: &Path,
    events: &Events,
    slicing: &Slicing,
    origin: Origin,
    view: &View,
    metadata: &BTreeMap<&str, String>,
) -> Result<usize> {
    let ranges = slicing.ranges_of(events, origin)?;
    let [height, width] = view.size();
    let frame_bytes = 8 * (height * width) as u64;
    let n_bytes = frame_bytes.saturating_mul(ranges.len() as u64);
    if n_bytes > MAX_FILE_BYTES {
        let message = format!(
            "{} frames of 2x{height}x{width} numbers have {n_bytes} bytes; at most {MAX_FILE_BYTES} are \
             written",
            ranges.len()
        );
        return Err(Error::config("slicing", message));
    }
    // The crate `safetensors` writes metadata in the order of a hash map, which differs from call to
    // call, and wants the whole tensor in memory.
    let mut header = serde_json::json!({
        "__metadata__": metadata,
        "frames": {
            "dtype": "F32",
            "shape": [ranges.len(), 2, height, width],
            "data_offsets": [0, n_bytes],
        },
    })
    .to_string();
    header.push_str(&" ".repeat(header.len().next_multiple_of(8) - header.len()));
    write_whole(path, |file| {
        file.write_all(&(header.len() as u64).to_le_bytes())?;
        file.write_all(header.as_bytes())?;
        let mut frame = vec![0.0_f32; 2 * height * width];
        let mut bytes = Vec::with_capacity(frame.len() * 4);
        for range in &ranges {
            frame.fill(0.0);
            accumulate(&mut frame, events, range.clone(), view);
            bytes.clear();
            bytes.extend(frame.iter().flat_map(|count| count.to_le_bytes()));
            file.write_all(&bytes)?;
        }
        Ok(())
    })?;
    Ok(ranges.len())
}

/// The frames `[T, 2, H, W]` of a recording.
pub fn integrate(events: &Events, slicing: &Slicing, view: &View) -> Result<Vec<f32>> {
    let ranges = slicing.ranges(&events.t_us)?;
    let [height, width] = view.size();
    let mut frames = vec![0.0; ranges.len() * 2 * height * width];
    for (range, frame) in ranges.into_iter().zip(frames.chunks_exact_mut(2 * height * width)) {
        accumulate(frame, events, range, view);
    }
    Ok(frames)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn events(times: &[i64]) -> Events {
        let mut events = Events::new([2, 2]);
        for &t in times {
            events.push(t, 0, 1, true);
        }
        events
    }

    fn sizes(slicing: Slicing, events: &Events, origin: Origin) -> Vec<usize> {
        slicing.ranges_of(events, origin).unwrap().iter().map(ExactSizeIterator::len).collect()
    }

    #[test]
    fn windows_of_time_begin_at_the_first_event_or_at_zero() {
        // Silent for a second, then an event every 10 ms.
        let late: Vec<i64> = (0..=10).map(|i| 1_000_000 + 10_000 * i).collect();
        let late = events(&late);
        let both = |slicing| [Origin::FirstEvent, Origin::Zero].map(|o| sizes(slicing, &late, o));
        assert_eq!(both(Slicing::Time { n_frames: 4 }), [vec![3, 2, 3, 3], vec![0, 0, 0, 11]]);
        let duration = both(Slicing::Duration { us: 550_000 });
        assert_eq!(duration, [vec![11], vec![0, 11]]);
        let bins = both(Slicing::TonicTimeBins { n_frames: 2, overlap: 0.0 });
        assert_eq!(bins, [vec![5, 5], vec![0, 10]]);
        let window =
            Slicing::TonicTimeWindow { us: 500_000, overlap_us: 0, include_incomplete: true };
        assert_eq!(both(window), [vec![11], vec![0, 0, 11]]);
        // Of events in equal numbers nothing changes.
        let numbers = both(Slicing::Number { n_frames: 2 });
        assert_eq!(numbers[0], numbers[1]);
        // One event, and one that is cut out of a longer recording.
        let one = events(&[5000]);
        assert_eq!(sizes(Slicing::Duration { us: 2000 }, &one, Origin::Zero), [0, 0, 1]);
        let cut = late.between(1_050_000..1_070_000);
        assert_eq!(sizes(Slicing::Duration { us: 10_000 }, &cut, Origin::Zero), [2]);
        assert_eq!(sizes(Slicing::Time { n_frames: 2 }, &events(&[-5, -3]), Origin::Zero), [0, 0]);
    }

    #[test]
    fn sizes_beyond_reason_are_refused_before_anything_is_allotted() {
        let events = events(&[0, i64::from(u32::MAX)]);
        let overlap = 0.0;
        for n_frames in [0, MAX_FRAMES as usize + 1, 99_999_999_999_999, usize::MAX] {
            for slicing in [
                Slicing::Number { n_frames },
                Slicing::Time { n_frames },
                Slicing::TonicTimeBins { n_frames, overlap },
                Slicing::TonicEventBins { n_frames, overlap },
            ] {
                let message = slicing.ranges(&events.t_us).unwrap_err().to_string();
                assert!(message.starts_with("n_frames: must be in 1..=65536"), "{message}");
            }
        }
        for us in [0, -1, i64::MAX, i64::MIN, MAX_TIME_US + 1] {
            assert!(Slicing::Duration { us }.ranges(&events.t_us).is_err());
            let window = Slicing::TonicTimeWindow { us, overlap_us: 0, include_incomplete: true };
            assert!(window.ranges(&events.t_us).is_err());
        }
        assert!(Slicing::Duration { us: 1 }.ranges(&events.t_us).is_err(), "2^32 frames");
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("f.safetensors");
        let view = View::whole([2048, 2048]);
        let slicing = Slicing::Time { n_frames: 60_000 };
        let saved = save(&file, &events, &slicing, Origin::Zero, &view, &BTreeMap::new());
        assert!(saved.unwrap_err().to_string().contains("60000 frames of 2x2048x2048 numbers"));
        assert!(!file.exists());
    }

    #[test]
    fn saved_frames_are_those_integrated_and_the_same_bytes_each_time() {
        let folder = tempfile::tempdir().unwrap();
        let events = events(&[3, 4, 9, 10]);
        let (slicing, view) = (Slicing::Number { n_frames: 3 }, View::whole([2, 2]));
        let metadata: BTreeMap<&str, String> =
            ["d", "b", "a", "c", "e"].into_iter().map(|key| (key, key.repeat(2))).collect();
        let write = |name: &str| {
            let file = folder.path().join(name);
            save(&file, &events, &slicing, Origin::FirstEvent, &view, &metadata).unwrap();
            fs_err::read(file).unwrap()
        };
        let bytes = write("a");
        assert_eq!(bytes, write("b"));
        let read = safetensors::SafeTensors::deserialize(&bytes).unwrap();
        let frames = read.tensor("frames").unwrap();
        assert_eq!(frames.shape(), [3, 2, 2, 2]);
        let want = integrate(&events, &slicing, &view).unwrap();
        let want: Vec<u8> = want.iter().flat_map(|value| value.to_le_bytes()).collect();
        assert_eq!(frames.data(), want);
        let (_, header) = safetensors::SafeTensors::read_metadata(&bytes).unwrap();
        assert_eq!(header.metadata().as_ref().unwrap()["c"], "cc");
    }
}

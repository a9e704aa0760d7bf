//! From events to frames: which events a frame gathers, and their sum.
//!
//! The index arithmetic is that of SpikingJelly 2.0 (`datasets/utils.py`) and Tonic 1.7
//! (`slicers.py`), whole arrays equal, with one difference: where they fail on an empty slice there
//! is an empty frame here.

use std::collections::HashMap;
use std::ops::Range;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::archive::write_whole;
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

impl Slicing {
    /// Refuses values that slice nothing.
    pub fn validate(&self) -> Result<()> {
        let (key, is_valid) = match *self {
            Self::Number { n_frames } | Self::Time { n_frames } => ("n_frames", n_frames > 0),
            Self::Duration { us } => ("us", us > 0),
            Self::TonicTimeBins { n_frames, overlap }
            | Self::TonicEventBins { n_frames, overlap } => {
                ("n_frames, overlap", n_frames > 0 && (0.0..1.0).contains(&overlap))
            }
            Self::TonicTimeWindow { us, overlap_us, .. } => {
                ("us, overlap_us", us > 0 && (0..us).contains(&overlap_us))
            }
            Self::TonicEventCount { count, overlap, .. } => {
                ("count, overlap", count > 0 && overlap < count)
            }
        };
        if is_valid { Ok(()) } else { Err(Error::config(key, "slices no events: out of range")) }
    }

    /// The events of each frame, as ranges of indices into `t_us`, which must not decrease. A
    /// recording without events gives the fixed number of empty frames, or none.
    pub fn ranges(&self, t_us: &[i64]) -> Result<Vec<Range<usize>>> {
        self.validate()?;
        let n = t_us.len();
        let (Some(&first), Some(&last)) = (t_us.first(), t_us.last()) else {
            return Ok(vec![0..0; self.n_fixed().unwrap_or(0)]);
        };
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
const MAX_FRAMES: i64 = 1 << 16;

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
/// events, channel 1 ON events.
///
/// # Panics
/// If the frame has another size, or an event lies outside of the sensor.
pub fn accumulate(frame: &mut [f32], events: &Events, range: Range<usize>, view: &View) {
    let [height, width] = view.size();
    let plane = height * width;
    assert_eq!(frame.len(), 2 * plane, "a frame of [2, {height}, {width}]");
    let (x, y, on) = (&events.x[range.clone()], &events.y[range.clone()], &events.on[range]);
    if *view == View::whole(view.sensor) {
        for ((&x, &y), &on) in x.iter().zip(y).zip(on) {
            frame[usize::from(on) * plane + usize::from(y) * width + usize::from(x)] += 1.0;
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
            frame[usize::from(on) * plane + row * width + column] += 1.0;
        }
    }
}

/// Writes frames of height and width `size` to a safetensors file: the tensor `frames`,
/// `[T, 2, H, W]`, f32, with `metadata`.
///
/// # Errors
/// If the file cannot be written.
///
/// # Panics
/// If `frames` is no row of frames of this size.
pub fn save(
    path: &Path,
    frames: &[f32],
    [height, width]: [usize; 2],
    metadata: &[(&str, String)],
) -> Result<()> {
    let frame = 2 * height * width;
    assert_eq!(frames.len() % frame, 0, "frames of [2, {height}, {width}]");
    let bytes: Vec<u8> = frames.iter().flat_map(|value| value.to_le_bytes()).collect();
    let shape = vec![frames.len() / frame, 2, height, width];
    let tensor = safetensors::tensor::TensorView::new(safetensors::Dtype::F32, shape, &bytes);
    let failed = |error: safetensors::SafeTensorError| std::io::Error::other(error.to_string());
    let tensors = [("frames", tensor.map_err(failed)?)];
    let metadata: HashMap<String, String> =
        metadata.iter().map(|(key, value)| ((*key).to_owned(), value.clone())).collect();
    let bytes = safetensors::serialize(tensors, Some(metadata)).map_err(failed)?;
    write_whole(path, |file| file.write_all(&bytes))
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

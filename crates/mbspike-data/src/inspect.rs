//! What is in a dataset: sizes, class counts, statistics.

use serde::Serialize;

use crate::frames::Slicing;
use crate::{ArraySet, Dataset, EventSet, Events, ImageSet, Result, SampleKind, SampleSet};

/// What [`inspect`] finds.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Inspection {
    /// The dataset's name.
    pub name: String,
    /// Where it came from.
    pub source: String,
    /// Whether the samples are simulated or synthetic, not measured.
    pub simulated: bool,
    /// Names of the classes, in the order of the labels.
    pub class_names: Vec<String>,
    /// The training set.
    pub train: SetInspection,
    /// The test set.
    pub test: SetInspection,
}

/// What [`inspect`] finds in one set.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SetInspection {
    /// Number of samples.
    pub n_samples: usize,
    /// Channels, height and width of a sample.
    pub shape: [usize; 3],
    /// Steps of a sequence; absent for images and recordings.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub n_steps: Option<usize>,
    /// Samples of each class.
    pub class_counts: Vec<usize>,
    /// Statistics of images.
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    pub pixels: Option<PixelStatistics>,
    /// Statistics of recordings, over the set's first [`N_INSPECTED_RECORDINGS`].
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    pub recordings: Option<RecordingStatistics>,
}

/// Statistics of the pixels of images.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PixelStatistics {
    /// Mean intensity (0 to 1) of each channel.
    pub mean: Vec<f64>,
    /// Standard deviation of the intensities of each channel.
    pub std: Vec<f64>,
    /// Share of the values that are not 0.
    pub nonzero_share: f64,
}

/// How many recordings of a set are read for its statistics.
pub const N_INSPECTED_RECORDINGS: usize = 200;

/// Statistics of recordings of an event camera.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RecordingStatistics {
    /// Number of recordings that were read.
    pub n_recordings: usize,
    /// Mean number of events of a recording.
    pub mean_events: f64,
    /// Smallest and largest number of events.
    pub n_events_range: [usize; 2],
    /// Mean time from the first to the last event, in milliseconds.
    pub mean_duration_ms: f64,
    /// Mean number of events per second.
    pub events_per_second: f64,
    /// Share of events that are ON.
    pub on_share: f64,
    /// Events that came after later ones in their files and were sorted.
    pub n_out_of_order: usize,
    /// Mean number of events per second in each of [`N_RATES`] equal parts of a recording.
    pub rates: Vec<f64>,
}

/// Parts of a recording whose rate of events is told.
pub const N_RATES: usize = 24;

/// What [`inspect_recording`] finds.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RecordingInspection {
    /// Number of events.
    pub n_events: usize,
    /// Height and width of the sensor.
    pub sensor: [usize; 2],
    /// Time of the first and of the last event in microseconds; absent without events.
    pub times_us: Option<[i64; 2]>,
    /// Events that came after later ones in the file and were sorted.
    pub n_out_of_order: usize,
    /// Time between the two in milliseconds.
    pub duration_ms: f64,
    /// Number of events per second; 0 if they are simultaneous.
    pub events_per_second: f64,
    /// Share of events that are ON; 0 without events.
    pub on_share: f64,
    /// Number of events per second in each of [`N_RATES`] equal parts of the duration.
    pub rates: Vec<f64>,
    /// Share of the pixels that have any event.
    pub active_pixel_share: f64,
    /// Column, row and number of events of the pixel with the most; absent without events.
    pub busiest_pixel: Option<[usize; 3]>,
}

/// Counts, rate over time and balance of the polarities of a recording.
pub fn inspect_recording(events: &Events) -> RecordingInspection {
    let [height, width] = events.sensor;
    let n_events = events.len();
    let mut counts = vec![0_usize; height * width];
    for (&x, &y) in events.x.iter().zip(&events.y) {
        counts[usize::from(y) * width + usize::from(x)] += 1;
    }
    let n_on = events.on.iter().filter(|&&on| on).count();
    // The first of those with the most events.
    let busiest = (0..counts.len()).rev().max_by_key(|&at| counts[at]);
    RecordingInspection {
        n_events,
        sensor: events.sensor,
        times_us: events.t_us.first().zip(events.t_us.last()).map(|(&first, &last)| [first, last]),
        n_out_of_order: n_out_of_order(events),
        duration_ms: events.duration_us() as f64 / 1e3,
        events_per_second: per_second(n_events as f64, events.duration_us() as f64),
        on_share: if n_events == 0 { 0.0 } else { n_on as f64 / n_events as f64 },
        rates: rates(events),
        active_pixel_share: counts.iter().filter(|&&n| n > 0).count() as f64
            / counts.len().max(1) as f64,
        busiest_pixel: busiest
            .filter(|_| n_events > 0)
            .map(|at| [at % width, at / width, counts[at]]),
    }
}

fn n_out_of_order(events: &Events) -> usize {
    events.disorder.map_or(0, |disorder| disorder.n_events)
}

/// The number of events per second in each of [`N_RATES`] equal parts of a recording's duration.
fn rates(events: &Events) -> Vec<f64> {
    let slicing = Slicing::Time { n_frames: N_RATES };
    let ranges = slicing.ranges(&events.t_us).expect("a positive number of parts");
    let part_us = events.duration_us() as f64 / N_RATES as f64;
    ranges.iter().map(|range| per_second(range.len() as f64, part_us)).collect()
}

fn per_second(n_events: f64, duration_us: f64) -> f64 {
    if duration_us > 0.0 { n_events / duration_us * 1e6 } else { 0.0 }
}

/// Numbers as a row of bars, the largest of full height.
pub fn sparkline(values: &[f64]) -> String {
    const BARS: [char; 9] = [' ', '▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    let largest = values.iter().copied().fold(f64::MIN_POSITIVE, f64::max);
    values
        .iter()
        .map(|value| BARS[(value / largest * 8.0).round().clamp(0.0, 8.0) as usize])
        .collect()
}

impl std::fmt::Display for RecordingInspection {
    /// Some lines of text.
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        let [height, width] = self.sensor;
        writeln!(f, "{} events on {height}x{width} pixels", self.n_events)?;
        if let Some([first, last]) = self.times_us {
            let duration = self.duration_ms;
            writeln!(f, "time      {first} to {last} us, {duration:.1} ms")?;
        }
        if self.n_out_of_order > 0 {
            writeln!(f, "order     {} events came after later ones, sorted", self.n_out_of_order)?;
        }
        let largest = self.rates.iter().copied().fold(0.0, f64::max);
        writeln!(f, "rate      {:.0} events/s, at most {largest:.0}", self.events_per_second)?;
        writeln!(f, "          |{}|", sparkline(&self.rates))?;
        let on = 100.0 * self.on_share;
        writeln!(f, "polarity  {on:.1} % ON, {:.1} % OFF", 100.0 - on)?;
        write!(f, "pixels    {:.1} % have events", 100.0 * self.active_pixel_share)?;
        if let Some([x, y, n]) = self.busiest_pixel {
            write!(f, ", the most at x = {x}, y = {y}: {n}")?;
        }
        Ok(())
    }
}

impl std::fmt::Display for SetInspection {
    /// One line with the size and the statistics.
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        let [channels, height, width] = self.shape;
        write!(f, "{} samples of {height}x{width}x{channels}", self.n_samples)?;
        if let Some(n_steps) = self.n_steps {
            write!(f, " in {n_steps} steps")?;
        }
        if let Some(PixelStatistics { mean, std, nonzero_share }) = &self.pixels {
            let share = 100.0 * nonzero_share;
            write!(f, ", mean {mean:.4?}, standard deviation {std:.4?}, {share:.1} % non-zero")?;
        }
        if let Some(found) = &self.recordings {
            let [smallest, largest] = found.n_events_range;
            write!(
                f,
                ", of the first {}: {:.0} events ({smallest} to {largest}), {:.0} ms, {:.0} \
                 events/s |{}|, {:.1} % ON",
                found.n_recordings,
                found.mean_events,
                found.mean_duration_ms,
                found.events_per_second,
                sparkline(&found.rates),
                100.0 * found.on_share
            )?;
            if found.n_out_of_order > 0 {
                write!(f, ", {} out of order, sorted", found.n_out_of_order)?;
            }
        }
        Ok(())
    }
}

/// Counts and statistics of a dataset.
///
/// Recordings are read, so that a damaged one is an error.
pub fn inspect(dataset: &Dataset) -> Result<Inspection> {
    Ok(Inspection {
        name: dataset.name.clone(),
        source: dataset.source.clone(),
        simulated: dataset.simulated,
        class_names: dataset.class_names.clone(),
        train: inspect_set(&dataset.train, dataset.n_classes())?,
        test: inspect_set(&dataset.test, dataset.n_classes())?,
    })
}

fn inspect_set(set: &SampleSet, n_classes: usize) -> Result<SetInspection> {
    let mut class_counts = vec![0; n_classes];
    for &label in set.labels() {
        class_counts[usize::from(label)] += 1;
    }
    let (pixels, recordings) = match set {
        SampleSet::Images(images) => (Some(pixel_statistics(images)), None),
        SampleSet::Arrays(arrays) => (Some(array_statistics(arrays)), None),
        SampleSet::Events(events) => (None, Some(recording_statistics(events)?)),
    };
    let n_steps = match set.kind() {
        SampleKind::Sequences { n_steps } => Some(n_steps),
        _ => None,
    };
    let (n_samples, shape) = (set.len(), set.shape());
    Ok(SetInspection { n_samples, shape, n_steps, class_counts, pixels, recordings })
}

fn recording_statistics(set: &EventSet) -> Result<RecordingStatistics> {
    let n_recordings = set.len().min(N_INSPECTED_RECORDINGS);
    let (mut counts, mut n_on, mut duration_us) = (Vec::new(), 0, 0);
    let mut n_sorted = 0;
    let mut mean_rates = vec![0.0; N_RATES];
    for index in 0..n_recordings {
        let events = set.read(index)?;
        counts.push(events.len());
        n_on += events.on.iter().filter(|&&on| on).count();
        duration_us += events.duration_us();
        n_sorted += n_out_of_order(&events);
        for (mean, rate) in mean_rates.iter_mut().zip(rates(&events)) {
            *mean += rate / n_recordings as f64;
        }
    }
    let n_events = counts.iter().sum::<usize>() as f64;
    let smallest = counts.iter().copied().min().unwrap_or(0);
    let largest = counts.iter().copied().max().unwrap_or(0);
    Ok(RecordingStatistics {
        n_recordings,
        mean_events: n_events / n_recordings as f64,
        n_events_range: [smallest, largest],
        mean_duration_ms: duration_us as f64 / 1e3 / n_recordings as f64,
        events_per_second: n_events / (duration_us as f64 / 1e6),
        on_share: n_on as f64 / n_events,
        n_out_of_order: n_sorted,
        rates: mean_rates,
    })
}

fn array_statistics(set: &ArraySet) -> PixelStatistics {
    let [n_channels, height, width] = set.shape;
    let mut sums = vec![[0.0_f64; 2]; n_channels];
    for (plane, values) in set.values.chunks_exact(height * width).enumerate() {
        let [sum, squares] = &mut sums[plane % n_channels];
        for &value in values {
            *sum += f64::from(value);
            *squares += f64::from(value) * f64::from(value);
        }
    }
    let n = (set.values.len() / n_channels).max(1) as f64;
    let n_nonzero = set.values.iter().filter(|&&value| value != 0.0).count();
    PixelStatistics {
        mean: sums.iter().map(|[sum, _]| sum / n).collect(),
        std: sums
            .iter()
            .map(|[sum, squares]| (squares / n - (sum / n).powi(2)).max(0.0).sqrt())
            .collect(),
        nonzero_share: n_nonzero as f64 / set.values.len().max(1) as f64,
    }
}

fn pixel_statistics(images: &ImageSet) -> PixelStatistics {
    let [n_channels, height, width] = images.shape;
    let mut counts = vec![[0_u64; 256]; n_channels];
    for (plane, pixels) in images.images.chunks_exact(height * width).enumerate() {
        for &pixel in pixels {
            counts[plane % n_channels][usize::from(pixel)] += 1;
        }
    }
    let n = (images.len() * height * width) as f64;
    let moment = |counts: &[u64; 256], power: i32| {
        let terms = counts.iter().enumerate();
        terms.map(|(v, &count)| count as f64 * (v as f64 / 255.0).powi(power)).sum::<f64>() / n
    };
    let mean: Vec<f64> = counts.iter().map(|counts| moment(counts, 1)).collect();
    let deviation = |(counts, mean): (&[u64; 256], &f64)| (moment(counts, 2) - mean * mean).sqrt();
    let std = counts.iter().zip(&mean).map(deviation).collect();
    let n_zero: u64 = counts.iter().map(|counts| counts[0]).sum();
    let nonzero_share = 1.0 - n_zero as f64 / (n * n_channels as f64);
    PixelStatistics { mean, std, nonzero_share }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::{ImageSet, Split};

    fn set() -> SampleSet {
        let images = vec![0, 0, 0, 0, 255, 255, 255, 255, 0, 255, 0, 255];
        let (labels, shape) = (vec![1, 0, 1], [1, 2, 2]);
        SampleSet::Images(Arc::new(ImageSet { images, labels, shape, split: Split::Train }))
    }

    #[test]
    fn statistics_are_those_of_the_intensities() {
        let found = inspect_set(&set(), 3).unwrap();
        assert_eq!(found.class_counts, [1, 2, 0]);
        let pixels = found.pixels.unwrap();
        assert_eq!((pixels.mean, pixels.std, pixels.nonzero_share), (vec![0.5], vec![0.5], 0.5));
    }

    #[test]
    fn a_recording_is_counted_over_time_polarity_and_pixels() {
        let mut events = Events::new([4, 6]);
        for i in 0..240_i64 {
            events.push(1000 * i, if i < 100 { 5 } else { 0 }, 3, i % 4 == 0);
        }
        events.push(240_000, 0, 3, true);
        let found = inspect_recording(&events);
        assert_eq!((found.n_events, found.times_us), (241, Some([0, 240_000])));
        assert_eq!(found.duration_ms, 240.0);
        assert_eq!(found.rates[..N_RATES - 1], [1000.0; N_RATES - 1]);
        assert!((found.rates[N_RATES - 1] - 1100.0).abs() < 1e-9);
        assert_eq!(found.on_share, 61.0 / 241.0);
        assert_eq!(found.active_pixel_share, 2.0 / 24.0);
        assert_eq!(found.busiest_pixel, Some([0, 3, 141]));
        let text = found.to_string();
        assert!(text.contains("x = 0, y = 3: 141") && text.contains("25.3 % ON"), "{text}");
        assert_eq!(sparkline(&[0.0, 1.0, 4.0, 8.0]), " ▁▄█");
        let nothing = inspect_recording(&Events::new([4, 6]));
        assert_eq!((nothing.times_us, nothing.busiest_pixel), (None, None));
        assert!(nothing.rates.iter().all(|&rate| rate == 0.0));
    }
}

//! From intensities to the input of a spiking network, `[T, B, C, H, W]`.

mod signals;

use mbspike_core::{InputCode, poisson};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::event_transforms::EventTransforms;
use crate::frames::{MAX_FRAMES, Origin, Slicing, View, accumulate};
use crate::{AugmentConfig, Error, Events, Result, SampleKind, SampleSet, Split};

/// How samples become sequences.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EncoderKind {
    /// Each pixel fires at each step with probability equal to its intensity.
    Poisson,
    /// Each pixel's intensity is the input current at every step.
    Direct,
    /// The events of a recording, gathered into one frame per time step.
    EventFrame,
    /// Each pixel fires once, the earlier the brighter it is (time to first spike).
    Latency,
    /// Sequences: a spike where a signal rose or fell by a threshold since the step before.
    Delta,
    /// Each value drives some neurons with Gaussian receptive fields.
    Population,
}

/// The most neurons that one signal may have in population coding.
const MAX_NEURONS: usize = 1 << 12;
/// Where intensities are.
const UNIT: [f32; 2] = [0.0, 1.0];

/// The most time steps that a sequence may have; how many fit into memory is another matter.
pub const MAX_TIME_STEPS: usize = MAX_FRAMES as usize;

/// Which events of a recording a frame gathers. See [`Slicing`] for the arithmetic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FrameSplit {
    /// Equal numbers of events, the remainder in the last frame (SpikingJelly).
    Number,
    /// Equal times, the remainder in the last frame (SpikingJelly).
    Time,
    /// Equal numbers of events, the remainder dropped (Tonic's `n_event_bins`).
    TonicEventBins,
    /// Equal times, the remainder dropped (Tonic's `n_time_bins`).
    TonicTimeBins,
}

/// The `[encoder]` part of a config.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EncoderConfig {
    /// How samples become sequences.
    pub kind: EncoderKind,
    /// Number of time steps, T.
    pub time_steps: usize,
    /// Direct encoding only: subtract this from each channel's intensities (which are in `[0, 1]`).
    /// One number per channel.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mean: Option<Vec<f32>>,
    /// Direct encoding only: then divide by this. One number per channel.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub std: Option<Vec<f32>>,
    /// Delta modulation: the change that fires, one number for all channels or one for each.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub threshold: Option<Vec<f32>>,
    /// Population coding: neurons for each channel.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub neurons: Option<usize>,
    /// Population coding: the lowest and the highest centre of their receptive fields; 0 and 1 without
    /// it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub range: Option<[f32; 2]>,
    /// Event frames: which events a frame gathers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub split: Option<FrameSplit>,
    /// Event frames of equal times: where the first begins, at the first event without it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin: Option<Origin>,
    /// Event frames: 1 where there is any event, instead of their number.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub binary: bool,
    /// Event frames: use only the middle of the sensor, of this height and width.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub crop: Option<[usize; 2]>,
    /// Event frames: make squares of so many by so many pixels into one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub downsample: Option<usize>,
    /// Event frames: what is done to the events of training samples, anew in each epoch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub transforms: Option<EventTransforms>,
}

/// What keys the random numbers of an encoding besides sample and step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EncodeKey {
    /// Seed of the experiment.
    pub seed: u64,
    /// Epoch; the same sample fires differently in each.
    pub epoch: u32,
    /// The set that the samples are of.
    pub split: Split,
}

impl EncoderConfig {
    fn new(kind: EncoderKind, time_steps: usize) -> Self {
        Self {
            kind,
            time_steps,
            mean: None,
            std: None,
            threshold: None,
            neurons: None,
            range: None,
            split: None,
            origin: None,
            binary: false,
            crop: None,
            downsample: None,
            transforms: None,
        }
    }

    /// Poisson spike trains over `time_steps`.
    pub fn poisson(time_steps: usize) -> Self {
        Self::new(EncoderKind::Poisson, time_steps)
    }

    /// Intensities as they are at each of `time_steps`.
    pub fn direct(time_steps: usize) -> Self {
        Self::new(EncoderKind::Direct, time_steps)
    }

    /// One spike of each pixel, the earlier the brighter it is.
    pub fn latency(time_steps: usize) -> Self {
        Self::new(EncoderKind::Latency, time_steps)
    }

    /// Spikes where sequences of `time_steps` change by `threshold`.
    pub fn delta(threshold: f32, time_steps: usize) -> Self {
        Self { threshold: Some(vec![threshold]), ..Self::new(EncoderKind::Delta, time_steps) }
    }

    /// Currents of `neurons` with Gaussian receptive fields for each value.
    pub fn population(neurons: usize, time_steps: usize) -> Self {
        Self { neurons: Some(neurons), ..Self::new(EncoderKind::Population, time_steps) }
    }

    /// Counts of events in `time_steps` frames.
    pub fn event_frame(split: FrameSplit, time_steps: usize) -> Self {
        Self { split: Some(split), ..Self::new(EncoderKind::EventFrame, time_steps) }
    }

    /// Which events the frames gather.
    pub fn slicing(&self) -> Slicing {
        let n_frames = self.time_steps;
        match self.split.unwrap_or(FrameSplit::Number) {
            FrameSplit::Number => Slicing::Number { n_frames },
            FrameSplit::Time => Slicing::Time { n_frames },
            FrameSplit::TonicEventBins => Slicing::TonicEventBins { n_frames, overlap: 0.0 },
            FrameSplit::TonicTimeBins => Slicing::TonicTimeBins { n_frames, overlap: 0.0 },
        }
    }

    /// What the frames show of a sensor of height and width `sensor`.
    pub fn view(&self, sensor: [usize; 2]) -> View {
        let crop = self.crop.unwrap_or(sensor);
        View { sensor, crop, downsample: self.downsample.unwrap_or(1).max(1) }
    }

    /// Channels, height and width of the network's input, for samples of `shape`. They differ where
    /// event frames are cropped or down-sampled, and where a signal has several channels of spikes.
    pub fn output_shape(&self, shape: [usize; 3]) -> [usize; 3] {
        let [channels, height, width] = self.values_shape(shape);
        [channels.saturating_mul(self.n_fields()), height, width]
    }

    /// Channels, height and width of the values that are encoded, for samples of `shape`.
    pub(crate) fn values_shape(&self, [channels, height, width]: [usize; 3]) -> [usize; 3] {
        let [height, width] = self.view([height, width]).size();
        [channels, height, width]
    }

    /// Channels that one of the samples becomes.
    fn n_fields(&self) -> usize {
        match self.kind {
            EncoderKind::Delta => 2,
            EncoderKind::Population => self.neurons.unwrap_or(1),
            _ => 1,
        }
    }

    /// What the numbers are that it makes of samples without augmentation. Images are of 256
    /// intensities.
    pub fn code(&self) -> InputCode {
        match self.kind {
            EncoderKind::Poisson | EncoderKind::Latency | EncoderKind::Delta => InputCode::Binary,
            EncoderKind::Population => InputCode::Analog,
            EncoderKind::EventFrame if self.binary => InputCode::Binary,
            EncoderKind::EventFrame => InputCode::Counts,
            EncoderKind::Direct if self.normalizes() => InputCode::Analog,
            EncoderKind::Direct => InputCode::levels_of_bits(u8::BITS),
        }
    }

    /// The same for samples of `kind` that may be mixed before: a share of a spike is still drawn as a
    /// whole one, but shares of intensities and counts are any numbers.
    pub fn code_of_mixed(&self, kind: SampleKind, augment: &AugmentConfig) -> InputCode {
        match self.kind {
            EncoderKind::Direct | EncoderKind::EventFrame if augment.mixup_alpha > 0.0 => {
                InputCode::Analog
            }
            _ => self.code_of(kind),
        }
    }

    /// The same for samples of `kind`: the numbers of sequences may be any.
    pub fn code_of(&self, kind: SampleKind) -> InputCode {
        match (self.kind, kind) {
            (EncoderKind::Direct, SampleKind::Sequences { .. }) => InputCode::Analog,
            _ => self.code(),
        }
    }

    /// Whether intensities are changed.
    fn normalizes(&self) -> bool {
        let differs = |values: &Option<Vec<f32>>, from: f32| {
            values.iter().flatten().any(|value| *value != from)
        };
        differs(&self.mean, 0.0) || differs(&self.std, 1.0)
    }

    /// Refuses an encoder that cannot encode the samples of `set`.
    pub fn fits(&self, set: &SampleSet) -> Result<()> {
        self.fits_samples(set.kind(), set.shape())?;
        let SampleSet::Arrays(arrays) = set else { return Ok(()) };
        if matches!(self.kind, EncoderKind::Poisson | EncoderKind::Latency)
            && let Some(value) = arrays.values.iter().find(|value| !(0.0..=1.0).contains(*value))
        {
            let kind = if self.kind == EncoderKind::Poisson { "poisson" } else { "latency" };
            let message = format!("\"{kind}\" needs numbers in 0..=1, the data have {value}");
            return Err(Error::config("encoder.kind", message));
        }
        Ok(())
    }

    /// Refuses an encoder that cannot encode samples of `kind` and `shape`.
    pub fn fits_samples(
        &self,
        kind: SampleKind,
        shape @ [channels, height, width]: [usize; 3],
    ) -> Result<()> {
        self.validate(channels)?;
        let refuse = |key: &str, message: String| Err(Error::config(key, message));
        match (self.kind, kind) {
            (EncoderKind::EventFrame, SampleKind::Images | SampleKind::Sequences { .. }) => {
                return refuse(
                    "encoder.kind",
                    "\"event-frame\" encodes recordings of event cameras; use \"poisson\" or \"direct\" for images"
                        .to_owned(),
                );
            }
            (_, SampleKind::Events) if self.kind != EncoderKind::EventFrame => {
                return refuse(
                    "encoder.kind",
                    "recordings of event cameras need \"event-frame\"".to_owned(),
                );
            }
            (EncoderKind::Delta, SampleKind::Images | SampleKind::Sequences { n_steps: 1 }) => {
                return refuse(
                    "encoder.kind",
                    "\"delta\" encodes changes in time, which images do not have".to_owned(),
                );
            }
            (EncoderKind::Poisson | EncoderKind::Latency, SampleKind::Sequences { n_steps })
                if n_steps > 1 =>
            {
                return refuse(
                    "encoder.kind",
                    "sequences need \"direct\", which takes a step of them as the input of a step"
                        .to_owned(),
                );
            }
            (_, SampleKind::Sequences { n_steps }) if n_steps > 1 && n_steps != self.time_steps => {
                let message = format!(
                    "must be {n_steps}, the steps of the sequences (or set dataset.length): {}",
                    self.time_steps
                );
                return refuse("encoder.time_steps", message);
            }
            _ => {}
        }
        if let Some(crop @ [h, w]) = self.crop
            && (h > height || w > width)
        {
            let message = format!("must lie within the sensor of {height}x{width}: {crop:?}");
            return refuse("encoder.crop", message);
        }
        if self.output_shape(shape).contains(&0) {
            return refuse("encoder.downsample", "leaves no pixel".to_owned());
        }
        Ok(())
    }

    /// Refuses values that cannot be used, for samples of `n_channels`.
    pub fn validate(&self, n_channels: usize) -> Result<()> {
        if self.time_steps == 0 {
            return Err(Error::config("encoder.time_steps", "must be at least 1: 0"));
        }
        if self.time_steps > MAX_TIME_STEPS {
            let message = format!("must be at most {MAX_TIME_STEPS}: {}", self.time_steps);
            return Err(Error::config("encoder.time_steps", message));
        }
        for (key, values) in [("encoder.mean", &self.mean), ("encoder.std", &self.std)] {
            let Some(values) = values else { continue };
            if self.kind != EncoderKind::Direct {
                return Err(Error::config(key, "needs encoder.kind = \"direct\""));
            }
            if values.len() != n_channels {
                let message = format!("must have one number for each of {n_channels} channels");
                return Err(Error::config(key, format!("{message}: {values:?}")));
            }
            if !values.iter().all(|value| value.is_finite()) {
                return Err(Error::config(key, format!("must be finite: {values:?}")));
            }
        }
        self.validate_signals(n_channels)?;
        let is_event_frame = self.kind == EncoderKind::EventFrame;
        for (key, is_set) in [
            ("encoder.split", self.split.is_some()),
            ("encoder.origin", self.origin.is_some()),
            ("encoder.binary", self.binary),
            ("encoder.crop", self.crop.is_some()),
            ("encoder.downsample", self.downsample.is_some()),
            ("encoder.transforms", self.transforms.is_some()),
        ] {
            if is_set && !is_event_frame {
                return Err(Error::config(key, "needs encoder.kind = \"event-frame\""));
            }
        }
        if is_event_frame && self.split.is_none() {
            let message =
                "is missing: \"number\", \"time\", \"tonic-event-bins\" or \"tonic-time-bins\"";
            return Err(Error::config("encoder.split", message));
        }
        if self.origin.is_some() && !self.slicing().is_of_time() {
            let message = "needs encoder.split = \"time\" or \"tonic-time-bins\"";
            return Err(Error::config("encoder.origin", message));
        }
        if self.downsample == Some(0) {
            return Err(Error::config("encoder.downsample", "must be at least 1: 0"));
        }
        if self.crop.is_some_and(|crop| crop.contains(&0)) {
            return Err(Error::config("encoder.crop", "must have at least one row and column"));
        }
        if let Some(transforms) = &self.transforms {
            transforms.validate()?;
        }
        let std = self.std.as_deref().unwrap_or_default();
        if std.iter().any(|&std| std <= 0.0) {
            return Err(Error::config("encoder.std", "must be positive"));
        }
        // Intensities are in 0..=1.
        for (channel, std) in std.iter().enumerate() {
            let mean = self.mean.as_ref().map_or(0.0, |mean| mean[channel]);
            if !((0.0 - mean) / std).is_finite() || !((1.0 - mean) / std).is_finite() {
                let message = format!("makes intensities infinite in single precision: {std:e}");
                return Err(Error::config("encoder.std", message));
            }
        }
        Ok(())
    }

    /// Refuses what delta modulation and population coding cannot use, and their keys elsewhere.
    fn validate_signals(&self, n_channels: usize) -> Result<()> {
        let refuse = |key: &str, message: String| Err(Error::config(key, message));
        let (is_delta, is_population) =
            (self.kind == EncoderKind::Delta, self.kind == EncoderKind::Population);
        for (key, is_set, has, kind) in [
            ("encoder.threshold", self.threshold.is_some(), is_delta, "delta"),
            ("encoder.neurons", self.neurons.is_some(), is_population, "population"),
            ("encoder.range", self.range.is_some(), is_population, "population"),
        ] {
            if is_set && !has {
                return refuse(key, format!("needs encoder.kind = \"{kind}\""));
            }
        }
        if is_delta {
            let thresholds = self.threshold.as_deref().unwrap_or_default();
            if thresholds.len() != 1 && thresholds.len() != n_channels {
                let message =
                    format!("must have one number, or one for each of {n_channels} channels");
                return refuse("encoder.threshold", format!("{message}: {thresholds:?}"));
            }
            if !thresholds.iter().all(|&value| value > 0.0 && value.is_finite()) {
                return refuse("encoder.threshold", format!("must be above 0: {thresholds:?}"));
            }
        }
        if is_population {
            let n = self.neurons.unwrap_or(0);
            if !(2..=MAX_NEURONS).contains(&n) {
                return refuse("encoder.neurons", format!("must be in 2..={MAX_NEURONS}: {n}"));
            }
            let [low, high] = self.range.unwrap_or(UNIT);
            if !(low < high && (high - low).is_finite()) {
                return refuse(
                    "encoder.range",
                    format!("must be two numbers, the higher last: {low}, {high}"),
                );
            }
        }
        Ok(())
    }

    /// Writes the sequences `[T, B, C, H, W]` of a batch into `out`.
    ///
    /// `values` are intensities `[B, C, H, W]` in `[0, 1]`, or for event frames and sequences
    /// `[B, T, C, H, W]`, told by their number. `shape` is `[C, H, W]` of the values, and `samples` are the
    /// samples' indices in their set, `[B]`: with `key` they decide a sample's spikes, which so
    /// depend neither on the batch it is in, nor on the order, nor on the number of threads. Runs in
    /// the current rayon pool.
    pub fn encode_into(
        &self,
        out: &mut [f32],
        values: &[f32],
        shape: [usize; 3],
        samples: &[u32],
        key: EncodeKey,
    ) -> Result<()> {
        self.validate(shape[0])?;
        let n: usize = shape.iter().product();
        let batch_size = samples.len();
        let n_out = n * self.n_fields();
        let is_sequence = match self.kind {
            EncoderKind::EventFrame | EncoderKind::Delta => true,
            EncoderKind::Direct | EncoderKind::Population => {
                values.len() == self.time_steps * batch_size * n
            }
            EncoderKind::Poisson | EncoderKind::Latency => false,
        };
        let n_values = if is_sequence { self.time_steps * n } else { n };
        check_len("values", values.len(), batch_size * n_values)?;
        check_len("out", out.len(), self.time_steps * batch_size * n_out)?;
        if out.is_empty() {
            return Ok(());
        }
        match self.kind {
            EncoderKind::Poisson => {
                // One row is about a microsecond; a task should be worth its hand-over.
                let rows = out.par_chunks_exact_mut(n).enumerate().with_min_len(16);
                rows.try_for_each(|(row, out)| {
                    let (step, b) = (row / batch_size, row % batch_size);
                    let mut place = key.split.place(key.epoch, samples[b]);
                    place.step = step as u32;
                    poisson::encode_step(out, &values[b * n..][..n], key.seed, place)
                })?;
            }
            EncoderKind::Direct if is_sequence => {
                self.per_step(out, values, n, batch_size);
                self.normalize(out, shape);
            }
            EncoderKind::Direct => {
                let (first, rest) = out.split_at_mut(batch_size * n);
                first.copy_from_slice(values);
                self.normalize(first, shape);
                for step in rest.chunks_exact_mut(batch_size * n) {
                    step.copy_from_slice(first);
                }
            }
            EncoderKind::EventFrame => self.per_step(out, values, n, batch_size),
            EncoderKind::Latency => {
                let rows = out.par_chunks_exact_mut(n).enumerate().with_min_len(16);
                rows.for_each(|(row, out)| {
                    let (step, b) = (row / batch_size, row % batch_size);
                    signals::latency(out, &values[b * n..][..n], step, self.time_steps);
                });
            }
            EncoderKind::Delta => {
                let thresholds = self.threshold.as_deref().unwrap_or(&[1.0]);
                let rows = out.par_chunks_exact_mut(n_out).enumerate().with_min_len(16);
                rows.for_each(|(row, out)| {
                    let (step, b) = (row / batch_size, row % batch_size);
                    let at = |step: usize| &values[(b * self.time_steps + step) * n..][..n];
                    let (before, now) = (at(step.saturating_sub(1)), at(step));
                    signals::delta(out, before, now, thresholds, shape[1] * shape[2]);
                });
            }
            EncoderKind::Population => {
                let [low, high] = self.range.unwrap_or(UNIT);
                let (n_fields, plane) = (self.n_fields(), shape[1] * shape[2]);
                let rows = out.par_chunks_exact_mut(n_out).enumerate().with_min_len(16);
                rows.for_each(|(row, out)| {
                    let (step, b) = (row / batch_size, row % batch_size);
                    let first = if is_sequence { b * self.time_steps + step } else { b };
                    let values = &values[first * n..][..n];
                    signals::population(out, values, n_fields, &(low..high), plane);
                });
            }
        }
        Ok(())
    }

    /// From `[B, T, …]` to `[T, B, …]`, of `n` values a step.
    fn per_step(&self, out: &mut [f32], values: &[f32], n: usize, batch_size: usize) {
        let rows = out.par_chunks_exact_mut(n).enumerate().with_min_len(16);
        rows.for_each(|(row, out)| {
            let (step, b) = (row / batch_size, row % batch_size);
            out.copy_from_slice(&values[(b * self.time_steps + step) * n..][..n]);
        });
    }

    /// Writes the frames `[T, 2, H, W]` of a recording into `out`, `[H, W]` being the size of the
    /// [view](Self::view).
    pub fn frames_into(&self, events: &Events, out: &mut [f32]) -> Result<()> {
        let view = self.view(events.sensor);
        let [height, width] = view.size();
        let n = 2 * height * width;
        check_len("out", out.len(), self.time_steps * n)?;
        out.fill(0.0);
        let ranges = self.slicing().ranges_of(events, self.origin.unwrap_or_default())?;
        for (range, frame) in ranges.into_iter().zip(out.chunks_exact_mut(n)) {
            accumulate(frame, events, range, &view);
        }
        if self.binary {
            for count in out {
                *count = count.min(1.0);
            }
        }
        Ok(())
    }

    fn normalize(&self, values: &mut [f32], [n_channels, height, width]: [usize; 3]) {
        if !self.normalizes() {
            return;
        }
        for (plane, values) in values.chunks_exact_mut(height * width).enumerate() {
            let channel = plane % n_channels;
            let mean = self.mean.as_ref().map_or(0.0, |mean| mean[channel]);
            let std = self.std.as_ref().map_or(1.0, |std| std[channel]);
            for value in values {
                *value = (*value - mean) / std;
            }
        }
    }
}

fn check_len(what: &'static str, got: usize, expected: usize) -> Result<()> {
    if got == expected {
        Ok(())
    } else {
        let op = "EncoderConfig::encode_into";
        Err(mbspike_core::Error::Length { op, what, got, expected }.into())
    }
}

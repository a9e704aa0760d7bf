//! The `[encoder]` part of a config: what an encoder makes, and of which shape.

use mbspike_core::InputCode;
use serde::{Deserialize, Serialize};

use crate::event_transforms::EventTransforms;
use crate::frames::{Origin, Slicing, View};
use crate::{AugmentConfig, SampleKind};

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

/// Where intensities are.
pub(super) const UNIT: [f32; 2] = [0.0, 1.0];

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
    /// Frames of a fixed duration, as many as a recording has, up to `time_steps`; the rest are empty
    /// (SpikingJelly's `duration`).
    Duration,
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
    /// Event frames of a fixed duration: microseconds of a frame.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub frame_us: Option<i64>,
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
            frame_us: None,
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

    /// Counts of events in frames of `frame_us` microseconds, up to `time_steps` of them.
    pub fn event_frame_of(frame_us: i64, time_steps: usize) -> Self {
        let frame_us = Some(frame_us);
        Self { frame_us, ..Self::event_frame(FrameSplit::Duration, time_steps) }
    }

    /// Which events the frames gather.
    pub fn slicing(&self) -> Slicing {
        let n_frames = self.time_steps;
        match self.split.unwrap_or(FrameSplit::Number) {
            FrameSplit::Number => Slicing::Number { n_frames },
            FrameSplit::Time => Slicing::Time { n_frames },
            FrameSplit::TonicEventBins => Slicing::TonicEventBins { n_frames, overlap: 0.0 },
            FrameSplit::TonicTimeBins => Slicing::TonicTimeBins { n_frames, overlap: 0.0 },
            FrameSplit::Duration => Slicing::Duration { us: self.frame_us.unwrap_or(0) },
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
    pub(super) fn n_fields(&self) -> usize {
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
    pub(super) fn normalizes(&self) -> bool {
        let differs = |values: &Option<Vec<f32>>, from: f32| {
            values.iter().flatten().any(|value| *value != from)
        };
        differs(&self.mean, 0.0) || differs(&self.std, 1.0)
    }
}

//! What an encoder cannot use: values out of range, keys of another kind, samples that it cannot encode.

use super::config::{EncoderConfig, EncoderKind, FrameSplit, UNIT};
use crate::events::MAX_TIME_US;
use crate::frames::MAX_FRAMES;
use crate::{Error, Result, SampleKind, SampleSet};

/// The most neurons that one signal may have in population coding.
const MAX_NEURONS: usize = 1 << 12;

/// The most time steps that a sequence may have; how many fit into memory is another matter.
pub const MAX_TIME_STEPS: usize = MAX_FRAMES as usize;

impl EncoderConfig {
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
            ("encoder.frame_us", self.frame_us.is_some()),
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
            let message = "is missing: \"number\", \"time\", \"duration\", \"tonic-event-bins\" or \"tonic-time-bins\"";
            return Err(Error::config("encoder.split", message));
        }
        if self.origin.is_some() && !self.slicing().is_of_time() {
            let message = "needs encoder.split = \"time\", \"duration\" or \"tonic-time-bins\"";
            return Err(Error::config("encoder.origin", message));
        }
        match (self.split, self.frame_us) {
            (Some(FrameSplit::Duration), None) => {
                let message = "is missing: the microseconds of a frame of split = \"duration\"";
                return Err(Error::config("encoder.frame_us", message));
            }
            (Some(FrameSplit::Duration), Some(us)) if !(1..=MAX_TIME_US).contains(&us) => {
                let message = format!("must be in 1..={MAX_TIME_US}: {us}");
                return Err(Error::config("encoder.frame_us", message));
            }
            (split, Some(_)) if split != Some(FrameSplit::Duration) => {
                return Err(Error::config(
                    "encoder.frame_us",
                    "needs encoder.split = \"duration\"",
                ));
            }
            _ => {}
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
}

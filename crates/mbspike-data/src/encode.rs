//! From intensities to the input of a spiking network, `[T, B, C, H, W]`.

use mbspike_core::poisson;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::{Error, Result, Split};

/// How samples become sequences.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EncoderKind {
    /// Each pixel fires at each step with probability equal to its intensity.
    Poisson,
    /// Each pixel's intensity is the input current at every step.
    Direct,
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
    /// Poisson spike trains over `time_steps`.
    pub fn poisson(time_steps: usize) -> Self {
        Self { kind: EncoderKind::Poisson, time_steps, mean: None, std: None }
    }

    /// Intensities as they are at each of `time_steps`.
    pub fn direct(time_steps: usize) -> Self {
        Self { kind: EncoderKind::Direct, time_steps, mean: None, std: None }
    }

    /// Refuses values that cannot be used, for samples of `n_channels`.
    pub fn validate(&self, n_channels: usize) -> Result<()> {
        if self.time_steps == 0 {
            return Err(Error::config("encoder.time_steps", "must be at least 1: 0"));
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
        if self.std.as_ref().is_some_and(|std| std.iter().any(|&std| std <= 0.0)) {
            return Err(Error::config("encoder.std", "must be positive"));
        }
        Ok(())
    }

    /// Writes the sequences `[T, B, C, H, W]` of a batch into `out`.
    ///
    /// `intensities` are `[B, C, H, W]` in `[0, 1]`, `shape` is `[C, H, W]`, and `samples` are the
    /// samples' indices in their set, `[B]`: with `key` they decide a sample's spikes, which so
    /// depend neither on the batch it is in, nor on the order, nor on the number of threads. Runs in
    /// the current rayon pool.
    pub fn encode_into(
        &self,
        out: &mut [f32],
        intensities: &[f32],
        shape: [usize; 3],
        samples: &[u32],
        key: EncodeKey,
    ) -> Result<()> {
        self.validate(shape[0])?;
        let n: usize = shape.iter().product();
        let batch_size = samples.len();
        check_len("intensities", intensities.len(), batch_size * n)?;
        check_len("out", out.len(), self.time_steps * batch_size * n)?;
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
                    poisson::encode_step(out, &intensities[b * n..][..n], key.seed, place)
                })?;
            }
            EncoderKind::Direct => {
                let (first, rest) = out.split_at_mut(batch_size * n);
                first.copy_from_slice(intensities);
                self.normalize(first, shape);
                for step in rest.chunks_exact_mut(batch_size * n) {
                    step.copy_from_slice(first);
                }
            }
        }
        Ok(())
    }

    fn normalize(&self, values: &mut [f32], [n_channels, height, width]: [usize; 3]) {
        if self.mean.is_none() && self.std.is_none() {
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

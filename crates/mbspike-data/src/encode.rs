//! From intensities to the input of a spiking network, `[T, B, C, H, W]`.

mod check;
mod config;
mod signals;

use mbspike_core::poisson;
use rayon::prelude::*;

pub use check::MAX_TIME_STEPS;
pub use config::{EncoderConfig, EncoderKind, FrameSplit};

use config::UNIT;

use crate::frames::accumulate;
use crate::{Events, Result, Split};

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

    /// Writes the frames `[T, C, H, W]` of a recording into `out`, `[H, W]` being the size of the
    /// [view](Self::view) and C the polarities that are told apart: 2 or, of spikes of lines, 1. Frames
    /// beyond the last of a recording are empty, and those beyond T are left out.
    pub fn frames_into(&self, events: &Events, out: &mut [f32]) -> Result<()> {
        let view = self.view(events.sensor);
        let [height, width] = view.size();
        let plane = height * width;
        let n_polarities = if out.len() == self.time_steps * plane { 1 } else { 2 };
        let n = n_polarities * plane;
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

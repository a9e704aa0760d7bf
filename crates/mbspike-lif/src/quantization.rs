//! Quantization in training: weights and inputs rounded to what int8 can say, with the gradient
//! passing straight through.
//!
//! Weights are quantized symmetrically, each output channel on its own: with
//! `scale = max |w| / 127`, the code of `w` is `q = round(w / scale)`, ties to even, and the network
//! computes with `q · scale`. Spikes need no rounding: level codes are whole numbers, and so are
//! their sums under average pooling. Only the input may need it: see [`InputRange`].

use candle_core::{CpuStorage, CustomOp1, Layout, Shape, Tensor, WithDType};
use serde::{Deserialize, Serialize};

/// The largest code of a weight or an input; the smallest is its negative.
pub const MAX_CODE: i32 = 127;

/// What weights and inputs are rounded to in the forward pass, `[train] quantization` in a config.
/// Weights are kept, and trained, in f32.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Quantization {
    /// Nothing.
    #[default]
    None,
    /// 8-bit whole numbers times a scale: quantization-aware training.
    Int8,
}

impl Quantization {
    /// Whether nothing is rounded.
    pub fn is_none(&self) -> bool {
        *self == Self::None
    }
}

/// The scale of one output channel's weights; 1 where all are zero.
pub(crate) fn scale_of(channel: &[f32]) -> f32 {
    let largest = channel.iter().fold(0.0_f32, |largest, w| largest.max(w.abs()));
    // Weights so small that the quotient underflows are all rounded to zero.
    let scale = largest / MAX_CODE as f32;
    if scale > 0.0 { scale } else { 1.0 }
}

/// The code of a value, still as a float; a NaN stays one.
#[inline(always)]
pub(crate) fn code_of(value: f32, scale: f32) -> f32 {
    let limit = MAX_CODE as f32;
    (value / scale).round_ties_even().clamp(-limit, limit)
}

/// Rounds weights `[out, …]` of `n_out` channels to int8, in place: each becomes `q · scale`.
pub(crate) fn fake_quantize(weight: &mut [f32], n_out: usize) {
    let n = (weight.len() / n_out.max(1)).max(1);
    for channel in weight.chunks_exact_mut(n) {
        let scale = scale_of(channel);
        for w in channel {
            *w = code_of(*w, scale) * scale;
        }
    }
}

/// [`fake_quantize`] of a tensor `[out, …]`. The gradient passes unchanged (straight-through
/// estimator): the scale is taken for a constant, and since it covers the largest weight of its
/// channel, no weight is clipped.
pub(crate) fn fake_quantized(weight: &Tensor) -> candle_core::Result<Tensor> {
    weight.apply_op1(FakeQuantize)
}

struct FakeQuantize;

impl CustomOp1 for FakeQuantize {
    fn name(&self) -> &'static str {
        "fake_quantize"
    }

    fn cpu_fwd(
        &self,
        weight: &CpuStorage,
        layout: &Layout,
    ) -> candle_core::Result<(CpuStorage, Shape)> {
        let (CpuStorage::F32(weight), Some((start, end))) = (weight, layout.contiguous_offsets())
        else {
            candle_core::bail!("fake_quantize takes a contiguous f32 tensor")
        };
        let mut values = weight[start..end].to_vec();
        fake_quantize(&mut values, layout.dims().first().copied().unwrap_or(1));
        Ok((f32::to_cpu_storage_owned(values), layout.shape().clone()))
    }

    fn bwd(&self, _: &Tensor, _: &Tensor, grad: &Tensor) -> candle_core::Result<Option<Tensor>> {
        Ok(Some(grad.clone()))
    }
}

/// What an observer has seen of a network's input, and the step between its codes.
///
/// Inputs that are all whole numbers of at most 127 (spikes, events counted in a frame) are their
/// own codes: step 1, nothing is lost. Others (intensities of direct encoding) get the step
/// `max |x| / 127` over all training samples seen.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct InputRange {
    /// The largest absolute value.
    pub largest: f32,
    /// Whether all values were whole numbers.
    pub is_whole: bool,
}

impl Default for InputRange {
    /// Nothing seen.
    fn default() -> Self {
        Self { largest: 0.0, is_whole: true }
    }
}

impl InputRange {
    /// Takes note of more input.
    pub fn observe(&mut self, values: &[f32]) {
        // Beyond i32 the cast saturates; such values are far above 127, where it does not matter.
        let mut is_whole = true;
        for x in values {
            self.largest = self.largest.max(x.abs());
            is_whole &= *x == (*x as i32) as f32;
        }
        self.is_whole &= is_whole;
    }

    /// The step between codes; `None` while nothing but zeros was seen.
    pub fn step(&self) -> Option<f32> {
        let limit = MAX_CODE as f32;
        let step = if self.is_whole && self.largest <= limit { 1.0 } else { self.largest / limit };
        (self.largest > 0.0 && step > 0.0).then_some(step)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_at_most_half_a_step_off_and_the_largest_weight_is_kept() {
        let mut weight = [0.5, -0.26, 0.013, 0.0, 2.0, 1e-3, -2.0, 0.3];
        let before = weight;
        fake_quantize(&mut weight, 2);
        for (now, then) in weight.chunks(4).zip(before.chunks(4)) {
            let scale = scale_of(then);
            for (now, then) in now.iter().zip(then) {
                assert!((now - then).abs() <= scale * 0.500_01, "{then} became {now}");
            }
        }
        assert!((weight[0] - 0.5).abs() < 1e-6 && (weight[4] - 2.0).abs() < 1e-6);
    }

    #[test]
    fn quantizing_twice_gives_the_same_codes() {
        let weight: Vec<f32> = (0..999_u32).map(|i| (i as f32 * 0.37).sin() * 0.2).collect();
        let codes = |w: &[f32]| -> Vec<f32> {
            let scale = scale_of(w);
            w.iter().map(|w| code_of(*w, scale)).collect()
        };
        let mut quantized = weight.clone();
        fake_quantize(&mut quantized, 1);
        assert_eq!(codes(&weight), codes(&quantized));
    }

    #[test]
    fn zero_tiny_and_nan_weights_stay_what_they_are() {
        let mut weight = [0.0, -0.0, f32::NAN, 1.0];
        fake_quantize(&mut weight, 2);
        assert!(weight[0] == 0.0 && weight[1] == 0.0 && weight[2].is_nan() && weight[3] == 1.0);
        let mut tiny = [f32::from_bits(1), 0.0];
        fake_quantize(&mut tiny, 1);
        assert_eq!(tiny, [0.0, 0.0]);
    }

    #[test]
    fn whole_inputs_are_their_own_codes() {
        let mut range = InputRange::default();
        assert_eq!(range.step(), None);
        range.observe(&[0.0, 1.0, 3.0]);
        assert_eq!(range.step(), Some(1.0));
        range.observe(&[254.0]);
        assert_eq!(range.step(), Some(2.0));
        let mut range = InputRange::default();
        range.observe(&[0.25, -0.5]);
        assert_eq!(range.step(), Some(0.5 / 127.0));
    }
}

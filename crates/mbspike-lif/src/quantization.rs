//! Quantization in training: weights and inputs rounded to what int8 can say, with the gradient
//! passing straight through.
//!
//! Weights are quantized symmetrically, each output channel on its own: the code of `w` is
//! `q = clamp(round(w / scale), −127, 127)`, ties to even, and the network computes with `q · scale`.
//! The scale is `max |w| / 127`, and smaller where a few weights are so large that it would round the
//! others to nothing: see [`scale_of`]. Spikes need no rounding: level codes are whole numbers, and so are
//! their sums under average pooling. Only the input may need it: see [`InputRange`].

use candle_core::{CpuStorage, CustomOp1, Layout, Shape, Tensor, WithDType};
use mbspike_core::InputCode;
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

/// Scales that are tried: each is that of before divided by `2^(1/8)`.
const TRIES_PER_OCTAVE: i32 = 8;
/// A scale that clips is taken where its error is less than that of the scale that does not by at
/// least this: as much as one weight that is lost. A clipped weight is another weight, not a rounded
/// one, so there must be something to gain.
const WORTH_CLIPPING: f64 = 1.0;

/// The scale of one output channel's weights; 1 where all are zero.
///
/// `max |w| / 127` clips nothing. Of the smaller scales, down to where the median weight is the
/// largest, the one with the least error is taken if that is less than the largest scale's by at
/// least 1. The error of a weight `w` that becomes `ŵ` is `(w − ŵ)² / (w² + m²)`, with `m` half the
/// median of the channel's absolute weights, zeros left out: relative to the weight where that is large, as neurons
/// saturate, and to the channel's usual weight where it is small. So it is at most 1, and no outlier
/// outweighs all others, as it does in the sum of squares, whose least scale keeps outliers and rounds
/// everything else to zero.
pub(crate) fn scale_of(channel: &[f32]) -> f32 {
    let largest = channel.iter().fold(0.0_f32, |largest, w| largest.max(w.abs()));
    // Weights so small that the quotient underflows are all rounded to zero.
    let widest = largest / MAX_CODE as f32;
    if widest <= 0.0 || widest.is_nan() {
        return 1.0;
    }
    let Some(median) = usual_weight(channel).filter(|_| largest.is_finite()) else {
        return widest;
    };
    let unit = f64::from(median / 2.0).powi(2);
    let limit = f64::from(largest);
    let of_clipped = |clip: f64| (limit - clip).powi(2) / (limit.powi(2) + unit);
    let error = |scale: f32, stop: f64| {
        let mut sum = 0.0;
        for weights in channel.chunks(64) {
            for w in weights {
                let (w, rounded) = (f64::from(*w), f64::from(code_of(*w, scale) * scale));
                sum += (w - rounded).powi(2) / (w.powi(2) + unit);
            }
            // It only grows.
            if sum > stop {
                break;
            }
        }
        sum
    };
    let mut least = error(widest, f64::INFINITY) - WORTH_CLIPPING;
    let mut scale = widest;
    for step in 1.. {
        let clip = limit * 2_f64.powf(-f64::from(step) / f64::from(TRIES_PER_OCTAVE));
        // What the largest weight alone loses grows with each step.
        if clip < f64::from(median) || of_clipped(clip) > least {
            break;
        }
        let tried = (clip / f64::from(MAX_CODE)) as f32;
        let error = error(tried, least);
        if tried > 0.0 && error <= least {
            (least, scale) = (error, tried);
        }
    }
    scale
}

/// The median of the absolute weights that are not zero, the lower one of two.
fn usual_weight(channel: &[f32]) -> Option<f32> {
    let mut sizes: Vec<f32> = channel.iter().map(|w| w.abs()).filter(|w| *w > 0.0).collect();
    let middle = sizes.len().checked_sub(1)? / 2;
    Some(*sizes.select_nth_unstable_by(middle, f32::total_cmp).1)
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
/// estimator), also to weights that are clipped: the scale is taken for a constant.
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
/// Whole numbers of at most 127 (spikes, events counted in a frame) are their own codes: step 1,
/// nothing is lost. Others (intensities of direct encoding) get the step `max |x| / 127` over all
/// training samples seen. Which they are is said by the input's [code](InputCode), not seen: a batch of
/// black and white images is still one of intensities.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct InputRange {
    /// The largest absolute value.
    pub largest: f32,
    /// Whether all values are whole numbers.
    pub is_whole: bool,
}

impl InputRange {
    /// Of an input of this code, of which nothing was seen.
    pub fn of(code: InputCode) -> Self {
        Self { largest: 0.0, is_whole: code.is_whole() }
    }

    /// Takes note of more input.
    pub fn observe(&mut self, values: &[f32]) {
        for x in values {
            self.largest = self.largest.max(x.abs());
        }
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
    fn weights_beside_outliers_keep_their_codes() {
        let ordinary: Vec<f32> = (0..98_u32).map(|i| (i as f32 * 0.37).sin() * 0.1).collect();
        for (n, outlier) in [(98, 30.0), (98, 300.0), (98, 1e6_f32), (7, 300.0)] {
            let ordinary = &ordinary[..n];
            let mut weight = ordinary.to_vec();
            weight.extend([outlier, -outlier]);
            let share_of_zeros = |scale: f32| {
                let zeros = ordinary.iter().filter(|w| code_of(**w, scale) == 0.0).count();
                zeros as f64 / ordinary.len() as f64
            };
            assert!(share_of_zeros(outlier / 127.0) > 0.9);
            let scale = scale_of(&weight);
            assert!(share_of_zeros(scale) < 0.2, "{outlier}: {}", share_of_zeros(scale));
            // What is left of the outliers is still the largest, and on their side of zero.
            fake_quantize(&mut weight, 1);
            assert!(
                weight[..n].iter().all(|w| w.abs() <= weight[n]) && weight[n + 1] == -weight[n]
            );
        }
    }

    #[test]
    fn ordinary_weights_are_not_clipped() {
        for n in [9, 25, 200, 784_u32] {
            // Nearly normal: sums of three uniform numbers.
            let uniform =
                |i: u32| f64::from(i.wrapping_mul(2_654_435_761) >> 8) / f64::from(1 << 24);
            let weight: Vec<f32> = (0..n)
                .map(|i| (0..3).map(|j| uniform(3 * i + j + 1) - 0.5).sum::<f64>() as f32 * 0.1)
                .collect();
            let largest = weight.iter().fold(0.0_f32, |largest, w| largest.max(w.abs()));
            assert_eq!(scale_of(&weight), largest / 127.0);
        }
    }

    #[test]
    fn the_input_is_coded_by_what_it_is() {
        let step = |code, values: &[f32]| {
            let mut range = InputRange::of(code);
            range.observe(values);
            range.step()
        };
        assert_eq!(step(InputCode::Binary, &[0.0]), None);
        assert_eq!(step(InputCode::Binary, &[0.0, 1.0]), Some(1.0));
        assert_eq!(step(InputCode::Counts, &[0.0, 1.0, 3.0]), Some(1.0));
        assert_eq!(step(InputCode::Counts, &[254.0]), Some(2.0));
        assert_eq!(step(InputCode::Analog, &[0.25, -0.5]), Some(0.5 / 127.0));
        // Black and white, but of a set of intensities: grey must not become black.
        assert_eq!(step(InputCode::levels_of_bits(8), &[0.0, 1.0]), Some(1.0 / 127.0));
    }
}

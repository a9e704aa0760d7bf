//! Poisson (Bernoulli) rate encoding at slice level.
//!
//! At each time step element `i` of a sample fires with probability equal to its intensity:
//! `s[t, i] = 1 if u[t, i] < p[i] else 0`, with `u` uniform in `[0, 1)` from the
//! [`Stream`] of [`Domain::Encode`] at `(epoch, sample, step)`. An intensity
//! of 0 never fires and one of 1 always does; values outside `[0, 1]` act like the nearer end, and
//! NaN never fires.
#![allow(
    clippy::inline_always,
    reason = "code must be inlined to be compiled for the caller's instruction set"
)]

use pulp::{Arch, Simd, WithSimd};

use crate::philox::{Domain, GROUP, Place, Stream, to_uniform};
use crate::{Result, error::check_len};

/// Writes the spikes of one sample at one time step, 0 or 1, into `out` (as many as `intensities`).
///
/// The result is the same on every instruction set, bit for bit.
///
/// ```
/// use mbspike_core::philox::Place;
/// use mbspike_core::poisson::encode_step;
///
/// let mut spikes = [0.0; 3];
/// encode_step(&mut spikes, &[0.0, 0.5, 1.0], 2025, Place { epoch: 0, sample: 7, step: 2 })?;
/// assert_eq!((spikes[0], spikes[2]), (0.0, 1.0));
/// # Ok::<(), mbspike_core::Error>(())
/// ```
pub fn encode_step(out: &mut [f32], intensities: &[f32], seed: u64, place: Place) -> Result<()> {
    check_len("poisson::encode_step", "out", out.len(), intensities.len())?;
    let stream = Stream::new(seed, Domain::Encode, place);
    Arch::new().dispatch(EncodeStep { out, intensities, stream });
    Ok(())
}

/// Writes the spikes of one sample at steps `0..T` into `out`, `[T, N]` with `N` intensities.
pub fn encode_steps(
    out: &mut [f32],
    intensities: &[f32],
    seed: u64,
    epoch: u32,
    sample: u32,
) -> Result<()> {
    if intensities.is_empty() {
        return check_len("poisson::encode_steps", "out", out.len(), 0);
    }
    let n_steps = out.len() / intensities.len();
    check_len("poisson::encode_steps", "out", out.len(), n_steps * intensities.len())?;
    for (step, out) in out.chunks_exact_mut(intensities.len()).enumerate() {
        encode_step(out, intensities, seed, Place { epoch, sample, step: step as u32 })?;
    }
    Ok(())
}

/// [`encode_step`] one draw at a time: simple, slow, correct.
pub fn encode_step_reference(intensities: &[f32], seed: u64, place: Place) -> Vec<f32> {
    let stream = Stream::new(seed, Domain::Encode, place);
    let fires = |(i, &p): (usize, &f32)| f32::from(u8::from(stream.uniform(i) < p));
    intensities.iter().enumerate().map(fires).collect()
}

struct EncodeStep<'a> {
    out: &'a mut [f32],
    intensities: &'a [f32],
    stream: Stream,
}

impl WithSimd for EncodeStep<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let (out, rest) = self.out.as_chunks_mut::<GROUP>();
        let (intensities, rest_intensities) = self.intensities.as_chunks::<GROUP>();
        let n_groups = out.len();
        for (group, (out, intensities)) in out.iter_mut().zip(intensities).enumerate() {
            fire(out, intensities, &self.stream.group(group));
        }
        if !rest.is_empty() {
            fire(rest, rest_intensities, &self.stream.group(n_groups));
        }
    }
}

#[inline(always)]
fn fire(out: &mut [f32], intensities: &[f32], words: &[u32; GROUP]) {
    for ((s, &p), &word) in out.iter_mut().zip(intensities).zip(words) {
        *s = if to_uniform(word) < p { 1.0 } else { 0.0 };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ramp(n: usize) -> Vec<f32> {
        (0..n).map(|i| i as f32 / (n - 1) as f32).collect()
    }

    const PLACE: Place = Place { epoch: 2, sample: 59_999, step: 9 };

    #[test]
    fn every_instruction_set_gives_the_reference() {
        for n in [2, 63, 64, 65, 100, 784, 1156] {
            let intensities = ramp(n);
            let want = encode_step_reference(&intensities, 5, PLACE);
            let stream = Stream::new(5, Domain::Encode, PLACE);
            let check = |name: &str, run: &dyn Fn(EncodeStep)| {
                let mut out = vec![f32::NAN; n];
                run(EncodeStep { out: &mut out, intensities: &intensities, stream });
                assert_eq!(out, want, "{name}, n = {n}");
            };
            check("best", &|op| Arch::new().dispatch(op));
            check("baseline", &|op| op.with_simd(pulp::Scalar));
            #[cfg(target_arch = "x86_64")]
            {
                if let Some(v3) = pulp::x86::V3::try_new() {
                    check("AVX2", &|op| Simd::vectorize(v3, op));
                }
                if let Some(v4) = pulp::x86::V4::try_new() {
                    check("AVX-512", &|op| Simd::vectorize(v4, op));
                }
            }
        }
    }

    #[test]
    fn zero_never_fires_and_one_always_does() {
        for step in 0..200 {
            let mut out = [f32::NAN; 128];
            let mut intensities = [0.0; 128];
            intensities[64..].fill(1.0);
            encode_step(&mut out, &intensities, 1, Place { step, ..PLACE }).unwrap();
            assert_eq!(out, intensities);
        }
    }

    #[test]
    fn intensities_beyond_the_range_act_like_its_ends_and_nan_is_silent() {
        let mut out = [7.0; 4];
        encode_step(&mut out, &[-3.0, 2.0, f32::NAN, f32::INFINITY], 1, PLACE).unwrap();
        assert_eq!(out, [0.0, 1.0, 0.0, 1.0]);
    }

    #[test]
    fn firing_rate_is_the_intensity() {
        let (n, n_steps) = (256, 4000);
        let intensities = ramp(n);
        let mut out = vec![0.0; n * n_steps];
        encode_steps(&mut out, &intensities, 11, 0, 3).unwrap();
        for (i, &p) in intensities.iter().enumerate() {
            let rate =
                (0..n_steps).map(|t| f64::from(out[t * n + i])).sum::<f64>() / n_steps as f64;
            let deviation = (f64::from(p) * (1.0 - f64::from(p)) / n_steps as f64).sqrt();
            assert!((rate - f64::from(p)).abs() <= 5.0 * deviation, "{i}: {rate} for {p}");
        }
    }

    #[test]
    fn steps_samples_epochs_and_seeds_draw_differently() {
        let intensities = [0.5; 256];
        let draw = |seed, place| encode_step_reference(&intensities, seed, place);
        let base = draw(1, PLACE);
        assert_eq!(base, draw(1, PLACE));
        assert_ne!(base, draw(2, PLACE));
        assert_ne!(base, draw(1 << 32 | 1, PLACE));
        assert_ne!(base, draw(1, Place { step: 8, ..PLACE }));
        assert_ne!(base, draw(1, Place { sample: 0, ..PLACE }));
        assert_ne!(base, draw(1, Place { epoch: 3, ..PLACE }));
    }

    #[test]
    fn wrong_sizes_are_refused() {
        assert!(encode_step(&mut [0.0; 3], &[0.0; 4], 1, PLACE).is_err());
        assert!(encode_steps(&mut [0.0; 7], &[0.0; 4], 1, 0, 0).is_err());
    }
}

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

mod batch;
#[cfg(feature = "cuda")]
#[expect(unsafe_code, reason = "launches kernels")]
mod cuda;

use candle_core::{CpuStorage, CustomOp1, Layout, Shape, Tensor, WithDType};
use pulp::{Arch, Simd, WithSimd};

use batch::EncodeBatch;

use crate::philox::{Domain, GROUP, Place, Stream, to_uniform};
use crate::tensor::contiguous;
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

/// Spikes `[T, B, …]` of a batch of `intensities` `[B, …]` in f32, given the index of each sample in
/// its set: on a GPU the same spikes as on the CPU, bit for bit.
///
/// # Errors
/// If there are not as many indices as samples.
pub fn encode_batch(
    intensities: &Tensor,
    n_steps: usize,
    seed: u64,
    epoch: u32,
    samples: &[u32],
) -> Result<Tensor> {
    check_len("poisson::encode_batch", "samples", samples.len(), intensities.dim(0)?)?;
    let op = EncodeBatch { n_steps, seed, epoch, samples };
    Ok(intensities.detach().contiguous()?.apply_op1_no_bwd(&op)?)
}

impl CustomOp1 for EncodeBatch<'_> {
    fn name(&self) -> &'static str {
        "poisson_encode"
    }

    fn cpu_fwd(&self, p: &CpuStorage, layout: &Layout) -> candle_core::Result<(CpuStorage, Shape)> {
        let CpuStorage::F32(p) = p else {
            candle_core::bail!("{} takes an f32 tensor", self.name())
        };
        let p = contiguous(p, layout)?;
        let n = p.len() / self.samples.len().max(1);
        let mut s_seq = vec![0.0; self.n_steps * p.len()];
        for (step, row) in s_seq.chunks_exact_mut(p.len().max(1)).enumerate() {
            let of_samples = row.chunks_exact_mut(n.max(1)).zip(p.chunks_exact(n.max(1)));
            for ((out, p), sample) in of_samples.zip(self.samples) {
                let place = Place { epoch: self.epoch, sample: *sample, step: step as u32 };
                encode_step(out, p, self.seed, place).map_err(candle_core::Error::wrap)?;
            }
        }
        Ok((f32::to_cpu_storage_owned(s_seq), self.shape(layout)))
    }

    #[cfg(feature = "cuda")]
    fn cuda_fwd(
        &self,
        p: &candle_core::CudaStorage,
        layout: &Layout,
    ) -> candle_core::Result<(candle_core::CudaStorage, Shape)> {
        cuda::encode(self, p, layout)
    }
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
    fn a_batch_is_its_samples_at_all_steps() {
        let intensities = ramp(2 * 70);
        let device = candle_core::Device::Cpu;
        let tensor = Tensor::from_slice(&intensities, (2, 7, 10), &device).unwrap();
        let spikes = encode_batch(&tensor, 3, 11, 4, &[9, 2]).unwrap();
        assert_eq!(spikes.dims(), [3, 2, 7, 10]);
        for (b, sample) in [9, 2].into_iter().enumerate() {
            let mut want = vec![f32::NAN; 3 * 70];
            encode_steps(&mut want, &intensities[b * 70..][..70], 11, 4, sample).unwrap();
            let got = spikes.narrow(1, b, 1).unwrap().flatten_all().unwrap();
            assert_eq!(got.to_vec1::<f32>().unwrap(), want);
        }
        assert!(encode_batch(&tensor, 3, 11, 4, &[9]).is_err());
    }

    #[test]
    fn wrong_sizes_are_refused() {
        assert!(encode_step(&mut [0.0; 3], &[0.0; 4], 1, PLACE).is_err());
        assert!(encode_steps(&mut [0.0; 7], &[0.0; 4], 1, 0, 0).is_err());
    }
}

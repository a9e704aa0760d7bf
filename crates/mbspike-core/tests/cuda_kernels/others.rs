//! Poisson encoding, pooling and counts.

use candle_core::{Device, Tensor, Var};
use mbspike_core::activity::count;
use mbspike_core::cuda::{N_COUNTS, Window};
use mbspike_core::philox::Place;
use mbspike_core::poisson::encode_step;
use mbspike_core::pool::{PoolKind, pool2d};

use crate::elements::{Bf16, Element, from, to};
use crate::launch::Launch;
use crate::lif::{bits, rounded};

/// Spikes of samples with `n` elements.
pub fn poisson_agrees<E: Element>(n: usize, seed: u64, epoch: u32, samples: &[u32]) {
    let (n_steps, batch_size) = (11, samples.len());
    let intensities: Vec<f32> = (0..n * batch_size).map(|i| (i % 97) as f32 / 96.0).collect();
    let mut s_seq = vec![E::of(f32::NAN); n_steps * batch_size * n];
    let n_blocks = n.div_ceil(64) * 16;
    Launch::of(format!("poisson_{}", E::NAME))
        .output(&mut s_seq)
        .input(&intensities)
        .input(samples)
        .value(n_steps as u32)
        .value(batch_size as u32)
        .value(n as u32)
        .value(n_blocks as u32)
        .value(seed as u32)
        .value((seed >> 32) as u32)
        .value(epoch)
        .run(n_steps * batch_size * n_blocks, 0);
    for (row, got) in from(&s_seq).chunks_exact(n).enumerate() {
        let (step, b) = (row / batch_size, row % batch_size);
        let place = Place { epoch, sample: samples[b], step: step as u32 };
        let mut want = vec![f32::NAN; n];
        encode_step(&mut want, &intensities[b * n..][..n], seed, place).unwrap();
        assert_eq!(got, want, "n = {n}, step {step}, sample {b}, {}", E::NAME);
    }
}

#[test]
fn poisson_spikes_are_the_cpus_bit_for_bit() {
    for n in [1, 15, 16, 63, 64, 65, 100, 784, 1156] {
        for (seed, epoch, samples) in
            [(5_u64, 0_u32, vec![0_u32]), (2025 << 33 | 7, 0xFF_FFFF, vec![59_999, 3, u32::MAX])]
        {
            poisson_agrees::<f32>(n, seed, epoch, &samples);
            poisson_agrees::<Bf16>(n, seed, epoch, &samples);
        }
    }
}

/// Both passes on five images.
pub fn pooling_agrees<E: Element>(kind: PoolKind, [height, width, size]: [usize; 3]) {
    let window = Window { height: height as u32, width: width as u32, size: size as u32 };
    let n = 5 * height * width;
    // Few values, so that maxima tie, each of which a bf16 can hold.
    let mut x: Vec<f32> = (0..n).map(|i| (i * 7 % 5) as f32 / 4.0).collect();
    if kind == PoolKind::Max {
        x[2] = f32::NAN;
    }
    let n_y = 5 * window.n_pooled();
    let dy = rounded::<E>(&(0..n_y).map(|i| (i as f32 * 0.37).sin()).collect::<Vec<_>>());
    let is_max = u32::from(kind == PoolKind::Max);
    let (mut y, mut dx) = (vec![E::of(-1.0); n_y], vec![E::of(f32::NAN); n]);
    Launch::of(format!("pool_fwd_{}", E::NAME))
        .output(&mut y)
        .input(&to::<E>(&x))
        .value(n_y as u32)
        .value(window)
        .value(is_max)
        .run(n_y, 0);
    Launch::of(format!("pool_bwd_{}", E::NAME))
        .output(&mut dx)
        .input(&to::<E>(&x))
        .input(&to::<E>(&dy))
        .value(n as u32)
        .value(window)
        .value(is_max)
        .run(n, 0);

    let var = Var::from_slice(&x, (5, 1, height, width), &Device::Cpu).unwrap();
    let pooled = pool2d(&var, kind, size).unwrap();
    let weights = Tensor::from_slice(&dy, pooled.dims(), &Device::Cpu).unwrap();
    let grads = (&pooled * weights).unwrap().sum_all().unwrap().backward().unwrap();
    let values =
        |t: &Tensor| bits(&rounded::<E>(&t.flatten_all().unwrap().to_vec1::<f32>().unwrap()));
    let name = format!("{kind:?} {height}x{width}, window {size}, {}", E::NAME);
    assert_eq!(bits(&from(&y)), values(&pooled), "{name}");
    // Of zeros the sign says nothing.
    let dx: Vec<f32> = from(&dx).iter().map(|g| g + 0.0).collect();
    let want = (grads.get(&var).unwrap() + 0.0).unwrap();
    assert_eq!(bits(&dx), values(&want), "{name}");
}

#[test]
fn pooling_is_the_cpus() {
    for shape in [[4, 4, 2], [7, 5, 2], [9, 11, 3], [6, 6, 6], [5, 5, 1]] {
        for kind in [PoolKind::Average, PoolKind::Max] {
            pooling_agrees::<f32>(kind, shape);
            pooling_agrees::<Bf16>(kind, shape);
        }
    }
}

/// Counts of `n` elements, some of which are not finite if `some` says so, by about `n_threads`.
pub fn counts_agree<E: Element>(n: usize, n_threads: usize, some: bool) {
    let mut values: Vec<f32> = (0..n).map(|i| (i % 5) as f32 / 4.0 - 0.5).collect();
    let not_finite = [f32::NAN, f32::INFINITY, f32::NEG_INFINITY];
    let n_not_finite = if some { n.min(3) } else { 0 };
    values[..n_not_finite].copy_from_slice(&not_finite[..n_not_finite]);
    let mut counts = [7, 5, 3];
    Launch::of(format!("count_{}", E::NAME))
        .output(&mut counts)
        .input(&to::<E>(&values))
        .value(n as u64)
        .run(n_threads, 0);
    let counts: [u64; N_COUNTS] = [counts[0] - 7, counts[1].wrapping_sub(5), counts[2] - 3];
    let (n_nonzero, sum) = count(&values);
    assert_eq!((counts[0], counts[2]), (n_nonzero, n_not_finite as u64), "{n}, {n_threads}");
    assert_eq!(sum.value().is_nan(), counts[2] > 0, "{n}, {n_threads}");
    // What is not finite is left out, and the host says NaN of a sum that has met it.
    let finite: f64 = values.iter().filter(|x| x.is_finite()).map(|x| f64::from(*x)).sum();
    assert_eq!(counts[1].cast_signed() as f64 / f64::from(1 << 24), finite, "{n}, {n_threads}");
}

#[test]
fn counts_are_the_cpus_whatever_the_number_of_blocks() {
    for n in [0, 1, 31, 128, 129, 5000] {
        for n_threads in [1, 128, 1000] {
            for some in [false, true] {
                counts_agree::<f32>(n, n_threads, some);
                counts_agree::<Bf16>(n, n_threads, some);
            }
        }
    }
}

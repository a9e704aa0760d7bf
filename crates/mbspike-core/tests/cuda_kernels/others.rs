//! Poisson encoding, pooling and counts.

use candle_core::{Device, Tensor, Var};
use mbspike_core::activity::count;
use mbspike_core::cuda::{N_COUNTS, Window};
use mbspike_core::philox::Place;
use mbspike_core::poisson::encode_step;
use mbspike_core::pool::{PoolKind, pool2d};

use crate::host::Launch;

#[test]
fn poisson_spikes_are_the_cpus_bit_for_bit() {
    for n in [1, 15, 16, 63, 64, 65, 100, 784, 1156] {
        for (seed, epoch, samples) in
            [(5_u64, 0_u32, vec![0_u32]), (2025 << 33 | 7, 0xFF_FFFF, vec![59_999, 3, u32::MAX])]
        {
            let (n_steps, batch_size) = (11, samples.len());
            let intensities: Vec<f32> =
                (0..n * batch_size).map(|i| (i % 97) as f32 / 96.0).collect();
            let mut s_seq = vec![f32::NAN; n_steps * batch_size * n];
            let n_blocks = n.div_ceil(64) * 16;
            Launch::of("poisson_f32")
                .output(&mut s_seq)
                .input(&intensities)
                .input(&samples)
                .value(n_steps as u32)
                .value(batch_size as u32)
                .value(n as u32)
                .value(n_blocks as u32)
                .value(seed as u32)
                .value((seed >> 32) as u32)
                .value(epoch)
                .run(n_steps * batch_size * n_blocks, 0);
            let rows = s_seq.chunks_exact(n).enumerate();
            for (row, got) in rows {
                let (step, b) = (row / batch_size, row % batch_size);
                let place = Place { epoch, sample: samples[b], step: step as u32 };
                let mut want = vec![f32::NAN; n];
                encode_step(&mut want, &intensities[b * n..][..n], seed, place).unwrap();
                assert_eq!(got, want, "n = {n}, step {step}, sample {b}");
            }

            let mut bf16 = vec![0xFFFF_u16; s_seq.len()];
            Launch::of("poisson_bf16")
                .output(&mut bf16)
                .input(&intensities)
                .input(&samples)
                .value(n_steps as u32)
                .value(batch_size as u32)
                .value(n as u32)
                .value(n_blocks as u32)
                .value(seed as u32)
                .value((seed >> 32) as u32)
                .value(epoch)
                .run(n_steps * batch_size * n_blocks, 0);
            let of_f32: Vec<u16> = s_seq.iter().map(|s| (s.to_bits() >> 16) as u16).collect();
            assert_eq!(bf16, of_f32);
        }
    }
}

#[test]
fn pooling_is_the_cpus() {
    for (height, width, size) in [(4, 4, 2), (7, 5, 2), (9, 11, 3), (6, 6, 6), (5, 5, 1)] {
        for kind in [PoolKind::Average, PoolKind::Max] {
            let window = Window { height: height as u32, width: width as u32, size: size as u32 };
            let n_images = 5;
            let n = n_images * height * width;
            // Few values, so that maxima tie.
            let mut x: Vec<f32> = (0..n).map(|i| (i * 7 % 5) as f32 / 3.0).collect();
            if kind == PoolKind::Max {
                x[2] = f32::NAN;
            }
            let n_y = n_images * window.n_pooled();
            let dy: Vec<f32> = (0..n_y).map(|i| (i as f32 * 0.37).sin()).collect();
            let is_max = u32::from(kind == PoolKind::Max);
            let mut y = vec![-1.0_f32; n_y];
            Launch::of("pool_fwd_f32")
                .output(&mut y)
                .input(&x)
                .value(n_y as u32)
                .value(window)
                .value(is_max)
                .run(n_y, 0);
            let mut dx = vec![f32::NAN; n];
            Launch::of("pool_bwd_f32")
                .output(&mut dx)
                .input(&x)
                .input(&dy)
                .value(n as u32)
                .value(window)
                .value(is_max)
                .run(n, 0);

            let dims = (n_images, 1, height, width);
            let var = Var::from_slice(&x, dims, &Device::Cpu).unwrap();
            let pooled = pool2d(&var, kind, size).unwrap();
            let weights = Tensor::from_slice(&dy, pooled.dims(), &Device::Cpu).unwrap();
            let grads = (&pooled * weights).unwrap().sum_all().unwrap().backward().unwrap();
            let values = |t: &Tensor| t.flatten_all().unwrap().to_vec1::<f32>().unwrap();
            let same = |a: &[f32], b: &[f32]| {
                a.len() == b.len()
                    && a.iter().zip(b).all(|(a, b)| a == b || a.is_nan() && b.is_nan())
            };
            let name = format!("{kind:?} {height}x{width}, window {size}");
            assert!(same(&y, &values(&pooled)), "{name}: {y:?}");
            assert!(same(&dx, &values(grads.get(&var).unwrap())), "{name}: {dx:?}");
        }
    }
}

#[test]
fn counts_are_the_cpus_whatever_the_number_of_blocks() {
    for n in [0, 1, 31, 128, 129, 5000] {
        let values: Vec<f32> = (0..n).map(|i| (i % 5) as f32 / 3.0 - 0.5).collect();
        let (n_nonzero, sum) = count(&values);
        for n_threads in [1, 128, 1000] {
            let mut counts = [0_u64; N_COUNTS];
            Launch::of("count_f32")
                .output(&mut counts)
                .input(&values)
                .value(n as u64)
                .run(n_threads, 0);
            assert_eq!(counts[0], n_nonzero);
            let got = counts[1].cast_signed() as f64 / f64::from(1 << 24);
            assert!((got - sum.value()).abs() <= 1e-6 * f64::from(n), "{got} is not {sum:?}");
            assert_eq!(counts[2], 0);
        }
    }
    let mut counts = [0_u64; N_COUNTS];
    // 1, -2, NaN, 0.5 and both infinities in bf16.
    let values = [0x3F80_u16, 0xC000, 0x7FC0, 0x3F00, 0x7F80, 0xFF80];
    Launch::of("count_bf16").output(&mut counts).input(&values).value(6_u64).run(1, 0);
    assert_eq!((counts[0], counts[1].cast_signed(), counts[2]), (6, -(1 << 23), 3));
}

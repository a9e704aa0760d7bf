//! The candle operations on a GPU against the same operations on the CPU.
//!
//! Only with the feature `cuda`. Where there is no GPU each test says so and passes, unless
//! `MBSPIKE_REQUIRE_GPU` is set, as `scripts/check-gpu.sh` does.
#![cfg(feature = "cuda")]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking, in its helper functions too")]
#![expect(clippy::print_stderr, reason = "a test that does nothing says so")]

use candle_core::{DType, Device, Tensor, Var};
use mbspike_core::activity::Counts;
use mbspike_core::lif::{LifOptions, levels_of, lif_multi_step_with, lif_multi_step_with_v};
use mbspike_core::philox::{Domain, Place, Stream};
use mbspike_core::poisson::encode_batch;
use mbspike_core::pool::{PoolKind, pool2d};
use mbspike_core::{Decay, DeviceName, LifParams, Reset, Surrogate};

/// The first GPU, if there is one.
fn gpu(test: &str) -> Option<Device> {
    match DeviceName::Cuda(0).open() {
        Ok(device) => Some(device),
        Err(error) if std::env::var_os("MBSPIKE_REQUIRE_GPU").is_none() => {
            eprintln!("NOT RUN on a GPU: {test}: {error}");
            None
        }
        Err(error) => panic!("MBSPIKE_REQUIRE_GPU is set, but {error}"),
    }
}

fn uniform(dims: &[usize], sample: u32, low: f32, high: f32) -> Tensor {
    let place = Place { sample, ..Place::default() };
    let mut values = vec![0.0; dims.iter().product()];
    Stream::new(6, Domain::Simulate, place).fill_uniform(&mut values);
    for u in &mut values {
        *u = low + (high - low) * *u;
    }
    Tensor::from_vec(values, dims, &Device::Cpu).unwrap()
}

fn values(tensor: &Tensor) -> Vec<f32> {
    tensor.to_dtype(DType::F32).unwrap().flatten_all().unwrap().to_vec1().unwrap()
}

fn assert_close(what: &str, got: &Tensor, want: &Tensor, relative: f32) {
    assert_eq!(got.dims(), want.dims(), "{what}");
    let (got, want) = (values(got), values(want));
    let largest = want.iter().fold(0.0_f32, |m, x| m.max(x.abs()));
    for (i, (g, w)) in got.iter().zip(&want).enumerate() {
        assert!((g - w).abs() <= relative * largest, "{what}[{i}] = {g}, not {w}");
    }
}

/// Result, gradients of input, initial membranes and τ, and counts on a device.
fn lif(
    inputs: [&Tensor; 3],
    params: &LifParams,
    average_pool: Option<usize>,
    learnable: bool,
    device: &Device,
) -> (Vec<Tensor>, (u64, f64)) {
    let [x, v, tau] = inputs.map(|t| Var::from_tensor(&t.to_device(device).unwrap()).unwrap());
    let counts = Counts::new(2, device).unwrap();
    let tau_option = learnable.then_some(tau.as_tensor());
    let options = LifOptions { tau: tau_option, average_pool, counts: Some((&counts, 1)) };
    let y = lif_multi_step_with(&x, &v, params, options).unwrap();
    let weights = uniform(y.dims(), 77, -1.0, 1.0).to_device(device).unwrap();
    let weights = weights.to_dtype(y.dtype()).unwrap();
    let gradients = (&y * weights).unwrap().sum_all().unwrap().backward().unwrap();
    let mut all = vec![y.detach()];
    for var in [&x, &v].into_iter().chain(learnable.then_some(&tau)) {
        all.push(gradients.get(var).unwrap().clone());
    }
    let count = counts.read().unwrap()[1];
    assert_eq!(count.n_elements as usize, x.elem_count());
    (all, (count.n_nonzero, count.sum.value()))
}

#[test]
fn lif_is_the_cpus_on_a_gpu() {
    let Some(gpu) = gpu("lif") else { return };
    let resets = [Reset::Soft {}, Reset::Hard { v_reset: -0.25 }, Reset::None {}];
    let surrogates = [
        Surrogate::Sigmoid { alpha: 4.0 },
        Surrogate::Atan { alpha: 2.0 },
        Surrogate::FastSigmoid { alpha: 4.0 },
        Surrogate::Triangle { alpha: 1.0 },
        Surrogate::StraightThrough {},
        Surrogate::Staircase { alpha: 4.0 },
    ];
    let mut case = 0;
    for surrogate in surrogates {
        for reset in resets {
            for (n_steps, average_pool) in
                [(1, None), (10, Some(2)), (65, None), (130, Some(3)), (10, Some(5))]
            {
                case += 1;
                let params = LifParams {
                    levels: levels_of(1 + case % 8),
                    surrogate,
                    reset,
                    v_threshold: if case % 2 == 0 { 1.0 } else { 0.7 },
                    decay: Decay::Tau(3.0),
                    detach_reset: case % 3 == 0,
                    decay_input: case % 5 == 0,
                    ..LifParams::new(1)
                };
                let x = uniform(&[n_steps, 3, 2, 11, 9], case, -0.5, 1.5);
                let v = uniform(&[3, 2, 11, 9], case + 1000, -0.5, 1.0);
                let tau = Tensor::new(&[2.5_f32], &Device::Cpu).unwrap();
                let learnable = case % 4 == 0;
                let run =
                    |device: &Device| lif([&x, &v, &tau], &params, average_pool, learnable, device);
                let ((got, counts), (want, cpu_counts)) = (run(&gpu), run(&Device::Cpu));
                let name = format!("{params:?}, T = {n_steps}, pool {average_pool:?}");
                assert_eq!(values(&got[0]), values(&want[0]), "{name}");
                assert_eq!(counts.0, cpu_counts.0, "{name}");
                assert!((counts.1 - cpu_counts.1).abs() <= 1e-5 * cpu_counts.1, "{name}");
                for (got, want) in got[1..].iter().zip(&want[1..]) {
                    assert_close(&name, got, want, 1e-4);
                }
            }
        }
    }
}

#[test]
fn membranes_are_the_cpus_on_a_gpu() {
    let Some(gpu) = gpu("membranes") else { return };
    let (x, v) = (uniform(&[12, 4, 10], 1, -0.5, 1.5), uniform(&[4, 10], 2, -0.5, 1.0));
    let run = |device: &Device| {
        let x = Var::from_tensor(&x.to_device(device).unwrap()).unwrap();
        let v = v.to_device(device).unwrap();
        let (s, v) = lif_multi_step_with_v(&x, &v, &LifParams::new(2)).unwrap();
        let sum = (s.sum_all().unwrap() + (&v * &v).unwrap().sum_all().unwrap()).unwrap();
        (s, v, sum.backward().unwrap().get(&x).unwrap().clone())
    };
    let ((s, v, grad), (want_s, want_v, want_grad)) = (run(&gpu), run(&Device::Cpu));
    assert_eq!(values(&s), values(&want_s));
    assert_eq!(values(&v), values(&want_v));
    assert_close("grad_x", &grad, &want_grad, 1e-4);
}

#[test]
fn bf16_is_the_cpus_rounded_on_a_gpu() {
    let Some(gpu) = gpu("bf16") else { return };
    let bf16 = |t: Tensor| t.to_dtype(DType::BF16).unwrap().to_dtype(DType::F32).unwrap();
    let x = bf16(uniform(&[10, 2, 1, 8, 8], 1, -0.5, 1.5));
    let v = bf16(uniform(&[2, 1, 8, 8], 2, -0.5, 1.0));
    let tau = Tensor::new(&[2.0_f32], &Device::Cpu).unwrap();
    for average_pool in [None, Some(2)] {
        let inputs = [&x, &v].map(|t| t.to_dtype(DType::BF16).unwrap().to_device(&gpu).unwrap());
        let params = LifParams::new(3);
        let (got, _) = lif([&inputs[0], &inputs[1], &tau], &params, average_pool, false, &gpu);
        let (want, _) = lif([&x, &v, &tau], &params, average_pool, false, &Device::Cpu);
        assert_eq!(values(&got[0]), values(&bf16(want[0].clone())));
        for (got, want) in got[1..].iter().zip(&want[1..]) {
            assert_close("gradient", got, want, 0.02);
        }
    }
}

#[test]
fn pooling_is_the_cpus_on_a_gpu() {
    let Some(gpu) = gpu("pooling") else { return };
    for (kind, size) in [(PoolKind::Average, 2), (PoolKind::Max, 2), (PoolKind::Max, 3)] {
        let x = (uniform(&[5, 3, 9, 7], 3, 0.0, 4.0)).floor().unwrap();
        let run = |device: &Device| {
            let x = Var::from_tensor(&x.to_device(device).unwrap()).unwrap();
            let y = pool2d(&x, kind, size).unwrap();
            let grad = (&y * &y).unwrap().sum_all().unwrap().backward().unwrap();
            (values(&y), values(grad.get(&x).unwrap()))
        };
        assert_eq!(run(&gpu), run(&Device::Cpu), "{kind:?} {size}");
    }
}

#[test]
fn poisson_spikes_are_the_cpus_on_a_gpu() {
    let Some(gpu) = gpu("Poisson") else { return };
    let p = uniform(&[3, 1, 28, 28], 4, 0.0, 1.0);
    let run = |device: &Device| {
        let p = p.to_device(device).unwrap();
        values(&encode_batch(&p, 10, 1 << 40 | 3, 7, &[5, 59_999, 0]).unwrap())
    };
    assert_eq!(run(&gpu), run(&Device::Cpu));
}

#[test]
fn counts_are_the_cpus_on_a_gpu() {
    let Some(gpu) = gpu("counts") else { return };
    let x = uniform(&[1000, 333], 5, -1.0, 2.0).floor().unwrap();
    let run = |device: &Device| {
        let counts = Counts::new(1, device).unwrap();
        counts.add(0, &x.to_device(device).unwrap()).unwrap();
        counts.read().unwrap()
    };
    assert_eq!(run(&gpu), run(&Device::Cpu));
}

//! LIF neurons, alone and with average pooling.

use candle_core::{DType, Device, Tensor};
use mbspike_core::activity::count;
use mbspike_core::cuda::{
    LifKernelParams, N_COUNTS, Window, lif_bwd_checkpoints, lif_bwd_shared_bytes,
};
use mbspike_core::lif::{LifForward, LifGrad, levels_of, lif_backward, lif_forward};
use mbspike_core::pool::{PoolKind, pool2d};
use mbspike_core::{Decay, LifParams, Reset, Shift, Surrogate};

use crate::elements::{Bf16, Element, from, to, uniform};
use crate::golden_files::{Golden, assert_close, assert_close_to_largest};
use crate::launch::Launch;

const RESETS: [Reset; 3] = [Reset::Soft {}, Reset::Hard { v_reset: -0.25 }, Reset::None {}];
pub const SURROGATES: [Surrogate; 7] = [
    Surrogate::Sigmoid { alpha: 4.0 },
    Surrogate::Atan { alpha: 2.0 },
    Surrogate::FastSigmoid { alpha: 4.0 },
    Surrogate::Triangle { alpha: 1.0 },
    Surrogate::StraightThrough {},
    Surrogate::Rectangle {},
    Surrogate::Staircase { alpha: 4.0 },
];
const SIZES: [usize; 4] = [1, 7, 33, 257];
const STEPS: [usize; 5] = [1, 10, 64, 65, 130];

/// Every surrogate, reset and width, with the other parameters varied along the way.
fn all_params() -> impl Iterator<Item = LifParams> {
    let all = SURROGATES.iter().flat_map(|s| RESETS.iter().map(move |r| (*s, *r)));
    all.flat_map(|(s, r)| (1..=8).map(move |bits| (s, r, bits))).enumerate().map(
        |(i, (surrogate, reset, bits))| LifParams {
            levels: levels_of(bits),
            decay: [Decay::Tau(2.0), Decay::Tau(20.0), Decay::Beta(0.7)][i % 3],
            decay_input: i % 5 == 1,
            v_threshold: [1.0, 0.7, 2.0][i / 3 % 3],
            reset,
            detach_reset: i % 4 == 3,
            surrogate,
            shift: [Shift::Centred, Shift::Unshifted, Shift::By(0.1)][i / 2 % 3],
        },
    )
}

/// What `lif_fwd` writes.
pub struct Forward<E> {
    pub s_seq: Vec<E>,
    pub v_seq: Vec<E>,
    pub counts: [u64; N_COUNTS],
}

pub fn lif_fwd<E: Element>(
    x_seq: &[E],
    v_init: &[E],
    tau: Option<f32>,
    params: &LifParams,
) -> Forward<E> {
    let n = x_seq.len();
    let poison = vec![E::of(f32::NAN); n];
    let mut out = Forward { s_seq: poison.clone(), v_seq: poison, counts: [10, 20, 30] };
    Launch::of(format!("lif_fwd_{}", E::NAME))
        .output(&mut out.s_seq)
        .output(&mut out.v_seq)
        .output(&mut out.counts)
        .input(x_seq)
        .input(v_init)
        .optional(tau.as_ref().map(std::slice::from_ref))
        .value((n / v_init.len()) as u32)
        .value(v_init.len() as u32)
        .value(LifKernelParams::new(params))
        .run(v_init.len(), 0);
    out.counts = [out.counts[0] - 10, out.counts[1] - 20, out.counts[2] - 30];
    out
}

/// Gradients of the input, of the initial membranes, and of τ of each neuron.
pub struct Gradients<E> {
    pub x_seq: Vec<E>,
    pub v_init: Vec<E>,
    pub tau: Vec<f32>,
}

/// The inputs of `lif_bwd`.
pub struct Backward<'a, E> {
    pub x_seq: &'a [E],
    pub v_init: &'a [E],
    pub tau: Option<f32>,
    pub grad_s_seq: &'a [E],
    pub grad_v_seq: Option<&'a [E]>,
    pub window: Window,
}

impl<E: Element> Backward<'_, E> {
    pub fn run(&self, params: &LifParams) -> Gradients<E> {
        let n = self.v_init.len();
        let n_steps = self.x_seq.len() / n;
        let poison = E::of(f32::NAN);
        let mut out = Gradients {
            x_seq: vec![poison; self.x_seq.len()],
            v_init: vec![poison; n],
            tau: vec![f32::NAN; n],
        };
        let mut checkpoints = vec![f32::NAN; lif_bwd_checkpoints(n_steps) * n];
        Launch::of(format!("lif_bwd_{}", E::NAME))
            .output(&mut out.x_seq)
            .output(&mut out.v_init)
            .output(&mut out.tau)
            .output(&mut checkpoints)
            .input(self.x_seq)
            .input(self.v_init)
            .optional(self.tau.as_ref().map(std::slice::from_ref))
            .input(self.grad_s_seq)
            .optional(self.grad_v_seq)
            .value(n_steps as u32)
            .value(n as u32)
            .value(self.window)
            .value(LifKernelParams::new(params))
            .run(n, lif_bwd_shared_bytes(n_steps));
        out
    }
}

/// The CPU's forward pass: spikes and membranes after reset.
pub fn cpu_forward(x: &[f32], v_init: &[f32], params: &LifParams) -> [Vec<f32>; 2] {
    let mut out = [(); 2].map(|()| vec![f32::NAN; x.len()]);
    let [s_seq, v_seq] = &mut out;
    let outputs = LifForward { s_seq, v_seq: Some(v_seq), h_seq: None };
    lif_forward(outputs, x, v_init, params).unwrap();
    out
}

/// The CPU's gradients of input, initial membranes and τ.
pub fn cpu_backward(
    x: &[f32],
    v_init: &[f32],
    grad_s: &[f32],
    grad_v: Option<&[f32]>,
    params: &LifParams,
) -> (Vec<f32>, Vec<f32>, f32) {
    let (mut grad_x, mut grad_v_init) = (vec![0.0; x.len()], vec![0.0; v_init.len()]);
    let mut grad_tau = 0.0;
    let outputs = LifGrad {
        grad_x_seq: &mut grad_x,
        grad_v_init: &mut grad_v_init,
        grad_tau: Some(&mut grad_tau),
    };
    lif_backward(outputs, x, v_init, grad_s, grad_v, params).unwrap();
    (grad_x, grad_v_init, grad_tau)
}

pub fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|x| if x.is_nan() { f32::NAN.to_bits() } else { x.to_bits() }).collect()
}

pub fn rounded<E: Element>(values: &[f32]) -> Vec<f32> {
    from(&to::<E>(values))
}

/// Both passes on every `stride`th case and every size, against the CPU's.
fn agrees_with_the_cpu<E: Element>(stride: usize) {
    for (i, params) in all_params().enumerate().step_by(stride) {
        let sizes = STEPS.iter().flat_map(|t| SIZES.iter().map(move |n| (*t, *n)));
        for (n_steps, n) in sizes {
            let name = format!("{params:?}, T = {n_steps}, N = {n}");
            let x = uniform(n_steps * n, i as u32, -0.5, 1.5);
            let v_init = uniform(n, 1000 + i as u32, -0.5, 1.0);
            let got = lif_fwd::<E>(&to(&x), &to(&v_init), None, &params);
            let [s, v] = cpu_forward(&x, &v_init, &params);
            for (what, got, want) in [("s_seq", &got.s_seq, &s), ("v_seq", &got.v_seq, &v)] {
                assert_eq!(bits(&from(got)), bits(&rounded::<E>(want)), "{what}: {name}");
            }
            let levels = params.n_levels() as f32;
            let codes: Vec<u8> = s.iter().map(|s| (s * levels).round() as u8).collect();
            let n_nonzero = codes.iter().filter(|k| **k != 0).count() as u64;
            let sum: u64 = codes.iter().map(|k| u64::from(*k)).sum();
            assert_eq!(got.counts, [n_nonzero, sum, 0], "{name}");

            let grad_s = uniform(n_steps * n, 2000 + i as u32, -1.0, 1.0);
            let grad_v = uniform(n_steps * n, 3000 + i as u32, -1.0, 1.0);
            let grad_v = (i % 2 == 1).then_some(&grad_v[..]);
            let grad_v_of_type: Option<Vec<E>> = grad_v.map(to);
            let backward = Backward::<E> {
                x_seq: &to(&x),
                v_init: &to(&v_init),
                tau: None,
                grad_s_seq: &to(&grad_s),
                grad_v_seq: grad_v_of_type.as_deref(),
                window: Window::NONE,
            };
            let got = backward.run(&params);
            let (grad_x, grad_v_init, grad_tau) =
                cpu_backward(&x, &v_init, &grad_s, grad_v, &params);
            let tolerance = 1.0 / (1_u64 << (E::BITS_OF_ONE - 4)) as f32;
            let what = format!("grad_x_seq: {name}");
            assert_close_to_largest(&what, &from(&got.x_seq), &grad_x, tolerance);
            let scale = largest(&grad_x).max(largest(&grad_v_init));
            let what = format!("grad_v_init: {name}");
            assert_close(&what, &from(&got.v_init), &grad_v_init, tolerance * scale);
            // A sum of both signs: against what it is summed of.
            let of_neurons: f32 = got.tau.iter().map(|g| g.abs()).sum();
            let sum: f32 = got.tau.iter().sum();
            assert!((sum - grad_tau).abs() <= 1e-4 * of_neurons.max(1e-3), "grad_tau: {name}");
        }
    }
}

fn largest(values: &[f32]) -> f32 {
    values.iter().fold(0.0, |m, x| m.max(x.abs()))
}

#[test]
fn lif_agrees_with_the_cpu_in_f32() {
    agrees_with_the_cpu::<f32>(1);
}

#[test]
fn lif_agrees_with_the_cpu_in_bf16() {
    // 5 has no factor in common with the number of widths, resets or surrogates: all occur.
    agrees_with_the_cpu::<Bf16>(5);
}

#[test]
fn lif_agrees_with_every_golden_file() {
    for golden in Golden::all() {
        let (name, params) = (&golden.name, &golden.params);
        let (x_seq, v_init) = (golden.tensor("x_seq"), golden.tensor("v_init"));
        let got = lif_fwd(&x_seq, &v_init, None, params);
        assert_eq!(got.s_seq, golden.tensor("s_seq"), "{name}: s_seq");
        assert_close(&format!("{name}: v_seq"), &got.v_seq, &golden.tensor("v_seq"), 1e-5);
        let backward = Backward {
            x_seq: &x_seq,
            v_init: &v_init,
            tau: None,
            grad_s_seq: &golden.tensor("grad_s_seq"),
            grad_v_seq: None,
            window: Window::NONE,
        };
        let got = backward.run(params);
        for (what, got) in [("grad_x_seq", got.x_seq), ("grad_v_init", got.v_init)] {
            assert_close_to_largest(&format!("{name}: {what}"), &got, &golden.tensor(what), 1e-4);
        }
    }
}

#[test]
fn sixteen_bits_and_nan_are_as_on_the_cpu() {
    let mut x = uniform(20 * 33, 1, -0.5, 1.5);
    x[40] = f32::NAN;
    let v_init = uniform(33, 2, -0.5, 0.5);
    for bits_of_spike in [9, 12, 16] {
        let params = LifParams::new(bits_of_spike);
        let got = lif_fwd(&x, &v_init, None, &params);
        let [s, ..] = cpu_forward(&x, &v_init, &params);
        assert_eq!(bits(&got.s_seq), bits(&s));
        let levels = f64::from(params.n_levels());
        let sum: f64 =
            s.iter().filter(|s| !s.is_nan()).map(|s| (f64::from(*s) * levels).round()).sum();
        assert_eq!(got.counts[1] as f64, sum);
        assert_eq!(got.counts[0], s.iter().filter(|s| **s != 0.0).count() as u64);
        assert_eq!(got.counts[2], s.iter().filter(|s| s.is_nan()).count() as u64);
        assert!(got.counts[2] > 0 && count(&s).1.value().is_nan());
    }
}

#[test]
fn learnable_tau_is_as_on_the_cpu() {
    let resets = RESETS.into_iter().chain([Reset::Hard { v_reset: 0.3 }]);
    let taus = [0.3_f32, 1.0, 1.7, 2.0, 5.0, 9.3].into_iter();
    for (tau, reset) in taus.flat_map(|tau| resets.clone().map(move |reset| (tau, reset))) {
        for decay_input in [false, true] {
            let decay = Decay::Tau(f64::from(tau.max(1.0)));
            // The kernel takes its decay from the tensor, not from its parameters.
            let at_tau = LifParams { decay, reset, decay_input, ..LifParams::new(3) };
            let params = LifParams { decay: Decay::Tau(77.0), ..at_tau };
            let (n, n_steps) = (33, 70);
            let x = uniform(n * n_steps, 4, -0.5, 1.5);
            let v_init = uniform(n, 5, -0.5, 1.0);
            let grad_s = uniform(n * n_steps, 6, -1.0, 1.0);
            let got = lif_fwd(&x, &v_init, Some(tau), &params);
            let [s, v] = cpu_forward(&x, &v_init, &at_tau);
            assert_eq!(bits(&got.s_seq), bits(&s), "τ = {tau}, {reset:?}");
            assert_eq!(bits(&got.v_seq), bits(&v), "τ = {tau}, {reset:?}");
            let backward = Backward {
                x_seq: &x,
                v_init: &v_init,
                tau: Some(tau),
                grad_s_seq: &grad_s,
                grad_v_seq: None,
                window: Window::NONE,
            };
            let got = backward.run(&params);
            let (grad_x, grad_v_init, grad_tau) = cpu_backward(&x, &v_init, &grad_s, None, &at_tau);
            assert_close_to_largest("grad_x_seq", &got.x_seq, &grad_x, 1e-6);
            assert_close_to_largest("grad_v_init", &got.v_init, &grad_v_init, 1e-6);
            let scale: f32 = got.tau.iter().map(|g| g.abs()).sum();
            let sum: f32 = got.tau.iter().sum();
            assert!((sum - grad_tau).abs() <= 1e-5 * scale, "{sum} is not {grad_tau}");
        }
    }
}

/// The pooled spikes and the counts that `lif_pool_fwd` writes.
pub fn lif_pool_fwd<E: Element>(
    x_seq: &[E],
    v_init: &[E],
    tau: Option<f32>,
    params: &LifParams,
    window: Window,
) -> (Vec<E>, [u64; N_COUNTS]) {
    let n = v_init.len();
    let (n_steps, n_images) = (x_seq.len() / n, n / (window.height * window.width) as usize);
    let n_windows = n_images * window.n_windows();
    let mut y_seq = vec![E::of(f32::NAN); n_steps * n_images * window.n_pooled()];
    let mut counts = [0; N_COUNTS];
    Launch::of(format!("lif_pool{}_fwd_{}", window.size, E::NAME))
        .output(&mut y_seq)
        .output(&mut counts)
        .input(x_seq)
        .input(v_init)
        .optional(tau.as_ref().map(std::slice::from_ref))
        .value(n_steps as u32)
        .value(n as u32)
        .value(n_windows as u32)
        .value(window)
        .value(LifKernelParams::new(params))
        .run(n_windows, 0);
    (y_seq, counts)
}

fn lif_pool_agrees_with_the_cpu<E: Element>() {
    for (i, params) in all_params().step_by(7).enumerate() {
        for (size, height, width) in [(2, 4, 4), (2, 7, 5), (3, 7, 8), (4, 9, 8), (4, 28, 28)] {
            for n_steps in [1, 10, 65] {
                let name = format!("{params:?}, T = {n_steps}, {height}x{width}, window {size}");
                let window =
                    Window { height: height as u32, width: width as u32, size: size as u32 };
                let n_images = 3;
                let n = n_images * height * width;
                let x = uniform(n_steps * n, i as u32, -0.5, 1.5);
                let v_init = uniform(n, 1000 + i as u32, -0.5, 1.0);
                let n_y = n_steps * n_images * window.n_pooled();
                let (y, counts) = lif_pool_fwd::<E>(&to(&x), &to(&v_init), None, &params, window);
                assert_eq!(y.len(), n_y);
                let [s, ..] = cpu_forward(&x, &v_init, &params);
                let dims = (n_steps * n_images, 1, height, width);
                let spikes = Tensor::from_slice(&s, dims, &Device::Cpu).unwrap();
                let spikes = candle_core::Var::from_tensor(&spikes).unwrap();
                let pooled = pool2d(&spikes, PoolKind::Average, size).unwrap();
                let want = pooled.flatten_all().unwrap().to_vec1::<f32>().unwrap();
                assert_eq!(bits(&from(&y)), bits(&rounded::<E>(&want)), "{name}");
                let levels = params.n_levels() as f32;
                let sum: u64 = s.iter().map(|s| (s * levels).round() as u64).sum();
                assert_eq!(counts[1], sum, "{name}");
                assert_eq!(counts[0], s.iter().filter(|s| **s != 0.0).count() as u64, "{name}");

                let grad_y = uniform(n_y, 2000 + i as u32, -1.0, 1.0);
                let weights = Tensor::from_slice(&grad_y, pooled.dims(), &Device::Cpu).unwrap();
                let sum = (pooled * weights).unwrap().sum_all().unwrap();
                let grad_s = sum.backward().unwrap().remove(&spikes).unwrap();
                let grad_s = grad_s.to_dtype(DType::F32).unwrap();
                let grad_s = grad_s.flatten_all().unwrap().to_vec1::<f32>().unwrap();
                let backward = Backward::<E> {
                    x_seq: &to(&x),
                    v_init: &to(&v_init),
                    tau: None,
                    grad_s_seq: &to(&grad_y),
                    grad_v_seq: None,
                    window,
                };
                let got = backward.run(&params);
                let (grad_x, ..) = cpu_backward(&x, &v_init, &grad_s, None, &params);
                let tolerance = 1.0 / (1_u64 << (E::BITS_OF_ONE - 4)) as f32;
                assert_close_to_largest(&name, &from(&got.x_seq), &grad_x, tolerance);
            }
        }
    }
}

#[test]
fn lif_with_pooling_agrees_with_the_cpu_in_f32() {
    lif_pool_agrees_with_the_cpu::<f32>();
}

#[test]
fn lif_with_pooling_agrees_with_the_cpu_in_bf16() {
    lif_pool_agrees_with_the_cpu::<Bf16>();
}

//! LIF neurons, alone and with average pooling.

use candle_core::{DType, Device, Tensor};
use mbspike_core::activity::count;
use mbspike_core::cuda::{
    LifKernelParams, N_COUNTS, Window, lif_bwd_checkpoints, lif_bwd_shared_bytes,
};
use mbspike_core::lif::{LifForward, LifGrad, levels_of, lif_backward, lif_forward};
use mbspike_core::philox::{Domain, Place, Stream};
use mbspike_core::pool::{PoolKind, pool2d};
use mbspike_core::{Decay, LifParams, Reset, Shift, Surrogate, n_subnormal};

use crate::elements::{Bf16, Element, from, to, uniform};
use crate::golden_files::{Golden, assert_close, assert_close_to_largest};
use crate::host::Launch;

const RESETS: [Reset; 3] = [Reset::Soft {}, Reset::Hard { v_reset: -0.25 }, Reset::None {}];
const SURROGATES: [Surrogate; 7] = [
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
struct Forward<E> {
    s_seq: Vec<E>,
    v_seq: Vec<E>,
    counts: [u64; N_COUNTS],
}

fn lif_fwd<E: Element>(x_seq: &[E], v_init: &[E], params: &LifParams) -> Forward<E> {
    let n = x_seq.len();
    let poison = vec![E::of(f32::NAN); n];
    let mut out = Forward { s_seq: poison.clone(), v_seq: poison, counts: [10, 20, 30] };
    Launch::of(format!("lif_fwd_{}", E::NAME))
        .output(&mut out.s_seq)
        .output(&mut out.v_seq)
        .output(&mut out.counts)
        .input(x_seq)
        .input(v_init)
        .null()
        .value((n / v_init.len()) as u32)
        .value(v_init.len() as u32)
        .value(LifKernelParams::new(params))
        .run(v_init.len(), 0);
    out.counts = [out.counts[0] - 10, out.counts[1] - 20, out.counts[2] - 30];
    out
}

/// Gradients of the input, of the initial membranes, and of τ of each neuron.
struct Gradients<E> {
    x_seq: Vec<E>,
    v_init: Vec<E>,
    tau: Vec<f32>,
}

/// The inputs of `lif_bwd`.
struct Backward<'a, E> {
    x_seq: &'a [E],
    v_init: &'a [E],
    tau: Option<f32>,
    grad_s_seq: &'a [E],
    grad_v_seq: Option<&'a [E]>,
    window: Window,
}

impl<E: Element> Backward<'_, E> {
    fn run(&self, params: &LifParams) -> Gradients<E> {
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
fn cpu_forward(x: &[f32], v_init: &[f32], params: &LifParams) -> [Vec<f32>; 2] {
    let mut out = [(); 2].map(|()| vec![f32::NAN; x.len()]);
    let [s_seq, v_seq] = &mut out;
    let outputs = LifForward { s_seq, v_seq: Some(v_seq), h_seq: None };
    lif_forward(outputs, x, v_init, params).unwrap();
    out
}

/// The CPU's gradients of input, initial membranes and τ.
fn cpu_backward(
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

fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|x| if x.is_nan() { f32::NAN.to_bits() } else { x.to_bits() }).collect()
}

fn rounded<E: Element>(values: &[f32]) -> Vec<f32> {
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
            let got = lif_fwd::<E>(&to(&x), &to(&v_init), &params);
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
        let got = lif_fwd(&x_seq, &v_init, params);
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
        let got = lif_fwd(&x, &v_init, &params);
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
            let (mut s_seq, mut v_seq) = (vec![f32::NAN; x.len()], vec![f32::NAN; x.len()]);
            Launch::of("lif_fwd_f32")
                .output(&mut s_seq)
                .output(&mut v_seq)
                .null()
                .input(&x)
                .input(&v_init)
                .input(&[tau])
                .value(n_steps as u32)
                .value(n as u32)
                .value(LifKernelParams::new(&params))
                .run(n, 0);
            let [s, v] = cpu_forward(&x, &v_init, &at_tau);
            assert_eq!(bits(&s_seq), bits(&s), "τ = {tau}, {reset:?}");
            assert_eq!(bits(&v_seq), bits(&v), "τ = {tau}, {reset:?}");
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
                let n_windows = n_images * window.n_windows();
                let n_y = n_steps * n_images * window.n_pooled();
                let mut y = vec![E::of(f32::NAN); n_y];
                let mut counts = [0_u64; N_COUNTS];
                let (x_of_type, v_of_type) = (to::<E>(&x), to::<E>(&v_init));
                Launch::of(format!("lif_pool{size}_fwd_{}", E::NAME))
                    .output(&mut y)
                    .output(&mut counts)
                    .input(&x_of_type)
                    .input(&v_of_type)
                    .null()
                    .value(n_steps as u32)
                    .value(n as u32)
                    .value(n_windows as u32)
                    .value(window)
                    .value(LifKernelParams::new(&params))
                    .run(n_windows, 0);
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

/// A number of `0..n` that depends on all of `of`.
fn draw(of: [u32; 2], n: usize) -> usize {
    let place = Place { sample: of[0], step: of[1], ..Place::default() };
    let mut u = [0.0];
    Stream::new(11, Domain::Simulate, place).fill_uniform(&mut u);
    ((u[0] * n as f32) as usize).min(n - 1)
}

#[test]
fn random_parameters_shapes_and_time_constants_agree_with_the_cpu() {
    let mut n_seen = [0; SURROGATES.len()];
    for case in 0..400_u32 {
        let pick = |what: u32, n: usize| draw([case, what], n);
        let real = |what: u32, low: f64, high: f64| {
            low + (high - low) * pick(what, 10_007) as f64 / 10_007.0
        };
        let tau = [1.0, real(0, 1.0, 3.0), real(0, 1.0, 100.0), 5.0][pick(1, 4)];
        let kind = pick(2, SURROGATES.len());
        n_seen[kind] += 1;
        let alpha = real(3, 0.3, 12.0);
        let surrogate = match SURROGATES[kind] {
            Surrogate::Sigmoid { .. } => Surrogate::Sigmoid { alpha },
            Surrogate::Atan { .. } => Surrogate::Atan { alpha },
            Surrogate::FastSigmoid { .. } => Surrogate::FastSigmoid { alpha },
            Surrogate::Triangle { .. } => Surrogate::Triangle { alpha },
            other @ (Surrogate::StraightThrough {} | Surrogate::Rectangle {}) => other,
            Surrogate::Staircase { .. } => Surrogate::Staircase { alpha },
        };
        // The kernel computes with f32's τ where it is learned, so it is one here.
        let tau = f64::from(tau as f32);
        let v_reset = real(4, -1.0, 1.0);
        let params = LifParams {
            levels: levels_of(1 + pick(5, 8) as u32),
            decay: Decay::Tau(tau),
            decay_input: pick(6, 2) == 1,
            v_threshold: [1.0, real(7, 0.05, 4.0), 0.5][pick(8, 3)],
            reset: [Reset::Soft {}, Reset::Hard { v_reset }, Reset::None {}][pick(9, 3)],
            detach_reset: pick(10, 2) == 1,
            surrogate,
            shift: [Shift::Centred, Shift::Unshifted, Shift::By(real(11, -1.0, 1.0))][pick(12, 3)],
        };
        let (n_steps, n) = (1 + pick(13, 100), 1 + pick(14, 300));
        let name = format!("case {case}: {params:?}, T = {n_steps}, N = {n}");
        // Silence in between, long enough for membranes and gradients to decay to nothing.
        let scale = [1.0, 10.0, 1e-18][pick(15, 3)];
        let mut x = uniform(n_steps * n, case, -0.5 * scale, 1.5 * scale);
        if n_steps > 8 {
            x[4 * n..(n_steps - 4) * n].fill(0.0);
        }
        let v_init = uniform(n, 1000 + case, -0.5, 1.0);
        let grad_s = uniform(n_steps * n, 2000 + case, -scale, scale);
        let got = lif_fwd::<f32>(&x, &v_init, &params);
        let [s, v] = cpu_forward(&x, &v_init, &params);
        assert_eq!(bits(&got.s_seq), bits(&s), "s_seq: {name}");
        assert_eq!(bits(&got.v_seq), bits(&v), "v_seq: {name}");
        let backward = Backward {
            x_seq: &x,
            v_init: &v_init,
            tau: Some(tau as f32),
            grad_s_seq: &grad_s,
            grad_v_seq: None,
            window: Window::NONE,
        };
        // As at a τ that is learned: what the parameters say of it is not used.
        let learned = LifParams { decay: Decay::Tau(77.0), ..params };
        let got = backward.run(&learned);
        let (grad_x, grad_v_init, grad_tau) = cpu_backward(&x, &v_init, &grad_s, None, &params);
        assert_close_to_largest(&format!("grad_x: {name}"), &got.x_seq, &grad_x, 1e-6);
        assert_close_to_largest(&format!("grad_v: {name}"), &got.v_init, &grad_v_init, 1e-6);
        let of_neurons: f32 = got.tau.iter().map(|g| g.abs()).sum();
        let sum: f32 = got.tau.iter().sum();
        assert!((sum - grad_tau).abs() <= 1e-4 * of_neurons.max(1e-20), "grad_tau: {name}");
        for values in [&got.x_seq, &got.v_init, &grad_x, &grad_v_init, &v] {
            assert_eq!(n_subnormal(values), 0, "{name}");
        }
    }
    assert!(n_seen.iter().all(|n| *n > 20), "{n_seen:?}");
}

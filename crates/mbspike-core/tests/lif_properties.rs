//! Laws of the neuron, the fused kernel against the plain reference, and gradients against finite
//! differences of the surrogate's primitive.

use candle_core::{Device, Tensor, Var};
use mbspike_core::lif::reference::{
    LifTrace, lif_multi_step_backward_reference, lif_multi_step_reference,
};
use mbspike_core::lif::{
    LifForward, LifGrad, levels_of, lif_backward, lif_backward_from_h, lif_forward,
    lif_forward_keep_h, lif_multi_step, lif_multi_step_learnable_tau,
    lif_multi_step_learnable_tau_with_v, lif_multi_step_with_v,
};
use mbspike_core::{Decay, LifParams, Real, Reset, Shift, Surrogate};
use proptest::prelude::*;

fn surrogates() -> impl Strategy<Value = Surrogate> {
    let alpha = 0.5..6.0_f64;
    prop_oneof![
        alpha.clone().prop_map(|alpha| Surrogate::Sigmoid { alpha }),
        alpha.clone().prop_map(|alpha| Surrogate::Atan { alpha }),
        alpha.clone().prop_map(|alpha| Surrogate::FastSigmoid { alpha }),
        alpha.clone().prop_map(|alpha| Surrogate::Triangle { alpha }),
        Just(Surrogate::StraightThrough {}),
        Just(Surrogate::Rectangle {}),
        alpha.prop_map(|alpha| Surrogate::Staircase { alpha }),
    ]
}

fn params() -> impl Strategy<Value = LifParams> {
    let reset = prop_oneof![
        Just(Reset::Soft {}),
        (-0.5..0.5_f64).prop_map(|v_reset| Reset::Hard { v_reset }),
        Just(Reset::None {}),
    ];
    let decay =
        prop_oneof![(1.0..20.0_f64).prop_map(Decay::Tau), (0.0..=1.0_f64).prop_map(Decay::Beta),];
    let shift = prop_oneof![
        Just(Shift::Centred),
        Just(Shift::Unshifted),
        (-1.0..1.0_f64).prop_map(Shift::By),
    ];
    let v_threshold = prop_oneof![Just(1.0), Just(0.5), 0.1..3.0_f64];
    let levels = prop_oneof![(1_u32..=16).prop_map(levels_of), 1_u32..300];
    (levels, decay, any::<bool>(), v_threshold, reset, any::<bool>(), surrogates(), shift).prop_map(
        |(levels, decay, decay_input, v_threshold, reset, detach_reset, surrogate, shift)| {
            LifParams {
                levels,
                decay,
                decay_input,
                v_threshold,
                reset,
                detach_reset,
                surrogate,
                shift,
            }
        },
    )
}

/// `n_steps`, currents `[T, N]` and initial membranes `[N]`.
fn sequences() -> impl Strategy<Value = (usize, Vec<f64>, Vec<f64>)> {
    (1_usize..12, 1_usize..70).prop_flat_map(|(n_steps, n)| {
        let x_seq = prop::collection::vec(-2.0..3.0_f64, n_steps * n);
        let v_init = prop::collection::vec(-1.0..1.0_f64, n);
        (Just(n_steps), x_seq, v_init)
    })
}

fn forward<T: Real>(x_seq: &[T], v_init: &[T], params: &LifParams) -> [Vec<T>; 3] {
    let mut out = [(); 3].map(|()| vec![T::nan(); x_seq.len()]);
    let [s, v, h] = &mut out;
    let outputs = LifForward { s_seq: s, v_seq: Some(v), h_seq: Some(h) };
    lif_forward(outputs, x_seq, v_init, params).expect("the lengths agree");
    out
}

fn assert_close(what: &str, got: &[f64], want: &[f64], tolerance: f64) {
    assert_eq!(got.len(), want.len(), "{what}");
    for (i, (g, w)) in got.iter().zip(want).enumerate() {
        assert!((g - w).abs() <= tolerance * (1.0 + w.abs()), "{what}[{i}] = {g}, not {w}");
    }
}

fn config() -> ProptestConfig {
    ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn fused_kernel_agrees_with_the_reference(params in params(), (_, x_seq, v_init) in sequences()) {
        let [s_seq, v_seq, h_seq] = forward(&x_seq, &v_init, &params);
        let want = lif_multi_step_reference(&x_seq, &v_init, &params, None);
        prop_assert_eq!(&s_seq, &want.s_seq);
        assert_close("h", &h_seq, &want.h_seq, 1e-12);
        assert_close("v", &v_seq, &want.v_seq, 1e-12);

        let grad_s: Vec<f64> = x_seq.iter().map(|x| (7.0 * x).sin()).collect();
        let grad_v: Vec<f64> = x_seq.iter().map(|x| (5.0 * x).cos()).collect();
        let want = lif_multi_step_backward_reference(
            &x_seq, &v_init, &want, &grad_s, Some(&grad_v), &params,
        );
        let mut grad_x_seq = vec![f64::NAN; x_seq.len()];
        let mut grad_v_init = vec![f64::NAN; v_init.len()];
        let mut grad_tau = f64::NAN;
        // The gain g divides out of the time constant's gradient; at 0 there is none.
        let tau_matters = params.gain() > 1e-3;
        let outputs = LifGrad {
            grad_x_seq: &mut grad_x_seq,
            grad_v_init: &mut grad_v_init,
            grad_tau: tau_matters.then_some(&mut grad_tau),
        };
        lif_backward(outputs, &x_seq, &v_init, &grad_s, Some(&grad_v), &params).unwrap();
        assert_close("grad_x", &grad_x_seq, &want.grad_x_seq, 1e-6);
        assert_close("grad_v_init", &grad_v_init, &want.grad_v_init, 1e-6);
        if tau_matters {
            let scale = 1.0 + want.grad_x_seq.iter().map(|g| g.abs()).sum::<f64>() / params.gain();
            prop_assert!((grad_tau - want.grad_tau).abs() <= 1e-7 * scale);
        }
    }

    #[test]
    fn kept_membranes_give_the_same_as_recomputed_ones(
        params in params(), (_, x_seq, v_init) in sequences(),
    ) {
        let [s_seq, v_seq, h_seq] = forward(&x_seq, &v_init, &params);
        let (mut s, mut h, mut v) = (vec![0.0; x_seq.len()], x_seq.clone(), v_init.clone());
        lif_forward_keep_h(&mut s, &mut h, &mut v, &params).unwrap();
        prop_assert_eq!(&s, &s_seq);
        prop_assert_eq!(&h, &h_seq);
        prop_assert_eq!(&v, &v_seq[v_seq.len() - v.len()..]);

        let grad_s: Vec<f64> = x_seq.iter().map(|x| (7.0 * x).sin()).collect();
        let (mut grad, mut grad_v) = (grad_s.clone(), vec![0.0; v_init.len()]);
        lif_backward_from_h(&mut grad, &mut grad_v, &h, &params).unwrap();
        let (mut grad_x_seq, mut grad_v_init) = (x_seq.clone(), v_init.clone());
        let outputs = LifGrad {
            grad_x_seq: &mut grad_x_seq, grad_v_init: &mut grad_v_init, grad_tau: None,
        };
        lif_backward(outputs, &x_seq, &v_init, &grad_s, None, &params).unwrap();
        prop_assert_eq!(grad, grad_x_seq);
        prop_assert_eq!(grad_v, grad_v_init);
    }

    #[test]
    fn spikes_are_whole_levels(params in params(), (_, x_seq, v_init) in sequences()) {
        let (x_seq, v_init) = (single(&x_seq), single(&v_init));
        let levels = params.n_levels() as f32;
        let [s_seq, ..] = forward(&x_seq, &v_init, &params);
        for s in s_seq {
            let k = (s * levels).round();
            prop_assert!((0.0..=levels).contains(&k) && s.to_bits() == (k / levels).to_bits());
        }
    }

    #[test]
    fn a_larger_input_never_gives_a_smaller_spike(
        params in params(), v in -1.0..1.0_f64, mut x in prop::collection::vec(-3.0..4.0_f64, 2..200),
    ) {
        x.sort_by(f64::total_cmp);
        let [s, ..] = forward(&x, &vec![v; x.len()], &params);
        prop_assert!(s.is_sorted(), "{:?}", s);
    }

    #[test]
    fn one_bit_is_the_heaviside_step(
        v_threshold in 0.01..10.0_f32, mut h in prop::collection::vec(-10.0..20.0_f32, 1..50),
    ) {
        h.extend([v_threshold, v_threshold.next_down(), v_threshold.next_up()]);
        let params = LifParams {
            decay: Decay::Beta(0.0), v_threshold: f64::from(v_threshold), ..LifParams::new(1)
        };
        let [s, ..] = forward(&h, &vec![0.0; h.len()], &params);
        for (h, s) in h.iter().zip(s) {
            prop_assert_eq!(s, f32::from(u8::from(*h >= v_threshold)), "h = {}", h);
        }
    }

    #[test]
    fn nan_never_passes_silently(params in params(), (n_steps, mut x_seq, v_init) in sequences()) {
        x_seq[0] = f64::NAN;
        let n = v_init.len();
        let [s_seq, v_seq, _] = forward(&x_seq, &v_init, &params);
        prop_assert!(s_seq[0].is_nan() && v_seq[0].is_nan());
        let [s_single, ..] = forward(&single(&x_seq), &single(&v_init), &params);
        prop_assert!(s_single[0].is_nan());
        if params.beta() > 0.0 {
            prop_assert!((0..n_steps).all(|t| s_seq[t * n].is_nan()));
        }
        let (mut grad_x_seq, mut grad_v_init) = (x_seq.clone(), v_init.clone());
        let grad_s = vec![1.0; x_seq.len()];
        let outputs = LifGrad {
            grad_x_seq: &mut grad_x_seq, grad_v_init: &mut grad_v_init, grad_tau: None,
        };
        lif_backward(outputs, &x_seq, &v_init, &grad_s, None, &params).unwrap();
        prop_assert!(grad_x_seq[0].is_nan());
    }

    #[test]
    fn gradients_are_those_of_the_primitive(
        params in params(), (_, x_seq, v_init) in sequences(),
    ) {
        // The network in which the spike function is replaced by the surrogate's primitive is
        // smooth (but for the kinks of some), and its exact gradient is what the backward pass
        // computes at its membranes. detach_reset leaves a path out, which differences cannot.
        let params = LifParams { detach_reset: false, levels: params.levels.min(63), ..params };
        let (levels, theta, shift) = (params.n_levels(), params.v_threshold, params.shift_value());
        let smooth = |h: f64| params.surrogate.primitive(h, levels, theta, shift);
        let run = |x: &[f64], v: &[f64], params: &LifParams| -> LifTrace {
            lif_multi_step_reference(x, v, params, Some(&smooth))
        };
        let weight: Vec<f64> = x_seq.iter().map(|x| (3.0 * x).sin()).collect();
        let value = |trace: &LifTrace| -> f64 {
            trace.s_seq.iter().zip(&weight).map(|(s, w)| s * w).sum()
        };
        let trace = run(&x_seq, &v_init, &params);
        let grads = lif_multi_step_backward_reference(
            &x_seq, &v_init, &trace, &weight, None, &params,
        );
        let eps = 1e-6;
        let n_checked = 12.min(x_seq.len());
        let mut n_wrong = 0;
        for i in (0..x_seq.len()).step_by(x_seq.len() / n_checked) {
            let mut shifted = x_seq.clone();
            shifted[i] += eps;
            let up = value(&run(&shifted, &v_init, &params));
            shifted[i] -= 2.0 * eps;
            let down = value(&run(&shifted, &v_init, &params));
            let want = (up - down) / (2.0 * eps);
            let agrees = (grads.grad_x_seq[i] - want).abs() <= 1e-4 * (1.0 + want.abs());
            n_wrong += usize::from(!agrees); // NaN does not agree
        }
        // A difference across a kink of the triangle or the straight-through ramp is not the
        // derivative; it is rare.
        let kinks = matches!(
            params.surrogate, Surrogate::Triangle { .. } | Surrogate::StraightThrough {} | Surrogate::Rectangle {},
        );
        prop_assert!(n_wrong == 0 || (kinks && n_wrong <= 1), "{n_wrong} gradients are wrong");

        if let Decay::Tau(tau) = params.decay && !kinks {
            let at = |tau| value(&run(&x_seq, &v_init, &LifParams { decay: Decay::Tau(tau), ..params }));
            let want = (at(tau + eps) - at(tau - eps)) / (2.0 * eps);
            let scale = 1.0 + grads.grad_x_seq.iter().map(|g| g.abs()).sum::<f64>();
            prop_assert!((grads.grad_tau - want).abs() <= 1e-4 * scale);
        }
    }
}

fn single(values: &[f64]) -> Vec<f32> {
    values.iter().map(|v| *v as f32).collect()
}

/// More neurons than one block, so that several threads take part.
fn large_input(n_steps: usize, n: usize) -> (Vec<f32>, Vec<f32>) {
    let x_seq = (0..n_steps * n).map(|i| ((i * 7919) % 1009) as f32 / 400.0 - 0.7).collect();
    (x_seq, (0..n).map(|i| (i % 17) as f32 / 20.0).collect())
}

#[test]
fn results_do_not_depend_on_the_number_of_threads() {
    let (x_seq, v_init) = large_input(13, 10_007);
    let run = |n_threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(n_threads).build().unwrap();
        pool.install(|| {
            let params = LifParams { decay: Decay::Tau(3.0), ..LifParams::new(3) };
            let forward = forward(&x_seq, &v_init, &params);
            let (mut grad_x_seq, mut grad_v_init) = (x_seq.clone(), v_init.clone());
            let mut grad_tau = 0.0;
            let outputs = LifGrad {
                grad_x_seq: &mut grad_x_seq,
                grad_v_init: &mut grad_v_init,
                grad_tau: Some(&mut grad_tau),
            };
            lif_backward(outputs, &x_seq, &v_init, &forward[0], None, &params).unwrap();
            (forward, grad_x_seq, grad_v_init, grad_tau)
        })
    };
    let one = run(1);
    assert_eq!(one, run(2));
    assert_eq!(one, run(3));
}

#[test]
fn candle_operations_agree_with_the_slices() {
    let (x, v) = large_input(5, 66);
    let params = LifParams::new(2);
    let x_var = Var::from_vec(x.clone(), (5, 6, 11), &Device::Cpu).unwrap();
    let v_var = Var::from_vec(v.clone(), (6, 11), &Device::Cpu).unwrap();
    let tau = Var::new(&[2.0_f32], &Device::Cpu).unwrap();
    let flat = |t: &Tensor| t.flatten_all().unwrap().to_vec1::<f32>().unwrap();
    let [want_s, want_v, _] = forward(&x, &v, &params);
    let (s_seq, v_seq) = lif_multi_step_with_v(&x_var, &v_var, &params).unwrap();
    assert_eq!(flat(&s_seq), want_s);
    assert_eq!(flat(&v_seq), want_v);
    let s_seq = lif_multi_step_learnable_tau(&x_var, &v_var, &tau, &params).unwrap();
    assert_eq!(flat(&s_seq), want_s);

    let grads = s_seq.sqr().unwrap().sum_all().unwrap().backward().unwrap();
    let plain = lif_multi_step(&x_var, &v_var, &params).unwrap();
    let plain = plain.sqr().unwrap().sum_all().unwrap().backward().unwrap();
    for var in [&x_var, &v_var] {
        assert_eq!(flat(grads.get(var).unwrap()), flat(plain.get(var).unwrap()));
    }
    let doubles = |values: &[f32]| values.iter().copied().map(f64::from).collect::<Vec<_>>();
    let trace = lif_multi_step_reference(&doubles(&x), &doubles(&v), &params, None);
    let grad_s: Vec<f64> = trace.s_seq.iter().map(|s| 2.0 * s).collect();
    let want = lif_multi_step_backward_reference(
        &doubles(&x),
        &doubles(&v),
        &trace,
        &grad_s,
        None,
        &params,
    );
    assert_close("grad_x", &doubles(&flat(grads.get(&x_var).unwrap())), &want.grad_x_seq, 1e-5);
    let grad_tau = f64::from(flat(grads.get(&tau).unwrap())[0]);
    assert!((grad_tau - want.grad_tau).abs() <= 1e-4 * (1.0 + want.grad_tau.abs()));
}

#[test]
fn parameters_out_of_range_are_refused_by_name() {
    let refused = |params: LifParams, name: &str| {
        let error = params.validate().unwrap_err().to_string();
        assert!(error.starts_with(name), "{error}");
    };
    let good = LifParams::new(2);
    refused(LifParams { levels: 0, ..good }, "levels");
    refused(LifParams { levels: 65_536, ..good }, "levels");
    refused(LifParams::new(99), "levels");
    refused(LifParams { decay: Decay::Tau(0.5), ..good }, "tau");
    refused(LifParams { decay: Decay::Tau(f64::NAN), ..good }, "tau");
    refused(LifParams { decay: Decay::Beta(1.5), ..good }, "beta");
    refused(LifParams { v_threshold: 0.0, ..good }, "v_threshold");
    refused(LifParams { surrogate: Surrogate::Atan { alpha: -1.0 }, ..good }, "surrogate.alpha");
}

#[test]
fn tensors_of_other_shapes_are_refused() {
    let zeros =
        |dims: &[usize]| Tensor::zeros(dims, candle_core::DType::F32, &Device::Cpu).unwrap();
    let params = LifParams::new(2);
    let error = lif_multi_step(&zeros(&[3, 6]), &zeros(&[2, 3]), &params).unwrap_err().to_string();
    assert!(error.contains("v_init is [2, 3], expected [6]"), "{error}");
    let (x, v) = (zeros(&[3, 6]), zeros(&[6]));
    let error = lif_multi_step_learnable_tau(&x, &v, &zeros(&[6]), &params).unwrap_err();
    assert!(error.to_string().contains("tau is [6], expected [1]"), "{error}");
}

#[test]
fn membranes_of_a_learnable_time_constant_are_those_of_a_fixed_one() {
    let (x, v) = large_input(7, 30);
    let x = Tensor::from_vec(x, (7, 30), &Device::Cpu).unwrap();
    let v = Tensor::from_vec(v, 30, &Device::Cpu).unwrap();
    let params = LifParams { decay: Decay::Tau(3.0), ..LifParams::new(2) };
    let other = LifParams { decay: Decay::Tau(50.0), ..params };
    let tau = Var::from_tensor(&Tensor::new(&[3.0_f32], &Device::Cpu).unwrap()).unwrap();
    let (s, membranes) = lif_multi_step_with_v(&x, &v, &params).unwrap();
    let (s_learned, learned) = lif_multi_step_learnable_tau_with_v(&x, &v, &tau, &other).unwrap();
    let flat = |t: &Tensor| t.flatten_all().unwrap().to_vec1::<f32>().unwrap();
    assert_eq!((flat(&s), flat(&membranes)), (flat(&s_learned), flat(&learned)));
    let grads = learned.sum_all().unwrap().backward().unwrap();
    assert!(flat(grads.get(&tau).unwrap())[0].abs() > 0.0);
}

//! Neuron layers: gradients of every layer and every variable against finite differences, streams
//! against whole sequences, steps against the fused kernel, and what they refuse.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking, in its helper functions too")]

use candle_core::{DType, Device, Result, Tensor, Var};
use candle_nn::{Module, ModuleT, VarBuilder, VarMap};
use mbspike_core::philox::{Domain, Place, Stream};
use mbspike_core::spike::{Rounding, SpikeOutput};
use mbspike_core::{Decay, LifParams, Reset, Shift, Surrogate};
use mbspike_lif::layer::{
    Adaptation, Alif, CubaLif, Dropout, EachStep, Extent, If, Li, Lif, NeuronParams, OverTime,
    OverTimeT, Plif, Pool, State, Stateful, learned_threshold, li, objective, plif, readout,
    recurrent,
};
use mbspike_lif::{PoolKind, StepKey};

const STEPS: usize = 6;
const DIMS: [usize; 3] = [STEPS, 2, 3];

fn uniform(dims: &[usize], sample: u32, low: f64, high: f64) -> Tensor {
    let mut values = vec![0.0_f32; dims.iter().product()];
    let place = Place { sample, ..Place::default() };
    Stream::new(11, Domain::Simulate, place).fill_uniform(&mut values);
    let values: Vec<f64> = values.iter().map(|u| low + (high - low) * f64::from(*u)).collect();
    Tensor::from_vec(values, dims, &Device::Cpu).unwrap()
}

fn flat(tensor: &Tensor) -> Vec<f64> {
    tensor.to_dtype(DType::F64).unwrap().flatten_all().unwrap().to_vec1().unwrap()
}

/// Neurons of every kind, with the smooth spike function where that is asked for.
fn family(smooth: bool) -> Vec<(&'static str, NeuronParams)> {
    let lif = LifParams { decay: Decay::Tau(3.0), ..LifParams::new(2) };
    let hard = LifParams { reset: Reset::Hard { v_reset: -0.2 }, ..lif };
    let all = [
        ("soft", lif.into()),
        ("hard", hard.into()),
        ("no reset", LifParams { reset: Reset::None {}, decay_input: true, ..lif }.into()),
        ("decayed input", LifParams { decay_input: true, ..hard }.into()),
        ("unshifted", LifParams { shift: Shift::Unshifted, v_threshold: 0.7, ..lif }.into()),
        (
            "five levels",
            LifParams { levels: 5, surrogate: Surrogate::Staircase { alpha: 4.0 }, ..lif }.into(),
        ),
        ("count", NeuronParams { output: SpikeOutput::Count, ..lif.into() }),
        ("nearest", NeuronParams { rounding: Rounding::NearestEven, ..lif.into() }),
        (
            "ternary",
            NeuronParams {
                lif: LifParams { v_threshold: 0.8, ..NeuronParams::ternary().lif },
                ..NeuronParams::ternary()
            },
        ),
        (
            "signed levels, hard",
            NeuronParams { signed: true, output: SpikeOutput::Count, ..hard.into() },
        ),
        ("synaptic current", NeuronParams { tau_syn: Some(2.5), ..lif.into() }),
        (
            "adaptive",
            NeuronParams { adaptation: Some(Adaptation { tau: 4.0, strength: 0.9 }), ..lif.into() },
        ),
        (
            "adaptive, signed, hard",
            NeuronParams {
                adaptation: Some(Adaptation { tau: 2.0, strength: 0.5 }),
                signed: true,
                ..hard.into()
            },
        ),
    ];
    all.into_iter().map(|(name, params)| (name, NeuronParams { smooth, ..params })).collect()
}

/// A layer, its variables and its name.
struct Case {
    name: String,
    layer: Box<dyn Stateful>,
    vars: Vec<(String, Var)>,
}

type Build<'a> = &'a dyn Fn(VarBuilder<'_>) -> Result<Box<dyn Stateful>>;

/// Every layer of neurons.
fn cases(smooth: bool, dtype: DType) -> Vec<Case> {
    let mut cases: Vec<Case> = vec![];
    let mut add = |name: String, build: Build<'_>| {
        let map = VarMap::new();
        let layer = build(VarBuilder::from_varmap(&map, dtype, &Device::Cpu)).unwrap();
        let mut vars: Vec<_> = map.data().lock().unwrap().clone().into_iter().collect();
        vars.sort_by(|a, b| a.0.cmp(&b.0));
        for (i, (name, var)) in vars.iter().enumerate() {
            // Off each other, so that a gradient in the wrong place shows.
            let (low, high) = if name.ends_with("weight") { (-0.5, 0.5) } else { (1.3, 2.9) };
            let values = uniform(var.dims(), 900 + i as u32, low, high).to_dtype(dtype).unwrap();
            var.set(&values).unwrap();
        }
        cases.push(Case { name, layer, vars });
    };
    for (name, params) in family(smooth) {
        add(format!("Lif, {name}"), &|_| Ok(Box::new(Lif::new(params)?)));
        add(format!("If, {name}"), &|_| Ok(Box::new(If::new(params)?)));
        for extent in [Extent::Layer, Extent::Channels(3)] {
            add(format!("Plif {extent:?}, {name}"), &|vb| Ok(Box::new(plif(extent, params, vb)?)));
            add(format!("LearnedThreshold {extent:?}, {name}"), &|vb| {
                Ok(Box::new(learned_threshold(extent, params, vb)?))
            });
        }
        add(format!("Recurrent, {name}"), &|vb| Ok(Box::new(recurrent(3, params, vb)?)));
    }
    let params = NeuronParams { smooth, ..NeuronParams::new(2) };
    add("CubaLif".into(), &|_| Ok(Box::new(CubaLif::new(3.0, params)?)));
    let adaptation = Adaptation { tau: 5.0, strength: 1.5 };
    add("Alif".into(), &|_| Ok(Box::new(Alif::new(adaptation, params)?)));
    add("Li".into(), &|_| Ok(Box::new(Li::new(Decay::Beta(0.8), true)?)));
    add("Li learned".into(), &|vb| Ok(Box::new(li(4.0, true, vb)?)));
    cases
}

/// The sum of everything a layer gives, weighted so that no two elements count the same.
fn value(layer: &dyn Stateful, x_seq: &Tensor, v: &Tensor) -> Tensor {
    let state = State { v: Some(v.clone()), ..State::default() };
    let (s_seq, state) = layer.forward_state(x_seq, &state).unwrap();
    let weights = uniform(s_seq.dims(), 500, -1.0, 1.0);
    let of_state = uniform(v.dims(), 501, -1.0, 1.0);
    let spikes = (s_seq * weights).unwrap().sum_all().unwrap();
    (spikes + (state.v.unwrap() * of_state).unwrap().sum_all().unwrap()).unwrap()
}

#[test]
fn gradients_are_finite_differences_for_every_layer_and_every_variable() {
    const EPS: f64 = 1e-6;
    for Case { name, layer, vars } in cases(true, DType::F64) {
        let x = Var::from_tensor(&uniform(&DIMS, 1, -0.6, 1.6)).unwrap();
        let v = Var::from_tensor(&uniform(&DIMS[1..], 2, -0.3, 0.5)).unwrap();
        let grads = value(&*layer, &x, &v).backward().unwrap();
        let scalar = || value(&*layer, &x, &v).to_scalar::<f64>().unwrap();
        let named = [("x_seq".to_owned(), x.clone()), ("v_init".to_owned(), v.clone())];
        for (of, var) in named.into_iter().chain(vars) {
            let got = grads.get(&var).unwrap_or_else(|| panic!("{name}: no gradient of {of}"));
            let (got, start) = (flat(got), flat(&var));
            assert!(got.iter().any(|g| *g != 0.0), "{name}: the gradient of {of} is zero");
            for i in 0..start.len() {
                let at = |by: f64| {
                    let mut values = start.clone();
                    values[i] += by;
                    var.set(&Tensor::from_vec(values, var.dims(), &Device::Cpu).unwrap()).unwrap();
                    scalar()
                };
                let want = (at(EPS) - at(-EPS)) / (2.0 * EPS);
                at(0.0);
                let off = (got[i] - want).abs();
                assert!(
                    off <= 2e-7 * (1.0 + want.abs()).max(10.0),
                    "{name}: {of}[{i}]: {} {want}",
                    got[i]
                );
            }
        }
    }
}

#[test]
fn a_stream_gives_the_bits_of_the_whole() {
    for Case { name, layer, .. } in cases(false, DType::F32) {
        let x_seq = uniform(&DIMS, 3, -0.6, 2.0).to_dtype(DType::F32).unwrap();
        let bits = |t: &Tensor| -> Vec<u32> {
            t.flatten_all().unwrap().to_vec1::<f32>().unwrap().iter().map(|v| v.to_bits()).collect()
        };
        let whole = bits(&layer.forward(&x_seq).unwrap());
        for cuts in [vec![1; STEPS], vec![2, 4], vec![5, 1]] {
            let (mut state, mut at, mut streamed) = (State::default(), 0, vec![]);
            for n in cuts {
                let part;
                (part, state) =
                    layer.forward_state(&x_seq.narrow(0, at, n).unwrap(), &state).unwrap();
                streamed.extend(bits(&part));
                at += n;
            }
            assert_eq!(streamed, whole, "{name}");
        }
    }
}

/// A learned threshold is computed step by step; at the same value it must be the fused neuron.
#[test]
fn steps_put_together_from_tensors_are_the_fused_kernel() {
    for (name, params) in family(false) {
        if !params.is_plain() {
            continue;
        }
        let x = Var::from_tensor(&uniform(&DIMS, 4, -0.6, 1.6)).unwrap();
        let v = Var::from_tensor(&uniform(&DIMS[1..], 5, -0.3, 0.5)).unwrap();
        let map = VarMap::new();
        let vb = VarBuilder::from_varmap(&map, DType::F64, &Device::Cpu);
        let stepped = learned_threshold(Extent::Layer, params, vb).unwrap();
        let fused = Lif::new(params).unwrap();
        let (a, b) = (value(&stepped, &x, &v), value(&fused, &x, &v));
        assert!((flat(&a)[0] - flat(&b)[0]).abs() <= 1e-12, "{name}");
        let (a, b) = (a.backward().unwrap(), b.backward().unwrap());
        for var in [&x, &v] {
            for (a, b) in flat(a.get(var).unwrap()).iter().zip(flat(b.get(var).unwrap())) {
                assert!((a - b).abs() <= 1e-9, "{name}: {a} {b}");
            }
        }
    }
}

#[test]
fn a_time_constant_by_channel_is_that_of_each_channel() {
    let map = VarMap::new();
    let vb = VarBuilder::from_varmap(&map, DType::F32, &Device::Cpu);
    let by_channel = plif(Extent::Channels(3), LifParams::new(2), vb).unwrap();
    let taus = [1.5_f32, 4.0, 20.0];
    map.data().lock().unwrap()["tau"].set(&Tensor::new(&taus, &Device::Cpu).unwrap()).unwrap();
    let x_seq = uniform(&[7, 2, 3, 2, 2], 6, -0.4, 1.5).to_dtype(DType::F32).unwrap();
    let s_seq = by_channel.forward(&x_seq).unwrap();
    for (c, tau) in taus.into_iter().enumerate() {
        let params = LifParams { decay: Decay::Tau(tau.into()), ..LifParams::new(2) };
        let alone = Lif::new(params).unwrap().forward(&x_seq.narrow(2, c, 1).unwrap()).unwrap();
        assert_eq!(flat(&s_seq.narrow(2, c, 1).unwrap()), flat(&alone), "channel {c}");
    }
}

/// The equality that integer training with binary inference rests on.
#[test]
fn a_graded_spike_acts_like_that_many_binary_ones_on_a_share_of_the_weights() {
    let levels = 4;
    let x_seq = uniform(&[5, 2, 6], 7, -0.5, 2.0);
    let weight = uniform(&[3, 6], 8, -1.0, 1.0);
    let params = LifParams { levels, ..LifParams::new(1) };
    let graded = Lif::new(params).unwrap().forward(&x_seq).unwrap();
    let current = graded.flatten(0, 1).unwrap().matmul(&weight.t().unwrap()).unwrap();
    let mut of_binary = current.zeros_like().unwrap();
    for d in 1..=levels {
        // The d-th binary spike is there where at least d levels fired.
        let threshold = f64::from(d) / f64::from(levels) - 1e-9;
        let binary = graded.ge(threshold).unwrap().to_dtype(DType::F64).unwrap();
        let share = (&weight / f64::from(levels)).unwrap();
        let part = binary.flatten(0, 1).unwrap().matmul(&share.t().unwrap()).unwrap();
        of_binary = (of_binary + part).unwrap();
    }
    for (a, b) in flat(&current).iter().zip(flat(&of_binary)) {
        assert!((a - b).abs() <= 1e-12, "{a} {b}");
    }
}

#[test]
fn integer_neurons_send_counts_and_the_reset_takes_them_away() {
    let ilif = Lif::new(NeuronParams::integer(4)).unwrap();
    let x = Tensor::new(&[[[0.5, 1.5, 2.75, 9.0, -3.0]], [[0.0; 5]]], &Device::Cpu).unwrap();
    let (s_seq, state) = ilif.forward_state(&x, &State::default()).unwrap();
    assert_eq!(flat(&s_seq.get(0).unwrap()), [0.0, 2.0, 3.0, 4.0, 0.0]);
    // v = h − k, then a quarter of it: 5/4 fires once more.
    assert_eq!(flat(&s_seq.get(1).unwrap()), [0.0, 0.0, 0.0, 1.0, 0.0]);
    assert_eq!(flat(&state.v.unwrap()), [0.125, -0.125, -0.0625, 0.25, -0.75]);
}

#[test]
fn a_network_fed_in_parts_gives_the_bits_of_the_whole() {
    let n_steps = 12;
    let single = |dims: &[usize], sample, bound: f64| {
        uniform(dims, sample, -bound, bound).to_dtype(DType::F32).unwrap()
    };
    let linear = |out, n_in, sample| {
        EachStep(candle_nn::Linear::new(single(&[out, n_in], sample, 0.7), None))
    };
    let (fc, out) = (linear(33, 65, 31), linear(5, 33, 32));
    let map = VarMap::new();
    let vb = VarBuilder::from_varmap(&map, DType::F32, &Device::Cpu);
    let hidden = recurrent(33, NeuronParams::new(2), vb).unwrap();
    for var in map.all_vars() {
        var.set(&single(var.dims(), 33, 0.5)).unwrap();
    }
    let readout = Li::new(Decay::Tau(8.0), false).unwrap();
    let forward = |x_seq: &Tensor, states: &[State; 2]| {
        let (s_seq, first) = hidden.forward_state(&fc.forward(x_seq).unwrap(), &states[0]).unwrap();
        let (y_seq, second) =
            readout.forward_state(&out.forward(&s_seq).unwrap(), &states[1]).unwrap();
        (y_seq.flatten_all().unwrap().to_vec1::<f32>().unwrap(), [first, second])
    };
    for batch_size in [1, 3, 17] {
        let x_seq = single(&[n_steps, batch_size, 65], 34, 1.0);
        let (whole, _) = forward(&x_seq, &<[State; 2]>::default());
        assert!(whole.iter().any(|y| *y != 0.0));
        for n in [1, 4, 6] {
            let (mut states, mut streamed) = (<[State; 2]>::default(), vec![]);
            for at in (0..n_steps).step_by(n) {
                let part;
                (part, states) = forward(&x_seq.narrow(0, at, n).unwrap(), &states);
                streamed.extend(part);
            }
            assert_eq!(streamed, whole, "{batch_size} samples in parts of {n}");
        }
    }
    assert!(fc.forward(&single(&[0, 3, 65], 35, 1.0)).is_ok_and(|y| y.dims() == [0, 3, 33]));
}

#[test]
fn layers_without_time_are_folded_over_it() {
    let weight = uniform(&[4, 3], 9, -1.0, 1.0);
    let linear = OverTime(candle_nn::Linear::new(weight.clone(), None));
    let x_seq = uniform(&DIMS, 10, -1.0, 1.0);
    let y_seq = linear.forward(&x_seq).unwrap();
    assert_eq!(y_seq.dims(), [STEPS, 2, 4]);
    let last = x_seq.get(STEPS - 1).unwrap().matmul(&weight.t().unwrap()).unwrap();
    // Of fewer rows, candle's product may add in another order.
    for (y, want) in flat(&y_seq.get(STEPS - 1).unwrap()).iter().zip(flat(&last)) {
        assert!((y - want).abs() < 1e-12, "{y} {want}");
    }
    let closure = OverTime(|x: &Tensor| x.sqr());
    assert_eq!(closure.forward(&x_seq).unwrap().dims(), DIMS);
    let cut = OverTime(|x: &Tensor| x.narrow(0, 0, 1));
    assert!(cut.forward(&x_seq).unwrap_err().to_string().contains("expected [12, …]"));
    assert!(linear.forward(&weight.get(0).unwrap()).is_err());

    let map = VarMap::new();
    let vb = VarBuilder::from_varmap(&map, DType::F64, &Device::Cpu);
    let norm = OverTimeT(candle_nn::batch_norm(3, 1e-5, vb).unwrap());
    let y_seq = norm.forward_t(&x_seq, true).unwrap();
    // Over steps and samples each channel has mean 0.
    for mean in flat(&y_seq.mean(0).unwrap().mean(0).unwrap()) {
        assert!(mean.abs() <= 1e-12, "{mean}");
    }
}

#[test]
fn pooling_and_dropout_keep_time_apart() {
    let x_seq = uniform(&[3, 2, 2, 4, 4], 12, 0.1, 1.0);
    let sum = Pool { kind: PoolKind::Sum, size: 2 }.forward(&x_seq).unwrap();
    let average = Pool { kind: PoolKind::Average, size: 2 }.forward(&x_seq).unwrap();
    assert_eq!(sum.dims(), [3, 2, 2, 2, 2]);
    for (s, a) in flat(&sum).iter().zip(flat(&average)) {
        assert!((s - 4.0 * a).abs() <= 1e-12);
    }
    assert!(Pool { kind: PoolKind::Max, size: 5 }.forward(&x_seq).is_err());
    assert!(
        Pool { kind: PoolKind::Max, size: 2 }
            .forward(&x_seq.get(0).unwrap().get(0).unwrap().get(0).unwrap())
            .is_err()
    );

    let dropout = Dropout::new(0.5, 0).unwrap();
    let key = StepKey { seed: 3, iteration: 8 };
    for dropped in
        [dropout.forward_with(&x_seq, key).unwrap(), dropout.forward_t(&x_seq, true).unwrap()]
    {
        let kept: Vec<Vec<bool>> = (0..3)
            .map(|t| flat(&dropped.get(t).unwrap()).iter().map(|x| *x != 0.0).collect())
            .collect();
        assert!(kept[0] == kept[1] && kept[0] == kept[2], "a mask is the same at all steps");
        assert!(kept[0].iter().any(|k| *k) && !kept[0].iter().all(|k| *k));
    }
    assert_eq!(flat(&dropout.forward_t(&x_seq, false).unwrap()), flat(&x_seq));
    assert!(Dropout::new(1.0, 0).is_err());
}

#[test]
fn readouts_and_losses_are_functions_of_sequences() {
    let seq = Tensor::new(&[[[1.0, 5.0]], [[3.0, 2.0]], [[2.0, 2.0]]], &Device::Cpu).unwrap();
    assert_eq!(flat(&readout::mean_over_time(&seq).unwrap()), [2.0, 3.0]);
    assert_eq!(flat(&readout::last_step(&seq).unwrap()), [2.0, 2.0]);
    assert_eq!(flat(&readout::max_over_time(&seq).unwrap()), [3.0, 5.0]);
    let scores = Tensor::new(&[[1.0, 3.0, 10.0, 20.0]], &Device::Cpu).unwrap();
    assert_eq!(flat(&readout::vote(&scores, 2).unwrap()), [2.0, 15.0]);
    assert!(readout::vote(&scores, 3).is_err());
    let targets = Tensor::new(&[[0.0, 1.0]], &Device::Cpu).unwrap();
    assert_eq!(flat(&objective::mse(&seq.get(2).unwrap(), &targets).unwrap()), [2.5]);
    let loss = objective::cross_entropy(&seq.get(2).unwrap(), &targets).unwrap();
    assert!((flat(&loss)[0] - 2_f64.ln()).abs() <= 1e-12);
    assert!(objective::mse(&scores, &targets).is_err());
}

#[test]
fn shapes_and_parameters_that_do_not_fit_are_refused_by_name() {
    let lif = Lif::new(LifParams::new(2)).unwrap();
    let x_seq = uniform(&DIMS, 13, 0.0, 1.0);
    let other = State { v: Some(uniform(&[3, 2], 14, 0.0, 1.0)), ..State::default() };
    let error = lif.forward_state(&x_seq, &other).unwrap_err().to_string();
    assert!(error.contains("the state's v is [3, 2], expected [2, 3]"), "{error}");
    assert!(lif.forward(&x_seq.get(0).unwrap().get(0).unwrap()).is_err());
    let map = VarMap::new();
    let vb = VarBuilder::from_varmap(&map, DType::F64, &Device::Cpu);
    let of_five: Plif = plif(Extent::Channels(5), LifParams::new(2), vb.pp("a")).unwrap();
    let error = of_five.forward(&x_seq).unwrap_err().to_string();
    assert!(error.contains("tau is by channel"), "{error}");
    let wide = recurrent(4, LifParams::new(1), vb.pp("b")).unwrap();
    assert!(wide.forward(&x_seq).unwrap_err().to_string().contains("[T, B, 4]"));

    let refused = |params: NeuronParams, name: &str| {
        let error = Lif::new(params).unwrap_err().to_string();
        assert!(error.starts_with(name), "{error}");
    };
    let good = NeuronParams::new(2);
    refused(NeuronParams { tau_syn: Some(0.5), ..good }, "tau_syn");
    refused(
        NeuronParams { adaptation: Some(Adaptation { tau: 0.0, strength: 1.0 }), ..good },
        "adaptation.tau",
    );
    refused(
        NeuronParams { adaptation: Some(Adaptation { tau: 2.0, strength: f64::NAN }), ..good },
        "adaptation.strength",
    );
    refused(LifParams { levels: 0, ..good.lif }.into(), "levels");
    let reset = Reset::Hard { v_reset: 1.0 };
    refused(
        NeuronParams { signed: true, lif: LifParams { reset, ..good.lif }, ..good },
        "reset.v_reset",
    );
    let beta = LifParams { decay: Decay::Beta(0.5), ..good.lif };
    assert!(plif(Extent::Layer, beta, vb.pp("c")).unwrap_err().to_string().contains("decay"));
}

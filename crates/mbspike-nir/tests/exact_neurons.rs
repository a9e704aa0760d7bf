//! Constructions out of NIR's nodes against the neuron of `mbspike-core`.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking, in its helper functions too")]

use mbspike_core::lif::{Decay, LifForward, LifParams, Reset as CoreReset, fire, lif_forward};
use mbspike_nir::exact::{Neuron, Reset};
use mbspike_nir::simulate::Simulation;
use mbspike_nir::{Array, Graph, Kind, Options, from_bytes, to_bytes};
use proptest::prelude::*;

const DT: f64 = 1e-4;

fn core(neuron: &Neuron) -> LifParams {
    LifParams {
        decay: Decay::Tau(neuron.tau),
        decay_input: neuron.decay_input,
        v_threshold: neuron.v_threshold,
        reset: match neuron.reset {
            Reset::Soft => CoreReset::Soft {},
            Reset::Hard { v_reset } => CoreReset::Hard { v_reset },
            Reset::None => CoreReset::None {},
        },
        ..LifParams::new(neuron.bits())
    }
}

/// Level codes of the neuron itself, and how near its membrane came to the edge of a level.
fn core_codes(neuron: &Neuron, x_seq: &[f64], v_init: f64) -> (Vec<f64>, f64) {
    let (mut s_seq, mut h_seq) = (vec![0.0; x_seq.len()], vec![0.0; x_seq.len()]);
    let outputs = LifForward { s_seq: &mut s_seq, v_seq: None, h_seq: Some(&mut h_seq) };
    lif_forward(outputs, x_seq, &[v_init], &core(neuron)).unwrap();
    let levels = f64::from(neuron.levels);
    let edge = |h: f64| {
        let q = h * levels / neuron.v_threshold;
        let level = q.round().clamp(1.0, levels);
        (q - level).abs()
    };
    let nearest = h_seq.into_iter().map(edge).fold(f64::INFINITY, f64::min);
    (s_seq.into_iter().map(|s| (s * levels).round()).collect(), nearest)
}

fn codes(graph: &Graph, neuron: &Neuron, x_seq: &[f64], dt: f64) -> Vec<f64> {
    let mut simulation = Simulation::new(graph, dt).unwrap();
    let levels = f64::from(neuron.levels);
    x_seq.iter().map(|&x| (simulation.step(&[x])[0] * levels).round()).collect()
}

/// The LIF node in a graph of its own.
fn lif_graph(neuron: &Neuron, dt: f64) -> Graph {
    Graph::sequence([
        ("input", Kind::Input { shape: vec![1] }),
        ("lif", neuron.lif(&[1], dt).unwrap().into()),
        ("output", Kind::Output { shape: vec![1] }),
    ])
}

fn soft_or_none() -> impl Strategy<Value = Reset> {
    prop_oneof![Just(Reset::Soft), Just(Reset::None)]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3000))]

    /// Numbers on a grid of powers of two, where all sums and products are exact and membranes land
    /// on the edges of levels all the time: equality fires, there and here.
    #[test]
    fn graded_spikes_agree_exactly_where_membranes_meet_the_edges_of_levels(
        bits in 1_u32..=4,
        log_tau in 0_i32..=2,
        decay_input in any::<bool>(),
        reset in soft_or_none(),
        inputs in proptest::collection::vec(-8_i32..=24, 1..8),
    ) {
        let levels = f64::from((1 << bits) - 1);
        // One level is 1/4, and θ/L is exact.
        let neuron = Neuron {
            levels: (1 << bits) - 1,
            tau: f64::from(1 << log_tau),
            decay_input,
            v_threshold: levels / 4.0,
            reset,
        };
        let dt = 2_f64.powi(-13);
        let x_seq: Vec<f64> = inputs.iter().map(|&x| f64::from(x) / 8.0).collect();
        let graph = neuron.graph(&[1], dt).unwrap();
        let expected = core_codes(&neuron, &x_seq, 0.0).0;
        prop_assert_eq!(codes(&graph, &neuron, &x_seq, dt), expected);
    }

    /// Any numbers, 20 steps: apart from traces that come within single precision's rounding of the
    /// edge of a level, where the file's thresholds are rounded.
    #[test]
    fn graded_spikes_agree_on_random_traces(
        bits in 1_u32..=6,
        tau in 1.0_f64..20.0,
        decay_input in any::<bool>(),
        v_threshold in 0.1_f64..4.0,
        reset in soft_or_none(),
        inputs in proptest::collection::vec(-1.0_f64..3.0, 20),
    ) {
        let neuron = Neuron { levels: (1 << bits) - 1, tau, decay_input, v_threshold, reset };
        let gain = if decay_input { tau } else { 1.0 };
        let x_seq: Vec<f64> = inputs.iter().map(|x| x * v_threshold * gain / 2.0).collect();
        let (expected, nearest) = core_codes(&neuron, &x_seq, 0.0);
        prop_assume!(nearest > 1e-4);
        let graph = neuron.graph(&[1], DT).unwrap();
        prop_assert_eq!(codes(&graph, &neuron, &x_seq, DT), expected);
    }

    /// The LIF node, with spikes exactly at the threshold, too.
    #[test]
    fn one_bit_with_hard_reset_agrees_exactly_on_a_grid(
        log_tau in 0_i32..=2,
        decay_input in any::<bool>(),
        threshold in 1_i32..=8,
        v_reset in -4_i32..=0,
        inputs in proptest::collection::vec(-8_i32..=16, 1..8),
    ) {
        let v_reset = f64::from(v_reset) / 4.0;
        let neuron = Neuron {
            levels: 1,
            tau: f64::from(1 << log_tau),
            decay_input,
            v_threshold: f64::from(threshold) / 4.0,
            reset: Reset::Hard { v_reset },
        };
        let dt = 2_f64.powi(-13);
        let x_seq: Vec<f64> = inputs.iter().map(|&x| f64::from(x) / 8.0).collect();
        // A node rests at the potential it leaks to.
        let expected = core_codes(&neuron, &x_seq, v_reset).0;
        prop_assert_eq!(codes(&lif_graph(&neuron, dt), &neuron, &x_seq, dt), expected);
    }

    #[test]
    fn one_bit_with_hard_reset_agrees_on_random_traces(
        tau in 1.0_f64..20.0,
        decay_input in any::<bool>(),
        v_threshold in 0.1_f64..4.0,
        inputs in proptest::collection::vec(-1.0_f64..3.0, 20),
    ) {
        let neuron = Neuron {
            levels: 1, tau, decay_input, v_threshold, reset: Reset::Hard { v_reset: 0.0 },
        };
        let gain = if decay_input { tau } else { 1.0 };
        let x_seq: Vec<f64> = inputs.iter().map(|x| x * v_threshold * gain / 2.0).collect();
        let (expected, nearest) = core_codes(&neuron, &x_seq, 0.0);
        prop_assume!(nearest > 1e-4);
        prop_assert_eq!(codes(&lif_graph(&neuron, DT), &neuron, &x_seq, DT), expected);
    }

    /// For any θ and each level, the numbers around its threshold: `>` there is `≥` here, whichever
    /// way the division rounds.
    #[test]
    fn a_threshold_lies_between_the_last_number_that_does_not_fire_and_the_first_that_does(
        bits in 1_u32..=8,
        v_threshold in 1e-3_f32..1e3,
    ) {
        let neuron = Neuron {
            levels: (1 << bits) - 1,
            tau: 2.0,
            decay_input: false,
            v_threshold: f64::from(v_threshold),
            reset: Reset::Soft,
        };
        let levels = neuron.levels as f32;
        for (level, threshold) in (1..).zip(neuron.thresholds().unwrap()) {
            let h = [threshold, threshold.next_up()];
            let mut s = [0.0_f32; 2];
            fire(&mut s, &h, &core(&neuron)).unwrap();
            let codes = s.map(|s| (s * levels).round() as u32);
            prop_assert_eq!(codes, [level - 1, level], "θ = {}, {}", v_threshold, threshold);
        }
    }
}

#[test]
fn a_threshold_of_one_bit_is_the_number_below() {
    let neuron =
        Neuron { levels: 1, tau: 2.0, decay_input: false, v_threshold: 1.0, reset: Reset::Soft };
    assert_eq!(neuron.thresholds().unwrap(), [1.0_f32.next_down()]);
}

#[test]
fn a_construction_is_recognized_after_a_file_and_not_after_a_change() {
    let neuron =
        Neuron { levels: 3, tau: 3.0, decay_input: true, v_threshold: 0.7, reset: Reset::Soft };
    let graph = neuron.graph(&[2, 3], DT).unwrap();
    let mut again = from_bytes(to_bytes(&graph).unwrap(), &Options::default()).unwrap();
    assert_eq!(again, graph);
    assert_eq!(Neuron::of_graph(&again, DT), Some(neuron));
    assert_eq!(Neuron::of_graph(&again, 1e-3), None);
    if let Some(node) = again.nodes.get_mut("level_2")
        && let Kind::Threshold(threshold) = &mut node.kind
    {
        threshold.threshold = Array::full(&[2, 3], 0.5);
    }
    assert_eq!(Neuron::of_graph(&again, DT), None);
}

#[test]
fn what_nodes_cannot_say_is_refused() {
    let hard = Reset::Hard { v_reset: 0.0 };
    let neuron =
        |levels, reset| Neuron { levels, tau: 2.0, decay_input: false, v_threshold: 1.0, reset };
    let error = neuron(3, hard).graph(&[1], DT).unwrap_err().to_string();
    assert!(error.contains("the hard reset of a graded spike multiplies"), "{error}");
    let error = neuron(3, hard).lif(&[1], DT).unwrap_err().to_string();
    assert!(error.contains("spikes of 3 levels with hard reset in one node"), "{error}");
    let error = neuron(1, Reset::Soft).lif(&[1], DT).unwrap_err().to_string();
    assert!(error.contains("spikes of 1 levels with soft reset in one node"), "{error}");
    let error = neuron(65535, Reset::Soft).graph(&[64, 32, 32], DT).unwrap_err().to_string();
    assert!(error.contains("65535 thresholds for each neuron"), "{error}");
}

#[test]
fn parameters_out_of_range_are_refused_by_name() {
    let good =
        Neuron { levels: 3, tau: 2.0, decay_input: false, v_threshold: 1.0, reset: Reset::Soft };
    let cases = [
        (Neuron { levels: 0, ..good }, DT, "levels"),
        (Neuron { levels: 65536, ..good }, DT, "levels"),
        (Neuron { tau: 0.5, ..good }, DT, "tau"),
        (Neuron { tau: f64::INFINITY, ..good }, DT, "tau"),
        (Neuron { tau: f64::NAN, ..good }, DT, "tau"),
        (Neuron { v_threshold: 0.0, ..good }, DT, "v_threshold"),
        (Neuron { v_threshold: f64::NAN, ..good }, DT, "v_threshold"),
        (good, 0.0, "dt"),
        (good, -1.0, "dt"),
        (good, f64::NAN, "dt"),
    ];
    for (neuron, dt, name) in cases {
        let error = neuron.graph(&[1], dt).unwrap_err();
        assert_eq!(error.attribute.as_deref(), Some(name), "{error}");
    }
}

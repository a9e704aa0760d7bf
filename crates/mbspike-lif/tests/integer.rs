//! Networks of whole numbers: exact against the plain form, close to the network they come from.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking, in its helper functions too")]

use candle_core::{Device, Tensor};
use mbspike_core::{InputCode, Reset};
use mbspike_lif::integer::{IntegerNetwork, IntegerReset, reference};
use mbspike_lif::{InputRange, Network, NetworkConfig, Readout};
use proptest::prelude::*;

const ARCHS: &[&str] = &[
    "6x6-3c3-2a-4c3-3a-5o",
    "6x6x2-4c3v-2m-6-4o-vote2",
    "5x7x2-2c2v-3c3-4o",
    "4x4-2a-5-3o",
    "8x8-2c3-bn-2a-3c3-bn-2m-4o",
    "8x8-2c3-2a-2a-dp0.5-3o",
];

/// `[T, B, C, H, W]`: zeros, and numbers of either sign; whole ones where `is_whole`.
fn input(arch: &str, [n_steps, batch_size]: [usize; 2], seed: u64, is_whole: bool) -> Tensor {
    let s = arch.parse::<mbspike_lif::Arch>().unwrap().input;
    let values: Vec<f32> = (0..(n_steps * batch_size * s.n_elements()) as u64)
        .map(|i| {
            let hash = (i + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15 ^ (seed << 17));
            let u = ((hash ^ (hash >> 29)).wrapping_mul(0xBF58_476D_1CE4_E5B9) >> 40) as f32;
            let x = u / (1 << 23) as f32 - 1.0;
            match (x < 0.2, is_whole) {
                (true, false) if x < -0.8 => x,
                (true, _) => 0.0,
                (false, true) => (3.0 * x).ceil(),
                (false, false) => x,
            }
        })
        .collect();
    let dims = (n_steps, batch_size, s.channels, s.height, s.width);
    Tensor::from_vec(values, dims, &Device::Cpu).unwrap()
}

fn range(x_seq: &Tensor, is_whole: bool) -> InputRange {
    let code = if is_whole { InputCode::Counts } else { InputCode::Analog };
    let mut range = InputRange::of(code);
    range.observe(&x_seq.flatten_all().unwrap().to_vec1::<f32>().unwrap());
    range
}

fn scores(tensor: &Tensor) -> Vec<i64> {
    tensor.flatten_all().unwrap().to_vec1().unwrap()
}

fn config(arch: &str, bits: u32) -> NetworkConfig {
    let mut config = NetworkConfig::new(arch.parse().unwrap(), bits);
    config.neuron.v_threshold = 0.4; // so that every layer spikes
    config
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..Default::default() })]

    #[test]
    fn the_fast_form_agrees_with_the_plain_one_bit_for_bit(
        arch in prop::sample::select(ARCHS),
        bits in 1_u32..=8,
        seed in 0_u64..1000,
        reset in prop::sample::select(vec![
            Reset::Soft {}, Reset::Hard { v_reset: -0.3 }, Reset::Hard { v_reset: 0.1 }, Reset::None {},
        ]),
        readout in prop::sample::select(vec![
            Readout::MeanSpike, Readout::LastMembrane, Readout::MaxMembrane,
        ]),
        tau in 1.0_f64..6.0,
        v_threshold in 0.05_f64..2.0,
        (bias, decay_input, is_whole) in any::<(bool, bool, bool)>(),
    ) {
        let mut config = NetworkConfig { bias, readout, ..config(arch, bits) };
        config.neuron.tau = tau;
        config.neuron.reset = reset;
        config.neuron.v_threshold = v_threshold;
        config.neuron.decay_input = decay_input;
        let network = Network::new(&config, seed, &Device::Cpu).unwrap();
        let x_seq = input(arch, [4, 3], seed, is_whole);
        let integer = IntegerNetwork::from_network(&network, range(&x_seq, is_whole), 4).unwrap();
        let fast = scores(&integer.predict(&x_seq).unwrap());
        prop_assert_eq!(&fast, &scores(&reference::predict(&integer, &x_seq).unwrap()));

        // What was saved is all there is.
        let parts = integer.layers().map(|(_, _, weights)| weights.clone()).collect();
        let again = IntegerNetwork::new(integer.config().clone(), parts).unwrap();
        prop_assert_eq!(fast, scores(&again.predict(&x_seq).unwrap()));
    }
}

#[test]
fn scores_do_not_depend_on_the_number_of_threads() {
    let arch = ARCHS[0];
    let network = Network::new(&config(arch, 3), 5, &Device::Cpu).unwrap();
    let x_seq = input(arch, [5, 29], 1, true);
    let integer = IntegerNetwork::from_network(&network, range(&x_seq, true), 5).unwrap();
    let on = |n| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(n).build().unwrap();
        pool.install(|| scores(&integer.predict(&x_seq).unwrap()))
    };
    let one = on(1);
    assert!(one.iter().any(|score| *score > 0));
    assert_eq!(one, on(2));
    assert_eq!(one, on(3));
}

#[test]
fn logits_and_activity_are_those_of_the_network() {
    for readout in [Readout::MeanSpike, Readout::LastMembrane, Readout::MaxMembrane] {
        let arch = ARCHS[1];
        let config = NetworkConfig { readout, ..config(arch, 3) };
        let network = Network::new(&config, 5, &Device::Cpu).unwrap();
        let x_seq = input(arch, [6, 20], 1, true);
        let integer = IntegerNetwork::from_network(&network, range(&x_seq, true), 6).unwrap();
        network.quantize_weights().unwrap();
        let expected = network.predict(&x_seq).unwrap();
        let (scores, activity) = integer.predict_with_activity(&x_seq).unwrap();
        let logits = integer.logits(&scores, 6, config.neuron.v_threshold).unwrap();
        let logits = logits.flatten_all().unwrap().to_vec1::<f64>().unwrap();
        let want = expected.logits.flatten_all().unwrap().to_vec1::<f32>().unwrap();
        assert!(want.iter().any(|logit| *logit != 0.0));
        let off = logits.iter().zip(&want).map(|(a, b)| (a - f64::from(*b)).abs()).sum::<f64>();
        assert!(off / (want.len() as f64) < 5e-3, "{readout:?}: {off}");
        for (got, want) in activity.positions.iter().zip(&expected.activity.positions) {
            assert_eq!(got.n_elements, want.n_elements);
            let share = |n: u64| n as f64 / got.n_elements as f64;
            assert!((share(got.n_nonzero) - share(want.n_nonzero)).abs() < 5e-3);
            let of_sum = (got.sum.value() - want.sum.value()).abs() / got.n_elements as f64;
            assert!(of_sum < 5e-3, "{readout:?}: {of_sum}");
        }
        assert_eq!(activity.positions.len(), network.positions().len());
    }
}

#[test]
fn scores_are_close_to_those_of_the_network_with_quantized_weights() {
    let mut n_silent = 0;
    for arch in ARCHS {
        for bits in [1, 2, 4, 8] {
            for reset in [Reset::Soft {}, Reset::Hard { v_reset: -0.25 }] {
                let mut config = NetworkConfig { bias: true, ..config(arch, bits) };
                config.neuron.reset = reset;
                config.neuron.tau = 3.0;
                config.neuron.v_threshold = 0.1;
                let network = Network::new(&config, 9, &Device::Cpu).unwrap();
                // Normalization that is not the identity, one channel turned around.
                for p in network.parameters().iter().chain(network.buffers()) {
                    let Some((_, part)) = p.name.strip_prefix("bn").and_then(|n| n.split_once('.'))
                    else {
                        continue;
                    };
                    let n = p.var.elem_count();
                    let values: Vec<f32> = (0..n)
                        .map(|i| match part {
                            "weight" if i == 1 => -1.3,
                            "weight" => 1.2,
                            "running_var" => 0.6,
                            _ => 0.1 * i as f32,
                        })
                        .collect();
                    p.var.set(&Tensor::from_vec(values, n, &Device::Cpu).unwrap()).unwrap();
                }
                let (n_steps, batch_size) = (6, 16);
                let x_seq = input(arch, [n_steps, batch_size], 4, true);
                let integer =
                    IntegerNetwork::from_network(&network, range(&x_seq, true), n_steps).unwrap();
                network.quantize_weights().unwrap();
                let float = network.predict(&x_seq).unwrap().logits;
                let float = float.flatten_all().unwrap().to_vec1::<f32>().unwrap();
                let group = if arch.ends_with("vote2") { 2 } else { 1 };
                let whole = n_steps * group * ((1 << bits) - 1);
                let got = scores(&integer.predict(&x_seq).unwrap());
                // A membrane within a rounding of a level may flip a level now and then.
                let off: f64 = got
                    .iter()
                    .zip(&float)
                    .map(|(k, s)| (*k as f64 / whole as f64 - f64::from(*s)).abs())
                    .sum::<f64>()
                    / got.len() as f64;
                assert!(off < 4e-3, "{arch}, {bits} bits, {reset:?}: {off}");
                n_silent += usize::from(got.iter().all(|score| *score == 0));
            }
        }
    }
    assert!(n_silent <= 12, "{n_silent} networks say nothing at all");
}

/// `docs/quantization.md`, "A worked example".
#[test]
fn the_worked_example_of_the_documentation() {
    let config = NetworkConfig::new("1x2-1o".parse().unwrap(), 2);
    let network = Network::new(&config, 0, &Device::Cpu).unwrap();
    let weight = Tensor::new(&[[0.75_f32, -0.3]], &Device::Cpu).unwrap();
    network.parameters()[0].var.set(&weight).unwrap();
    let x_seq = [1.0_f32, 0.0, 1.0, 1.0, 0.0, 1.0, 1.0, 0.0];
    let x_seq = Tensor::from_slice(&x_seq, (4, 1, 1, 1, 2), &Device::Cpu).unwrap();
    let integer = IntegerNetwork::from_network(&network, range(&x_seq, true), 4).unwrap();
    let (name, shape, numbers) = integer.layers().next().unwrap();
    assert_eq!((name, shape), ("fc1", vec![1, 2]));
    assert_eq!(numbers.weight, [127, -51]);
    assert_eq!((numbers.multiplier[0], numbers.shift[0]), (1_217_471_040, 20));
    let lif = integer.config().neurons[0];
    assert_eq!((lif.fraction_bits, lif.beta, lif.leak), (16, 32768, 0));
    assert_eq!(lif.reset, IntegerReset::Soft {});

    let mut v = 0;
    for (sum, x, h, k, after) in [
        (127, 147_456, 147_456, 2, 16_384),
        (76, 88_241, 96_433, 1, 30_897),
        (-51, -59_215, -43_766, 0, -43_766),
        (127, 147_456, 125_573, 1, 60_037),
    ] {
        let product = i64::from(sum) * i64::from(numbers.multiplier[0]);
        assert_eq!((product + (1 << 19)) >> 20, i64::from(x));
        assert_eq!(lif.charge(x, v), h);
        assert_eq!(lif.fire(h), k);
        v = lif.reset(h, k);
        assert_eq!(v, after);
    }
    assert_eq!(scores(&integer.predict(&x_seq).unwrap()), [4]);
}

#[test]
fn what_does_not_fit_is_refused_with_the_layer() {
    // Sums: levels of 16 bits, 784 of them, times 127.
    let mut config = config("28x28-2c3-10o", 16);
    let network = Network::new(&config, 3, &Device::Cpu).unwrap();
    let seen = InputRange { largest: 1.0, is_whole: true };
    let error = IntegerNetwork::from_network(&network, seen, 10).unwrap_err().to_string();
    assert!(error.contains("`fc1`") && error.contains("sums of channel"), "{error}");

    // Membranes: without leak or reset they grow with every step.
    config = NetworkConfig::new("4x4-3o".parse().unwrap(), 8);
    config.neuron.tau = 1e9;
    config.neuron.reset = Reset::None {};
    let network = Network::new(&config, 3, &Device::Cpu).unwrap();
    assert!(IntegerNetwork::from_network(&network, seen, 10).is_ok());
    let error = IntegerNetwork::from_network(&network, seen, 1_000_000).unwrap_err().to_string();
    assert!(error.contains("`fc1`") && error.contains("membranes of channel"), "{error}");

    // A file that was tampered with: the same checks hold.
    let integer = IntegerNetwork::from_network(&network, seen, 10).unwrap();
    let parts: Vec<_> = integer.layers().map(|(_, _, weights)| weights.clone()).collect();
    let mut changed = parts.clone();
    (changed[0].multiplier[1], changed[0].shift[1]) = (i32::MAX, 0);
    let error = IntegerNetwork::new(integer.config().clone(), changed).unwrap_err().to_string();
    assert!(error.contains("`fc1`") && error.contains("channel 1"), "{error}");
    let mut changed = parts;
    changed[0].bias.pop();
    let error = IntegerNetwork::new(integer.config().clone(), changed).unwrap_err().to_string();
    assert!(error.contains("`fc1`") && error.contains("elements"), "{error}");

    let nothing = InputRange::of(InputCode::Binary);
    assert!(IntegerNetwork::from_network(&network, nothing, 10).is_err());
    let nan = Tensor::new(f32::NAN, &Device::Cpu).unwrap().broadcast_as((3, 4, 4)).unwrap();
    let mut config = NetworkConfig::new("4x4-3o".parse().unwrap(), 2);
    config.neuron.tau = 2.0;
    let network = Network::new(&config, 3, &Device::Cpu).unwrap();
    let nan = nan.flatten_from(1).unwrap().contiguous().unwrap();
    network.parameters()[0].var.set(&nan).unwrap();
    let error = IntegerNetwork::from_network(&network, seen, 10).unwrap_err().to_string();
    assert!(error.contains("`fc1`") && error.contains("NaN"), "{error}");
}

#[test]
fn nodes_that_whole_numbers_do_not_know_are_refused_by_name() {
    type Change = fn(&mut NetworkConfig);
    let cases: [(&str, Change, [&str; 2]); 9] = [
        ("8x8-4c3s2-3o", |_| {}, ["`conv1`", "strides"]),
        ("8x8x2-4c3g2-3o", |_| {}, ["`conv1`", "groups"]),
        ("8x8-4c3d2-3o", |_| {}, ["`conv1`", "dilations"]),
        ("8x8-4c3-res(4c3)-3o", |_| {}, ["`", "several layers"]),
        ("8x8-4c3-resc(4c3-4c3)-3o", |_| {}, ["`", "layer"]),
        ("20-6r-3o", |_| {}, ["`lif1`", "recurrent edges"]),
        ("8x8-4c3-3o", |c| c.neuron.learnable_threshold = true, ["`lif1`", "learned thresholds"]),
        ("8x8-4c3-3o", |c| c.neuron.tau_syn = Some(2.0), ["`lif1`", "synaptic"]),
        ("8x8-4c3-3o", |c| c.neuron.signed = true, ["`lif1`", "signed"]),
    ];
    let seen = InputRange { largest: 1.0, is_whole: true };
    for (arch, change, parts) in cases {
        let mut config = NetworkConfig::new(arch.parse().unwrap(), 2);
        change(&mut config);
        let network = Network::new(&config, 3, &Device::Cpu).unwrap();
        let error = IntegerNetwork::from_network(&network, seen, 4).unwrap_err().to_string();
        for part in parts {
            assert!(error.contains(part), "{arch}: no {part} in {error}");
        }
    }
}

#[test]
fn inputs_that_cannot_be_computed_are_refused() {
    let network = Network::new(&config("4x4-3o", 2), 3, &Device::Cpu).unwrap();
    let seen = InputRange { largest: 1.0, is_whole: true };
    let integer = IntegerNetwork::from_network(&network, seen, 2).unwrap();
    let zeros = |dims: (usize, usize, usize, usize, usize)| {
        Tensor::zeros(dims, candle_core::DType::F32, &Device::Cpu).unwrap()
    };
    assert!(integer.predict(&zeros((2, 1, 1, 4, 4))).is_ok());
    let error = integer.predict(&zeros((3, 1, 1, 4, 4))).unwrap_err().to_string();
    assert!(error.contains("steps is 3, expected at most 2"), "{error}");
    assert!(integer.predict(&zeros((2, 1, 1, 4, 5))).is_err());
    let nan = (zeros((2, 1, 1, 4, 4)) + f64::NAN).unwrap();
    assert!(integer.predict(&nan).unwrap_err().to_string().contains("NaN"));
}

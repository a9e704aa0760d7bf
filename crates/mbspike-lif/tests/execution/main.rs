//! The two ways a network is computed agree, and neither depends on the number of threads.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking, in its helper functions too")]

mod batch;
mod steps;

use candle_core::{Device, Tensor};
use mbspike_core::{InputCode, Reset, Shift, Surrogate};
use mbspike_lif::{
    Execution, Loss, LossKind, Network, NetworkConfig, Precision, Quantization, Readout, StepKey,
};

/// Every sequence of layers that the fused execution supports, in small.
use steps::*;

const ARCHS: &[&str] = &[
    "12x12-8c5-2a-16c5-2a-10o",
    "12x12-8c5-2m-16c3-2m-10o",
    "12x12x2-6c3-5c3v-2a-20-4o",
    "12x12x3-8c5v-2a-dp0.3-12c3-2a-dp0.5-30-dp0.2-20o-vote5",
    "12x12-2a-8c3-10o",
    "12x12x2-2m-2a-7c3-9c1-3o",
    "12x12-33c3-17c2v-10o",
    "12x12-40-30-10o",
    "12x12x2-dp0.5-16c3-3a-10o",
    "13x11-24c7-10o",
];

#[test]
fn fused_and_layered_agree_on_every_supported_sequence_of_layers() {
    for arch in ARCHS {
        for bits in [1, 2, 4] {
            let config = NetworkConfig::new(arch.parse().unwrap(), bits);
            compare(&format!("{arch}, {bits} bits"), &config, Loss::default());
            let config = NetworkConfig { bias: true, ..config };
            compare(&format!("{arch}, {bits} bits, bias"), &config, Loss::default());
        }
    }
}

#[test]
fn fused_and_layered_agree_for_every_neuron() {
    let surrogates = [
        Surrogate::Sigmoid { alpha: 4.0 },
        Surrogate::Atan { alpha: 2.0 },
        Surrogate::FastSigmoid { alpha: 4.0 },
        Surrogate::Triangle { alpha: 1.0 },
        Surrogate::StraightThrough {},
        Surrogate::Staircase { alpha: 4.0 },
    ];
    let mut config = NetworkConfig::new("12x12-8c5-2m-16c3-2m-10o".parse().unwrap(), 3);
    config.neuron.tau = 3.0;
    config.neuron.v_threshold = 0.7;
    config.neuron.decay_input = true;
    config.neuron.layer_bits = Some(vec![1, 3, 5]);
    for reset in [Reset::Soft {}, Reset::Hard { v_reset: -0.25 }, Reset::None {}] {
        for surrogate in surrogates {
            for (detach_reset, shift) in [(false, Shift::Centred), (true, Shift::By(0.2))] {
                config.neuron.reset = reset;
                config.neuron.surrogate = surrogate;
                config.neuron.detach_reset = detach_reset;
                config.neuron.shift = shift;
                compare(&format!("{:?}", config.neuron), &config, Loss::default());
            }
        }
    }
}

#[test]
fn fused_and_layered_agree_for_every_readout_loss_and_precision() {
    for readout in [Readout::MeanSpike, Readout::LastMembrane, Readout::MaxMembrane] {
        for kind in [LossKind::CrossEntropy, LossKind::Mse] {
            for precision in [Precision::F32, Precision::Bf16] {
                let arch = "12x12-8c5-2a-dp0.2-16c3-2a-20o-vote2".parse().unwrap();
                let config = NetworkConfig { readout, precision, ..NetworkConfig::new(arch, 2) };
                let loss = Loss { kind, label_smoothing: 0.1 };
                compare(&format!("{readout:?} {kind:?} {precision:?}"), &config, loss);
            }
        }
    }
}

#[test]
fn fused_and_layered_agree_on_quantized_networks() {
    for arch in ARCHS {
        // Sums in another order make some gradients round to the next bf16, quantized or not.
        for (precision, tolerance) in [(Precision::F32, 1e-5), (Precision::Bf16, 2e-3)] {
            let config = NetworkConfig {
                quantization: Quantization::Int8,
                precision,
                bias: true,
                ..NetworkConfig::new(arch.parse().unwrap(), 2)
            };
            let by = |execution| {
                step(&NetworkConfig { execution, ..config.clone() }, Loss::default(), 4, 5)
            };
            let layered = by(Execution::Layered);
            for execution in [Execution::Fused, Execution::Batch] {
                let what = format!("{arch} {precision:?} {execution:?}");
                assert_agree(&what, &by(execution), &layered, tolerance);
            }
        }
    }
}

#[test]
fn a_quantized_step_is_a_step_of_the_rounded_network_whose_gradient_passes_straight_through() {
    for execution in [Execution::Fused, Execution::Batch, Execution::Layered] {
        let config =
            NetworkConfig { execution, ..NetworkConfig::new(ARCHS[0].parse().unwrap(), 2) };
        let quantized = NetworkConfig {
            quantization: Quantization::Int8,
            input: InputCode::Counts,
            ..config.clone()
        };
        let (x_seq, targets) = input(ARCHS[0], 4, 5);
        // On whole inputs nothing but the weights is rounded.
        let x_seq = x_seq.ceil().unwrap();
        let key = StepKey { seed: 3, iteration: 11 };
        let step = |network: &mut Network| {
            network.train_step(&x_seq, &targets, Loss::default(), key).unwrap()
        };
        let mut trained = Network::new(&quantized, 7, &Device::Cpu).unwrap();
        let mut rounded = Network::new(&config, 7, &Device::Cpu).unwrap();
        let plain = step(&mut rounded);
        rounded.quantize_weights().unwrap();
        let (got, want) = (step(&mut trained), step(&mut rounded));
        assert_eq!(flat(&got.logits), flat(&want.logits));
        for (got, want) in got.gradients.iter().zip(&want.gradients) {
            assert_eq!(flat(got), flat(want));
        }
        assert_ne!(flat(&got.gradients[0]), flat(&plain.gradients[0]));
        // The trained weights are still those that were there before.
        let before = Network::new(&config, 7, &Device::Cpu).unwrap();
        for (now, then) in trained.parameters().iter().zip(before.parameters()) {
            assert_eq!(flat(&now.var), flat(&then.var));
        }
    }
}

#[test]
fn the_range_of_quantized_inputs_is_that_of_all_training_batches() {
    let config = NetworkConfig {
        quantization: Quantization::Int8,
        ..NetworkConfig::new("12x12-8c5-2a-10o".parse().unwrap(), 2)
    };
    let mut network = Network::new(&config, 7, &Device::Cpu).unwrap();
    let (x_seq, targets) = input("12x12-8c5-2a-10o", 2, 3);
    let largest = flat(&x_seq).into_iter().fold(0.0, f32::max);
    for factor in [1.0, -2.0, 0.5] {
        let x_seq = (&x_seq * factor).unwrap();
        let key = StepKey { seed: 0, iteration: 0 };
        network.train_step(&x_seq, &targets, Loss::default(), key).unwrap();
    }
    let range = network.input_range().unwrap().unwrap();
    assert_eq!((range.largest, range.is_whole), (2.0 * largest, false));
    // Inputs closer than half a step are one and the same.
    let step = range.step().unwrap();
    let (codes, below) = ((&x_seq / f64::from(step)).unwrap().round().unwrap(), 0.3 * step);
    let exact = (&codes * f64::from(step)).unwrap();
    let off = (&exact - f64::from(below)).unwrap();
    let logits = |x: &Tensor, n: &mut Network| flat(&n.predict(x).unwrap().logits);
    assert_eq!(logits(&exact, &mut network), logits(&off, &mut network));
}

#[test]
fn a_time_constant_that_is_no_number_any_more_is_named() {
    let mut config = NetworkConfig::new("6x6-2c3-3o".parse().unwrap(), 2);
    config.neuron.learnable_tau = true;
    let network = Network::new(&config, 7, &Device::Cpu).unwrap();
    assert_eq!(network.lost_tau().unwrap(), None);
    let tau = network.parameters().iter().find(|p| p.name == "lif2.tau").unwrap();
    assert_eq!(tau.at_least, Some(1.0));
    for value in [f32::INFINITY, f32::NAN] {
        tau.var.set(&Tensor::new(&[value], &Device::Cpu).unwrap()).unwrap();
        let (name, lost) = network.lost_tau().unwrap().unwrap();
        assert_eq!((name, lost.is_nan()), ("lif2.tau", value.is_nan()));
    }
}

#[test]
fn batch_normalization_over_one_value_is_refused_and_not_a_nan() {
    let arch = "3x3-2c3v-bn-3o";
    let mut network =
        Network::new(&NetworkConfig::new(arch.parse().unwrap(), 2), 7, &Device::Cpu).unwrap();
    let mut step = |n_steps, batch_size| {
        let (x_seq, targets) = input(arch, n_steps, batch_size);
        let key = StepKey { seed: 0, iteration: 0 };
        network.train_step(&x_seq, &targets, Loss::default(), key)
    };
    let error = step(1, 1).unwrap_err().to_string();
    assert!(error.contains("batch normalization over a single value"), "{error}");
    assert!(step(2, 1).unwrap().loss.is_finite());
    assert!(step(1, 2).unwrap().loss.is_finite());
}

#[test]
fn recomputing_segments_changes_nothing() {
    let config = NetworkConfig::new(ARCHS[3].parse().unwrap(), 2);
    let whole = step(&config, Loss::default(), 7, 3);
    for steps in [1, 2, 3, 7, 100] {
        let config = NetworkConfig { checkpoint_steps: Some(steps), ..config.clone() };
        let segmented = step(&config, Loss::default(), 7, 3);
        assert_agree(&format!("segments of {steps}"), &segmented, &whole, 1e-6);
        assert_eq!(flat(&segmented.logits), flat(&whole.logits));
    }
}

#[test]
fn results_do_not_depend_on_the_number_of_threads() {
    for execution in [Execution::Fused, Execution::Batch, Execution::Layered] {
        let archs =
            ["12x12-8c5-2a-16c5-2a-dp0.5-10o", "12x12x2-8c3-2m-40-10o", "12x12-9c3-bn-2a-10o"];
        for arch in archs {
            if execution == Execution::Fused && arch.contains("bn") {
                continue;
            }
            let config =
                NetworkConfig { execution, ..NetworkConfig::new(arch.parse().unwrap(), 2) };
            let on = |n| {
                let pool = rayon::ThreadPoolBuilder::new().num_threads(n).build().unwrap();
                pool.install(|| step(&config, Loss::default(), 3, 37))
            };
            let one = on(1);
            for n in [2, 3] {
                let many = on(n);
                assert_eq!(one.loss.to_bits(), many.loss.to_bits(), "{arch}, {n} threads");
                assert_eq!(flat(&one.logits), flat(&many.logits), "{arch}, {n} threads");
                for (a, b) in one.gradients.iter().zip(&many.gradients) {
                    assert_eq!(flat(a), flat(b), "{arch}, {n} threads");
                }
                assert_eq!(one.activity, many.activity);
            }
        }
    }
}

#[test]
fn every_variable_gets_a_gradient() {
    for arch in ["12x12-8c5-bn-2a-16c5-bn-2m-30-10o", "12x12-8c5-2a-16c5-2a-30-10o"] {
        for (bias, learnable_tau) in [(false, false), (true, false), (true, true)] {
            for execution in [Execution::Auto, Execution::Layered] {
                let mut config = NetworkConfig::new(arch.parse().unwrap(), 2);
                config.bias = bias;
                config.execution = execution;
                config.neuron.learnable_tau = learnable_tau;
                config.neuron.v_threshold = 0.3; // so that every layer spikes
                let network = Network::new(&config, 7, &Device::Cpu).unwrap();
                let output = step(&config, Loss::default(), 4, 6);
                assert_eq!(output.gradients.len(), network.parameters().len());
                for (p, g) in network.parameters().iter().zip(&output.gradients) {
                    assert_eq!(p.var.dims(), g.dims(), "{}", p.name);
                    let size: f32 = flat(g).iter().map(|g| g.abs()).sum();
                    // A bias before batch normalization is cancelled by it.
                    let cancelled = arch.contains("bn")
                        && p.name.starts_with("conv")
                        && p.name.ends_with("bias");
                    assert!(size.is_finite() && (cancelled || size > 0.0), "{}: {size}", p.name);
                }
            }
        }
    }
}

#[test]
fn nan_input_reaches_the_loss() {
    for execution in [Execution::Fused, Execution::Batch, Execution::Layered] {
        let config = NetworkConfig {
            execution,
            ..NetworkConfig::new("12x12-8c5-2a-10o".parse().unwrap(), 2)
        };
        let mut network = Network::new(&config, 7, &Device::Cpu).unwrap();
        let (x_seq, targets) = input("12x12-8c5-2a-10o", 2, 2);
        let x_seq = (x_seq * f64::NAN).unwrap();
        let key = StepKey { seed: 0, iteration: 0 };
        let output = network.train_step(&x_seq, &targets, Loss::default(), key).unwrap();
        assert!(output.loss.is_nan(), "{execution:?}: {}", output.loss);
    }
}

#[test]
fn networks_that_cannot_be_fused_say_why() {
    let config = NetworkConfig {
        execution: Execution::Fused,
        ..NetworkConfig::new("12x12-8c5-bn-10o".parse().unwrap(), 2)
    };
    let error = Network::new(&config, 7, &Device::Cpu).unwrap_err().to_string();
    assert!(error.contains("batch normalization"), "{error}");
    let auto = NetworkConfig { execution: Execution::Auto, ..config };
    let network = Network::new(&auto, 7, &Device::Cpu).unwrap();
    assert_eq!(network.execution(), Execution::Batch);
}

#[test]
fn mean_spikes_of_both_executions_are_the_same_to_the_last_bit() {
    for bits in [1, 2, 3, 8, 16] {
        let mean_spikes = [Execution::Fused, Execution::Layered].map(|execution| {
            let mut config = NetworkConfig::new("12x12x2-16c3-2a-9c3-4o".parse().unwrap(), bits);
            config.execution = execution;
            let output = step(&config, Loss::default(), 7, 37);
            output.activity.mean_value()
        });
        // A dense layer's sums are rounded in another order, so its spikes are not the same ones.
        let [fused, layered] = mean_spikes.map(|mut means| {
            means.truncate(3);
            means.iter().map(|mean| mean.to_bits()).collect::<Vec<_>>()
        });
        assert_eq!(fused, layered, "{bits} bits");
        // One bit may be silent with the weights that a network starts from.
        assert!(bits == 1 || f64::from_bits(fused[1]) > 0.0, "{bits} bits");
    }
}

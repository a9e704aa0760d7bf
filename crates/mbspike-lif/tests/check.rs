//! What cannot be a network, found from its settings alone, and in the words of `Network::new`.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking, in its helper functions too")]

use candle_core::Device;
use mbspike_core::{DeviceName, Reset, Shift, Surrogate};
use mbspike_lif::check::{check_batch, execution};
use mbspike_lif::layer::Adaptation;
use mbspike_lif::{
    Arch, Execution, LearnedBy, Network, NetworkConfig, Precision, Quantization, check,
};

fn config(arch: &str, change: impl FnOnce(&mut NetworkConfig)) -> NetworkConfig {
    let mut config = NetworkConfig::new(arch.parse().unwrap(), 2);
    change(&mut config);
    config
}

/// Refused without weights, and by the network in the same words.
fn refused(arch: &str, change: impl FnOnce(&mut NetworkConfig)) -> String {
    let config = config(arch, change);
    let error = check(&config, DeviceName::Cpu).unwrap_err().to_string();
    assert_eq!(Network::new(&config, 7, &Device::Cpu).unwrap_err().to_string(), error);
    error
}

const PLAIN: &str = "8x8-2c3-2a-10o";
const NORM: &str = "8x8-2c3-bn-2a-10o";

#[test]
fn combinations_that_cannot_be_computed_name_the_setting() {
    type Change = fn(&mut NetworkConfig);
    let cases: [(&str, Change, &str); 12] = [
        (NORM, |c| c.execution = Execution::Fused, "execution"),
        (PLAIN, |c| (c.execution, c.precision) = (Execution::Fused, Precision::F64), "execution"),
        (PLAIN, |c| (c.execution, c.neuron.learnable_tau) = (Execution::Fused, true), "execution"),
        ("16x16-2c9-10o", |c| c.execution = Execution::Fused, "execution"),
        (NORM, |c| c.checkpoint_steps = Some(2), "checkpoint_steps"),
        (
            PLAIN,
            |c| (c.checkpoint_steps, c.precision) = (Some(2), Precision::F64),
            "checkpoint_steps",
        ),
        (
            PLAIN,
            |c| (c.checkpoint_steps, c.execution) = (Some(2), Execution::Layered),
            "checkpoint_steps",
        ),
        (
            PLAIN,
            |c| (c.checkpoint_steps, c.execution) = (Some(2), Execution::Batch),
            "checkpoint_steps",
        ),
        ("16x16-2c9-10o", |c| c.execution = Execution::Batch, "execution"),
        (PLAIN, |c| (c.execution, c.precision) = (Execution::Batch, Precision::F64), "execution"),
        (PLAIN, |c| c.checkpoint_steps = Some(0), "checkpoint_steps"),
        (
            PLAIN,
            |c| (c.precision, c.quantization) = (Precision::F64, Quantization::Int8),
            "quantization",
        ),
    ];
    for (arch, change, name) in cases {
        let error = refused(arch, change);
        assert!(error.starts_with(name), "{arch}: {error}");
    }
}

#[test]
fn a_gpu_takes_neither_double_precision_nor_int8_nor_the_fused_execution() {
    let on_gpu =
        |change: fn(&mut NetworkConfig)| check(&config(PLAIN, change), DeviceName::Cuda(0));
    assert!(on_gpu(|_| {}).is_ok());
    for (change, name) in [
        ((|c| c.precision = Precision::F64) as fn(&mut NetworkConfig), "precision"),
        (|c| c.quantization = Quantization::Int8, "quantization"),
        (|c| c.execution = Execution::Fused, "execution"),
        (|c| c.checkpoint_steps = Some(2), "checkpoint_steps"),
    ] {
        let error = on_gpu(change).unwrap_err().to_string();
        assert!(error.starts_with(name), "{error}");
    }
}

#[test]
fn neurons_that_a_gpu_has_no_kernel_for_are_refused_by_name() {
    type Change = fn(&mut NetworkConfig);
    let cases: [(Change, &str); 5] = [
        (|c| c.neuron.learnable_threshold = true, "learnable thresholds"),
        (
            |c| (c.neuron.learnable_tau, c.neuron.learned_by) = (true, LearnedBy::Channel),
            "time constants by channel",
        ),
        (|c| c.neuron.tau_syn = Some(2.0), "CPU only"),
        (|c| c.neuron.adaptation = Some(Adaptation { tau: 4.0, strength: 0.5 }), "CPU only"),
        (|c| c.neuron.signed = true, "CPU only"),
    ];
    for (change, reason) in cases {
        let error = check(&config(PLAIN, change), DeviceName::Cuda(0)).unwrap_err().to_string();
        assert!(error.contains("`lif1`") && error.contains(reason), "{error}");
    }
}

#[test]
fn numbers_that_single_precision_turns_into_others_are_refused_in_it_and_taken_in_double() {
    type Change = fn(&mut NetworkConfig);
    let cases: [(Change, &str); 10] = [
        (|c| c.neuron.v_threshold = 1e39, "v_threshold"),
        (|c| c.neuron.v_threshold = 1e-308, "v_threshold"),
        (|c| (c.neuron.v_threshold, c.neuron.bits) = (1e-37, 16), "v_threshold"),
        (|c| c.neuron.v_threshold = 3e38, "v_threshold"),
        (|c| c.neuron.tau = 1e300, "tau"),
        (|c| c.neuron.reset = Reset::Hard { v_reset: -1e39 }, "reset.v_reset"),
        (|c| c.neuron.shift = Shift::By(1e-40), "shift"),
        (|c| c.neuron.surrogate = Surrogate::Atan { alpha: 1e39 }, "surrogate.alpha"),
        (|c| c.neuron.surrogate = Surrogate::Sigmoid { alpha: 1e-39 }, "surrogate.alpha"),
        (
            |c| {
                c.neuron.surrogate = Surrogate::Staircase { alpha: 1e37 };
                c.neuron.bits = 16;
            },
            "surrogate.alpha",
        ),
    ];
    for (change, name) in cases {
        let error = refused(PLAIN, change);
        assert!(error.starts_with(name), "{error}");
        let double = config(PLAIN, |c| {
            change(c);
            c.precision = Precision::F64;
        });
        check(&double, DeviceName::Cpu).unwrap();
    }
    // What is not a number is none in any precision, and an input decayed to nothing is nothing.
    let error = refused(PLAIN, |c| (c.neuron.tau, c.neuron.decay_input) = (1e30, true));
    assert!(error.starts_with("tau"), "{error}");
    for value in [f64::NAN, f64::INFINITY, -0.0, 0.0, -1.0] {
        refused(PLAIN, |c| c.neuron.v_threshold = value);
        refused(PLAIN, |c| c.neuron.surrogate = Surrogate::Sigmoid { alpha: value });
    }
}

#[test]
fn the_execution_is_known_before_the_network_is_built() {
    let cases = [
        (PLAIN, Execution::Fused),
        ("28x28-8c5-2a-16c5-2a-10o", Execution::Fused),
        (NORM, Execution::Batch),
        ("28x28-512-512-10o", Execution::Batch),
        ("28x28-64c3-2a-128c3-2a-256-10o", Execution::Batch),
        ("16x16-2c9-10o", Execution::Layered),
    ];
    for (arch, want) in cases {
        let config = config(arch, |_| {});
        assert_eq!(execution(&config, DeviceName::Cpu).unwrap(), want);
        let network = Network::new(&config, 7, &Device::Cpu).unwrap();
        assert_eq!(network.execution(), want);
    }
}

#[test]
fn batch_normalization_needs_two_values() {
    let arch: Arch = "5x5-2c5v-bn-10o".parse().unwrap();
    let error = check_batch(&arch, 1, 1).unwrap_err().to_string();
    assert!(error.starts_with("arch must be without batch normalization over a single"), "{error}");
    check_batch(&arch, 2, 1).unwrap();
    check_batch(&arch, 1, 2).unwrap();
    check_batch(&NORM.parse().unwrap(), 1, 1).unwrap();
}

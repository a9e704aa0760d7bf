//! The batch engine beside the layered execution.

use candle_core::Device;
use mbspike_core::Reset;
use mbspike_lif::{Execution, Loss, Network, NetworkConfig, Precision, StepKey};

use super::ARCHS;
/// Every sequence of layers that the fused execution supports, in small.
use super::steps::*;

/// Sequences of layers that take the whole batch.
const NORM_ARCHS: &[&str] = &[
    "12x12-8c5-bn-2a-16c5-bn-2a-10o",
    "12x12x2-9c3-bn-2m-17c3v-bn-dp0.3-20-10o",
    "12x9x3-5c3-bn-3a-6c3-bn-40-20o-vote2",
    "12x12-2a-33c3-bn-10o",
];

/// Networks whose layers are not in a row, or whose convolutions have strides and other padding.
const GRAPH_ARCHS: &[&str] = &[
    "12x12x2-8c3-bn-res(8c3-bn-8c3-bn)-2a-10o",
    "12x12-8c3-bn-res(16c3s2-bn-16c3-bn|16c1s2-bn)-6a-10o",
    "12x12x3-res(3c3-bn)-res(3c3)-5c3-10o",
    "12x12-8c3-bn-res(8c1-bn-8c3-bn)-res(8c5-8c3v|8c3v)-dp0.3-10o",
    "13x13-5c3s2-bn-20c5s3-12-10o",
    "12x12x2-7c2s2v-bn-9c3s2-10o",
    "12x12-8c3s4-bn-res(8c3)-10o",
    "12x12-2a-8c3-bn-res(8c3-bn-8c3-bn)-2m-res(8c3)-30-10o",
];

/// Running statistics after a step, and the answer in evaluation mode.
fn after_step(config: &NetworkConfig) -> (Vec<Vec<f32>>, Vec<f32>) {
    let mut network = Network::new(config, 7, &Device::Cpu).unwrap();
    let (x_seq, targets) = input(&config.arch.to_string(), 4, 5);
    let key = StepKey { seed: 3, iteration: 11 };
    network.train_step(&x_seq, &targets, Loss::default(), key).unwrap();
    let buffers = network.buffers().iter().map(|b| flat(&b.var)).collect();
    (buffers, flat(&network.predict(&x_seq).unwrap().logits))
}

#[test]
fn batch_and_layered_agree_where_the_whole_batch_is_needed() {
    for arch in NORM_ARCHS.iter().chain(GRAPH_ARCHS) {
        for (bits, bias, learnable_tau) in [(1, false, false), (2, true, false), (3, false, true)] {
            for precision in [Precision::F32, Precision::Bf16] {
                let mut config = NetworkConfig::new(arch.parse().unwrap(), bits);
                (config.bias, config.precision) = (bias, precision);
                config.neuron.learnable_tau = learnable_tau;
                config.neuron.tau = 2.5;
                let by = |execution| NetworkConfig { execution, ..config.clone() };
                let (batch, layered) = (by(Execution::Batch), by(Execution::Layered));
                let what = format!("{arch}, {bits} bits, {precision:?}");
                let (got, want) =
                    (step(&batch, Loss::default(), 4, 5), step(&layered, Loss::default(), 4, 5));
                let tolerance = if precision == Precision::F32 { 1e-4 } else { 4e-3 };
                let network = Network::new(&batch, 7, &Device::Cpu).unwrap();
                for ((p, got), want) in
                    network.parameters().iter().zip(&got.gradients).zip(&want.gradients)
                {
                    // A bias before batch normalization is cancelled by it: rounding is all there is.
                    if !(p.name.starts_with("conv") && p.name.ends_with("bias")) {
                        let off = relative(&flat(got), &flat(want));
                        assert!(off <= tolerance, "{what}: {} off by {off}", p.name);
                    }
                }
                let off = relative(&flat(&got.logits), &flat(&want.logits));
                assert!(off <= tolerance, "{what}: logits off by {off}");
                assert!((got.loss - want.loss).abs() <= tolerance * want.loss, "{what}");
                let ((got, got_logits), (want, want_logits)) =
                    (after_step(&batch), after_step(&layered));
                for (got, want) in got.iter().zip(&want) {
                    assert!(relative(got, want) <= 1e-5, "{what}: {got:?} {want:?}");
                }
                let off = relative(&got_logits, &want_logits);
                assert!(off <= tolerance, "{what}: logits of evaluation off by {off}");
            }
        }
    }
}

#[test]
fn batch_and_layered_agree_on_neurons_that_hear_each_other() {
    for arch in ["12x12-30r-10o", "12x9x2-8c3-bn-3a-17r-33r-20o-vote2", "12x12-40r-res(40)-10o"] {
        for reset in [Reset::Soft {}, Reset::Hard { v_reset: 0.05 }, Reset::None {}] {
            for (bits, bias, precision) in
                [(1, false, Precision::F32), (3, true, Precision::F32), (2, true, Precision::Bf16)]
            {
                let mut config = NetworkConfig::new(arch.parse().unwrap(), bits);
                (config.bias, config.precision, config.neuron.reset) = (bias, precision, reset);
                config.neuron.v_threshold = 0.5; // so that every layer spikes
                let by = |execution| NetworkConfig { execution, ..config.clone() };
                let (batch, layered) = (by(Execution::Batch), by(Execution::Layered));
                let what = format!("{arch}, {bits} bits, {reset:?}, {precision:?}");
                let (got, want) =
                    (step(&batch, Loss::default(), 7, 5), step(&layered, Loss::default(), 7, 5));
                let tolerance = if precision == Precision::F32 { 1e-4 } else { 1e-2 };
                let network = Network::new(&batch, 7, &Device::Cpu).unwrap();
                assert!(network.parameters().iter().any(|p| p.name.contains("recurrent")));
                let gradients = got.gradients.iter().zip(&want.gradients);
                for (p, (got, want)) in network.parameters().iter().zip(gradients) {
                    if p.name.starts_with("conv") && p.name.ends_with("bias") {
                        continue; // cancelled by batch normalization: rounding is all there is
                    }
                    let off = relative(&flat(got), &flat(want));
                    assert!(off <= tolerance, "{what}: {} off by {off}", p.name);
                }
                let off = relative(&flat(&got.logits), &flat(&want.logits));
                assert!(off <= tolerance, "{what}: logits off by {off}");
                let ((_, got), (_, want)) = (after_step(&batch), after_step(&layered));
                assert!(relative(&got, &want) <= tolerance, "{what}: {got:?} {want:?}");
            }
        }
    }
}

#[test]
fn batch_and_layered_agree_on_time_constants_of_every_neuron() {
    for reset in [Reset::Soft {}, Reset::Hard { v_reset: 0.05 }, Reset::None {}] {
        for decay_input in [false, true] {
            // Levels so fine, and a leak to such a potential, that every layer spikes: else the
            // gradient of the output's is all rounding.
            let mut config = NetworkConfig::new(ARCHS[0].parse().unwrap(), 5);
            config.neuron.learnable_tau = true;
            config.neuron.reset = reset;
            config.neuron.decay_input = decay_input;
            config.neuron.v_threshold = 0.3;
            let by = |execution| {
                step(&NetworkConfig { execution, ..config.clone() }, Loss::default(), 4, 5)
            };
            let what = format!("{reset:?} {decay_input}");
            assert_agree(&what, &by(Execution::Batch), &by(Execution::Layered), ROUNDING);
        }
    }
}

#[test]
fn batches_of_other_sizes_do_not_disturb_each_other() {
    for arch in [NORM_ARCHS[0], ARCHS[3]] {
        let config = NetworkConfig {
            execution: Execution::Batch,
            ..NetworkConfig::new(arch.parse().unwrap(), 2)
        };
        let key = StepKey { seed: 3, iteration: 11 };
        let mut used = Network::new(&config, 7, &Device::Cpu).unwrap();
        for (n_steps, batch_size) in [(2, 40), (5, 3), (1, 1), (4, 5)] {
            let (x_seq, targets) = input(arch, n_steps, batch_size);
            let got = used.train_step(&x_seq, &targets, Loss::default(), key).unwrap();
            let want = step(&config, Loss::default(), n_steps, batch_size);
            assert_eq!(flat(&got.logits), flat(&want.logits));
            for (got, want) in got.gradients.iter().zip(&want.gradients) {
                assert_eq!(flat(got), flat(want));
            }
            let fresh = Network::new(&config, 7, &Device::Cpu).unwrap();
            for (to, from) in used.buffers().iter().zip(fresh.buffers()) {
                to.var.set(&from.var).unwrap();
            }
            used.predict(&x_seq).unwrap();
        }
    }
}

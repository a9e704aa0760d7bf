//! Trained networks as networks of Loihi 2's numbers.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking, in its helper functions too")]

use candle_core::{Device, Tensor};
use mbspike_core::Reset;
use mbspike_lif::integer::loihi::{LoihiFire, LoihiNetwork};
use mbspike_lif::{InputRange, Network, NetworkConfig, Readout};

fn config(arch: &str, bits: u32, reset: Reset) -> NetworkConfig {
    let mut config = NetworkConfig::new(arch.parse().unwrap(), bits);
    config.neuron.reset = reset;
    config.neuron.v_threshold = 0.5;
    config
}

/// A network whose weights are large enough for all layers to fire.
fn network(config: &NetworkConfig) -> Network {
    let network = Network::new(config, 5, &Device::Cpu).unwrap();
    for parameter in network.parameters() {
        let scaled = (parameter.var.as_tensor() * 4.0).unwrap();
        parameter.var.set(&scaled).unwrap();
    }
    network
}

fn input(config: &NetworkConfig, n_steps: usize, batch: usize) -> Tensor {
    let shape = config.arch.input;
    let n = n_steps * batch * shape.n_elements();
    let values: Vec<f32> =
        (0..n).map(|i| if (i * 7919 + i / 13) % 3 == 0 { 1.0 } else { 0.0 }).collect();
    let dims = (n_steps, batch, shape.channels, shape.height, shape.width);
    Tensor::from_vec(values, dims, &Device::Cpu).unwrap()
}

fn convert(config: &NetworkConfig, network: &Network, delay: bool) -> LoihiNetwork {
    let range = InputRange { largest: 1.0, is_whole: true };
    let loihi = LoihiNetwork::from_network(network, range, 8, delay);
    loihi.unwrap_or_else(|error| panic!("{}: {error}", config.arch))
}

/// Mean absolute difference of scores, and their mean.
fn difference(network: &Network, loihi: &LoihiNetwork, x_seq: &Tensor) -> [f64; 2] {
    let expected = network.predict(x_seq).unwrap().logits;
    let expected: Vec<f32> = expected.flatten_all().unwrap().to_vec1().unwrap();
    let prediction = loihi.predict(x_seq).unwrap();
    let got = loihi.logits(&prediction.scores, x_seq.dim(0).unwrap()).unwrap();
    let got: Vec<f64> = got.flatten_all().unwrap().to_vec1().unwrap();
    let n = got.len() as f64;
    let sum: f64 = expected.iter().zip(&got).map(|(a, b)| (f64::from(*a) - b).abs()).sum();
    [sum / n, expected.iter().map(|x| f64::from(x.abs())).sum::<f64>() / n]
}

#[test]
fn scores_are_nearly_those_of_the_network_with_pooling_and_norms_in_the_weights() {
    for arch in [
        "8x8x2-6c3-2a-8c3-2a-12-5o",
        "8x8x2-6c3-bn-2s-8c3s2-5o",
        "8x8x2-6c3d2-2a-dw3-4c3g2-5o",
        "12x12-4c3v-5a-8-6o-vote2",
    ] {
        for (bits, reset) in [
            (1, Reset::Hard { v_reset: 0.0 }),
            (1, Reset::Soft {}),
            (2, Reset::Soft {}),
            (4, Reset::Soft {}),
            (2, Reset::None {}),
        ] {
            for bias in [false, true] {
                let mut config = config(arch, bits, reset);
                config.bias = bias;
                let network = network(&config);
                let x_seq = input(&config, 8, 6);
                let loihi = convert(&config, &network, false);
                let [off, mean] = difference(&network, &loihi, &x_seq);
                assert!(mean > 0.01, "{arch}, {bits} bits: nothing fires");
                // Scores are mean spikes, up to 1.
                assert!(off <= 0.05, "{arch}, {bits} bits, {reset:?}: {off} of {mean}");
                let binary = reset == Reset::Hard { v_reset: 0.0 };
                for layer in &loihi.config().layers {
                    let is_binary = matches!(layer.cell.fire, LoihiFire::Binary { .. });
                    assert_eq!(is_binary, binary);
                }
            }
        }
    }
}

#[test]
fn a_step_in_each_synapse_changes_nothing_without_biases() {
    for (bits, reset) in [(1, Reset::Hard { v_reset: 0.0 }), (3, Reset::Soft {})] {
        let config = config("8x8x2-6c3-2a-12-5o", bits, reset);
        let network = network(&config);
        let x_seq = input(&config, 8, 6);
        let scores = [false, true].map(|delay| {
            let prediction = convert(&config, &network, delay).predict(&x_seq).unwrap();
            prediction.scores.to_vec2::<i64>().unwrap()
        });
        assert_eq!(scores[0], scores[1]);
    }
}

#[test]
fn membranes_are_read_where_the_network_reads_them() {
    for readout in [Readout::LastMembrane, Readout::MaxMembrane] {
        let mut config = config("8x8x2-6c3-2a-5o", 2, Reset::Soft {});
        config.readout = readout;
        let network = network(&config);
        let x_seq = input(&config, 8, 6);
        let loihi = convert(&config, &network, false);
        assert_eq!(loihi.config().layers[1].cell.fire, LoihiFire::Membrane {});
        let [off, mean] = difference(&network, &loihi, &x_seq);
        assert!(off <= 0.05 * mean, "{readout:?}: {off} of {mean}");
    }
}

#[test]
fn a_synaptic_current_is_the_chips_own() {
    let mut config = config("8x8x2-6c3-2a-5o", 1, Reset::Hard { v_reset: 0.0 });
    config.neuron.tau_syn = Some(2.0);
    let network = network(&config);
    let loihi = convert(&config, &network, false);
    assert_eq!(loihi.config().layers[0].cell.du, 2047);
    let [off, mean] = difference(&network, &loihi, &input(&config, 8, 6));
    assert!(off <= 0.1 * mean, "{off} of {mean}");
}

#[test]
fn what_the_chip_has_nothing_for_is_refused_by_layer() {
    let soft = Reset::Soft {};
    for (config, expected) in [
        (
            config("8x8-4c3-2m-5o", 2, soft),
            "`pool1` cannot be computed by Loihi 2: the chip has no maximum",
        ),
        (config("8x8-6r-5o", 2, soft), "`fc1` cannot be computed by Loihi 2: recurrent edges"),
        (config("8x8-4c3-res(4c3)-5o", 2, soft), "what it sends is read by several layers"),
        (
            config("8x8-4c3-5o", 2, Reset::Hard { v_reset: 0.0 }),
            "`conv1` cannot be computed by Loihi 2: a hard reset",
        ),
    ] {
        let range = InputRange { largest: 1.0, is_whole: true };
        let error = LoihiNetwork::from_network(&network(&config), range, 8, false).unwrap_err();
        assert!(error.to_string().contains(expected), "{error}");
    }
}

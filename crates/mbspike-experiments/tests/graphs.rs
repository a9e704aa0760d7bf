//! Networks beyond a row of layers, from a config to what is counted of them.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking, in its helper functions too")]

use std::path::Path;

use candle_core::{Device, Tensor};
use mbspike_data::InputCode;
use mbspike_experiments::config::Config;
use mbspike_experiments::energy::Counter;
use mbspike_experiments::sweep::Sweep;
use mbspike_lif::{Network, NetworkConfig, NeuronConfig};

const CONFIG: &str = r#"name = "graph"
seed = 7

[dataset]
name = "fashion-mnist-subset"

[encoder]
kind = "poisson"
time_steps = 4

[network]
NETWORK

[neuron]
NEURON

[train]
epochs = 1
batch_size = 32
optimizer = { kind = "adam", lr = 1e-3 }
"#;

const TABLES: &str = r#"input = "28x28"
bias = true
[[network.layer]]
kind = "conv"
name = "stem"
channels = 4
kernel = 3
stride = 2
norm = true
neuron = { levels = 5, reset = "hard", surrogate = "atan" }
[[network.layer]]
kind = "conv"
channels = 4
kernel = 3
groups = 2
padding = 1
[[network.layer]]
kind = "add"
input = ["stem", "conv1"]
[[network.layer]]
kind = "output"
neurons = 10"#;

fn parse(network: &str, neuron: &str) -> Result<Config, String> {
    let text = CONFIG.replace("NETWORK", network).replace("NEURON", neuron);
    let sweep = Sweep::parse(Path::new("graph.toml"), &text, &[]);
    sweep.map(|mut sweep| sweep.points.remove(0).config).map_err(|error| error.to_string())
}

#[test]
fn layer_tables_and_neurons_read_back_as_themselves() {
    let networks = [TABLES, "arch = \"28x28-4c3s2-bn-res(4c3-bn)-dw3-16r-10o\""];
    for (network, neuron) in [
        (networks[0], "bits = 2"),
        (networks[1], "bits = 2"),
        (networks[1], "levels = 5\ntau_syn = 3.0\nlearnable_threshold = true"),
        (networks[1], "preset = \"ilif\"\nlevels = 4"),
        (networks[1], "preset = \"alif\"\nbits = 3"),
        (networks[1], "preset = \"if\""),
    ] {
        let first = parse(network, neuron).unwrap();
        let text = first.to_toml().unwrap();
        let sweep = Sweep::parse(Path::new("again.toml"), &text, &[]).unwrap();
        let again = &sweep.points[0].config;
        assert_eq!(again, &first, "{text}");
        assert_eq!(again.to_toml().unwrap(), text);
    }
}

#[test]
fn mistakes_in_layers_and_neurons_are_named() {
    let of_tables =
        |this: &str, by: &str| parse(&TABLES.replace(this, by), "bits = 2").unwrap_err();
    for (error, parts) in [
        (of_tables("kind = \"add\"", "kind = \"adds\""), ["graph.toml", "adds"]),
        (of_tables("\"stem\", \"conv1\"", "\"stem\", \"conv7\""), ["layer 3 (`add`)", "conv7"]),
        (of_tables("stride = 2", "strides = 2"), ["strides", "stride"]),
        (of_tables("levels = 5", "tau = 0.1"), ["layer 1 (`stem`)", "neuron.tau"]),
        (of_tables("input = \"28x28\"", "input = \"28x\""), ["network.input", "width"]),
        (of_tables("input = \"28x28\"\n", ""), ["network", "input"]),
        (of_tables("input = \"28x28\"", "arch = \"28x28-10o\""), ["exclude", "layer"]),
        (of_tables("groups = 2", "groups = 3"), ["layer 2", "groups that divide"]),
    ] {
        for part in parts {
            assert!(error.contains(part), "no {part} in {error}");
        }
    }
    let of_neurons = |neuron: &str| parse("arch = \"28x28-4c3-10o\"", neuron).unwrap_err();
    for (error, part) in [
        (of_neurons("tau = 2.0"), "the key `neuron.bits` is missing"),
        (of_neurons("bits = 2\nlevels = 9"), "neuron.bits"),
        (of_neurons("levels = 0"), "neuron.levels"),
        (of_neurons("preset = \"ilff\""), "neuron.preset"),
        (of_neurons("bits = 1\ntau_syn = 0.5"), "neuron.tau_syn"),
        (of_neurons("bits = 1\nadaptation = { tau = 0.0, strength = 1.0 }"), "adaptation.tau"),
        (of_neurons("bits = 1\nlearned_by = \"channel\""), "neuron.learned_by"),
        (of_neurons("bits = 1\nrounding = \"up\""), "rounding"),
    ] {
        assert!(error.contains(part) && error.contains("graph.toml"), "no {part} in {error}");
    }
}

/// What is counted of a network whose input is all ones, for two steps.
fn counted(arch: &str, neuron: NeuronConfig) -> (Network, Vec<mbspike_energy::LayerCounts>) {
    let config = NetworkConfig { neuron, ..NetworkConfig::new(arch.parse().unwrap(), 1) };
    let network = Network::new(&config, 3, &Device::Cpu).unwrap();
    for parameter in network.parameters() {
        // So that neurons fire, and of all levels.
        let positive = parameter.var.abs().unwrap().affine(3.0, 0.0).unwrap();
        parameter.var.set(&positive).unwrap();
    }
    let shape = network.graph().input_shape();
    let dims = (2, 1, shape.channels, shape.height, shape.width);
    let x_seq = Tensor::ones(dims, candle_core::DType::F32, &Device::Cpu).unwrap();
    let mut counter = Counter::new(&config, InputCode::Binary).unwrap();
    counter.add(&network, &x_seq).unwrap();
    (network, counter.counts().layers.clone())
}

#[test]
fn strided_grouped_and_depthwise_convolutions_are_counted_by_their_connections() {
    let (_, layers) = counted("8x8x4-8c3s2-dw3v-8c1g2-10o", NeuronConfig::new(1));
    let names: Vec<&str> = layers.iter().map(|layer| layer.name.as_str()).collect();
    assert_eq!(names, ["conv1", "conv2", "conv3", "fc1"]);
    let weights: Vec<u64> = layers.iter().map(|layer| layer.n_weights).collect();
    assert_eq!(weights, [8 * 4 * 9, 8 * 9, 8 * 4, 10 * 8 * 4]);
    let macs: Vec<u64> = layers.iter().map(|layer| layer.dense_macs).collect();
    assert_eq!(macs, [8 * 16 * 36, 8 * 4 * 9, 8 * 4 * 4, 10 * 32]);
    // Stride 2 on 8 with padding 1: the border's zeros are at one end only, 11 of 12 taps an axis.
    assert_eq!(layers[0].n_synapses, 11 * 11 * 8 * 4);
    assert_eq!(layers[1].n_synapses, 8 * 4 * 9);
    // Every input is a spike, in two steps.
    assert_eq!(layers[0].received_spikes, 2 * 256);
    assert_eq!(layers[0].synaptic_events, 2 * layers[0].n_synapses);
    assert_eq!(layers[3].input_bits, 1);
}

#[test]
fn residual_sums_and_recurrent_edges_are_counted_once() {
    let (_, layers) = counted("4x4-3c3-res(3c3)-resc(3c3|3c1)-5r-4o", NeuronConfig::new(2));
    let names: Vec<&str> = layers.iter().map(|layer| layer.name.as_str()).collect();
    let expected = ["conv1", "conv2", "conv3", "conv4", "fc1", "lif4.recurrent", "fc2"];
    assert_eq!(names, expected);
    // A sum of two spikes of two bits has a bit more.
    assert_eq!(layers[2].input_bits, 3);
    // The neurons behind a sum of currents are the last layer's, a recurrent edge drives no others.
    let neurons: Vec<u64> = layers.iter().map(|layer| layer.n_neurons).collect();
    assert_eq!(neurons, [48, 48, 0, 48, 5, 0, 4]);
    let updates: u64 = layers.iter().map(|layer| layer.neuron_updates).sum();
    assert_eq!(updates, 2 * (48 * 3 + 5 + 4));
    // The edge hears in the second step what was sent in the first: each spike goes to all five.
    let edge = &layers[5];
    assert!(edge.received_spikes <= layers[4].sent_spikes && edge.received_spikes > 0);
    assert_eq!(edge.synaptic_events, 5 * edge.received_spikes);
}

#[test]
fn signed_and_counted_spikes_are_counted_by_level() {
    let ilif = NeuronConfig::preset("ilif").unwrap();
    let (_, layers) = counted("2x2-6-3o", ilif);
    assert_eq!((layers[0].bits, layers[1].input_bits), (3, 3), "counts up to 4");
    // Levels of 1, 2 and 4 have one 1 in their code, 3 has two.
    assert!(layers[0].sent_ones >= layers[0].sent_spikes && layers[0].sent_spikes > 0);
    assert!(layers[0].sent_ones <= 2 * layers[0].sent_spikes);
    let (_, layers) = counted("2x2-6-3o", NeuronConfig::preset("ternary").unwrap());
    assert_eq!(layers[1].input_bits, 2, "a bit and a sign");
    assert_eq!(layers[0].sent_ones, layers[0].sent_spikes);
}

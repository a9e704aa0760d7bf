//! Counts of synaptic operations against those of SpikingJelly's operation counters on the same
//! network and input (`scripts/golden/operation_counts.py`, `graph_counts.py`).
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::Path;

use candle_core::{DType, Device, Tensor};
use mbspike_data::InputCode;
use mbspike_energy::OperationCounts;
use mbspike_experiments::energy::Counter;
use mbspike_lif::{Arch, Network, NetworkConfig, NetworkTable, NeuronTable, Precision};
use serde::Deserialize;

struct Golden {
    metadata: std::collections::HashMap<String, String>,
    counts: OperationCounts,
}

impl Golden {
    fn number(&self, key: &str) -> u64 {
        self.metadata[key].parse().unwrap()
    }
}

fn golden(bits: u32) -> Golden {
    let file = format!("tests/golden/operation_counts_{bits}bit.safetensors");
    let bytes = std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join(file)).unwrap();
    let (_, header) = safetensors::SafeTensors::read_metadata(&bytes).unwrap();
    let tensors = candle_core::safetensors::load_buffer(&bytes, &Device::Cpu).unwrap();
    let arch: Arch = "28x28-8c5-2a-16c5-2a-10o".parse().unwrap();
    let config = NetworkConfig { precision: Precision::F64, ..NetworkConfig::new(arch, bits) };
    let network = Network::new(&config, 0, &Device::Cpu).unwrap();
    for parameter in network.parameters() {
        let weight = tensors[&parameter.name].to_dtype(DType::F64).unwrap();
        parameter.var.set(&weight).unwrap();
    }
    let mut counter = Counter::new(&config, InputCode::Binary).unwrap();
    counter.add(&network, &tensors["x_seq"].to_dtype(DType::F64).unwrap()).unwrap();
    let metadata = header.metadata().clone().unwrap();
    Golden { metadata, counts: counter.counts().clone() }
}

#[test]
fn events_and_spikes_agree_with_spikingjelly() {
    for bits in [1, 2] {
        let golden = golden(bits);
        assert_eq!((golden.counts.time_steps, golden.counts.n_samples), (4, 3));
        for layer in &golden.counts.layers {
            let expected = |what: &str| golden.number(&format!("{}.{what}", layer.name));
            let name = format!("{} of {bits} bits", layer.name);
            assert_eq!(layer.effective_macs, expected("events"), "{name}: events");
            assert_eq!(layer.synaptic_events, expected("events_before_pool"), "{name}: folded");
            assert_eq!(layer.received_spikes, expected("received"), "{name}: received");
            assert_eq!(layer.sent_spikes, expected("sent"), "{name}: sent");
            assert!(layer.sent_spikes > 0, "{name} is silent: nothing is compared");
        }
    }
}

#[test]
fn spikingjelly_counts_synaptic_operations_of_binary_inputs_only() {
    for bits in [1, 2] {
        let golden = golden(bits);
        let [conv1, conv2, fc1] = golden.counts.layers.as_slice() else { panic!("three layers") };
        assert_eq!(golden.number("conv1.synops"), conv1.effective_macs);
        assert_eq!(golden.number("conv1.macs"), 0);
        // Average pooling makes the inputs of the others fractions: dense multiply-adds there.
        let samples = golden.counts.time_steps * golden.counts.n_samples;
        for layer in [conv2, fc1] {
            assert_eq!(golden.number(&format!("{}.synops", layer.name)), 0);
            let macs = golden.number(&format!("{}.macs", layer.name));
            assert_eq!(macs, layer.dense_macs * samples, "{}", layer.name);
        }
    }
}

/// The part of a run's config that says what the network is.
#[derive(Deserialize)]
struct Tables {
    network: NetworkTable,
    neuron: NeuronTable,
}

/// Strides, groups, residual sums, recurrent edges, bits by layer, counted, signed and five-level spikes.
#[test]
fn events_of_every_kind_of_edge_and_spike_agree_with_spikingjelly() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let mut n_files = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let file = path.file_name().unwrap().to_string_lossy().into_owned();
        if !file.starts_with("graph_counts") {
            continue;
        }
        n_files += 1;
        let bytes = std::fs::read(&path).unwrap();
        let (_, header) = safetensors::SafeTensors::read_metadata(&bytes).unwrap();
        let metadata = header.metadata().clone().unwrap();
        let tensors = candle_core::safetensors::load_buffer(&bytes, &Device::Cpu).unwrap();
        let Tables { network, neuron } = toml::from_str(&metadata["config"]).unwrap();
        let config = network.resolve(&neuron, Precision::F64).unwrap();
        let network = Network::new(&config, 0, &Device::Cpu).unwrap();
        for parameter in network.parameters() {
            let weight = tensors[&parameter.name].to_dtype(DType::F64).unwrap();
            parameter.var.set(&weight.reshape(parameter.var.shape()).unwrap()).unwrap();
        }
        let mut counter = Counter::new(&config, InputCode::Binary).unwrap();
        counter.add(&network, &tensors["x_seq"].to_dtype(DType::F64).unwrap()).unwrap();

        let mut unseen: Vec<&String> = metadata.keys().filter(|key| key.contains('.')).collect();
        let mut agrees = |key: String, counted: u64| {
            let expected: u64 =
                metadata.get(&key).unwrap_or_else(|| panic!("{file}: {key}")).parse().unwrap();
            assert_eq!(counted, expected, "{file}: {key}");
            assert!(counted > 0, "{file}: {key}: nothing is compared");
            unseen.retain(|name| **name != key);
        };
        for (layer, weights) in counter.counts().layers.iter().zip(network.graph().weights()) {
            agrees(format!("{}.events", layer.name), layer.effective_macs);
            if let Some(neurons) = weights.neurons {
                let name = &network.graph().node(neurons).name;
                agrees(format!("{name}.sent"), layer.sent_spikes);
            }
        }
        assert!(unseen.is_empty(), "{file}: {unseen:?}");
    }
    assert_eq!(n_files, 8);
}

#[test]
fn sizes_are_those_of_the_architecture() {
    let arch: Arch = "28x28-8c5-2a-16c5-2a-10o".parse().unwrap();
    let weights = arch.parameter_counts(false).unwrap();
    let counter = Counter::new(&NetworkConfig::new(arch, 2), InputCode::Binary).unwrap();
    let layers = &counter.counts().layers;
    let sizes = |of: fn(&mbspike_energy::LayerCounts) -> u64| layers.iter().map(of).collect();
    let names: Vec<&str> = layers.iter().map(|l| l.name.as_str()).collect();
    assert_eq!(names, ["conv1", "conv2", "fc1"]);
    let counted: Vec<u64> = sizes(|l| l.n_weights);
    assert_eq!(counted.iter().sum::<u64>(), weights.iter().sum::<usize>() as u64);
    let macs: Vec<u64> = sizes(|l| l.dense_macs);
    assert_eq!(macs, [156_800, 627_200, 7840]);
    let synapses: Vec<u64> = sizes(|l| l.n_synapses);
    assert_eq!(synapses, [143_648, 524_288, 7840]);
    let bits: Vec<u64> = sizes(|l| u64::from(l.input_bits));
    assert_eq!(bits, [1, 2, 2]);
}

/// Synaptic events of the first layer, and what they are if sent bit by bit, of two steps in which
/// the pixels in the middle of two 5×5 maps have `values`: through a kernel of 3×3 to 2 channels
/// each of them is added 18 times.
fn of_first_layer(code: InputCode, values: [f32; 2]) -> (u64, u64, u32) {
    let config = NetworkConfig::new("5x5x2-2c3-3o".parse().unwrap(), 3);
    let network = Network::new(&config, 0, &Device::Cpu).unwrap();
    let mut x_seq = vec![0.0_f32; 2 * 2 * 25];
    for (step, map) in [(0, 0), (1, 1)] {
        x_seq[(step * 2 + map) * 25 + 12] = values[map];
    }
    let mut counter = Counter::new(&config, code).unwrap();
    let x_seq = Tensor::from_vec(x_seq, (2, 1, 2, 5, 5), &Device::Cpu).unwrap();
    counter.add(&network, &x_seq).unwrap();
    let layer = &counter.counts().layers[0];
    (layer.synaptic_events, layer.serial_events, layer.input_bits)
}

#[test]
fn an_input_is_charged_by_its_code_and_not_by_its_size() {
    // Frames of one event a pixel, as counts and as zeros and ones.
    assert_eq!(of_first_layer(InputCode::Counts, [1.0, 1.0]), (36, 36, 8));
    assert_eq!(of_first_layer(InputCode::Binary, [1.0, 1.0]), (36, 36, 1));
    // Counts of 1 and 7 = 111.
    assert_eq!(of_first_layer(InputCode::Counts, [1.0, 7.0]), (36, 18 + 54, 8));
    // 300 = 1 0010 1100 takes nine bits.
    assert_eq!(of_first_layer(InputCode::Counts, [1.0, 300.0]), (36, 18 + 72, 9));
    // White, level 255, and the grey 85 = 0101 0101.
    let grey = 85.0 / 255.0;
    let image = InputCode::levels_of_bits(8);
    assert_eq!(of_first_layer(image, [1.0, grey]), (36, 8 * 18 + 4 * 18, 8));
    // Normalized: of each the whole word.
    assert_eq!(of_first_layer(InputCode::Analog, [-0.4, 2.6]), (36, 8 * 36, 8));
}

#[test]
fn each_layer_is_charged_by_its_own_bits() {
    let mut config = NetworkConfig::new("4x4-8-6-3o".parse().unwrap(), 1);
    config.neuron.layer_bits = Some(vec![4, 2, 1]);
    let counter = Counter::new(&config, InputCode::Counts).unwrap();
    let bits = |of: fn(&mbspike_energy::LayerCounts) -> u32| -> Vec<u32> {
        counter.counts().layers.iter().map(of).collect()
    };
    assert_eq!(bits(|layer| layer.bits), [4, 2, 1]);
    assert_eq!(bits(|layer| layer.input_bits), [8, 4, 2]);
}

#[test]
fn batches_of_any_size_are_counted_alike() {
    let mut config = NetworkConfig::new("8x8-4c3-2a-5o".parse().unwrap(), 2);
    config.neuron.learnable_tau = true;
    config.neuron.v_threshold = 0.1;
    let network = Network::new(&config, 7, &Device::Cpu).unwrap();
    let numbers = (0..6 * 5 * 64_u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 31) as f32);
    let x_seq = Tensor::from_vec(numbers.collect::<Vec<_>>(), (6, 5, 1, 8, 8), &Device::Cpu);
    let x_seq = x_seq.unwrap();
    let counted = |chunk: usize| {
        let mut counter = Counter::new(&config, InputCode::Binary).unwrap();
        for first in (0..5).step_by(chunk) {
            let batch = x_seq.narrow(1, first, chunk.min(5 - first)).unwrap();
            counter.add(&network, &batch).unwrap();
        }
        counter.counts().clone()
    };
    let all = counted(5);
    assert!(all.layers.iter().all(|layer| layer.sent_spikes > 0));
    assert_eq!(counted(1), all);
    assert_eq!(counted(2), all);
}

//! Counts of synaptic operations against those of SpikingJelly's operation counters on the same
//! network and input (`scripts/golden/operation_counts.py`).
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::Path;

use candle_core::{DType, Device};
use mbspike_energy::OperationCounts;
use mbspike_experiments::energy::Counter;
use mbspike_lif::{Arch, Network, NetworkConfig, Precision};

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
    let mut counter = Counter::new(&config, 1).unwrap();
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

#[test]
fn sizes_are_those_of_the_architecture() {
    let arch: Arch = "28x28-8c5-2a-16c5-2a-10o".parse().unwrap();
    let weights = arch.parameter_counts(false).unwrap();
    let counter = Counter::new(&NetworkConfig::new(arch, 2), 1).unwrap();
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

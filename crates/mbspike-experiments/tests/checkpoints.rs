//! Checkpoints of PyTorch's (`scripts/golden/nir_frameworks.py`).

use std::path::Path;

use mbspike_experiments::exchange::{Placement, place, read_tensors};
use mbspike_lif::{Network, NetworkTable, NeuronTable, Precision};

fn file(name: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/checkpoints").join(name)
}

#[test]
fn tensors_of_a_checkpoint_are_in_the_order_of_its_layers() {
    let names = |name: &str| -> Vec<String> {
        read_tensors(&file(name)).unwrap().into_iter().map(|(name, _)| name).collect()
    };
    // Saved under `model`, beside an epoch.
    assert_eq!(names("spikingjelly.pth"), ["0.weight", "3.weight", "3.bias", "6.weight"]);
    let weights: Vec<String> = names("snntorch.pth")
        .into_iter()
        .filter(|name| name.ends_with("weight") || name.ends_with("bias"))
        .collect();
    assert_eq!(weights, ["0.weight", "0.bias", "2.weight"]);
}

#[test]
fn layers_of_a_checkpoint_find_their_places_by_order() {
    let layers = r#"
input = "8x8x2"
[[layer]]
kind = "conv"
channels = 3
kernel = 3
[[layer]]
kind = "pool"
take = "average"
size = 2
[[layer]]
kind = "conv"
channels = 4
kernel = 3
stride = 2
bias = true
[[layer]]
kind = "output"
neurons = 5
"#;
    let layers: NetworkTable = toml::from_str(layers).unwrap();
    let neuron = NeuronTable { bits: Some(1), ..NeuronTable::default() };
    let config = layers.resolve(&neuron, Precision::F32).unwrap();
    let network = Network::new(&config, 1, &candle_core::Device::Cpu).unwrap();
    let tensors = read_tensors(&file("spikingjelly.pth")).unwrap();
    let placed = place(&tensors, &network, Placement::Auto).unwrap();
    let pairs: Vec<(&str, &str)> = placed
        .iter()
        .map(|placed| (placed.parameter.as_deref().unwrap(), placed.tensor.as_str()))
        .collect();
    assert_eq!(
        pairs,
        [
            ("conv1.weight", "0.weight"),
            ("conv2.weight", "3.weight"),
            ("conv2.bias", "3.bias"),
            ("fc1.weight", "6.weight"),
        ]
    );
    for (placed, (_, tensor)) in placed.iter().zip(&tensors) {
        let name = placed.parameter.as_ref().unwrap();
        let parameter = network.parameters().iter().find(|p| p.name == *name).unwrap();
        let values =
            |tensor: &candle_core::Tensor| tensor.flatten_all().unwrap().to_vec1::<f32>().unwrap();
        assert_eq!(values(parameter.var.as_tensor()), values(tensor), "{name}");
    }
}

//! Networks that SpikingJelly, snnTorch and Norse wrote, and the spikes that they computed
//! (`scripts/golden/nir_frameworks.py`).
#![expect(clippy::unwrap_used, reason = "a test fails by panicking, in its helper functions too")]

use std::path::PathBuf;

use candle_core::{Device, Tensor};
use mbspike_lif::{Network, NetworkConfig};
use mbspike_nir::network::{ImportOptions, import};
use mbspike_nir::read;
use mbspike_nir::simulate::Simulation;
use safetensors::SafeTensors;

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/frameworks")
}

/// Inputs `[T, B, …]` and output spikes `[T, B, n]` of a network.
fn spikes(name: &str) -> [(Vec<usize>, Vec<f32>); 2] {
    let bytes = std::fs::read(folder().join("spikes.safetensors")).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    ["x", "y"].map(|part| {
        let tensor = file.tensor(&format!("{name}.{part}")).unwrap();
        let values = tensor.data().chunks_exact(4);
        let values = values.map(|bytes| f32::from_le_bytes(bytes.try_into().unwrap()));
        (tensor.shape().to_vec(), values.collect())
    })
}

const NETWORKS: [(&str, ImportOptions); 6] = [
    // SpikingJelly's neurons fire where they meet their threshold.
    ("spikingjelly_conv", ImportOptions { dt: None, threshold_fires: true }),
    ("spikingjelly_dense", ImportOptions { dt: None, threshold_fires: true }),
    ("spikingjelly_cuba", ImportOptions { dt: None, threshold_fires: true }),
    ("snntorch_dense", ImportOptions { dt: None, threshold_fires: false }),
    ("snntorch_recurrent", ImportOptions { dt: None, threshold_fires: false }),
    // Norse writes time constants times its time step.
    ("norse_dense", ImportOptions { dt: Some(1e-6), threshold_fires: false }),
];

#[test]
fn networks_of_the_frameworks_fire_here_as_they_did_there() {
    for (name, options) in NETWORKS {
        let graph = read(folder().join(format!("{name}.nir"))).unwrap();
        let imported = import(&graph, &options).unwrap_or_else(|error| panic!("{name}: {error}"));
        let mut config = NetworkConfig::new(imported.arch.clone(), 1);
        (config.neuron, config.readout, config.bias) =
            (imported.neuron.clone(), imported.readout, imported.bias);
        let network = Network::new(&config, 1, &Device::Cpu).unwrap();
        for (parameter, value) in &imported.tensors {
            let found = network.parameters().iter().find(|p| p.name == *parameter).unwrap();
            found.var.set(value).unwrap();
        }
        let [(shape, x), (y_shape, y)] = spikes(name);
        let [n_steps, batch] = [shape[0], shape[1]];
        let input = config.arch.input;
        let n_outputs = y_shape[2];
        // The mean spike over the first t steps, for each t, tells the spikes of each step.
        let mut before = vec![0.0; batch * n_outputs];
        for t in 1..=n_steps {
            let n = t * batch * input.n_elements();
            let dims = (t, batch, input.channels, input.height, input.width);
            let x_seq = Tensor::from_vec(x[..n].to_vec(), dims, &Device::Cpu).unwrap();
            let logits = network.predict(&x_seq).unwrap().logits;
            let sums: Vec<f32> = logits.flatten_all().unwrap().to_vec1().unwrap();
            let sums: Vec<f32> = sums.iter().map(|mean| (mean * t as f32).round()).collect();
            let here: Vec<f32> =
                sums.iter().zip(&before).map(|(sum, before)| sum - before).collect();
            let there = &y[(t - 1) * batch * n_outputs..][..batch * n_outputs];
            assert_eq!(here, there, "{name}, step {t}");
            before = sums;
        }
    }
}

#[test]
fn their_graphs_simulate_to_the_same_spikes() {
    for (name, options) in NETWORKS {
        // A batch in the input's shape, and a bias of a recurrent edge that is there from the first
        // step on, are not NIR's.
        if ["norse_dense", "snntorch_recurrent"].contains(&name) {
            continue;
        }
        let graph = read(folder().join(format!("{name}.nir"))).unwrap();
        let [(shape, x), (y_shape, y)] = spikes(name);
        let (batch, n_in, n_out) = (shape[1], shape[2..].iter().product::<usize>(), y_shape[2]);
        for sample in 0..batch {
            let mut simulation = Simulation::new(&graph, options.dt.unwrap_or(1e-4)).unwrap();
            for t in 0..shape[0] {
                let x = &x[(t * batch + sample) * n_in..][..n_in];
                let here = simulation.step(&x.iter().map(|x| f64::from(*x)).collect::<Vec<_>>());
                let there = &y[(t * batch + sample) * n_out..][..n_out];
                let there: Vec<f64> = there.iter().map(|y| f64::from(*y)).collect();
                assert_eq!(here, there, "{name}, sample {sample}, step {t}");
            }
        }
    }
}

//! The network files of the reference vectors: SpikingJelly 2.0 under PyTorch autograd and Adam,
//! computed in f64.
//!
//! Runs every `.safetensors` file of kind `network` in the folder named by `MBSPIKE_GOLDEN_DIR`
//! (default: this crate's own copies), so that anyone can add files.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking, in its helper functions too")]

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use candle_core::{DType, Device, Tensor};
use mbspike_core::{DeviceName, Reset, Surrogate};
use mbspike_lif::optim::{Optimizer, OptimizerConfig};
use mbspike_lif::{
    Error, Execution, Loss, Network, NetworkConfig, NetworkTable, NeuronConfig, NeuronTable,
    Precision, StepKey, check, one_hot,
};
use serde::Deserialize;

/// The part of a run's config that says what the network is.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Tables {
    network: NetworkTable,
    neuron: NeuronTable,
}

struct Golden {
    name: String,
    metadata: HashMap<String, String>,
    tensors: HashMap<String, Tensor>,
}

impl Golden {
    fn all() -> Vec<Self> {
        let folder = std::env::var_os("MBSPIKE_GOLDEN_DIR").map_or_else(
            || Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden"),
            PathBuf::from,
        );
        let mut files: Vec<_> = std::fs::read_dir(&folder)
            .unwrap_or_else(|e| panic!("{}: {e}", folder.display()))
            .map(|entry| entry.unwrap().path())
            .filter(|path| path.extension().is_some_and(|e| e == "safetensors"))
            .collect();
        files.sort();
        let all: Vec<_> = files.iter().filter_map(|path| Self::read(path)).collect();
        assert!(!all.is_empty(), "no golden file of kind network in {}", folder.display());
        all
    }

    fn read(path: &Path) -> Option<Self> {
        let bytes = std::fs::read(path).unwrap();
        let (_, header) = safetensors::SafeTensors::read_metadata(&bytes).unwrap();
        let metadata = header.metadata().clone().unwrap_or_default();
        if metadata.get("kind").map(String::as_str) != Some("network") {
            return None;
        }
        let tensors = candle_core::safetensors::load_buffer(&bytes, &Device::Cpu).unwrap();
        Some(Self { name: path.display().to_string(), metadata, tensors })
    }

    fn number(&self, key: &str) -> f64 {
        self.metadata[key].parse().unwrap()
    }

    fn values(&self, name: &str) -> Vec<f64> {
        self.tensors[name].to_dtype(DType::F64).unwrap().flatten_all().unwrap().to_vec1().unwrap()
    }

    /// What the network is: the text of a run's config, or settings one by one.
    fn config(&self, precision: Precision) -> NetworkConfig {
        if let Some(text) = self.metadata.get("config") {
            let Tables { network, neuron } =
                toml::from_str(text).unwrap_or_else(|e| panic!("{}: {e}", self.name));
            let config = network.resolve(&neuron, precision);
            return config.unwrap_or_else(|e| panic!("{}: {e}", self.name));
        }
        let mut neuron = NeuronConfig::new(self.number("bits") as u32);
        neuron.tau = self.number("tau");
        neuron.v_threshold = self.number("v_threshold");
        neuron.surrogate = Surrogate::Sigmoid { alpha: self.number("alpha") };
        neuron.detach_reset = self.metadata["detach_reset"] == "true";
        neuron.decay_input = self.metadata["decay_input"] == "true";
        neuron.reset = match self.metadata["reset"].as_str() {
            "soft" => Reset::Soft {},
            "hard" => Reset::Hard { v_reset: 0.0 },
            other => panic!("{}: reset {other}", self.name),
        };
        let arch = self.metadata["arch"].parse().unwrap();
        NetworkConfig { neuron, precision, ..NetworkConfig::new(arch, 1) }
    }

    /// `None` where that engine does not take the network.
    fn network(&self, precision: Precision, execution: Execution) -> Option<Network> {
        let config = NetworkConfig { execution, ..self.config(precision) };
        match check(&config, DeviceName::Cpu) {
            Err(Error::CannotFuse { .. } | Error::CannotBatch { .. }) => return None,
            result => result.unwrap_or_else(|e| panic!("{}: {e}", self.name)),
        }
        let network = Network::new(&config, 0, &Device::Cpu).unwrap();
        for parameter in network.parameters() {
            let name = format!("init.{}", parameter.name);
            let init =
                self.tensors.get(&name).unwrap_or_else(|| panic!("{}: no {name}", self.name));
            parameter.var.set(&init.to_dtype(parameter.var.dtype()).unwrap()).unwrap();
        }
        Some(network)
    }

    /// Logits, gradients by name, firing rates of the first step, and the losses of ten steps.
    fn run(&self, mut network: Network) -> Run {
        let x_seq = self.tensors["x_seq"].to_dtype(network.parameters()[0].var.dtype()).unwrap();
        let labels: Vec<u8> = self.tensors["labels"].to_vec1().unwrap();
        let n_classes = network.graph().n_classes();
        let targets = one_hot(&labels, n_classes, x_seq.dtype(), &Device::Cpu).unwrap();
        let betas: Vec<f64> =
            self.metadata["betas"].split(',').map(|b| b.trim().parse().unwrap()).collect();
        let lr = self.number("lr");
        let config = OptimizerConfig::Adam {
            lr,
            betas: (betas[0], betas[1]),
            eps: self.number("eps"),
            weight_decay: 0.0,
        };
        let mut optimizer = Optimizer::new(config, network.parameters()).unwrap();
        let mut run = Run::default();
        for iteration in 0..self.values("losses").len() as u64 {
            let key = StepKey { seed: 0, iteration };
            let step = network.train_step(&x_seq, &targets, Loss::default(), key).unwrap();
            if iteration == 0 {
                run.logits = flat(&step.logits);
                run.firing_rate = step.activity.nonzero_rate()[1..].to_vec();
                let names = network.parameters().iter().map(|p| p.name.clone());
                run.gradients = names.zip(step.gradients.iter().map(flat)).collect();
            }
            run.losses.push(step.loss);
            optimizer.step(&step.gradients, lr).unwrap();
        }
        run
    }
}

#[derive(Default)]
struct Run {
    logits: Vec<f64>,
    firing_rate: Vec<f64>,
    gradients: Vec<(String, Vec<f64>)>,
    losses: Vec<f64>,
}

fn flat(tensor: &Tensor) -> Vec<f64> {
    tensor.to_dtype(DType::F64).unwrap().flatten_all().unwrap().to_vec1().unwrap()
}

/// `|got − want| / |want|`, NaN where lengths differ.
fn relative_norm(got: &[f64], want: &[f64]) -> f64 {
    if got.len() != want.len() {
        return f64::NAN;
    }
    let norm = |v: &mut dyn Iterator<Item = f64>| v.map(|x| x * x).sum::<f64>().sqrt();
    norm(&mut got.iter().zip(want).map(|(g, w)| g - w)) / norm(&mut want.iter().copied())
}

fn assert_within(what: &str, got: f64, bound: f64) {
    assert!(got <= bound, "{what}: off by {got}, more than {bound}");
}

#[test]
fn double_precision_agrees_throughout() {
    for golden in Golden::all() {
        let network = golden.network(Precision::F64, Execution::Layered);
        let run = golden.run(network.expect("the layered engine takes every network"));
        let name = &golden.name;
        let largest = |got: &[f64], want: &[f64]| {
            assert_eq!(got.len(), want.len(), "{name}");
            got.iter().zip(want).map(|(g, w)| (g - w).abs()).fold(0.0, f64::max)
        };
        assert_within(name, largest(&run.logits, &golden.values("logits")), 1e-6);
        assert_within(name, largest(&run.firing_rate, &golden.values("firing_rate")), 1e-6);
        assert_within(name, largest(&run.losses, &golden.values("losses")), 1e-6);
        for (parameter, gradient) in &run.gradients {
            let want = golden.values(&format!("grad.{parameter}"));
            assert_within(&format!("{name}: {parameter}"), largest(gradient, &want), 1e-6);
        }
    }
}

#[test]
fn single_precision_agrees_within_a_flipped_spike() {
    for golden in Golden::all() {
        for execution in [Execution::Layered, Execution::Batch, Execution::Fused] {
            let Some(network) = golden.network(Precision::F32, execution) else { continue };
            let run = golden.run(network);
            let name = format!("{}, {execution:?}", golden.name);
            let off = relative_norm(&run.logits, &golden.values("logits"));
            assert_within(&format!("{name}: logits"), off, 1e-2);
            let off = relative_norm(&run.firing_rate, &golden.values("firing_rate"));
            assert_within(&format!("{name}: firing rate"), off, 1e-2);
            for (parameter, gradient) in &run.gradients {
                let want = golden.values(&format!("grad.{parameter}"));
                assert_within(
                    &format!("{name}: {parameter}"),
                    relative_norm(gradient, &want),
                    1e-2,
                );
            }
            for (got, want) in run.losses.iter().zip(golden.values("losses")) {
                assert_within(&format!("{name}: loss"), (got - want).abs(), 2e-3);
            }
        }
    }
}

//! Small networks with weights that make exact sums, and graphs run on their inputs.
#![allow(dead_code, reason = "each test takes some of it")]

use candle_core::{Device, Tensor};
use mbspike_lif::{Network, NetworkConfig};
use mbspike_nir::network::{Export, ExportOptions, Mode, export};
use mbspike_nir::simulate::Simulation;
use mbspike_nir::{Graph, Options, from_bytes, to_bytes};

/// A time step and weights that are powers of two or sums of few: all sums are exact, and membranes
/// meet their thresholds.
pub const DT: f64 = 1.0 / 8192.0;

pub fn network(config: &NetworkConfig) -> Network {
    let network = Network::new(config, 7, &Device::Cpu).unwrap();
    let mut state = 3_u64;
    for parameter in network.parameters() {
        let n = parameter.var.elem_count();
        let values: Vec<f32> = (0..n)
            .map(|_| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                ((state >> 33) % 17) as f32 / 16.0 - 0.25
            })
            .collect();
        let is_weight =
            ["weight", "bias", "recurrent"].iter().any(|of| parameter.name.ends_with(of));
        if is_weight {
            let value = Tensor::from_vec(values, parameter.var.dims(), &Device::Cpu).unwrap();
            parameter.var.set(&value).unwrap();
        }
    }
    network
}

/// Binary input sequences `[T, B, C, H, W]`.
pub fn input(config: &NetworkConfig, n_steps: usize, batch: usize) -> Tensor {
    let shape = config.arch.input;
    let n = n_steps * batch * shape.n_elements();
    let values: Vec<f32> = (0..n).map(|i| f32_of((i * 7919 + i / 13) % 3 == 0)).collect();
    let dims = (n_steps, batch, shape.channels, shape.height, shape.width);
    Tensor::from_vec(values, dims, &Device::Cpu).unwrap()
}

fn f32_of(spike: bool) -> f32 {
    if spike { 1.0 } else { 0.0 }
}

/// The output of a graph over time, for each sample `[T][n]`.
pub fn run(graph: &Graph, x_seq: &Tensor, dt: f64) -> Vec<Vec<Vec<f64>>> {
    let (n_steps, batch) = (x_seq.dim(0).unwrap(), x_seq.dim(1).unwrap());
    (0..batch)
        .map(|sample| {
            let mut simulation = Simulation::new(graph, dt).unwrap();
            (0..n_steps)
                .map(|step| {
                    let x = x_seq.get(step).unwrap().get(sample).unwrap();
                    let x = x.flatten_all().unwrap().to_vec1::<f32>().unwrap();
                    simulation.step(&x.into_iter().map(f64::from).collect::<Vec<_>>())
                })
                .collect()
        })
        .collect()
}

pub fn exported(network: &Network, mode: Mode) -> Export {
    let export = export(network, &ExportOptions { dt: DT, mode }).unwrap();
    let bytes = to_bytes(&export.graph).unwrap();
    assert_eq!(from_bytes(bytes, &Options::default()).unwrap(), export.graph);
    export.graph.shapes().unwrap();
    export
}

pub fn mean_spikes(graph: &Graph, x_seq: &Tensor, dt: f64) -> Vec<Vec<f64>> {
    run(graph, x_seq, dt)
        .into_iter()
        .map(|steps| {
            let n = steps.len() as f64;
            (0..steps[0].len()).map(|i| steps.iter().map(|step| step[i]).sum::<f64>() / n).collect()
        })
        .collect()
}

pub fn assert_close(logits: &Tensor, expected: &[Vec<f64>], tolerance: f64) {
    let logits = logits.to_vec2::<f32>().unwrap();
    assert!(logits.iter().flatten().any(|&score| score != 0.0), "nothing fires: {logits:?}");
    for (a, b) in logits.iter().flatten().zip(expected.iter().flatten()) {
        assert!((f64::from(*a) - b).abs() <= tolerance, "{logits:?} {expected:?}");
    }
}

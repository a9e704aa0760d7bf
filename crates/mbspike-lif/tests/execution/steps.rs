//! A training step, and whether two agree.

use candle_core::{DType, Device, Tensor};
use mbspike_lif::{Execution, Loss, Network, NetworkConfig, StepKey, StepOutput, one_hot};

/// Every sequence of layers that the fused execution supports, in small.
pub fn input(arch: &str, n_steps: usize, batch_size: usize) -> (Tensor, Tensor) {
    let arch: mbspike_lif::Arch = arch.parse().unwrap();
    let s = arch.input;
    let n = n_steps * batch_size * s.n_elements();
    let values: Vec<f32> = (0..n as u64)
        .map(|i| {
            let u = (i.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 40) as f32 / (1 << 24) as f32;
            if u < 0.6 { 0.0 } else { u }
        })
        .collect();
    let dims = (n_steps, batch_size, s.channels, s.height, s.width);
    let labels: Vec<u8> = (0..batch_size).map(|i| (i % arch.n_classes()) as u8).collect();
    let targets = one_hot(&labels, arch.n_classes(), DType::F32, &Device::Cpu).unwrap();
    (Tensor::from_vec(values, dims, &Device::Cpu).unwrap(), targets)
}

pub fn step(config: &NetworkConfig, loss: Loss, n_steps: usize, batch_size: usize) -> StepOutput {
    let mut network = Network::new(config, 7, &Device::Cpu).unwrap();
    let (x_seq, targets) = input(&config.arch.to_string(), n_steps, batch_size);
    let key = StepKey { seed: 3, iteration: 11 };
    network.train_step(&x_seq, &targets, loss, key).unwrap()
}

pub fn flat(t: &Tensor) -> Vec<f32> {
    t.flatten_all().unwrap().to_vec1().unwrap()
}

pub fn relative(got: &[f32], want: &[f32]) -> f64 {
    assert_eq!(got.len(), want.len());
    let norm =
        |v: &mut dyn Iterator<Item = f32>| v.map(|x| f64::from(x).powi(2)).sum::<f64>().sqrt();
    norm(&mut got.iter().zip(want).map(|(g, w)| g - w)) / norm(&mut want.iter().copied()).max(1e-12)
}

pub fn assert_agree(what: &str, a: &StepOutput, b: &StepOutput, tolerance: f64) {
    let off = relative(&flat(&a.logits), &flat(&b.logits));
    assert!(off <= tolerance, "{what}: logits off by {off}");
    assert!((a.loss - b.loss).abs() <= tolerance * b.loss.abs(), "{what}: {} {}", a.loss, b.loss);
    for (i, (a, b)) in a.gradients.iter().zip(&b.gradients).enumerate() {
        let off = relative(&flat(a), &flat(b));
        assert!(off <= tolerance, "{what}: gradient {i} off by {off}");
    }
    for (a, b) in a.activity.positions.iter().zip(&b.activity.positions) {
        assert_eq!(a.n_elements, b.n_elements, "{what}");
        let off = (a.n_nonzero as f64 - b.n_nonzero as f64).abs() / a.n_elements as f64;
        assert!(off <= tolerance, "{what}: activity off by {off}");
    }
}

/// Membranes so rarely lie within a rounding of a level that these inputs flip no spike.
pub const ROUNDING: f64 = 2e-4;

pub fn compare(what: &str, config: &NetworkConfig, loss: Loss) {
    let by = |execution| step(&NetworkConfig { execution, ..config.clone() }, loss, 4, 5);
    let layered = by(Execution::Layered);
    assert_agree(&format!("{what}, fused"), &by(Execution::Fused), &layered, ROUNDING);
    assert_agree(&format!("{what}, batch"), &by(Execution::Batch), &layered, ROUNDING);
}

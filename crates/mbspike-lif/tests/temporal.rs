//! A task that needs a memory: the exclusive or of two bits of which the second comes ten steps after
//! the first. A recurrent network learns it, one without recurrence and as many weights does not.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking, in its helper functions too")]

use candle_core::{DType, Device, Tensor};
use mbspike_core::philox::{Domain, Place, Stream};
use mbspike_lif::optim::{Optimizer, OptimizerConfig};
use mbspike_lif::{Loss, Network, NetworkConfig, Readout, StepKey, one_hot};

const N_STEPS: usize = 12;

/// A batch `[T, B, 1, 1, 4]`: bit `a` is a spike on line `a` in the first two steps, bit `b` one on line
/// `2 + b` in the last two.
fn batch(n: usize, sample: u32) -> (Tensor, Vec<u8>) {
    let mut bits = vec![0.0_f32; 2 * n];
    Stream::new(4, Domain::Simulate, Place { sample, ..Place::default() }).fill_uniform(&mut bits);
    let mut x_seq = vec![0.0_f32; N_STEPS * n * 4];
    let mut labels = vec![];
    for (i, pair) in bits.chunks_exact(2).enumerate() {
        let [a, b] = [pair[0] < 0.5, pair[1] < 0.5].map(usize::from);
        for t in [0, 1] {
            x_seq[(t * n + i) * 4 + a] = 1.0;
            x_seq[((N_STEPS - 1 - t) * n + i) * 4 + 2 + b] = 1.0;
        }
        labels.push((a ^ b) as u8);
    }
    (Tensor::from_vec(x_seq, (N_STEPS, n, 1, 1, 4), &Device::Cpu).unwrap(), labels)
}

/// The share of 500 new samples that a network gets right after 100 steps of Adam.
fn trained_accuracy(arch: &str) -> f64 {
    let readout = Readout::LastMembrane;
    let config = NetworkConfig { readout, ..NetworkConfig::new(arch.parse().unwrap(), 2) };
    let mut network = Network::new(&config, 1, &Device::Cpu).unwrap();
    let lr = 1e-2;
    let mut optimizer = Optimizer::new(OptimizerConfig::adam(lr), network.parameters()).unwrap();
    for iteration in 0..100 {
        let (x_seq, labels) = batch(64, iteration as u32);
        let targets = one_hot(&labels, 2, DType::F32, &Device::Cpu).unwrap();
        let key = StepKey { seed: 1, iteration };
        let step = network.train_step(&x_seq, &targets, Loss::default(), key).unwrap();
        optimizer.step(&step.gradients, lr).unwrap();
    }
    let (x_seq, labels) = batch(500, 1_000_000);
    let logits = network.predict(&x_seq).unwrap().logits;
    let answers = logits.argmax(1).unwrap().to_vec1::<u32>().unwrap();
    let right = answers.iter().zip(&labels).filter(|(a, l)| **a == u32::from(**l)).count();
    right as f64 / labels.len() as f64
}

#[test]
fn a_recurrent_network_learns_what_one_without_recurrence_cannot() {
    let recurrent = trained_accuracy("4-48r-2o");
    assert!(recurrent >= 0.95, "the recurrent network: {recurrent}");
    for arch in ["4-48-2o", "4-48-48-2o"] {
        let without = trained_accuracy(arch);
        assert!(without <= 0.65, "{arch}: {without}");
    }
}

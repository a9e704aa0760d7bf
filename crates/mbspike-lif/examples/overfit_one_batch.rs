//! Trains a small network on one batch of eight random patterns until it knows them by heart.
//!
//! `cargo run --release -p mbspike-lif --example overfit_one_batch`
#![expect(clippy::print_stdout, reason = "an example shows its result")]

use candle_core::{DType, Device, Tensor};
use mbspike_core::philox::{Domain, Place, Stream};
use mbspike_lif::optim::{Optimizer, OptimizerConfig};
use mbspike_lif::{Loss, Network, NetworkConfig, StepKey, one_hot};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let config = NetworkConfig::new("12x12-8c5-2a-16c3-2a-4o".parse()?, 2);
    let mut network = Network::new(&config, 1, &Device::Cpu)?;
    let mut optimizer = Optimizer::new(OptimizerConfig::adam(5e-3), network.parameters())?;

    let (n_steps, batch_size) = (6, 8);
    let mut x_seq = vec![0.0; n_steps * batch_size * 144]; // [T, B, C, H, W]
    Stream::new(7, Domain::Encode, Place::default()).fill_uniform(&mut x_seq);
    let x_seq = Tensor::from_vec(x_seq, (n_steps, batch_size, 1, 12, 12), &Device::Cpu)?;
    let labels = [0, 1, 2, 3, 0, 1, 2, 3];
    let targets = one_hot(&labels, 4, DType::F32, &Device::Cpu)?;

    for iteration in 0..=200 {
        let key = StepKey { seed: 1, iteration };
        let step = network.train_step(&x_seq, &targets, Loss::default(), key)?;
        optimizer.step(&step.gradients, 5e-3)?;
        if iteration % 50 == 0 {
            let answers: Vec<u32> = step.logits.argmax(1)?.to_vec1()?;
            let n_right = answers.iter().zip(labels).filter(|(a, l)| **a == u32::from(*l)).count();
            let rates = step.activity.nonzero_rate();
            println!(
                "step {iteration:3}: loss {:.3}, {n_right} of 8 right, non-zero rates {rates:.2?}",
                step.loss
            );
        }
    }
    Ok(())
}

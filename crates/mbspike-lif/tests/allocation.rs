//! A training step in its steady state allocates what it returns and little else.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use candle_core::{Device, Tensor};
use mbspike_lif::optim::{Optimizer, OptimizerConfig};
use mbspike_lif::{Loss, Network, NetworkConfig, StepKey};

#[global_allocator]
static ALLOCATOR: dhat::Alloc = dhat::Alloc;

#[test]
fn a_step_allocates_little_more_than_its_results() {
    let config = NetworkConfig::new("28x28-8c5-2a-16c5-2a-10o".parse().unwrap(), 2);
    let mut network = Network::new(&config, 1, &Device::Cpu).unwrap();
    let mut optimizer = Optimizer::new(OptimizerConfig::adam(2e-3), network.parameters()).unwrap();
    let (steps, batch) = (4, 32);
    let x = Tensor::rand(0.0_f32, 1.0, (steps, batch, 1, 28, 28), &Device::Cpu).unwrap();
    let x = x.ge(0.7).unwrap().to_dtype(candle_core::DType::F32).unwrap();
    let targets = Tensor::ones((batch, 10), candle_core::DType::F32, &Device::Cpu).unwrap();
    let mut step = |iteration| {
        let key = StepKey { seed: 1, iteration };
        let output = network.train_step(&x, &targets, Loss::default(), key).unwrap();
        optimizer.step(&output.gradients, 2e-3).unwrap();
        output.gradients.iter().map(Tensor::elem_count).sum::<usize>()
    };
    (0..3).for_each(|i| {
        step(i);
    });
    let profiler = dhat::Profiler::builder().testing().build();
    let n_gradients = step(3);
    let stats = dhat::HeapStats::get();
    drop(profiler);
    let allowed = 2 * n_gradients * size_of::<f32>() + 32 * 1024;
    assert!(
        stats.total_bytes <= allowed as u64,
        "{} bytes in {} blocks, more than {allowed}",
        stats.total_bytes,
        stats.total_blocks
    );
}

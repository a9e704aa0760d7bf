//! How much memory a run takes at its peak, from its config alone.

use mbspike_data::{Description, SampleKind};
use mbspike_lif::memory::{StepMemory, step_memory};
use serde::Serialize;

use crate::config::Config;
use crate::machine::Machine;

/// What the program takes besides its data: itself, its tables and threads, and writing results.
/// Measured.
const PROGRAM_BYTES: f64 = 60e6;
/// Batches that exist at once, of as many as an epoch has: in training, waiting, and in preparation.
const N_BATCHES: usize = 3;

/// The peak memory of a run, in bytes, by what it is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct MemoryEstimate {
    /// The program itself.
    pub program_bytes: u64,
    /// The dataset, where it is kept in memory.
    pub dataset_bytes: u64,
    /// Batches in training and in preparation.
    pub batches_bytes: u64,
    /// Weights, their averages, the optimizer's state, gradients.
    pub weights_bytes: u64,
    /// What a training step keeps for its backward pass, and its working space.
    pub step_bytes: u64,
    /// All of it.
    pub peak_bytes: u64,
}

/// The peak memory of a run of `config`, whose data are as `described`, on `machine`. Saturates where it is more than can be counted.
///
/// # Errors
/// If the network cannot be built.
pub fn estimate(
    config: &Config,
    described: &Description,
    machine: &Machine,
) -> mbspike_lif::Result<MemoryEstimate> {
    let n_train = config.dataset.train_size.unwrap_or(described.n_train);
    let n_test = config.dataset.test_size.unwrap_or(described.n_test);
    let largest_set = n_train.max(n_test);
    let batch_size = config.train.batch_size.min(largest_set);
    let n_batches = largest_set.div_ceil(batch_size.max(1)).min(N_BATCHES);
    let n_steps = config.encoder.time_steps;
    let network = config.network_config();
    let StepMemory { n_parameters, element_bytes, step_bytes } =
        step_memory(&network, machine.device, n_steps, batch_size, machine.n_threads)?;

    let input = network.arch.input.n_elements() as f64;
    let (batch, steps) = (batch_size as f64, n_steps as f64);
    let sequences = 4.0 * batch * steps * input;
    // Event frames are integrated for all steps, images encoded from one copy.
    let samples = if described.is_events() { sequences } else { 4.0 * batch * input };
    let n_copies = 2.0 // the weights and their gradients
        + config.train.optimizer.n_slots() as f64
        + f64::from(u8::from(config.train.ema.is_some()));
    // A checkpoint is written from a copy of all but the gradients, in one piece.
    let weights = element_bytes * n_parameters * (n_copies + 2.0 * (n_copies - 1.0));
    let parts = [
        PROGRAM_BYTES,
        dataset_bytes(described),
        n_batches as f64 * sequences + samples,
        weights,
        step_bytes,
    ];
    // As casts do: what is too large becomes the largest number.
    let [program_bytes, dataset_bytes, batches_bytes, weights_bytes, step_bytes] =
        parts.map(|bytes| bytes as u64);
    let peak_bytes = parts.iter().sum::<f64>() as u64;
    Ok(MemoryEstimate {
        program_bytes,
        dataset_bytes,
        batches_bytes,
        weights_bytes,
        step_bytes,
        peak_bytes,
    })
}

/// Images, a byte a value, and sequences, four, are read whole and then cut; recordings stay on disk.
fn dataset_bytes(described: &Description) -> f64 {
    let value_bytes = match described.kind {
        SampleKind::Events => return 0.0,
        SampleKind::Images => 1.0,
        SampleKind::Sequences { n_steps } => 4.0 * n_steps as f64,
    };
    let sample = described.shape.iter().product::<usize>() as f64;
    value_bytes * sample * (described.n_train + described.n_test) as f64
}

//! How much memory a training step takes, from sizes alone.

use mbspike_core::DeviceName;
use mbspike_core::conv::padded_channels;

use crate::check::execution;
use crate::fused::n_shares;
use crate::{Execution, Layer, NetworkConfig, Precision, Result};

/// Sequences of the size of a layer's neurons that the layered execution holds at its peak: currents,
/// membranes, spikes and gradients, and what operations between them leave. Measured, as the others.
const LAYERED_SEQUENCES: f64 = 4.0;
/// The same in double precision, whose convolutions write out the patches that they multiply.
const LAYERED_SEQUENCES_F64: f64 = 6.0;
/// What batch normalization adds: centred, scaled and shifted, and their gradients.
const NORM_SEQUENCES: f64 = 13.0;

/// Memory of a network and of one training step. The numbers are floating-point, so that sizes beyond
/// any machine do not overflow.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct StepMemory {
    /// Trainable weights.
    pub n_parameters: f64,
    /// Bytes of one.
    pub element_bytes: f64,
    /// What a step takes besides its input, the weights and their gradients.
    pub step_bytes: f64,
}

/// The memory of training `config` on `device` with batches of `batch_size` samples of `n_steps` steps
/// on `n_threads` threads.
///
/// # Errors
/// As [`check`](crate::check()).
pub fn step_memory(
    config: &NetworkConfig,
    device: DeviceName,
    n_steps: usize,
    batch_size: usize,
    n_threads: usize,
) -> Result<StepMemory> {
    let counts = config.arch.parameter_counts(config.bias)?;
    let n_parameters = counts.iter().map(|n| *n as f64).sum();
    let element_bytes = if config.precision == Precision::F64 { 8.0 } else { 4.0 };
    let elements = match execution(config, device)? {
        Execution::Fused => fused(config, n_steps, batch_size, n_threads, n_parameters)?,
        Execution::Auto | Execution::Layered => layered(config, n_steps, batch_size)?,
    };
    Ok(StepMemory { n_parameters, element_bytes, step_bytes: element_bytes * elements })
}

/// Elements of the threads' workspaces and of the shares' gradients.
fn fused(
    config: &NetworkConfig,
    n_steps: usize,
    batch_size: usize,
    n_threads: usize,
    n_parameters: f64,
) -> Result<f64> {
    let n_kept = config.checkpoint_steps.unwrap_or(n_steps).min(n_steps) as f64;
    let n_segments = (n_steps as f64 / n_kept).ceil();
    let shapes = config.arch.shapes()?;
    let (mut a_step, mut a_sample) = (config.arch.input.n_elements() as f64, 0.0);
    let mut layers = config.arch.layers.iter().zip(&shapes).peekable();
    while let Some((layer, shape)) = layers.next() {
        let map = (shape.height * shape.width) as f64;
        let neurons = map * padded_channels(shape.channels) as f64;
        match layer {
            Layer::Conv { .. } => {
                // Membranes of the neurons; spikes and their gradient after the pooling that follows.
                let pooled = match layers.next_if(|(next, _)| matches!(next, Layer::Pool { .. })) {
                    Some((_, out)) => neurons / map * (out.height * out.width) as f64,
                    None => neurons,
                };
                a_step += neurons + 2.0 * pooled;
                a_sample += (4.0 + n_segments) * neurons;
            }
            Layer::Dense { .. } | Layer::Output { .. } => {
                a_step += 3.0 * neurons;
                a_sample += (3.0 + n_segments) * neurons;
            }
            Layer::Pool { .. } => a_step += 2.0 * neurons,
            Layer::Dropout { .. } => {
                a_step += 2.0 * neurons;
                a_sample += 2.0 * neurons;
            }
            Layer::BatchNorm | Layer::Vote { .. } => {}
        }
    }
    let n_workspaces = n_threads.min(batch_size).max(1) as f64;
    // Packed for both directions, and the gradients of each share.
    let packed = (2.0 + n_shares(batch_size, n_parameters as usize) as f64) * n_parameters;
    Ok(n_workspaces * (n_kept * a_step + a_sample) + packed)
}

/// Elements of the sequences that the graph of tensor operations holds.
fn layered(config: &NetworkConfig, n_steps: usize, batch_size: usize) -> Result<f64> {
    let shapes = config.arch.shapes()?;
    let samples = n_steps as f64 * batch_size as f64;
    let is_f64 = config.precision == Precision::F64;
    let n_sequences = if is_f64 { LAYERED_SEQUENCES_F64 } else { LAYERED_SEQUENCES };
    let per_sample = config.arch.layers.iter().zip(&shapes).map(|(layer, shape)| {
        let n = shape.n_elements() as f64;
        match layer {
            Layer::Conv { .. } | Layer::Dense { .. } | Layer::Output { .. } => n_sequences * n,
            Layer::BatchNorm => NORM_SEQUENCES * n,
            Layer::Pool { .. } | Layer::Dropout { .. } => 2.0 * n,
            Layer::Vote { .. } => 0.0,
        }
    });
    // The input is converted to another type.
    let input = if is_f64 { config.arch.input.n_elements() as f64 } else { 0.0 };
    Ok(samples * (per_sample.sum::<f64>() + input))
}

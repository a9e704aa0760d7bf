//! How much memory a training step takes, from sizes alone.

use mbspike_core::DeviceName;
use mbspike_core::conv::padded_channels;

use crate::check::execution;
use crate::fused::n_shares;
use crate::graph::{Graph, Node, NodeId, Op};
use crate::{Execution, NetworkConfig, Precision, Result};

/// Sequences of the size of a layer's neurons that the layered execution holds at its peak: currents,
/// membranes, spikes and gradients, and what operations between them leave. Measured, as the others.
const LAYERED_SEQUENCES: f64 = 4.0;
/// The same in double precision, whose convolutions write out the patches that they multiply.
const LAYERED_SEQUENCES_F64: f64 = 6.0;
/// What batch normalization adds: centred, scaled and shifted, and their gradients.
const NORM_SEQUENCES: f64 = 13.0;

/// The same of the batch engine.
const BATCH_SEQUENCES: f64 = 1.9;
/// Copies of the weights that the batch engine holds: packed for both directions, and what its tasks sum.
const BATCH_WEIGHTS: f64 = 6.0;

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
    let graph = config.graph()?;
    let n_parameters = graph.parameter_counts().iter().map(|(_, n)| *n as f64).sum();
    let element_bytes = if config.precision == Precision::F64 { 8.0 } else { 4.0 };
    let samples = n_steps as f64 * batch_size as f64;
    let elements = match execution(config, device)? {
        Execution::Fused => {
            fused(&graph, config, n_steps, batch_size, n_threads) + packed(n_parameters, batch_size)
        }
        Execution::Batch => {
            // Normalization happens on the way.
            samples * sequences(&graph, BATCH_SEQUENCES, 0.0) + BATCH_WEIGHTS * n_parameters
        }
        Execution::Auto | Execution::Layered if config.precision == Precision::F64 => {
            // The input is converted to another type.
            let input = graph.input_shape().n_elements() as f64;
            samples * (sequences(&graph, LAYERED_SEQUENCES_F64, NORM_SEQUENCES) + input)
        }
        Execution::Auto | Execution::Layered => {
            samples * sequences(&graph, LAYERED_SEQUENCES, NORM_SEQUENCES)
        }
    };
    Ok(StepMemory { n_parameters, element_bytes, step_bytes: element_bytes * elements })
}

/// Elements of weights packed for both directions, and of the gradients of each share.
fn packed(n_parameters: f64, batch_size: usize) -> f64 {
    (2.0 + n_shares(batch_size, n_parameters as usize) as f64) * n_parameters
}

/// Elements of the threads' workspaces.
fn fused(
    graph: &Graph,
    config: &NetworkConfig,
    n_steps: usize,
    batch_size: usize,
    n_threads: usize,
) -> f64 {
    let n_kept = config.checkpoint_steps.unwrap_or(n_steps).min(n_steps) as f64;
    let n_segments = (n_steps as f64 / n_kept).ceil();
    let (mut a_step, mut a_sample) = (graph.input_shape().n_elements() as f64, 0.0);
    for (id, node) in graph.nodes().iter().enumerate() {
        let size = |id| {
            let shape = graph.node(id).shape();
            (shape.height * shape.width * padded_channels(shape.channels)) as f64
        };
        let neurons = size(id);
        match &node.op {
            Op::Neurons(_) => {
                // Membranes; spikes and their gradient after the pooling that follows a convolution.
                let pool = graph.only_consumer(id).filter(|next| is_fused_pool(graph, *next));
                a_step += neurons + 2.0 * pool.map_or(neurons, size);
                a_sample += (4.0 + n_segments) * neurons;
            }
            Op::Pool(_) if !is_fused_pool(graph, id) => a_step += 2.0 * neurons,
            Op::Dropout(_) => {
                a_step += 2.0 * neurons;
                a_sample += 2.0 * neurons;
            }
            Op::Pool(_)
            | Op::Input(_)
            | Op::Conv(_)
            | Op::Dense(_)
            | Op::Norm(_)
            | Op::Flatten(_)
            | Op::Add(_)
            | Op::Output(_)
            | Op::Vote(_) => {}
        }
    }
    n_threads.min(batch_size).max(1) as f64 * (n_kept * a_step + a_sample)
}

/// Whether a node is the pooling right after neurons, which the fused execution computes with them.
fn is_fused_pool(graph: &Graph, id: NodeId) -> bool {
    let node = graph.node(id);
    let before = node.inputs.first().map(|input| &graph.node(*input).op);
    matches!((&node.op, before), (Op::Pool(_), Some(Op::Neurons(_))))
}

/// Elements for each step of each sample, where neurons and normalizations hold so many sequences.
fn sequences(graph: &Graph, of_neurons: f64, of_norm: f64) -> f64 {
    let of_node = |node: &Node| {
        let n = node.shape().n_elements() as f64;
        match node.op {
            Op::Neurons(_) => of_neurons * n,
            Op::Norm(_) => of_norm * n,
            Op::Pool(_) | Op::Dropout(_) | Op::Add(_) => 2.0 * n,
            Op::Input(_)
            | Op::Conv(_)
            | Op::Dense(_)
            | Op::Flatten(_)
            | Op::Output(_)
            | Op::Vote(_) => 0.0,
        }
    };
    graph.nodes().iter().map(of_node).sum()
}

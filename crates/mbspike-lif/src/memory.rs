//! How much memory a training step takes, from sizes alone.

use mbspike_core::DeviceName;
use mbspike_core::conv::padded_channels;

use crate::check::execution;
use crate::fused::n_shares;
use crate::graph::{Graph, Neurons, Node, NodeId, Op};
use crate::{Execution, NetworkConfig, Precision, Result};

/// Sequences of the size of its nodes that an execution holds at its peak. Measured, as all numbers here; the
/// table of runs that no number was fitted to is in `docs/benchmarks.md`.
struct Sequences {
    /// Of neurons: currents, membranes, spikes and gradients, and what operations between them leave.
    neurons: f64,
    /// Of a normalization: centred, scaled and shifted, and their gradients.
    norm: f64,
    /// Of a pooling.
    pool: f64,
    /// Of a sum of ways.
    add: f64,
    /// Of what a convolution reads, in another order.
    conv_input: f64,
    /// Of what a dense layer reads: in another order, transposed, its gradient.
    dense_input: f64,
    /// Of the network's input.
    input: f64,
}

const LAYERED: Sequences = Sequences {
    neurons: 4.1,
    norm: 13.0,
    pool: 2.8,
    add: 2.0,
    conv_input: 0.0,
    dense_input: 4.2,
    input: 0.9,
};
/// In double precision, whose convolutions write out the patches that they multiply.
const LAYERED_F64: Sequences = Sequences { neurons: 6.0, pool: 2.0, input: 1.0, ..LAYERED };
/// Normalization happens on the way.
const BATCH: Sequences = Sequences {
    neurons: 1.9,
    norm: 0.0,
    pool: 2.0,
    add: 1.0,
    conv_input: 1.5,
    dense_input: 1.5,
    input: 0.0,
};
/// What neurons have more in the batch engine after a convolution without pooling: their spikes, too.
const BATCH_UNPOOLED: f64 = 0.6;
/// What recurrent neurons have more there: each step by itself.
const BATCH_RECURRENT: f64 = 4.5;
/// What the layered execution has more for neurons that are computed one step after the other.
const STEPS_SEQUENCES: f64 = 9.6;
/// The same of recurrent neurons that are else the thesis's.
const RECURRENT_SEQUENCES: f64 = 6.0;
/// What a threshold that rises with the spikes adds to that.
const ADAPTATION_SEQUENCES: f64 = 2.0;

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
            samples * (sequences(&graph, &BATCH) + more_of_batch(&graph))
                + BATCH_WEIGHTS * n_parameters
        }
        Execution::Auto | Execution::Layered => {
            let is_f64 = config.precision == Precision::F64;
            let of = if is_f64 { &LAYERED_F64 } else { &LAYERED };
            samples * (sequences(&graph, of) + step_by_step(&graph))
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

/// Elements for each step of each sample.
fn sequences(graph: &Graph, of: &Sequences) -> f64 {
    let of_node = |node: &Node| {
        let n = node.shape().n_elements() as f64;
        let read =
            || node.inputs.iter().map(|id| graph.node(*id).shape().n_elements()).sum::<usize>();
        match node.op {
            Op::Neurons(_) => of.neurons * n,
            Op::Norm(_) => of.norm * n,
            Op::Pool(_) => of.pool * n,
            Op::Add(_) => of.add * n,
            Op::Dropout(_) => 2.0 * n,
            Op::Input(_) => of.input * n,
            Op::Conv(_) => of.conv_input * read() as f64,
            Op::Dense(_) => of.dense_input * read() as f64,
            Op::Flatten(_) | Op::Output(_) | Op::Vote(_) => 0.0,
        }
    };
    graph.nodes().iter().map(of_node).sum()
}

/// What neurons have more in the batch engine: of maps, where no pooling follows them, and where they hear each
/// other.
fn more_of_batch(graph: &Graph) -> f64 {
    let of_neurons = |(id, neurons): (NodeId, &Neurons)| {
        let next = graph.only_consumer(id);
        let is_pooled = next.is_some_and(|next| is_fused_pool(graph, next));
        let of_map = if graph.node(id).extent.is_map && !is_pooled { BATCH_UNPOOLED } else { 0.0 };
        let of_edge = if neurons.recurrent { BATCH_RECURRENT } else { 0.0 };
        (of_map + of_edge) * graph.node(id).shape().n_elements() as f64
    };
    graph.neurons().map(of_neurons).sum()
}

/// What neurons have more that are put together from operations, one step after the other.
fn step_by_step(graph: &Graph) -> f64 {
    let of_neurons = |(id, neurons): (NodeId, &Neurons)| {
        let more = if !neurons.params.is_plain() || neurons.learned_threshold.is_some() {
            let is_adaptive = neurons.params.adaptation.is_some();
            STEPS_SEQUENCES + if is_adaptive { ADAPTATION_SEQUENCES } else { 0.0 }
        } else if neurons.recurrent {
            RECURRENT_SEQUENCES
        } else {
            0.0
        };
        more * graph.node(id).shape().n_elements() as f64
    };
    graph.neurons().map(of_neurons).sum()
}

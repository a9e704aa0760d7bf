//! From a graph to the tables that say the same.

use mbspike_core::Decay;

use super::table::{LayerKind, LayerTable, Reads, TablePadding};
use crate::graph::{Add, Flatten, Graph, Neurons, Node, Norm, Op};
use crate::layer::NeuronParams;
use crate::neuron::NeuronTable;

/// The tables that say the same as a graph, node by node.
pub(super) fn of_graph(graph: &Graph) -> Vec<LayerTable> {
    graph.nodes().iter().skip(1).map(|node| of_node(graph, node)).collect()
}

fn of_node(graph: &Graph, node: &Node) -> LayerTable {
    let mut names: Vec<String> =
        node.inputs.iter().map(|id| graph.node(*id).name.clone()).collect();
    let reads = match names.len() {
        1 => Reads::One(names.remove(0)),
        _ => Reads::Many(names),
    };
    let named = |kind| LayerTable {
        name: Some(node.name.clone()),
        input: Some(reads.clone()),
        ..LayerTable::new(kind)
    };
    match &node.op {
        Op::Input(_) => unreachable!("the input is the first node"),
        Op::Conv(conv) => LayerTable {
            channels: Some(conv.channels),
            kernel: Some(conv.kernel),
            stride: Some(conv.stride),
            padding: Some(TablePadding::By(conv.padding)),
            dilation: Some(conv.dilation),
            groups: Some(conv.groups),
            bias: Some(conv.bias),
            spiking: Some(false),
            ..named(LayerKind::Conv)
        },
        Op::Dense(dense) => LayerTable {
            neurons: Some(dense.neurons),
            bias: Some(dense.bias),
            spiking: Some(false),
            ..named(LayerKind::Dense)
        },
        Op::Norm(Norm {}) => named(LayerKind::Norm),
        Op::Neurons(neurons) => LayerTable {
            recurrent: Some(neurons.recurrent),
            neuron: Some(neuron_table(neurons)),
            ..named(LayerKind::Neurons)
        },
        Op::Pool(pool) => {
            LayerTable { take: Some(pool.kind), size: Some(pool.size), ..named(LayerKind::Pool) }
        }
        Op::Flatten(Flatten {}) => named(LayerKind::Flatten),
        Op::Dropout(dropout) => LayerTable { p: Some(dropout.p), ..named(LayerKind::Dropout) },
        Op::Add(Add {}) => named(LayerKind::Add),
        Op::Output(_) => named(LayerKind::Readout),
        Op::Vote(vote) => LayerTable { group: Some(vote.group), ..named(LayerKind::Vote) },
    }
}

/// Everything about neurons of a graph.
fn neuron_table(neurons: &Neurons) -> NeuronTable {
    let NeuronParams { lif, signed, rounding, output, tau_syn, adaptation, smooth: _ } =
        neurons.params;
    let (tau, beta) = match lif.decay {
        Decay::Tau(tau) => (Some(tau), None),
        Decay::Beta(beta) => (None, Some(beta)),
    };
    NeuronTable {
        preset: None,
        bits: None,
        levels: Some(lif.levels),
        layer_bits: None,
        tau,
        beta,
        learnable_tau: Some(neurons.learned_tau.is_some()),
        v_threshold: Some(lif.v_threshold),
        learnable_threshold: Some(neurons.learned_threshold.is_some()),
        learned_by: neurons.learned_tau.or(neurons.learned_threshold),
        reset: Some(lif.reset),
        detach_reset: Some(lif.detach_reset),
        decay_input: Some(lif.decay_input),
        surrogate: Some(lif.surrogate),
        shift: Some(lif.shift),
        signed: Some(signed),
        rounding: Some(rounding),
        output: Some(output),
        tau_syn,
        adaptation,
    }
}

//! A network's graph in the shortest form that says it.

use mbspike_core::Decay;
use mbspike_lif::graph::{Conv, Dense, Graph as Layers, Neurons, Op, Pooling, Vote};
use mbspike_lif::{Arch, ConvLayer, Layer, NeuronConfig, Readout};

use super::super::Error;

/// A network as a config says it, and the graph that it makes, node for node the one it was made from.
pub(super) struct Said {
    pub(super) arch: Arch,
    pub(super) neuron: NeuronConfig,
    pub(super) graph: Layers,
}

/// The notation where that says the same, with one time constant for all or one learned by each layer;
/// else tables.
pub(super) fn say(graph: &Layers, bias: bool, readout: Readout) -> Result<Said, Error> {
    let neuron = shared(graph);
    if let Some(layers) = layers(graph) {
        let arch = Arch { input: graph.input_shape(), layers };
        let learnt = NeuronConfig { learnable_tau: true, beta: None, ..neuron.clone() };
        for neuron in [neuron.clone(), learnt] {
            match arch.graph(&neuron, bias, readout) {
                Ok(said) if is_same(graph, &said, neuron.learnable_tau) => {
                    return Ok(Said { arch, neuron, graph: said });
                }
                _ => {}
            }
        }
    }
    let arch = Arch::of_graph(graph);
    // Tables say all about their neurons.
    let neuron = NeuronConfig { layer_bits: None, ..neuron };
    let said = arch.graph(&neuron, bias, readout)?;
    Ok(Said { arch, neuron, graph: said })
}

/// The settings of the first neurons, with the levels of all.
fn shared(graph: &Layers) -> NeuronConfig {
    let mut all = graph.neurons().map(|(_, neurons)| neurons.params);
    let Some(first) = all.next() else { return NeuronConfig::new(1) };
    let bits = first.lif.bits();
    let mut config = NeuronConfig::new(bits);
    let is_bits = |levels: u32| levels.count_ones() == levels.trailing_ones();
    let levels: Vec<u32> =
        graph.neurons().map(|(_, neurons)| neurons.params.lif.n_levels()).collect();
    if levels.iter().any(|n| *n != levels[0]) && levels.iter().copied().all(is_bits) {
        config.layer_bits = Some(levels.iter().map(|n| n.trailing_ones()).collect());
    } else if !is_bits(levels[0]) {
        config.levels = Some(levels[0]);
    }
    match first.lif.decay {
        Decay::Tau(tau) => config.tau = tau,
        Decay::Beta(beta) => config.beta = Some(beta),
    }
    config.decay_input = first.lif.decay_input;
    config.v_threshold = first.lif.v_threshold;
    config.reset = graph
        .neurons()
        .find(|(_, neurons)| !neurons.sends_membrane)
        .map_or(first.lif.reset, |(_, neurons)| neurons.params.lif.reset);
    config.tau_syn = first.tau_syn;
    config
}

/// The layers of a graph whose nodes are in a row.
fn layers(graph: &Layers) -> Option<Vec<Layer>> {
    let nodes = graph.nodes();
    let is_row = nodes.iter().enumerate().skip(1).all(|(id, node)| node.inputs == [id - 1]);
    if !is_row {
        return None;
    }
    let op = |id: usize| nodes.get(id).map(|node| &node.op);
    let cells = |id: usize| match op(id) {
        Some(Op::Neurons(neurons)) => Some(neurons),
        _ => None,
    };
    let mut layers = vec![];
    let mut id = 1;
    while let Some(here) = op(id) {
        let next = cells(id + 1);
        match here {
            Op::Conv(conv) => layers.push(Layer::Conv(convolution(conv, next.is_some())?)),
            Op::Dense(Dense { neurons, .. }) => {
                if next.is_some() && matches!(op(id + 2), Some(Op::Output(_))) {
                    layers.push(Layer::Output { neurons: *neurons });
                    id += 1;
                } else {
                    let recurrent = next.is_some_and(|neurons| neurons.recurrent);
                    let spiking = next.is_some();
                    layers.push(Layer::Dense { neurons: *neurons, recurrent, spiking });
                }
            }
            Op::Neurons(_) => {
                if !matches!(op(id - 1), Some(Op::Conv(_) | Op::Dense(_))) {
                    layers.push(Layer::Neurons);
                }
            }
            Op::Pool(Pooling { kind, size }) => {
                layers.push(Layer::Pool { kind: *kind, size: *size });
            }
            Op::Output(_) => {}
            Op::Vote(Vote { group }) => layers.push(Layer::Vote { group: *group }),
            Op::Input(_) | Op::Norm(_) | Op::Flatten(_) | Op::Dropout(_) | Op::Add(_) => {
                return None;
            }
        }
        id += 1;
    }
    Some(layers)
}

fn convolution(conv: &Conv, spiking: bool) -> Option<ConvLayer> {
    let Conv { channels, kernel, stride, padding, dilation, groups, bias: _ } = *conv;
    let same = dilation * (kernel - 1) / 2;
    let valid = padding == 0 && (same != 0 || kernel % 2 == 0);
    let fits = valid || (kernel % 2 == 1 && padding == same);
    let channels = Some(channels);
    fits.then_some(ConvLayer { channels, kernel, stride, dilation, groups, valid, spiking })
}

/// Whether two graphs are the same but for names and, where they are learned, time constants.
fn is_same(graph: &Layers, said: &Layers, learns_tau: bool) -> bool {
    let plain = |neurons: &Neurons| {
        let mut neurons = *neurons;
        if learns_tau {
            neurons.learned_tau = None;
            neurons.params.lif.decay = Decay::Tau(1.0);
        }
        neurons
    };
    graph.nodes().len() == said.nodes().len()
        && graph.nodes().iter().zip(said.nodes()).all(|(a, b)| {
            let is_same = match (&a.op, &b.op) {
                (Op::Neurons(a), Op::Neurons(b)) => plain(a) == plain(b),
                (a, b) => a == b,
            };
            is_same && a.inputs == b.inputs && a.extent == b.extent
        })
}

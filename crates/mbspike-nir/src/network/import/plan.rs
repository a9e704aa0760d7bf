//! The network that is to be built, while its weights still change.

use std::collections::BTreeMap;

use mbspike_lif::graph::{Graph as Layers, GraphBuilder, Op, Role};
use mbspike_lif::{Readout, Shape};

use super::super::{Error, unsupported};
use crate::{Graph, Kind};

/// Weights of a layer.
#[derive(Debug, Clone)]
pub(super) struct Weights {
    pub(super) shape: Vec<usize>,
    pub(super) weight: Vec<f64>,
    pub(super) bias: Vec<f64>,
}

struct Planned {
    /// The graph's node.
    origin: String,
    /// The name it keeps, where it may.
    name: Option<String>,
    op: Op,
    inputs: Vec<usize>,
}

/// Nodes by their place.
#[derive(Default)]
pub(super) struct Plan {
    input: Option<(String, Shape)>,
    nodes: Vec<Planned>,
    weights: BTreeMap<usize, Weights>,
    /// Weights of recurrent edges, with the graph's node.
    recurrent: BTreeMap<usize, (String, Weights)>,
}

/// A network and where its parts come from.
pub(super) struct Built {
    pub(super) graph: Layers,
    pub(super) origins: Vec<String>,
    weights: BTreeMap<usize, Weights>,
    recurrent: BTreeMap<usize, (String, Weights)>,
}

impl Built {
    /// The values of a node's variable.
    pub(super) fn values(&self, id: usize, role: Role) -> Option<Vec<f64>> {
        match role {
            Role::Weight => self.weights.get(&id).map(|weights| weights.weight.clone()),
            Role::Bias => self.weights.get(&id).map(|weights| weights.bias.clone()),
            Role::Recurrent => self.recurrent.get(&id).map(|(_, weights)| weights.weight.clone()),
            Role::Tau | Role::VThreshold | Role::RunningMean | Role::RunningVariance => None,
        }
    }

    /// The time constant of neurons.
    pub(super) fn tau(&self, id: usize) -> f64 {
        match &self.graph.node(id).op {
            Op::Neurons(neurons) => 1.0 / (1.0 - neurons.params.lif.beta()),
            _ => f64::NAN,
        }
    }
}

impl Plan {
    pub(super) fn start(&mut self, origin: &str, shape: Shape) -> usize {
        self.input = Some((origin.to_owned(), shape));
        0
    }

    pub(super) fn add(
        &mut self,
        origin: &str,
        name: Option<&str>,
        op: impl Into<Op>,
        inputs: Vec<usize>,
    ) -> usize {
        let (origin, name) = (origin.to_owned(), name.map(str::to_owned));
        self.nodes.push(Planned { origin, name, op: op.into(), inputs });
        self.nodes.len()
    }

    pub(super) fn add_weights(
        &mut self,
        origin: &str,
        op: impl Into<Op>,
        input: usize,
        weights: Weights,
    ) -> usize {
        let id = self.add(origin, Some(origin), op, vec![input]);
        self.weights.insert(id, weights);
        id
    }

    pub(super) fn set_recurrent(
        &mut self,
        id: usize,
        origin: &str,
        shape: Vec<usize>,
        weight: Vec<f64>,
    ) {
        let bias = vec![];
        self.recurrent.insert(id, (origin.to_owned(), Weights { shape, weight, bias }));
    }

    fn op(&self, id: usize) -> Option<&Planned> {
        self.nodes.get(id.checked_sub(1)?)
    }

    pub(super) fn is_neurons(&self, id: usize) -> bool {
        self.op(id).is_some_and(|node| matches!(node.op, Op::Neurons(_)))
    }

    pub(super) fn is_vote(&self, id: usize) -> bool {
        self.op(id).is_some_and(|node| matches!(node.op, Op::Vote(_)))
    }

    pub(super) fn sends_membrane(&self, id: usize) -> bool {
        self.op(id).is_some_and(|node| matches!(&node.op, Op::Neurons(n) if n.sends_membrane))
    }

    /// The layers of weights whose currents make up what node `id` sends.
    fn drivers(&self, graph: &Graph, id: usize) -> Result<Vec<usize>, String> {
        let Some(node) = self.op(id) else {
            return Err("no convolution or dense layer lies before these neurons".into());
        };
        if n_readers(graph, &node.origin) > 1 && !matches!(node.op, Op::Add(_)) {
            return Err(format!("`{}` before it is read by other nodes, too", node.origin));
        }
        match node.op {
            Op::Conv(_) | Op::Dense(_) => Ok(vec![id]),
            Op::Add(_) | Op::Pool(_) | Op::Flatten(_) => {
                let mut all = vec![];
                for input in &node.inputs {
                    all.extend(self.drivers(graph, *input)?);
                }
                Ok(all)
            }
            _ => Err("no convolution or dense layer lies before these neurons".into()),
        }
    }

    /// Multiplies what node `id` sends, in the weights that make it.
    pub(super) fn scale(&mut self, graph: &Graph, id: usize, factor: f64) -> Result<(), String> {
        for driver in self.drivers(graph, id)? {
            if let Some(weights) = self.weights.get_mut(&driver) {
                let all = weights.weight.iter_mut().chain(&mut weights.bias);
                all.for_each(|w| *w *= factor);
            }
        }
        Ok(())
    }

    /// Adds to what node `id` sends, in the bias of a layer that makes it.
    pub(super) fn add_bias(
        &mut self,
        graph: &Graph,
        id: usize,
        bias: &[f64],
    ) -> Result<(), String> {
        let drivers = self.drivers(graph, id)?;
        let fits = |weights: &Weights| weights.bias.len() == bias.len();
        let driver = drivers.iter().find(|id| self.weights.get(id).is_some_and(fits));
        let Some(weights) = driver.and_then(|id| self.weights.get_mut(id)) else {
            return Err("no layer before its neurons has a bias of that size".into());
        };
        weights.bias.iter_mut().zip(bias).for_each(|(b, more)| *b += more);
        Ok(())
    }

    /// Settles what is known at the end: whether there are biases, which then all layers have; the
    /// readout; and what nodes do not say of neurons that are read by their membranes.
    pub(super) fn settle(&mut self, readout: Readout) -> bool {
        let bias = self.weights.values().flat_map(|weights| &weights.bias).any(|&b| b != 0.0);
        let first = self.nodes.iter().find_map(|node| match &node.op {
            Op::Neurons(neurons) if !neurons.sends_membrane => Some(neurons.params),
            _ => None,
        });
        for node in &mut self.nodes {
            match &mut node.op {
                Op::Conv(conv) => conv.bias = bias,
                Op::Dense(dense) => dense.bias = bias,
                Op::Output(output) => output.readout = readout,
                Op::Neurons(neurons) if neurons.sends_membrane => {
                    if let Some(first) = first {
                        let lif = neurons.params.lif;
                        neurons.params.lif = first.lif;
                        neurons.params.lif.decay = lif.decay;
                        neurons.params.lif.decay_input = lif.decay_input;
                    }
                }
                _ => {}
            }
        }
        bias
    }

    pub(super) fn build(&mut self) -> Result<Built, Error> {
        let Some((origin, shape)) = self.input.take() else {
            return unsupported("graph", "it has no input");
        };
        let misfit = |origin: &str, error: mbspike_lif::graph::GraphError| Error::Unsupported {
            node: origin.to_owned(),
            reason: error.to_string(),
        };
        let mut builder = GraphBuilder::new(shape).map_err(|error| misfit(&origin, error))?;
        let mut origins = vec![origin];
        for node in self.nodes.drain(..) {
            let is_name = |name: &String| {
                let mut parts = name.split('.');
                builder.find(name).is_none()
                    && parts.all(|part| {
                        let mut letters = part.chars();
                        !part.is_empty()
                            && letters.all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-'))
                    })
            };
            let name = node.name.filter(is_name);
            builder
                .add_named(node.op, &node.inputs, name.as_deref())
                .map_err(|error| misfit(&node.origin, error))?;
            origins.push(node.origin);
        }
        let graph = builder.finish().map_err(|error| Error::Unsupported {
            node: error.node.clone(),
            reason: error.to_string(),
        })?;
        for (id, node) in graph.nodes().iter().enumerate() {
            let weights = [self.weights.get(&id), self.recurrent.get(&id).map(|(_, w)| w)];
            for weights in weights.into_iter().flatten() {
                let fits = node.variables.iter().any(|variable| variable.dims == weights.shape);
                if !fits {
                    let expected: Vec<_> = node.variables.iter().map(|v| v.dims.clone()).collect();
                    return unsupported(
                        &origins[id],
                        format!(
                            "its weight is {:?} where its input asks for {expected:?}",
                            weights.shape
                        ),
                    );
                }
            }
        }
        let weights = std::mem::take(&mut self.weights);
        let recurrent = std::mem::take(&mut self.recurrent);
        Ok(Built { graph, origins, weights, recurrent })
    }
}

/// How many nodes read one, not counting those that become part of others.
fn n_readers(graph: &Graph, name: &str) -> usize {
    let of = |target: &str| match graph.nodes[target].kind {
        Kind::Scale(_) | Kind::Flatten(_) => n_readers(graph, target),
        _ => 1,
    };
    graph.targets(name).map(of).sum()
}

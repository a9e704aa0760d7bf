//! The layers of weights of a graph with what they listen to and who they drive: what counts
//! operations.

use super::{Graph, NodeId, Op, Pooling};

/// A layer of weights: a convolution, a dense layer, or the recurrent edge of neurons.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Weights {
    /// Its node; for a recurrent edge that of the neurons.
    pub node: NodeId,
    /// Whether it is the recurrent edge of those neurons, which hears their last step.
    pub is_recurrent: bool,
    /// The node whose values it is multiplied with.
    pub input: NodeId,
    /// The node that sent them, before pooling, flattening and dropout on the way.
    pub source: NodeId,
    /// That pooling, in order.
    pub pools: Vec<Pooling>,
    /// Whether batch normalization follows, which becomes part of the weights and leaves a bias.
    pub is_normed: bool,
    /// The neurons that it drives; `None` where they count as those of another layer of weights that
    /// comes together with this one, or there are none.
    pub neurons: Option<NodeId>,
}

impl Graph {
    /// The layers of weights, from the input on; a recurrent edge right after the layer that its
    /// neurons follow.
    pub fn weights(&self) -> Vec<Weights> {
        let mut found: Vec<Weights> = vec![];
        for (id, node) in self.nodes().iter().enumerate() {
            match &node.op {
                Op::Conv(_) | Op::Dense(_) => {
                    let (source, pools) = self.source(node.inputs[0]);
                    let next = self.only_consumer(id);
                    let is_normed =
                        next.is_some_and(|next| matches!(self.node(next).op, Op::Norm(_)));
                    let input = node.inputs[0];
                    let neurons = self.driven(id);
                    let is_recurrent = false;
                    found.push(Weights {
                        node: id,
                        is_recurrent,
                        input,
                        source,
                        pools,
                        is_normed,
                        neurons,
                    });
                }
                Op::Neurons(neurons) if neurons.recurrent => found.push(Weights {
                    node: id,
                    is_recurrent: true,
                    input: id,
                    source: id,
                    pools: vec![],
                    is_normed: false,
                    neurons: None,
                }),
                Op::Input(_)
                | Op::Norm(_)
                | Op::Neurons(_)
                | Op::Pool(_)
                | Op::Flatten(_)
                | Op::Dropout(_)
                | Op::Add(_)
                | Op::Output(_)
                | Op::Vote(_) => {}
            }
        }
        // Of layers that drive the same neurons, the last one has them.
        for i in 0..found.len() {
            let neurons = found[i].neurons;
            if neurons.is_some() && found[i + 1..].iter().any(|later| later.neurons == neurons) {
                found[i].neurons = None;
            }
        }
        found
    }

    /// The node that sends what node `id` passes on, and the pooling between.
    fn source(&self, mut id: NodeId) -> (NodeId, Vec<Pooling>) {
        let mut pools = vec![];
        loop {
            let node = self.node(id);
            match node.op {
                Op::Pool(pool) => pools.push(pool),
                Op::Flatten(_) | Op::Dropout(_) => {}
                Op::Input(_)
                | Op::Conv(_)
                | Op::Dense(_)
                | Op::Norm(_)
                | Op::Neurons(_)
                | Op::Add(_)
                | Op::Output(_)
                | Op::Vote(_) => {
                    pools.reverse();
                    return (id, pools);
                }
            }
            id = node.inputs[0];
        }
    }

    /// The neurons that a current reaches.
    fn driven(&self, mut id: NodeId) -> Option<NodeId> {
        loop {
            id = self.only_consumer(id)?;
            match self.node(id).op {
                Op::Neurons(_) => return Some(id),
                Op::Norm(_) | Op::Add(_) | Op::Pool(_) | Op::Flatten(_) | Op::Dropout(_) => {}
                Op::Input(_) | Op::Conv(_) | Op::Dense(_) | Op::Output(_) | Op::Vote(_) => {
                    return None;
                }
            }
        }
    }
}

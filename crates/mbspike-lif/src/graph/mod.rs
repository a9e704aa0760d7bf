//! The one form of a network inside: a graph of named nodes, each with its shape and its variables by
//! name. The notation, `[[network.layer]]` tables and [`GraphBuilder`] make it; the engines compile it.
//!
//! Nodes stand in an order in which each comes after those it reads. What a node is computed on is the
//! sequence `[T, B, C, H, W]` of its input (`[T, B, N]` where there is no map any more); only a
//! recurrent edge, which belongs to the neurons it starts from and ends at, goes from one step to the
//! next.
//!
//! A new kind of layer is a file in `graph/node` and an arm in each engine: [`Op`] is matched without a
//! wildcard everywhere.
//!
//! ```
//! use mbspike_lif::graph::{Add, Conv, Dense, GraphBuilder, Neurons, Output};
//! use mbspike_lif::{Readout, Shape};
//!
//! let mut graph = GraphBuilder::new(Shape { channels: 1, height: 8, width: 8 })?;
//! let input = graph.input();
//! let conv = graph.add(Conv::same(4, 3), &[input])?;
//! let spikes = graph.add(Neurons::default(), &[conv])?;
//! let conv = graph.add(Conv::same(4, 3), &[spikes])?;
//! let more = graph.add(Neurons::default(), &[conv])?;
//! let sum = graph.add(Add {}, &[spikes, more])?;
//! let fc = graph.add(Dense { neurons: 3, bias: false }, &[sum])?;
//! let out = graph.add(Neurons::default(), &[fc])?;
//! graph.add(Output { readout: Readout::MeanSpike }, &[out])?;
//! let graph = graph.finish()?;
//! assert_eq!(graph.node(sum).name, "add1");
//! assert_eq!(graph.n_classes(), 3);
//! # Ok::<(), mbspike_lif::Error>(())
//! ```

mod builder;
mod extent;
mod misfit;
mod node;
mod op;
mod weights;

pub use builder::GraphBuilder;
pub use extent::Extent;
pub use misfit::{GraphError, Misfit};
pub use node::{
    Add, Conv, Dense, Dropout, Flatten, Input, Neurons, Norm, Output, Pooling, Role, Start,
    Variable, Vote,
};
pub use op::Op;
pub use weights::Weights;

use crate::Shape;

/// The place of a node in its graph.
pub type NodeId = usize;

/// A node of a [`Graph`].
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    /// Its name, unlike any other: `conv1`, `lif1`, …, or as given.
    pub name: String,
    /// What it computes.
    pub op: Op,
    /// The nodes that it reads.
    pub inputs: Vec<NodeId>,
    /// What it sends.
    pub extent: Extent,
    /// Its variables, with their names in a checkpoint.
    pub variables: Vec<Variable>,
}

impl Node {
    /// The size of what it sends.
    pub fn shape(&self) -> Shape {
        self.extent.shape
    }
}

/// A network as a graph; see the [module](self) text.
#[derive(Debug, Clone, PartialEq)]
pub struct Graph {
    nodes: Vec<Node>,
}

impl Graph {
    /// Its nodes, the input first, the scores last.
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// A node.
    ///
    /// # Panics
    /// If there is none at that place.
    pub fn node(&self, id: NodeId) -> &Node {
        &self.nodes[id]
    }

    /// The node of that name.
    pub fn find(&self, name: &str) -> Option<NodeId> {
        self.nodes.iter().position(|node| node.name == name)
    }

    /// Size of the input.
    pub fn input_shape(&self) -> Shape {
        self.nodes[0].shape()
    }

    /// Classes that it tells apart.
    pub fn n_classes(&self) -> usize {
        self.nodes.last().map_or(0, |node| node.shape().n_elements())
    }

    /// The nodes that read a node.
    pub fn consumers(&self, id: NodeId) -> impl Iterator<Item = NodeId> + '_ {
        (0..self.nodes.len()).filter(move |other| self.nodes[*other].inputs.contains(&id))
    }

    /// The one node that reads a node, if it is one.
    pub fn only_consumer(&self, id: NodeId) -> Option<NodeId> {
        let mut consumers = self.consumers(id);
        let first = consumers.next()?;
        consumers.next().is_none().then_some(first)
    }

    /// The nodes of neurons, in order.
    pub fn neurons(&self) -> impl Iterator<Item = (NodeId, &Neurons)> {
        self.nodes.iter().enumerate().filter_map(|(id, node)| match &node.op {
            Op::Neurons(neurons) => Some((id, neurons)),
            _ => None,
        })
    }

    /// The readout of the output layer.
    pub fn readout(&self) -> Option<crate::Readout> {
        self.nodes.iter().find_map(|node| match node.op {
            Op::Output(Output { readout }) => Some(readout),
            _ => None,
        })
    }

    /// Elements of the trainable variables of each node that has any, with its name.
    pub fn parameter_counts(&self) -> Vec<(&str, usize)> {
        let count = |node: &Node| -> usize {
            let trainable = node.variables.iter().filter(|v| v.role.is_trainable());
            trainable.map(|v| v.dims.iter().product::<usize>()).sum()
        };
        let counts = self.nodes.iter().map(|node| (node.name.as_str(), count(node)));
        counts.filter(|(_, n)| *n > 0).collect()
    }

    /// Neurons whose membranes are read out send them and are not reset.
    fn send_membranes(&mut self) {
        for id in 0..self.nodes.len() {
            let reads_membrane =
                matches!(&self.nodes[id].op, Op::Output(output) if output.readout.reads_membrane());
            for input in self.nodes[id].inputs.clone() {
                if let Op::Neurons(neurons) = &mut self.nodes[input].op
                    && reads_membrane
                {
                    neurons.sends_membrane = true;
                    neurons.params.lif.reset = mbspike_core::Reset::None {};
                }
            }
        }
    }

    /// Sets the parameters of the neurons, the first first.
    pub(crate) fn set_neurons(
        &mut self,
        mut with: impl FnMut(usize, &mut Neurons) -> crate::Result<()>,
    ) -> crate::Result<()> {
        let mut index = 0;
        for id in 0..self.nodes.len() {
            let channels = self.nodes[id].shape().channels;
            let node = &mut self.nodes[id];
            if let Op::Neurons(neurons) = &mut node.op {
                with(index, neurons)?;
                node.variables = neurons.variables_of(&node.name, channels);
                index += 1;
            }
        }
        Ok(())
    }
}

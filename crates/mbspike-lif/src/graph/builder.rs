use std::collections::HashMap;

use super::node::{Input, NodeKind};
use super::{Extent, Graph, GraphError, Misfit, Node, NodeId, Op};
use crate::Shape;

/// Puts a [`Graph`] together, node by node; each is checked against those it reads.
#[derive(Debug, Clone)]
pub struct GraphBuilder {
    nodes: Vec<Node>,
    /// How many nodes of a kind have numbered names.
    numbers: HashMap<&'static str, usize>,
    n_dropouts: usize,
}

impl GraphBuilder {
    /// A graph of nothing but an input.
    ///
    /// # Errors
    /// If the input has no elements, or too many to be meant.
    pub fn new(input: Shape) -> Result<Self, GraphError> {
        let mut builder = Self { nodes: vec![], numbers: HashMap::new(), n_dropouts: 0 };
        builder.add_named(Op::Input(Input { shape: input }), &[], Some("input"))?;
        Ok(builder)
    }

    /// The input's node.
    pub fn input(&self) -> NodeId {
        0
    }

    /// A node that was added.
    ///
    /// # Panics
    /// If there is none at that place.
    pub fn node(&self, id: NodeId) -> &Node {
        &self.nodes[id]
    }

    /// How many nodes there are.
    pub fn n_nodes(&self) -> usize {
        self.nodes.len()
    }

    /// The node of that name.
    pub fn find(&self, name: &str) -> Option<NodeId> {
        self.nodes.iter().position(|node| node.name == name)
    }

    /// Adds a node that reads `inputs`, named after its kind and counted: `conv1`, `conv2`, …
    ///
    /// # Errors
    /// If it does not fit what it reads.
    pub fn add(&mut self, op: impl Into<Op>, inputs: &[NodeId]) -> Result<NodeId, GraphError> {
        self.add_named(op, inputs, None)
    }

    /// [`GraphBuilder::add`] with a name of its own.
    ///
    /// # Errors
    /// If it does not fit what it reads, or the name is taken or not one.
    pub fn add_named(
        &mut self,
        op: impl Into<Op>,
        inputs: &[NodeId],
        name: Option<&str>,
    ) -> Result<NodeId, GraphError> {
        let mut op = op.into();
        let prefix = op.operation().kind().prefix();
        let name = match name {
            Some(name) => name.to_owned(),
            None => loop {
                let number = self.numbers.entry(prefix).or_default();
                *number += 1;
                let name = format!("{prefix}{number}");
                if self.find(&name).is_none() {
                    break name;
                }
            },
        };
        let fail = |misfit| Err(GraphError { node: name.clone(), misfit });
        if self.find(&name).is_some() {
            return fail(Misfit::new(" a second time", "names that differ"));
        }
        let is_part = |part: &str| {
            !part.is_empty()
                && part.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-')
        };
        if !name.split('.').all(is_part) {
            let expected = "letters, digits, `_` and `-`, parts separated by dots";
            return fail(Misfit::new(" as a name", expected));
        }
        if let Some(unknown) = inputs.iter().find(|id| **id >= self.nodes.len()) {
            return fail(Misfit::new(
                format!(" reads node {unknown}"),
                "a node that was added before",
            ));
        }
        if let Op::Dropout(dropout) = &mut op {
            dropout.index = self.n_dropouts;
            self.n_dropouts += 1;
        }
        let of_inputs: Vec<Extent> = inputs.iter().map(|id| self.nodes[*id].extent).collect();
        let kind = |id: &NodeId| self.nodes[*id].op.operation().kind();
        let reads: Vec<NodeKind> = inputs.iter().map(kind).collect();
        let extent = match op.operation().extent(&of_inputs, &reads) {
            Ok(extent) => extent,
            Err(misfit) => return fail(misfit),
        };
        let variables = op.operation().variables(&name, &of_inputs);
        self.nodes.push(Node { name, op, inputs: inputs.to_vec(), extent, variables });
        Ok(self.nodes.len() - 1)
    }

    /// The graph.
    ///
    /// # Errors
    /// If it does not end with scores, or something that is sent is read by no node.
    pub fn finish(self) -> Result<Graph, GraphError> {
        let last = self.nodes.len() - 1;
        let mut graph = Graph { nodes: self.nodes };
        graph.send_membranes();
        let fail =
            |id: NodeId, misfit| Err(GraphError { node: graph.nodes[id].name.clone(), misfit });
        if !matches!(graph.nodes[last].op, Op::Output(_) | Op::Vote(_)) {
            return fail(last, Misfit::new(" at the end", "an output layer"));
        }
        for id in 0..last {
            if graph.consumers(id).next().is_none() {
                return fail(id, Misfit::new(" is read by nothing", "a node that reads it"));
            }
            let of_output = matches!(&graph.nodes[id].op, Op::Neurons(n) if n.sends_membrane);
            if of_output && graph.only_consumer(id).is_none() {
                let expected = "nothing else to read neurons whose membranes are read out";
                return fail(id, Misfit::new("", expected));
            }
        }
        Ok(graph)
    }
}

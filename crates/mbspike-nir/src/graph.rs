use std::collections::BTreeSet;

use crate::node::Graph;
use crate::{Error, Kind, Node, Result};

impl From<Graph> for Kind {
    fn from(graph: Graph) -> Self {
        Self::Graph(graph)
    }
}

impl Graph {
    /// A graph of nodes in a row, each connected to the next.
    pub fn sequence<'a>(nodes: impl IntoIterator<Item = (&'a str, Kind)>) -> Self {
        let mut graph = Self::default();
        let mut last: Option<String> = None;
        for (name, kind) in nodes {
            graph.nodes.insert(name.to_owned(), kind.into());
            if let Some(last) = last {
                graph.edges.push((last, name.to_owned()));
            }
            last = Some(name.to_owned());
        }
        graph
    }

    /// Adds a node.
    pub fn insert(&mut self, name: impl Into<String>, node: impl Into<Node>) {
        self.nodes.insert(name.into(), node.into());
    }

    /// Adds an edge.
    pub fn connect(&mut self, from: impl Into<String>, to: impl Into<String>) {
        self.edges.push((from.into(), to.into()));
    }

    /// The names of the nodes with an edge to `node`, in the order of the edges.
    pub fn sources<'a>(&'a self, node: &'a str) -> impl Iterator<Item = &'a str> {
        self.edges.iter().filter(move |(_, to)| to == node).map(|(from, _)| from.as_str())
    }

    /// The names of the nodes that `node` has an edge to, in the order of the edges.
    pub fn targets<'a>(&'a self, node: &'a str) -> impl Iterator<Item = &'a str> {
        self.edges.iter().filter(move |(from, _)| from == node).map(|(_, to)| to.as_str())
    }

    /// The names of the input nodes.
    pub fn inputs(&self) -> impl Iterator<Item = &str> {
        self.named(|kind| matches!(kind, Kind::Input { .. }))
    }

    /// The names of the output nodes.
    pub fn outputs(&self) -> impl Iterator<Item = &str> {
        self.named(|kind| matches!(kind, Kind::Output { .. }))
    }

    fn named(&self, is: impl Fn(&Kind) -> bool) -> impl Iterator<Item = &str> {
        self.nodes.iter().filter(move |(_, node)| is(&node.kind)).map(|(name, _)| name.as_str())
    }

    /// Whether every edge joins two nodes that exist, no edge is there twice, every node can be
    /// named in a file, and the arrays of each node belong together; in nested graphs too.
    ///
    /// # Errors
    /// If not, with the node or edge.
    pub fn check(&self) -> Result<()> {
        for (name, node) in &self.nodes {
            check_name(name).map_err(|error| error.in_node(name))?;
            match &node.kind {
                Kind::Graph(graph) => graph.check(),
                kind => kind.check(),
            }
            .map_err(|error| error.in_node(name))?;
        }
        let mut seen = BTreeSet::new();
        for (from, to) in &self.edges {
            for end in [from, to] {
                if !self.nodes.contains_key(end) {
                    return Err(Error::edge(from, to, format!("there is no node `{end}`")));
                }
            }
            if !seen.insert((from, to)) {
                return Err(Error::edge(from, to, "it is there twice"));
            }
        }
        Ok(())
    }
}

/// Names are links of HDF5 groups: a slash would make a group of its own.
pub(crate) fn check_name(name: &str) -> Result<()> {
    if name.is_empty() || name == "." || name.contains(['/', '\0']) {
        return Err(Error::expected(
            "a name that is not empty, not `.`, and has no `/` or NUL in it",
            format!("{name:?}"),
        ));
    }
    Ok(())
}

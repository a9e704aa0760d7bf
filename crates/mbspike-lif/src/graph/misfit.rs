use std::fmt;

/// Why a node does not fit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Misfit {
    /// What makes it so, after the node's name: ` on a map of 28x28x8`; may be empty.
    pub context: String,
    /// What would be right.
    pub expected: String,
}

impl Misfit {
    pub(crate) fn new(context: impl Into<String>, expected: impl Into<String>) -> Self {
        Self { context: context.into(), expected: expected.into() }
    }
}

/// A node that does not fit the graph.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GraphError {
    /// Its name.
    pub node: String,
    /// Why.
    pub misfit: Misfit,
}

impl fmt::Display for GraphError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}`{}, expected {}", self.node, self.misfit.context, self.misfit.expected)
    }
}

impl std::error::Error for GraphError {}

use candle_core::Var;

/// A named variable of a network: a weight, or a statistic of batch normalization.
#[derive(Debug, Clone)]
pub struct Parameter {
    /// `conv1.weight`, `fc1.bias`, `lif1.tau`, …, numbered from the input.
    pub name: String,
    /// Its value, shared by all clones.
    pub var: Var,
    /// The least that it may be: an [`Optimizer`](crate::optim::Optimizer) sets what a step took below
    /// to it.
    pub at_least: Option<f64>,
}

impl Parameter {
    /// One that may be any number.
    pub fn new(name: impl Into<String>, var: Var) -> Self {
        Self { name: name.into(), var, at_least: None }
    }
}

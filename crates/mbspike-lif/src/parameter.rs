use candle_core::Var;

/// A named variable of a network: a weight, or a statistic of batch normalization.
#[derive(Debug, Clone)]
pub struct Parameter {
    /// `conv1.weight`, `fc1.bias`, `lif1.tau`, …, numbered from the input.
    pub name: String,
    /// Its value, shared by all clones.
    pub var: Var,
}

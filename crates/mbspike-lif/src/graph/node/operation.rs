use crate::graph::extent::Extent;
use crate::graph::misfit::Misfit;

/// The most elements of a map and the most weights of a layer: 2^31, 8 GiB of `f32`. More is a
/// typing error, and would otherwise end in a failed allocation.
pub(super) const MAX_ELEMENTS: usize = 1 << 31;

/// What a variable is to its node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Role {
    /// Weights of a convolution or dense layer, scale of batch normalization.
    Weight,
    /// Bias of the same.
    Bias,
    /// Learned time constant.
    Tau,
    /// Learned threshold.
    VThreshold,
    /// Weights of a recurrent edge.
    Recurrent,
    /// Running mean of batch normalization.
    RunningMean,
    /// Running variance of batch normalization.
    RunningVariance,
}

impl Role {
    /// Whether it is trained, or a statistic that goes along.
    pub fn is_trainable(self) -> bool {
        match self {
            Self::Weight | Self::Bias | Self::Tau | Self::VThreshold | Self::Recurrent => true,
            Self::RunningMean | Self::RunningVariance => false,
        }
    }
}

/// What a variable starts from.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Start {
    /// Uniform in `±1/√fan_in`, PyTorch's default.
    Uniform {
        /// Inputs that each output sums over.
        fan_in: usize,
    },
    /// One number.
    Constant(f64),
}

/// A variable of a node.
#[derive(Debug, Clone, PartialEq)]
pub struct Variable {
    /// What it is to the node.
    pub role: Role,
    /// Its name in a checkpoint, `conv1.weight`.
    pub name: String,
    /// Its shape.
    pub dims: Vec<usize>,
    /// What it starts from.
    pub start: Start,
}

/// The kinds of nodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NodeKind {
    Input,
    Conv,
    Dense,
    Norm,
    Neurons,
    Pool,
    Flatten,
    Dropout,
    Add,
    Output,
    Vote,
}

impl NodeKind {
    /// What the numbered name of such a node starts with.
    pub(crate) fn prefix(self) -> &'static str {
        match self {
            Self::Input => "input",
            Self::Conv => "conv",
            Self::Dense => "fc",
            Self::Norm => "bn",
            Self::Neurons => "lif",
            Self::Pool => "pool",
            Self::Flatten => "flatten",
            Self::Dropout => "dropout",
            Self::Add => "add",
            Self::Output => "output",
            Self::Vote => "vote",
        }
    }
}

/// What every kind of node says of itself.
pub(crate) trait Operation {
    /// Which kind it is.
    fn kind(&self) -> NodeKind;

    /// What it sends, from what the nodes that it reads send; or why it does not fit them.
    fn extent(&self, inputs: &[Extent], reads: &[NodeKind]) -> Result<Extent, Misfit>;

    /// Its variables; `inputs` fit.
    fn variables(&self, _name: &str, _inputs: &[Extent]) -> Vec<Variable> {
        vec![]
    }
}

/// The one input of a node that reads one.
pub(super) fn one(inputs: &[Extent]) -> Result<Extent, Misfit> {
    match *inputs {
        [input] => Ok(input),
        _ => Err(Misfit::new(format!(" reads {} nodes", inputs.len()), "one node")),
    }
}

/// The one input, which is a map.
pub(super) fn one_map(inputs: &[Extent]) -> Result<Extent, Misfit> {
    let input = one(inputs)?;
    if input.is_map {
        Ok(input)
    } else {
        let expected = "a dense layer, dropout or the output: there is no map any more";
        Err(Misfit::new(" after a dense layer", expected))
    }
}

/// Refuses scores as an input of what reads sequences.
pub(super) fn no_scores(reads: &[NodeKind]) -> Result<(), Misfit> {
    if reads.iter().any(|op| matches!(op, NodeKind::Output | NodeKind::Vote)) {
        return Err(Misfit::new(" after the output layer", "a vote such as `vote10`, or the end"));
    }
    Ok(())
}

/// The product of sizes, if it is at most [`MAX_ELEMENTS`].
pub(super) fn product(sizes: &[usize]) -> Option<usize> {
    let product = sizes.iter().try_fold(1_usize, |product, size| product.checked_mul(*size))?;
    (product <= MAX_ELEMENTS).then_some(product)
}

pub(super) fn too_large(input: Extent) -> Misfit {
    Misfit::new(
        format!(" on a map of {}", input.shape),
        format!("a layer of at most {MAX_ELEMENTS} weights and neurons"),
    )
}

use crate::ArchError;

/// What this crate can refuse.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// An architecture that cannot be read or does not fit.
    #[error(transparent)]
    Arch(#[from] ArchError),
    /// A layer of `[[network.layer]]` does not fit.
    #[error("layer {index} (`{name}`): {reason}")]
    Layer {
        /// Its place, from 1.
        index: usize,
        /// Its name, or its kind.
        name: String,
        /// Why.
        reason: String,
    },
    /// A node of a graph does not fit.
    #[error(transparent)]
    Graph(#[from] crate::graph::GraphError),
    /// A node cannot be computed where it is to be.
    #[error("`{node}` cannot be computed by {engine}: {reason}")]
    CannotCompute {
        /// The node.
        node: String,
        /// Where.
        engine: &'static str,
        /// Why.
        reason: String,
    },
    /// A setting is outside its range.
    #[error("{name} must be {expected}: {got}")]
    InvalidParameter {
        /// The setting's name, as in configs.
        name: &'static str,
        /// The values it can take.
        expected: &'static str,
        /// Its value.
        got: String,
    },
    /// A tensor has another shape or element type than the operation asks for.
    #[error("{op}: {what} is {got}, expected {expected}")]
    Mismatch {
        /// The operation.
        op: &'static str,
        /// The argument.
        what: String,
        /// Its shape or type.
        got: String,
        /// The shape or type asked for.
        expected: String,
    },
    /// A saved state lacks an entry.
    #[error("the saved state of the {of} has no `{name}`")]
    MissingState {
        /// What was to be restored.
        of: &'static str,
        /// The entry.
        name: String,
    },
    /// A saved state has an entry that this configuration does not use.
    #[error("the saved state of the {of} has `{name}`, which this configuration does not use")]
    UnusedState {
        /// What was to be restored.
        of: &'static str,
        /// The entry.
        name: String,
    },
    /// Averaged weights were updated or saved while they stood in for the weights.
    #[error("the averaged weights are in use for evaluation; swap them out first")]
    Swapped,
    /// The fused execution was asked for and cannot compute the network.
    #[error("{setting} asks for the fused execution, which cannot compute this network: {reason}")]
    CannotFuse {
        /// The setting that asks for it: `execution` or `checkpoint_steps`.
        setting: &'static str,
        /// Why.
        reason: String,
    },
    /// The batch engine was asked for and cannot compute the network.
    #[error("execution asks for the batch engine, which cannot compute this network: {reason}")]
    CannotBatch {
        /// Why.
        reason: String,
    },
    /// A layer's numbers do not fit the whole numbers it would be computed in.
    #[error("`{layer}` cannot be computed in integers: {reason}")]
    NotInteger {
        /// The layer's name, `conv1`, `fc1`, …
        layer: String,
        /// What does not fit.
        reason: String,
    },
    /// The backward pass did not reach a parameter.
    #[error("`{name}` has no gradient")]
    NoGradient {
        /// The parameter.
        name: String,
    },
    /// A kernel's error.
    #[error(transparent)]
    Kernel(#[from] mbspike_core::Error),
    /// The tensor library's own error.
    #[error(transparent)]
    Tensor(#[from] candle_core::Error),
}

/// So that `?` works in a `forward` of candle's traits: candle's own errors come out as they went in,
/// others are wrapped.
impl From<Error> for candle_core::Error {
    fn from(error: Error) -> Self {
        match error {
            Error::Tensor(error) => error,
            Error::Kernel(error) => error.into(),
            other => Self::wrap(other),
        }
    }
}

/// `Result` with this crate's [`enum@Error`].
pub type Result<T> = std::result::Result<T, Error>;

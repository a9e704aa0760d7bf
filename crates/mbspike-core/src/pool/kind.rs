use serde::{Deserialize, Serialize};

/// What is taken of a window.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PoolKind {
    /// The mean.
    Average,
    /// The largest value.
    Max,
    /// The sum.
    Sum,
}

impl PoolKind {
    /// What a sum over a window of side `size` is multiplied by; 1 for the maximum.
    pub(super) fn scale(self, size: usize) -> f64 {
        match self {
            Self::Average => 1.0 / (size * size) as f64,
            Self::Max | Self::Sum => 1.0,
        }
    }
}

/// The operation on channels-first images, for windows that fit them.
pub(crate) struct Pool2d {
    pub(crate) kind: PoolKind,
    pub(crate) size: usize,
}

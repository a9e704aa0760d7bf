use super::operation::{NodeKind, Operation, no_scores, one};
use crate::graph::extent::Extent;
use crate::graph::misfit::Misfit;

/// Dropout in training, with one mask over time.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Dropout {
    /// The probability, in `0..1`, that an element is dropped.
    pub p: f64,
    /// Tells the masks of a network apart; set by the builder.
    pub index: usize,
}

impl Operation for Dropout {
    fn kind(&self) -> NodeKind {
        NodeKind::Dropout
    }

    fn extent(&self, inputs: &[Extent], reads: &[NodeKind]) -> Result<Extent, Misfit> {
        no_scores(reads)?;
        if !(0.0..1.0).contains(&self.p) {
            return Err(Misfit::new("", "the probability of dropout in 0..1"));
        }
        one(inputs)
    }
}

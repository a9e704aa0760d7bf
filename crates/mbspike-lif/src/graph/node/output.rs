use super::operation::{NodeKind, Operation, one};
use crate::Readout;
use crate::graph::extent::Extent;
use crate::graph::misfit::Misfit;

/// From the output layer's neurons to scores.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Output {
    /// How a sequence becomes scores. Neurons whose membranes are read send those and are not reset.
    pub readout: Readout,
}

impl Operation for Output {
    fn kind(&self) -> NodeKind {
        NodeKind::Output
    }

    fn extent(&self, inputs: &[Extent], reads: &[NodeKind]) -> Result<Extent, Misfit> {
        let input = one(inputs)?;
        if input.is_map {
            let expected = "a row of scores: a dense layer, or `flatten` before it";
            return Err(Misfit::new(format!(" on a map of {}", input.shape), expected));
        }
        match reads {
            [NodeKind::Neurons] => Ok(input),
            _ => Err(Misfit::new("", "neurons before it")),
        }
    }
}

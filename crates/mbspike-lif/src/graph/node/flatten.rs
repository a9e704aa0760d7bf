use super::operation::{NodeKind, Operation, no_scores, one};
use crate::Shape;
use crate::graph::extent::Extent;
use crate::graph::misfit::Misfit;

/// A map `[C, H, W]` becomes a row of `C · H · W`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Flatten {}

impl Operation for Flatten {
    fn kind(&self) -> NodeKind {
        NodeKind::Flatten
    }

    fn extent(&self, inputs: &[Extent], reads: &[NodeKind]) -> Result<Extent, Misfit> {
        no_scores(reads)?;
        let shape = Shape { channels: one(inputs)?.shape.n_elements(), height: 1, width: 1 };
        Ok(Extent { shape, is_map: false })
    }
}

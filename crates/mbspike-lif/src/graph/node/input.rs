use super::operation::{MAX_ELEMENTS, NodeKind, Operation, product};
use crate::Shape;
use crate::graph::extent::Extent;
use crate::graph::misfit::Misfit;

/// What the network is fed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Input {
    /// Its size.
    pub shape: Shape,
}

impl Operation for Input {
    fn kind(&self) -> NodeKind {
        NodeKind::Input
    }

    fn extent(&self, inputs: &[Extent], _: &[NodeKind]) -> Result<Extent, Misfit> {
        let Shape { channels, height, width } = self.shape;
        if !inputs.is_empty() {
            return Err(Misfit::new(" reads a node", "an input that reads nothing"));
        }
        if product(&[channels, height, width]).is_none_or(|n| n == 0) {
            return Err(Misfit::new("", format!("an input of 1 to {MAX_ELEMENTS} elements")));
        }
        Ok(Extent { shape: self.shape, is_map: true })
    }
}

use super::operation::{NodeKind, Operation, one};
use crate::Shape;
use crate::graph::extent::Extent;
use crate::graph::misfit::Misfit;

/// The mean of each group of scores.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Vote {
    /// Scores in a group.
    pub group: usize,
}

impl Operation for Vote {
    fn kind(&self) -> NodeKind {
        NodeKind::Vote
    }

    fn extent(&self, inputs: &[Extent], reads: &[NodeKind]) -> Result<Extent, Misfit> {
        let Shape { channels, .. } = one(inputs)?.shape;
        if !matches!(reads, [NodeKind::Output]) {
            let expected = "a vote right after the output layer";
            return Err(Misfit::new(" before the output layer", expected));
        }
        if self.group == 0 {
            return Err(Misfit::new("", "sizes of at least 1"));
        }
        if channels % self.group != 0 {
            return Err(Misfit::new(
                format!(" on {channels} outputs"),
                format!("a group that divides {channels}"),
            ));
        }
        let shape = Shape { channels: channels / self.group, height: 1, width: 1 };
        Ok(Extent { shape, is_map: false })
    }
}

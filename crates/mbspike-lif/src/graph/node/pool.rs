use mbspike_core::pool::PoolKind;

use super::operation::{NodeKind, Operation, no_scores, one_map};
use crate::Shape;
use crate::graph::extent::Extent;
use crate::graph::misfit::Misfit;

/// Pooling with stride equal to the window, which must divide the map.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pooling {
    /// What is taken of a window.
    pub kind: PoolKind,
    /// Side of the window.
    pub size: usize,
}

impl Operation for Pooling {
    fn kind(&self) -> NodeKind {
        NodeKind::Pool
    }

    fn extent(&self, inputs: &[Extent], reads: &[NodeKind]) -> Result<Extent, Misfit> {
        no_scores(reads)?;
        let input = one_map(inputs)?;
        let Shape { channels, height, width } = input.shape;
        let size = self.size;
        if size == 0 {
            return Err(Misfit::new("", "sizes of at least 1"));
        }
        if height % size != 0 || width % size != 0 {
            return Err(Misfit::new(
                format!(" on a map of {}", input.shape),
                format!("a pooling size that divides {height} and {width}"),
            ));
        }
        let shape = Shape { channels, height: height / size, width: width / size };
        Ok(Extent { shape, is_map: true })
    }
}

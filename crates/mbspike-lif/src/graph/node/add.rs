use super::operation::{NodeKind, Operation, no_scores};
use crate::graph::extent::Extent;
use crate::graph::misfit::Misfit;

/// The element-wise sum of two or more nodes: of spikes, as in SEW-ResNet (Fang et al. 2021,
/// <https://arxiv.org/abs/2102.04159>), or of currents before neurons.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Add {}

impl Operation for Add {
    fn kind(&self) -> NodeKind {
        NodeKind::Add
    }

    fn extent(&self, inputs: &[Extent], reads: &[NodeKind]) -> Result<Extent, Misfit> {
        no_scores(reads)?;
        let [first, rest @ ..] = inputs else {
            return Err(Misfit::new(" reads nothing", "two nodes or more"));
        };
        if rest.is_empty() {
            return Err(Misfit::new(" reads 1 node", "two nodes or more"));
        }
        match rest.iter().find(|other| *other != first) {
            None => Ok(*first),
            Some(other) => Err(Misfit::new(
                format!(" of {} and {}", first.shape, other.shape),
                "the same size on all ways: a strided 1x1 convolution brings a shortcut to it",
            )),
        }
    }
}

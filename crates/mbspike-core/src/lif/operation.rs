use super::LifParams;
use crate::activity::Counts;

/// The shape after pooling.
pub(super) fn pooled_dims(dims: &[usize], size: usize) -> Vec<usize> {
    let mut dims = dims.to_vec();
    dims.iter_mut().rev().take(2).for_each(|side| *side /= size);
    dims
}

/// The operation of fixed time constant.
pub(super) struct Lif {
    pub(super) params: LifParams,
    /// Whether the membranes follow the spikes along the time axis; not with pooling.
    pub(super) with_v: bool,
    pub(super) average_pool: Option<usize>,
    pub(super) counts: Option<(Counts, usize)>,
}

impl Lif {
    /// The shape of what it gives for inputs of shape `dims`.
    pub(super) fn out_dims(&self, dims: &[usize]) -> Vec<usize> {
        let mut dims = pooled_dims(dims, self.average_pool.unwrap_or(1));
        if self.with_v {
            dims[0] *= 2;
        }
        dims
    }
}

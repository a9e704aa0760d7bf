use candle_core::{Layout, Shape};

/// The operation of [`encode_batch`](super::encode_batch).
pub(super) struct EncodeBatch<'a> {
    pub(super) n_steps: usize,
    pub(super) seed: u64,
    pub(super) epoch: u32,
    pub(super) samples: &'a [u32],
}

impl EncodeBatch<'_> {
    pub(super) fn shape(&self, layout: &Layout) -> Shape {
        [&[self.n_steps], layout.dims()].concat().into()
    }
}

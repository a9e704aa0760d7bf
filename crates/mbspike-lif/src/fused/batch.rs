use crate::{Loss, StepKey};

/// A batch as the shares see it.
#[expect(clippy::struct_field_names, reason = "`batch_size` has this name everywhere")]
pub(super) struct Batch<'a> {
    /// `[T, B, C, H, W]`.
    pub(super) x: &'a [f32],
    pub(super) n_steps: usize,
    pub(super) batch_size: usize,
    /// Targets `[B, n_classes]`, loss and key of a training step.
    pub(super) training: Option<(&'a [f32], Loss, StepKey)>,
}

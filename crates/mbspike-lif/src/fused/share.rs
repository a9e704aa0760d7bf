use std::ops::Range;

use super::batch::Batch;
use super::packed::{PackedStage, StageGradient};
use super::plan::Plan;
use super::sample::Workspace;
use crate::Activity;

/// Some consecutive samples of a batch and what they came to.
#[derive(Debug, Default)]
pub(super) struct Share {
    pub(super) gradients: Vec<StageGradient>,
    /// `[samples, n_classes]`.
    pub(super) logits: Vec<f32>,
    /// Sum over the samples.
    pub(super) loss: f64,
    pub(super) activity: Activity,
}

impl Share {
    pub(super) fn run(
        &mut self,
        plan: &Plan,
        packed: &[PackedStage],
        workspace: &mut Workspace,
        batch: &Batch<'_>,
        samples: Range<usize>,
    ) -> mbspike_core::Result<()> {
        let n_classes = plan.n_outputs / plan.group;
        self.logits.resize(samples.len() * n_classes, 0.0);
        self.loss = 0.0;
        self.activity.positions.clear();
        self.activity.positions.resize(
            1 + plan.stages.iter().filter(|s| s.position.is_some()).count(),
            crate::PositionActivity::default(),
        );
        if batch.training.is_some() {
            self.gradients.resize_with(plan.stages.len(), StageGradient::default);
            for (gradient, packed) in self.gradients.iter_mut().zip(packed) {
                gradient.reset(packed);
            }
        }
        for (sample, logits) in samples.zip(self.logits.chunks_exact_mut(n_classes)) {
            workspace.forward(plan, packed, batch, sample, logits, &mut self.activity)?;
            if let Some((targets, loss, _)) = batch.training {
                let target = &targets[sample * n_classes..][..n_classes];
                // The mean over the batch: each sample's gradient counts 1/B.
                self.loss += workspace.loss(plan, loss, logits, target, batch.batch_size);
                workspace.backward(plan, packed, batch, sample, &mut self.gradients)?;
            }
        }
        Ok(())
    }
}

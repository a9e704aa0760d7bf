//! The network a layer at a time over all steps and samples, with hand-written backward passes: for
//! batch normalization, which needs the whole batch, learnable time constants, and layers whose
//! weights are too many to be read for every sample.
//!
//! Arrays are `[B, T, …]`, images channels last, so that one sample's steps follow each other. A
//! stage's product (convolution or dense) runs over all images, with the sums that batch
//! normalization needs gathered on the way; then normalization, neurons over all steps and pooling
//! are one pass over blocks that stay in the cache. Backward likewise: pooling and neurons with the
//! two sums that normalization needs, then its gradient and those of input and weights.
//!
//! A stage keeps its sums `y` and its output; everything else is computed again. Buffers are kept
//! from step to step.

mod add;
mod backward;
mod dropout;
mod edge;
mod forward;
mod gather;
mod plan;
mod products;
mod recurrent;
mod space;
mod weights;

use std::sync::{Mutex, MutexGuard, PoisonError};

use candle_core::{DType, Device, Tensor};
use mbspike_core::Decay;
use mbspike_core::LifParams;

pub(crate) use plan::Plan;

use self::plan::Neurons;
use self::space::{Cut, Shared, StageSpace, ThreadSpace};
use crate::variables::Variables;
use crate::{Activity, Loss, Parameter, Prediction, Result, StepKey, StepOutput};

/// A planned network with its working memory, which is kept from step to step.
#[derive(Debug)]
pub(crate) struct Batch {
    plan: Plan,
    stages: Vec<StageSpace>,
    shared: Shared,
    /// One for each thread that has worked here; a thread only ever locks its own.
    threads: Vec<Mutex<ThreadSpace>>,
}

impl Batch {
    pub(crate) fn new(plan: Plan) -> Self {
        let stages = plan.stages.iter().map(StageSpace::new).collect();
        Self { plan, stages, shared: Shared::default(), threads: vec![] }
    }

    pub(crate) fn train_step(
        &mut self,
        variables: &Variables,
        x_seq: &Tensor,
        targets: &Tensor,
        loss: Loss,
        key: StepKey,
    ) -> Result<StepOutput> {
        let cut = Cut::new(x_seq.dim(0)?, x_seq.dim(1)?);
        let targets = targets.to_dtype(DType::F32)?.contiguous()?;
        self.forward(variables, x_seq, &cut, Some(key))?;
        let loss =
            mbspike_core::read::<f32, _>(&targets, |targets| Ok(self.loss(&cut, targets, loss)))?;
        let gradients = self.backward(variables, &cut)?;
        Ok(StepOutput { loss, logits: self.logits(&cut)?, gradients, activity: self.activity() })
    }

    pub(crate) fn predict(&mut self, variables: &Variables, x_seq: &Tensor) -> Result<Prediction> {
        let cut = Cut::new(x_seq.dim(0)?, x_seq.dim(1)?);
        self.forward(variables, x_seq, &cut, None)?;
        Ok(Prediction { logits: self.logits(&cut)?, activity: self.activity() })
    }

    fn logits(&self, cut: &Cut) -> Result<Tensor> {
        let n_classes = self.plan.n_outputs / self.plan.group;
        let logits = &self.shared.logits[..cut.batch_size * n_classes];
        Ok(Tensor::from_slice(logits, (cut.batch_size, n_classes), &Device::Cpu)?)
    }

    fn activity(&self) -> Activity {
        let mut activity = Activity::default();
        self.shared.shares.iter().for_each(|share| activity.merge(&share.activity));
        activity
    }
}

/// The working memory of the thread that asks.
fn space_of_thread(threads: &[Mutex<ThreadSpace>]) -> MutexGuard<'_, ThreadSpace> {
    let thread = rayon::current_thread_index().unwrap_or(0);
    // A thread that panicked inside left its space as it was; nothing in it is read before it is
    // written.
    threads[thread].lock().unwrap_or_else(PoisonError::into_inner)
}

/// A stage's neurons at the present value of their time constant; one below 1 counts as 1.
fn lif_of(neurons: &Neurons, parameters: &[Parameter]) -> Result<LifParams> {
    let Some(tau) = neurons.tau else { return Ok(neurons.lif) };
    let tau = f64::from(parameters[tau].var.to_vec1::<f32>()?[0]);
    let params = LifParams { decay: Decay::Tau(if tau < 1.0 { 1.0 } else { tau }), ..neurons.lif };
    params.validate()?;
    Ok(params)
}

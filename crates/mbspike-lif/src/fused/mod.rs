//! The network one sample at a time: all steps of a layer, then the next layer, forward and
//! backward, so that a sample's activity stays in the cache and memory does not grow with the
//! batch.
//!
//! The batch is cut into shares of consecutive samples. Threads take shares as they come; each
//! share sums its own gradients, and the sums of the shares are added in order, so that results do
//! not depend on the number of threads.

mod batch;
mod packed;
mod plan;
mod sample;
mod share;

use std::sync::Mutex;

use candle_core::{Device, Tensor};
use rayon::prelude::*;

pub(crate) use plan::Plan;

use self::batch::Batch;
use self::packed::PackedStage;
use self::sample::Workspace;
use self::share::Share;
use crate::{Activity, Loss, Parameter, Prediction, Result, StepKey, StepOutput};

/// Shares of a batch: enough to keep many threads busy to the end.
const N_SHARES: usize = 32;
/// Elements of all shares' gradients together; larger networks get fewer shares.
const GRADIENT_ELEMENTS: usize = 32 << 20;

/// The shares of a batch, for a network with `n_gradients` elements of gradients.
pub(crate) fn n_shares(batch_size: usize, n_gradients: usize) -> usize {
    batch_size.min(N_SHARES).min((GRADIENT_ELEMENTS / n_gradients.max(1)).max(1))
}

/// A planned network with its working memory, which is kept from step to step.
#[derive(Debug)]
pub(crate) struct Fused {
    plan: Plan,
    packed: Vec<PackedStage>,
    shares: Vec<Share>,
    /// One for each thread that has worked here; a thread only ever locks its own.
    workspaces: Vec<Mutex<Workspace>>,
}

impl Fused {
    pub(crate) fn new(plan: Plan) -> Self {
        let packed = plan.stages.iter().map(PackedStage::new).collect();
        Self { plan, packed, shares: vec![], workspaces: vec![] }
    }

    pub(crate) fn train_step(
        &mut self,
        parameters: &[Parameter],
        x_seq: &Tensor,
        targets: &Tensor,
        loss: Loss,
        key: StepKey,
    ) -> Result<StepOutput> {
        let (n_steps, batch_size) = (x_seq.dim(0)?, x_seq.dim(1)?);
        let x_seq = x_seq.to_dtype(candle_core::DType::F32)?.contiguous()?;
        let targets = targets.to_dtype(candle_core::DType::F32)?.contiguous()?;
        mbspike_core::read::<f32, _>(&x_seq, |x| {
            mbspike_core::read::<f32, _>(&targets, |targets| {
                let batch = Batch { x, n_steps, batch_size, training: Some((targets, loss, key)) };
                self.run(parameters, &batch)
            })
        })?;
        let gradients = self.gradients(parameters)?;
        let loss = self.shares.iter().map(|share| share.loss).sum::<f64>() / batch_size as f64;
        Ok(StepOutput {
            loss,
            logits: self.logits(batch_size)?,
            gradients,
            activity: self.activity(),
        })
    }

    pub(crate) fn predict(
        &mut self,
        parameters: &[Parameter],
        x_seq: &Tensor,
    ) -> Result<Prediction> {
        let (n_steps, batch_size) = (x_seq.dim(0)?, x_seq.dim(1)?);
        let x_seq = x_seq.to_dtype(candle_core::DType::F32)?.contiguous()?;
        mbspike_core::read::<f32, _>(&x_seq, |x| {
            self.run(parameters, &Batch { x, n_steps, batch_size, training: None })
        })?;
        Ok(Prediction { logits: self.logits(batch_size)?, activity: self.activity() })
    }

    /// Runs every share of the batch.
    fn run(&mut self, parameters: &[Parameter], batch: &Batch<'_>) -> mbspike_core::Result<()> {
        for (packed, planned) in self.packed.iter_mut().zip(&self.plan.stages) {
            packed.pack(planned, parameters, self.plan.bf16, self.plan.int8)?;
        }
        let n_gradients: usize = self.packed.iter().map(PackedStage::n_gradients).sum();
        let n_shares = n_shares(batch.batch_size, n_gradients);
        let share_size = batch.batch_size.div_ceil(n_shares);
        self.shares.resize_with(batch.batch_size.div_ceil(share_size), Share::default);
        let n_threads = rayon::current_num_threads();
        if self.workspaces.len() < n_threads {
            self.workspaces.resize_with(n_threads, || Mutex::new(Workspace::new(&self.plan)));
        }
        let (plan, packed, workspaces) = (&self.plan, &self.packed, &self.workspaces);
        self.shares.par_iter_mut().enumerate().try_for_each(|(i, share)| {
            let first = i * share_size;
            let samples = first..batch.batch_size.min(first + share_size);
            let thread = rayon::current_thread_index().unwrap_or(0);
            // A thread that panicked inside left its workspace as it was; it is written anew for
            // every sample, so there is nothing to mistrust.
            let mut workspace =
                workspaces[thread].lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            share.run(plan, packed, &mut workspace, batch, samples)
        })
    }

    /// The shares' gradients, added in order, in the parameters' order and shapes.
    fn gradients(&mut self, parameters: &[Parameter]) -> Result<Vec<Tensor>> {
        let (first, rest) = self.shares.split_at_mut(1);
        let sums = &mut first[0].gradients;
        for share in rest {
            for (sum, more) in sums.iter_mut().zip(&share.gradients) {
                add(&mut sum.weight, &more.weight);
                add(&mut sum.bias, &more.bias);
            }
        }
        let mut gradients: Vec<Option<Tensor>> = vec![None; parameters.len()];
        for (planned, sum) in self.plan.stages.iter().zip(sums) {
            sum.unpack(planned, |parameter, values| {
                let shape = parameters[parameter].var.shape();
                gradients[parameter] = Some(Tensor::from_vec(values, shape, &Device::Cpu)?);
                Ok(())
            })?;
        }
        gradients
            .into_iter()
            .zip(parameters)
            .map(|(g, p)| g.ok_or_else(|| crate::Error::NoGradient { name: p.name.clone() }))
            .collect()
    }

    fn logits(&self, batch_size: usize) -> Result<Tensor> {
        let logits: Vec<f32> = self.shares.iter().flat_map(|s| s.logits.iter().copied()).collect();
        let n_classes = self.plan.n_outputs / self.plan.group;
        Ok(Tensor::from_vec(logits, (batch_size, n_classes), &Device::Cpu)?)
    }

    fn activity(&self) -> Activity {
        let mut activity = Activity::default();
        self.shares.iter().for_each(|share| activity.merge(&share.activity));
        activity
    }
}

fn add(sum: &mut [f32], more: &[f32]) {
    for (sum, more) in sum.iter_mut().zip(more) {
        *sum += more;
    }
}

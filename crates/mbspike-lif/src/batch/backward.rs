//! Backward pass: a stage at a time, the last first.

use candle_core::{Device, Tensor};
use mbspike_core::conv::ImageLayout;
use mbspike_core::lif::{Affine, Block, BlockSums, fire, lif_block_backward};
use mbspike_core::{LifParams, round_to_bf16};
use rayon::prelude::*;

use super::add::{self, add_to};
use super::edge::{Recurrent, RecurrentWeights};
use super::forward::rows_of_block;
use super::plan::{GradientOf, Neurons, PlannedStage, Product, Source, Stage, without_padding};
use super::products::{ConvBack, dense_input_gradient, dense_weight_gradient};
use super::space::{
    Coefficients, Cut, Share, StageSpace, ThreadSpace, Totals, by_channel, copy_rows, spread,
};
use super::weights::unpack_dense;
use super::{Batch, lif_of, space_of_thread};
use crate::variables::Variables;
use crate::{PoolKind, Result};

/// Elements of a convolution's weight gradient that a task adds up over shares.
const SUM_ELEMENTS: usize = 4096;

/// Gradients of the parameters, in their order, as they become known.
struct Gradients<'a> {
    variables: &'a Variables,
    found: Vec<Option<Tensor>>,
}

impl Gradients<'_> {
    fn put(&mut self, parameter: usize, values: Vec<f32>) -> Result<()> {
        let shape = self.variables.parameters[parameter].var.shape();
        self.found[parameter] = Some(Tensor::from_vec(values, shape, &Device::Cpu)?);
        Ok(())
    }

    fn put_row(&mut self, parameter: usize, values: impl Iterator<Item = f64>) -> Result<()> {
        self.put(parameter, values.map(|v| v as f32).collect())
    }
}

impl Batch {
    /// Gradients of all parameters, after a forward pass in training mode and its loss.
    pub(super) fn backward(&mut self, variables: &Variables, cut: &Cut) -> Result<Vec<Tensor>> {
        let found = vec![None; variables.parameters.len()];
        let mut gradients = Gradients { variables, found };
        self.load_output_gradient(cut);
        for i in (0..self.plan.stages.len()).rev() {
            let planned = &self.plan.stages[i];
            if !planned.learns {
                continue;
            }
            let grad_output = std::mem::take(&mut self.shared.grads[planned.grad]);
            if matches!(planned.stage, Stage::Add) {
                self.backward_add(i, cut, &grad_output);
            } else {
                let to = planned.grads_of_sources[0];
                let of = |to: GradientOf| to.scratch.unwrap_or(to.slot);
                let mut grad_input = match to {
                    Some(to) => std::mem::take(&mut self.shared.grads[of(to)]),
                    // Something for each share to hold, which none writes to.
                    None => vec![0.0; cut.n_shares],
                };
                self.backward_stage(i, cut, &mut gradients, &grad_output, &mut grad_input)?;
                if let Some(to) = to {
                    self.shared.grads[of(to)] = grad_input;
                    self.add_scratch(to);
                }
            }
            self.shared.grads[self.plan.stages[i].grad] = grad_output;
        }
        let named = gradients.found.into_iter().zip(&variables.parameters);
        named
            .map(|(g, p)| g.ok_or_else(|| crate::Error::NoGradient { name: p.name.clone() }))
            .collect()
    }

    /// Adds a gradient in its scratch buffer to what there is.
    fn add_scratch(&mut self, to: GradientOf) {
        let Some(scratch) = to.scratch else { return };
        let more = std::mem::take(&mut self.shared.grads[scratch]);
        let sums = self.shared.grads[to.slot].par_chunks_mut(SUM_ELEMENTS);
        sums.zip(more.par_chunks(SUM_ELEMENTS)).for_each(|(sum, more)| add_to(sum, more));
        self.shared.grads[scratch] = more;
    }

    /// The gradient of a sum is that of each of its sources.
    fn backward_add(&mut self, i: usize, cut: &Cut, grad_output: &[f32]) {
        let planned = &self.plan.stages[i];
        let layout = without_padding(&planned.output);
        for (to, source) in planned.grads_of_sources.iter().zip(&planned.sources) {
            let Some(GradientOf { slot, scratch }) = *to else { continue };
            let of_source = without_padding(self.plan.layout(*source));
            let grads = &mut self.shared.grads[slot][..cut.n_images() * of_source.len()];
            grads
                .par_chunks_mut(of_source.len())
                .zip(grad_output.par_chunks(layout.len()))
                .for_each(|(grad, more)| {
                    let into = if scratch.is_some() { add::add } else { add::copy };
                    into(grad, &of_source, more, &layout);
                });
        }
    }

    /// The gradient of the output layer's spikes, into its rows; zero where membranes are read.
    fn load_output_gradient(&mut self, cut: &Cut) {
        let (plan, shared) = (&self.plan, &mut self.shared);
        let Some(last) = plan.stages.last() else { return };
        let (stride, n) = (without_padding(&last.output).len(), plan.n_outputs);
        let grads = &mut shared.grads[last.grad][..cut.n_images() * stride];
        let rows = grads.chunks_exact_mut(stride);
        for (row, grad) in rows.zip(shared.grad_output_seq.chunks_exact(n)) {
            row.fill(0.0);
            if !plan.reads_membrane() {
                row[..n].copy_from_slice(grad);
            }
        }
    }

    /// From the gradient of a stage's output to those of its parameters, and to that of its input
    /// where it is wanted.
    fn backward_stage(
        &mut self,
        i: usize,
        cut: &Cut,
        gradients: &mut Gradients<'_>,
        grad_output: &[f32],
        grad_input: &mut [f32],
    ) -> Result<()> {
        let Self { plan, stages, shared, threads } = self;
        let planned = &plan.stages[i];
        let wanted = planned.needs_input_gradient();
        let (before, rest) = stages.split_at_mut(i);
        let x = match planned.sources[0] {
            Source::Input => &shared.input,
            Source::Stage(stage) => &before[stage].output,
        };
        let x = &x[..cut.n_images() * planned.input.len()];
        let StageSpace { packed, y, mask, coefficients, .. } = &mut rest[0];
        let grad_len = without_padding(&planned.output).len();
        let x_len = without_padding(&planned.input).len();
        let grad_output = &grad_output[..cut.n_images() * grad_len];
        match &planned.stage {
            Stage::Neurons(neurons) => {
                let variables = gradients.variables;
                let lif = lif_of(neurons, &variables.parameters)?;
                let n = neurons.layout.len();
                let per_share = cut.share_images() * n;
                let is_last = i + 1 == plan.stages.len();
                let reads_membrane = is_last && plan.reads_membrane();
                let run = NeuronRun {
                    planned,
                    neurons,
                    lif: &lif,
                    affine: coefficients.affine(),
                    cut,
                    n_outputs: if reads_membrane { plan.n_outputs } else { 0 },
                    // A dense layer's gradient is an operand as it comes from its neurons.
                    rounds: plan.bf16 && matches!(neurons.product, Product::Dense(_)),
                };
                let y = &y[..cut.n_images() * n];
                let grad_z = &mut shared.neurons[..cut.n_images() * n];
                let seq_per_share = cut.share_images() * run.n_outputs.max(1);
                grad_z
                    .par_chunks_mut(per_share)
                    .zip(y.par_chunks(per_share))
                    .zip(grad_output.par_chunks(cut.share_images() * grad_len))
                    .zip(shared.grad_output_seq.par_chunks(seq_per_share))
                    .zip(&mut shared.shares)
                    .try_for_each(|((((grad_z, y), grad), seq), share)| {
                        let space = &mut *space_of_thread(threads);
                        match &neurons.recurrent {
                            Some(recurrent) => {
                                let weights = &packed.recurrent;
                                run.backward_recurrent(
                                    recurrent, weights, grad_z, y, grad, share, space,
                                )
                            }
                            None => run.backward(grad_z, y, grad, seq, share, space),
                        }
                    })?;
                if let Some(recurrent) = &neurons.recurrent {
                    let (first, rest) = shared.shares.split_at_mut(1);
                    let sums = &mut first[0].recurrent;
                    for share in rest {
                        add_to(sums, &share.recurrent);
                    }
                    gradients.put(recurrent.weight, recurrent.unpack(sums))?;
                }
                shared.totals.add_up(&shared.shares);
                let totals = &shared.totals;
                if let Some(tau) = neurons.tau {
                    gradients.put(tau, vec![totals.tau as f32])?;
                }
                if neurons.norm.is_some() {
                    norm_gradients(neurons, coefficients, totals, cut, gradients)?;
                } else if let Some(bias) = neurons.bias {
                    gradients.put_row(bias, by_channel(&totals.first, &neurons.layout))?;
                }
                let grad_x = grad_input;
                match &neurons.product {
                    Product::Conv(conv, taps) => {
                        let back = ConvBack {
                            conv,
                            packed,
                            coefficients: neurons.norm.map(|_| &*coefficients),
                            sums_bias: neurons.norm.is_some() && neurons.bias.is_some(),
                            bf16: plan.bf16,
                            wanted,
                        };
                        let dws = &mut shared.grad_weight[..cut.n_shares * conv.n_gradient()];
                        let grad_per_share = if wanted { cut.share_images() * x_len } else { 1 };
                        grad_z
                            .par_chunks_mut(per_share)
                            .zip(y.par_chunks(per_share))
                            .zip(x.par_chunks(cut.share_images() * planned.input.len()))
                            .zip(grad_x.par_chunks_mut(grad_per_share))
                            .zip(dws.par_chunks_mut(conv.n_gradient()))
                            .zip(&mut shared.shares)
                            .try_for_each(|(((((grad_z, y), x), grad_x), dw), share)| {
                                let space = &mut *space_of_thread(threads);
                                back.run(i, (grad_z, y), x, grad_x, dw, share, space)
                            })?;
                        add_shares(dws, conv.n_gradient());
                        let mut grad = vec![0.0; conv.shape().n_weights()];
                        conv.unpack_gradient(&mut grad, &dws[..conv.n_gradient()])?;
                        let grad = match taps {
                            Some(taps) => taps.collect(&grad),
                            None => grad,
                        };
                        gradients.put(neurons.weight, grad)?;
                        if let (true, Some(bias)) = (back.sums_bias, neurons.bias) {
                            shared.totals.add_up(&shared.shares);
                            let sums = &shared.totals.bias[..neurons.layout.channels];
                            gradients.put_row(bias, sums.iter().copied())?;
                        }
                    }
                    Product::Dense(dense) => {
                        let dw = &mut shared.grad_weight[..dense.n_in * dense.out_stride];
                        dense_weight_gradient(dense, dw, grad_z, x, threads);
                        gradients.put(neurons.weight, unpack_dense(dense, dw))?;
                        if wanted {
                            let grad_x = &mut grad_x[..cut.n_images() * x_len];
                            dense_input_gradient(dense, grad_x, grad_z, packed, threads);
                        }
                    }
                }
            }
            Stage::Pool(pool) if wanted => {
                let x_layout = without_padding(&planned.input);
                let grad_layout = without_padding(&planned.output);
                grad_input[..cut.n_images() * x_len]
                    .par_chunks_mut(x_len)
                    .zip(x.par_chunks(planned.input.len()))
                    .zip(grad_output.par_chunks(grad_len))
                    .try_for_each(|((grad_x, x), grad)| {
                        // The gradient has no padding, the input may have: compare in its layout.
                        let unpadded = &mut space_of_thread(threads).unpadded;
                        unpadded.resize(unpadded.len().max(x_len), 0.0);
                        let unpadded = &mut unpadded[..x_len];
                        copy_rows(unpadded, &x_layout, x, &planned.input);
                        pool.backward(grad_x, unpadded, &x_layout, grad, &grad_layout)
                    })?;
            }
            Stage::Dropout { .. } if wanted => {
                grad_input[..cut.n_images() * x_len]
                    .par_chunks_mut(x_len)
                    .zip(grad_output.par_chunks(grad_len))
                    .enumerate()
                    .for_each(|(image, (grad_x, grad))| {
                        let mask = &mask[image / cut.n_steps * x_len..][..x_len];
                        for ((grad_x, g), m) in grad_x.iter_mut().zip(grad).zip(mask) {
                            *grad_x = g * m;
                        }
                    });
            }
            Stage::Gather(gather) if wanted => {
                let (x_layout, layout) = (without_padding(&planned.input), planned.output);
                grad_input[..cut.n_images() * x_len]
                    .par_chunks_mut(x_len)
                    .zip(grad_output.par_chunks(grad_len))
                    .for_each(|(grad_x, grad)| gather.backward(grad_x, &x_layout, grad, &layout));
            }
            Stage::Pool(_) | Stage::Dropout { .. } | Stage::Gather(_) | Stage::Add => {}
        }
        Ok(())
    }
}

/// Gradients of batch normalization's scale and shift, and the coefficients of that of its input.
fn norm_gradients(
    neurons: &Neurons,
    coefficients: &mut Coefficients,
    totals: &Totals,
    cut: &Cut,
    gradients: &mut Gradients<'_>,
) -> Result<()> {
    let Some(norm) = neurons.norm else { return Ok(()) };
    let layout = &neurons.layout;
    let n = (cut.n_images() * layout.height * layout.width) as f64;
    let sum: Vec<f64> = by_channel(&totals.first, layout).collect();
    let sum_y: Vec<f64> = by_channel(&totals.second, layout).collect();
    let inverse = &coefficients.inverse_deviation;
    gradients.put_row(norm.bias, sum.iter().copied())?;
    gradients
        .put_row(norm.weight, sum_y.iter().zip(inverse).map(|(sum, inverse)| sum * inverse))?;
    let gamma = gradients.variables.parameters[norm.weight].var.to_vec1::<f32>()?;
    let gamma = |c: usize| f64::from(gamma[c]);
    spread(&mut coefficients.slope, layout, |c| -gamma(c) * inverse[c].powi(3) * sum_y[c] / n);
    spread(&mut coefficients.constant, layout, |c| -gamma(c) * inverse[c] * sum[c] / n);
    Ok(())
}

/// Adds the gradients of all shares, each of `n` elements, to the first, in order.
fn add_shares(shares: &mut [f32], n: usize) {
    let (first, rest) = shares.split_at_mut(n);
    first.par_chunks_mut(SUM_ELEMENTS).enumerate().for_each(|(chunk, sums)| {
        for share in rest.chunks_exact(n) {
            let more = &share[chunk * SUM_ELEMENTS..];
            add_to(sums, more);
        }
    });
}

/// What a share needs to pass back through a stage's neurons.
struct NeuronRun<'a> {
    planned: &'a PlannedStage,
    neurons: &'a Neurons,
    lif: &'a LifParams,
    affine: Affine<'a>,
    cut: &'a Cut,
    /// Of the network, in the last stage where membranes are read; else 0.
    n_outputs: usize,
    /// Whether the result is rounded to bf16 after sums were taken.
    rounds: bool,
}

impl NeuronRun<'_> {
    /// From the gradient of a share's output to that of its normalized sums, `grad_z`, with the sums
    /// that the gradients of normalization, bias and time constant are made of.
    fn backward(
        &self,
        grad_z: &mut [f32],
        y: &[f32],
        grad_output: &[f32],
        seq: &[f32],
        share: &mut Share,
        space: &mut ThreadSpace,
    ) -> mbspike_core::Result<()> {
        let neurons = self.neurons;
        let (layout, out) = (&neurons.layout, without_padding(&self.planned.output));
        let (n, n_steps) = (layout.len(), self.cut.n_steps);
        let row = layout.width * layout.stride;
        let out_row = out.width * out.stride;
        let of_block = rows_of_block(neurons);
        share.reset_sums(layout);
        let samples = grad_z
            .chunks_exact_mut(n_steps * n)
            .zip(y.chunks_exact(n_steps * n))
            .zip(grad_output.chunks_exact(n_steps * out.len()));
        for (sample, ((grad_z, y), grad_output)) in samples.enumerate() {
            for first in (0..layout.height).step_by(of_block) {
                let n_rows = of_block.min(layout.height - first);
                let range = first * row..(first + n_rows) * row;
                let block = Block { y, n_neurons: n, range, affine: self.affine };
                let rows = ImageLayout { height: n_rows, ..*layout };
                let size = neurons.pool.map_or(1, |pool| pool.size);
                let pooled = ImageLayout { height: n_rows / size, ..out };
                let (spikes, mut failed) = (&mut space.spikes, Ok(()));
                let mut sums = BlockSums {
                    grad: &mut share.first,
                    grad_y: &mut share.second,
                    tau: neurons.tau.map(|_| &mut share.tau),
                };
                let grad_step = |t: usize, h: &[f32], grad_s: &mut [f32], grad_v: &mut [f32]| {
                    let start = t * out.len() + first / size * out_row;
                    let grad = &grad_output[start..][..pooled.height * out_row];
                    match neurons.pool {
                        None => grad_s.copy_from_slice(grad),
                        Some(_) if pooled.height == 0 => grad_s.fill(0.0),
                        Some(pool) => {
                            if pool.kind == PoolKind::Max {
                                // The spikes of this step again, to see which was largest.
                                spikes.resize(h.len(), 0.0);
                                if let Err(error) = fire(spikes, h, self.lif) {
                                    failed = Err(error);
                                }
                            }
                            if let Err(error) = pool.backward(grad_s, spikes, &rows, grad, &pooled)
                            {
                                failed = Err(error);
                            }
                        }
                    }
                    if self.n_outputs > 0 {
                        let seq = &seq[(sample * n_steps + t) * self.n_outputs..];
                        for (g, more) in grad_v.iter_mut().zip(&seq[..self.n_outputs]) {
                            *g += more;
                        }
                    }
                };
                lif_block_backward(
                    grad_z,
                    &mut sums,
                    &block,
                    self.lif,
                    &mut space.block,
                    grad_step,
                )?;
                failed?;
            }
        }
        if self.rounds {
            round_to_bf16(grad_z);
        }
        Ok(())
    }

    /// [`NeuronRun::backward`] of neurons that hear each other, whose sums have become membranes.
    #[expect(clippy::too_many_arguments, reason = "one call site, all of it slices of the share")]
    fn backward_recurrent(
        &self,
        recurrent: &Recurrent,
        weights: &RecurrentWeights,
        grad_z: &mut [f32],
        h: &[f32],
        grad_output: &[f32],
        share: &mut Share,
        space: &mut ThreadSpace,
    ) -> mbspike_core::Result<()> {
        let layout = &self.neurons.layout;
        let n = self.cut.n_steps * layout.len();
        share.reset_sums(layout);
        share.recurrent.clear();
        share.recurrent.resize(recurrent.dense.n_in() * recurrent.dense.out_stride(), 0.0);
        grad_z.copy_from_slice(grad_output);
        for (grad_z, h) in grad_z.chunks_exact_mut(n).zip(h.chunks_exact(n)) {
            let space = &mut space.recurrent;
            recurrent.backward(grad_z, h, self.lif, weights, share, space)?;
        }
        if self.rounds {
            round_to_bf16(grad_z);
        }
        Ok(())
    }
}

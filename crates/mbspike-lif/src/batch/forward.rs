//! Forward pass: a stage at a time.

use candle_core::{DType, Device, Tensor};
use mbspike_core::activity::count;
use mbspike_core::conv::ImageLayout;
use mbspike_core::lif::{Affine, Block, lif_block_forward};
use mbspike_core::norm::mean_and_variance;
use mbspike_core::{LifParams, Real, copy_carried, round_to_bf16};
use rayon::prelude::*;

use super::add;
use super::dropout::{drop_sample, fill_mask};
use super::edge::{Recurrent, RecurrentWeights};
use super::plan::{Neurons, Norm, PlannedStage, Product, Source, Stage, without_padding};
use super::products::{conv_forward, dense_forward};
use super::space::{Cut, Share, StageSpace, ThreadSpace, by_channel, spread};
use super::{Batch, lif_of, space_of_thread};
use crate::channels_last::to_channels_last;
use crate::layered::{NORM_EPSILON, NORM_MOMENTUM};
use crate::variables::Variables;
use crate::{Loss, PositionActivity, Result, StepKey};

/// Elements of a block of neurons at one step: 8 KB an array.
const BLOCK_ELEMENTS: usize = 2048;

/// Image rows of a block of neurons: whole windows of the pooling after them.
pub(super) fn rows_of_block(neurons: &Neurons) -> usize {
    let window = neurons.pool.map_or(1, |pool| pool.size);
    let row = (neurons.layout.width * neurons.layout.stride).max(1);
    (BLOCK_ELEMENTS / row / window * window).max(window)
}

impl Batch {
    /// Makes room, then runs all stages; in training mode where a key is given.
    pub(super) fn forward(
        &mut self,
        variables: &Variables,
        x_seq: &Tensor,
        cut: &Cut,
        key: Option<StepKey>,
    ) -> Result<()> {
        let training = key.is_some();
        self.shared.reserve(&self.plan, &mut self.stages, cut, training);
        let n_threads = rayon::current_num_threads();
        if self.threads.len() < n_threads {
            self.threads.resize_with(n_threads, || ThreadSpace::new(&self.plan).into());
        }
        let n_positions = 1 + self.plan.stages.iter().filter(|s| s.position.is_some()).count();
        for share in &mut self.shared.shares {
            share.activity.positions.clear();
            share.activity.positions.resize(n_positions, PositionActivity::default());
        }
        let x_seq = x_seq.to_dtype(DType::F32)?.contiguous()?;
        mbspike_core::read::<f32, _>(&x_seq, |x| {
            self.load_input(x, cut);
            Ok(())
        })?;
        for i in 0..self.plan.stages.len() {
            self.forward_stage(i, variables, cut, key)?;
        }
        self.read_out(cut);
        Ok(())
    }

    /// Copies `[T, B, C, H, W]` into the padded channels-last input.
    fn load_input(&mut self, x: &[f32], cut: &Cut) {
        let (layout, rounds) = (&self.plan.input, self.plan.rounds_input);
        let n = layout.height * layout.width * layout.channels;
        let images = self.shared.input[..cut.n_images() * layout.len()]
            .par_chunks_mut(cut.share_images() * layout.len());
        let shares = self.shared.shares.par_iter_mut();
        images.zip(shares).enumerate().for_each(|(of_share, (images, share))| {
            for (i, image) in images.chunks_exact_mut(layout.len()).enumerate() {
                let (sample, t) = (of_share * cut.share + i / cut.n_steps, i % cut.n_steps);
                let source = &x[(t * cut.batch_size + sample) * n..][..n];
                share.activity.positions[0].add(n, count(source));
                to_channels_last(image, layout, source);
                if rounds {
                    round_to_bf16(image);
                }
            }
        });
    }

    fn forward_stage(
        &mut self,
        i: usize,
        variables: &Variables,
        cut: &Cut,
        key: Option<StepKey>,
    ) -> Result<()> {
        let Self { plan, stages, shared, threads } = self;
        let planned = &plan.stages[i];
        let (before, rest) = stages.split_at_mut(i);
        let of_source = |source: Source| {
            let values = match source {
                Source::Input => &shared.input,
                Source::Stage(stage) => &before[stage].output,
            };
            &values[..cut.n_images() * plan.layout(source).len()]
        };
        let x = of_source(planned.sources[0]);
        let StageSpace { packed, y, output, mask, coefficients } = &mut rest[0];
        let out_len = planned.output.len();
        let output = &mut output[..cut.n_images() * out_len];
        let training = key.is_some();
        match &planned.stage {
            Stage::Neurons(neurons) => {
                packed.pack(neurons, &variables.parameters, plan.bf16, plan.int8, training)?;
                let lif = lif_of(neurons, &variables.parameters)?;
                let n = neurons.layout.len();
                let y = if training { y } else { &mut shared.neurons };
                let y = &mut y[..cut.n_images() * n];
                if let (Some(norm), false) = (neurons.norm, training) {
                    let of = |i: usize| variables.buffers[i].var.to_vec1::<f32>();
                    let (mean, variance) = (of(norm.mean)?, of(norm.variance)?);
                    let wide = |v: &[f32]| v.iter().map(|v| f64::from(*v)).collect::<Vec<_>>();
                    coefficients.set(neurons, norm, variables, &wide(&mean), &wide(&variance))?;
                }
                // Statistics of the whole batch stand between sums and neurons in training.
                let at_once = neurons.norm.is_none() || !training;
                let is_last = i + 1 == plan.stages.len();
                let run = NeuronRun {
                    planned,
                    neurons,
                    lif: &lif,
                    cut,
                    n_outputs: if is_last { plan.n_outputs } else { 0 },
                    reads_membrane: plan.reads_membrane(),
                };
                let affine = coefficients.affine();
                let (per_share, out_per_share) =
                    (cut.share_images() * n, cut.share_images() * out_len);
                let seq_per_share = if is_last { cut.share_images() * plan.n_outputs } else { 1 };
                let seqs = &mut shared.output_seq;
                if let Product::Dense(dense) = &neurons.product {
                    dense_forward(dense, y, x, packed, threads);
                }
                let ys = y.par_chunks_mut(per_share);
                let xs = x.par_chunks(cut.share_images() * planned.input.len());
                let shares = shared.shares.par_iter_mut();
                let outputs = output.par_chunks_mut(out_per_share);
                let seqs = seqs.par_chunks_mut(seq_per_share);
                ys.zip(xs).zip(shares).zip(outputs).zip(seqs).try_for_each(
                    |((((y, x), share), output), seq)| {
                        let space = &mut *space_of_thread(threads);
                        if let Product::Conv(conv, _) = &neurons.product {
                            let moments = !at_once;
                            conv_forward(conv, y, x, packed, &mut space.stages[i], share, moments)?;
                        }
                        match &neurons.recurrent {
                            Some(recurrent) => {
                                let weights = &packed.recurrent;
                                run.forward_recurrent(
                                    recurrent, weights, y, output, seq, share, space,
                                )
                            }
                            None if at_once => run.forward(affine, y, output, seq, share, space),
                            None => Ok(()),
                        }
                    },
                )?;
                if let (Some(norm), false) = (neurons.norm, at_once) {
                    shared.totals.add_up(&shared.shares);
                    let totals = &shared.totals;
                    let n = (cut.n_images() * neurons.layout.height * neurons.layout.width) as f64;
                    let channels = |row| by_channel(row, &neurons.layout).collect::<Vec<_>>();
                    let (sum, square) = (channels(&totals.first), channels(&totals.second));
                    let (mut mean, mut variance) = (sum.clone(), sum.clone());
                    mean_and_variance(&mut mean, &mut variance, &sum, &square, n)?;
                    update_running(norm, variables, &mean, &variance, n)?;
                    coefficients.set(neurons, norm, variables, &mean, &variance)?;
                    let affine = coefficients.affine();
                    let shares = shared.shares.par_iter_mut();
                    let outputs = output.par_chunks_mut(out_per_share);
                    let seqs = shared.output_seq.par_chunks_mut(seq_per_share);
                    y.par_chunks(per_share).zip(shares).zip(outputs).zip(seqs).try_for_each(
                        |(((y, share), output), seq)| {
                            let space = &mut *space_of_thread(threads);
                            run.forward(affine, y, output, seq, share, space)
                        },
                    )?;
                }
            }
            Stage::Pool(pool) => {
                let rounds = planned.rounds_output;
                output
                    .par_chunks_mut(out_len)
                    .zip(x.par_chunks(planned.input.len()))
                    .try_for_each(|(out, x)| -> mbspike_core::Result<()> {
                        pool.forward(out, &planned.output, x, &planned.input)?;
                        if rounds {
                            round_to_bf16(out);
                        }
                        Ok(())
                    })?;
            }
            Stage::Gather(gather) => {
                let rounds = planned.rounds_output;
                output.par_chunks_mut(out_len).zip(x.par_chunks(planned.input.len())).for_each(
                    |(out, x)| {
                        gather.forward(out, &planned.output, x, &planned.input);
                        if rounds {
                            round_to_bf16(out);
                        }
                    },
                );
            }
            Stage::Add => {
                let sources: Vec<_> = planned
                    .sources
                    .iter()
                    .map(|source| (of_source(*source), plan.layout(*source)))
                    .collect();
                output.par_chunks_mut(out_len).enumerate().for_each(|(image, out)| {
                    for (of_sum, (x, layout)) in sources.iter().enumerate() {
                        let x = &x[image * layout.len()..][..layout.len()];
                        let into = if of_sum == 0 { add::copy } else { add::add };
                        into(out, &planned.output, x, layout);
                    }
                    if planned.rounds_output {
                        round_to_bf16(out);
                    }
                });
            }
            Stage::Dropout { p, index } => {
                let n = without_padding(&planned.output).len();
                let outputs = output.par_chunks_mut(cut.n_steps * out_len);
                let xs = x.par_chunks(cut.n_steps * planned.input.len());
                let masks = mask[..cut.batch_size * n].par_chunks_mut(n);
                outputs.zip(xs).zip(masks).enumerate().for_each(|(sample, ((out, x), mask))| {
                    if let Some(key) = key {
                        let space = &mut *space_of_thread(threads);
                        fill_mask(
                            mask,
                            &planned.output,
                            &mut space.image,
                            (*p, *index),
                            sample,
                            key,
                        );
                    }
                    let mask = key.map(|_| &*mask);
                    drop_sample(planned, out, x, mask);
                });
            }
        }
        Ok(())
    }

    /// Scores from the output layer's sequences.
    fn read_out(&mut self, cut: &Cut) {
        let (plan, shared) = (&self.plan, &mut self.shared);
        let n = plan.n_outputs;
        let n_classes = n / plan.group;
        let group = plan.group as f32;
        let mut outputs = vec![0.0; n];
        let seqs = shared.output_seq.chunks_exact(cut.n_steps * n).take(cut.batch_size);
        for (seq, logits) in seqs.zip(shared.logits.chunks_exact_mut(n_classes)) {
            plan.readout.forward(&mut outputs, seq);
            for (logit, outputs) in logits.iter_mut().zip(outputs.chunks_exact(plan.group)) {
                *logit = outputs.iter().sum::<f32>() / group;
            }
        }
    }

    /// The mean loss of the batch, and its gradient down to the output layer's sequences.
    pub(super) fn loss(&mut self, cut: &Cut, targets: &[f32], loss: Loss) -> f64 {
        let (plan, shared) = (&self.plan, &mut self.shared);
        let n = plan.n_outputs;
        let n_classes = n / plan.group;
        let scale = 1.0 / (cut.batch_size * plan.group) as f32;
        let (mut grad_logits, mut grad_outputs) = (vec![0.0; n_classes], vec![0.0; n]);
        let mut total = 0.0;
        let seqs = shared.output_seq.chunks_exact(cut.n_steps * n);
        let grads = shared.grad_output_seq.chunks_exact_mut(cut.n_steps * n);
        let logits = shared.logits.chunks_exact(n_classes).zip(targets.chunks_exact(n_classes));
        for (((logits, target), seq), grad) in logits.zip(seqs).zip(grads).take(cut.batch_size) {
            total += f64::from(loss.forward(&mut grad_logits, logits, target));
            let groups = grad_outputs.chunks_exact_mut(plan.group);
            for (grads, grad_logit) in groups.zip(&grad_logits) {
                grads.fill((grad_logit * scale).carried());
            }
            plan.readout.backward(grad, &grad_outputs, seq);
        }
        total / cut.batch_size as f64
    }
}

impl super::space::Coefficients {
    /// Those of batch normalization with these statistics, `[channels]`.
    fn set(
        &mut self,
        neurons: &Neurons,
        norm: Norm,
        variables: &Variables,
        mean: &[f64],
        variance: &[f64],
    ) -> Result<()> {
        let of = |i: usize| variables.parameters[i].var.to_vec1::<f32>();
        let (gamma, beta) = (of(norm.weight)?, of(norm.bias)?);
        let layout = &neurons.layout;
        self.batch_mean.clear();
        self.batch_mean.extend_from_slice(mean);
        self.inverse_deviation.clear();
        self.inverse_deviation.extend(variance.iter().map(|v| 1.0 / (v + NORM_EPSILON).sqrt()));
        let scale = |c: usize| f64::from(gamma[c]) * self.inverse_deviation[c];
        spread(&mut self.scale, layout, scale);
        spread(&mut self.shift, layout, |c| f64::from(beta[c]) - mean[c] * scale(c));
        spread(&mut self.mean, layout, |c| mean[c]);
        Ok(())
    }
}

/// Running statistics with PyTorch's momentum; the variance is the unbiased one.
fn update_running(
    norm: Norm,
    variables: &Variables,
    mean: &[f64],
    variance: &[f64],
    n: f64,
) -> Result<()> {
    let unbiased = n / (n - 1.0);
    for (buffer, values, factor) in [(norm.mean, mean, 1.0), (norm.variance, variance, unbiased)] {
        let var = &variables.buffers[buffer].var;
        let running: Vec<f32> = var
            .to_vec1::<f32>()?
            .iter()
            .zip(values)
            .map(|(old, new)| {
                let running = (1.0 - NORM_MOMENTUM) * f64::from(*old);
                ((running + NORM_MOMENTUM * factor * new) as f32).carried()
            })
            .collect();
        let n = running.len();
        var.set(&Tensor::from_vec(running, n, &Device::Cpu)?)?;
    }
    Ok(())
}

/// What a share needs to pass through a stage's neurons.
#[derive(Clone, Copy)]
struct NeuronRun<'a> {
    planned: &'a PlannedStage,
    neurons: &'a Neurons,
    lif: &'a LifParams,
    cut: &'a Cut,
    /// Of the network, in the last stage; else 0.
    n_outputs: usize,
    reads_membrane: bool,
}

impl NeuronRun<'_> {
    /// A share's sums `y` through normalization, neurons and pooling.
    fn forward(
        &self,
        affine: Affine<'_>,
        y: &[f32],
        output: &mut [f32],
        seq: &mut [f32],
        share: &mut Share,
        space: &mut ThreadSpace,
    ) -> mbspike_core::Result<()> {
        let (planned, neurons) = (self.planned, self.neurons);
        let (layout, out_layout) = (&neurons.layout, &planned.output);
        let (n, out_len, n_steps) = (layout.len(), out_layout.len(), self.cut.n_steps);
        let row = layout.width * layout.stride;
        let of_block = rows_of_block(neurons);
        let position = planned.position.unwrap_or_default();
        let samples = y.chunks_exact(n_steps * n).zip(output.chunks_exact_mut(n_steps * out_len));
        for (sample, (y, output)) in samples.enumerate() {
            for first in (0..layout.height).step_by(of_block) {
                let n_rows = of_block.min(layout.height - first);
                let range = first * row..(first + n_rows) * row;
                let block = Block { y, n_neurons: n, range, affine };
                let rows = ImageLayout { height: n_rows, ..*layout };
                let pooled = neurons.pool.map(|pool| {
                    let height = n_rows / pool.size;
                    (pool, ImageLayout { height, ..without_padding(out_layout) })
                });
                let out_first = neurons.pool.map_or(first, |pool| first / pool.size);
                let (image, mut failed) = (&mut space.image, Ok(()));
                lif_block_forward(&block, self.lif, &mut space.block, |t, s, h| {
                    share.activity.positions[position].merge(&count_channels(s, &rows));
                    let out = &mut output[t * out_len..][..out_len];
                    let (values, n_out_rows) = match &pooled {
                        None => (s, n_rows),
                        Some((pool, to)) => {
                            image.resize(image.len().max(to.len()), 0.0);
                            let image = &mut image[..to.len()];
                            if to.height > 0
                                && let Err(error) = pool.forward(image, to, s, &rows)
                            {
                                failed = Err(error);
                            }
                            (&*image, to.height)
                        }
                    };
                    let out_row = out_layout.width * out_layout.stride;
                    for (k, values) in values.chunks_exact(out_row).take(n_out_rows).enumerate() {
                        let out = &mut out[out_layout.row(out_first + k)];
                        out.copy_from_slice(values);
                        if planned.rounds_output {
                            round_to_bf16(out);
                        }
                    }
                    self.send(&mut *seq, sample * n_steps + t, s, h);
                })?;
                failed?;
            }
        }
        Ok(())
    }

    /// What the network's output layer sends at a step of a sample, if this is that.
    fn send(&self, seq: &mut [f32], image: usize, s: &[f32], h: &[f32]) {
        if self.n_outputs > 0 {
            let values = if self.reads_membrane { h } else { s };
            let seq = &mut seq[image * self.n_outputs..][..self.n_outputs];
            copy_carried(seq, &values[..self.n_outputs]);
        }
    }

    /// [`NeuronRun::forward`] of neurons that hear each other: sums become membranes.
    #[expect(clippy::too_many_arguments, reason = "one call site, all of it slices of the share")]
    fn forward_recurrent(
        &self,
        recurrent: &Recurrent,
        weights: &RecurrentWeights,
        y: &mut [f32],
        output: &mut [f32],
        seq: &mut [f32],
        share: &mut Share,
        space: &mut ThreadSpace,
    ) -> mbspike_core::Result<()> {
        let (layout, out_layout) = (&self.neurons.layout, &self.planned.output);
        let (n_steps, out_len) = (self.cut.n_steps, out_layout.len());
        let position = self.planned.position.unwrap_or_default();
        let samples = y.chunks_exact_mut(n_steps * layout.len());
        for (sample, (y, output)) in
            samples.zip(output.chunks_exact_mut(n_steps * out_len)).enumerate()
        {
            recurrent.forward(y, self.lif, weights, &mut space.recurrent, |t, s, h| {
                share.activity.positions[position].merge(&count_channels(s, layout));
                let out = &mut output[t * out_len..][out_layout.row(0)];
                out.copy_from_slice(s);
                if self.planned.rounds_output {
                    round_to_bf16(out);
                }
                self.send(&mut *seq, sample * n_steps + t, s, h);
            })?;
        }
        Ok(())
    }
}

/// Activity of the channels that carry values.
fn count_channels(spikes: &[f32], layout: &ImageLayout) -> PositionActivity {
    let mut activity = PositionActivity::default();
    if layout.stride == layout.channels {
        activity.add(spikes.len(), count(spikes));
    } else {
        for pixel in spikes.chunks_exact(layout.stride) {
            activity.add(layout.channels, count(&pixel[..layout.channels]));
        }
    }
    activity
}

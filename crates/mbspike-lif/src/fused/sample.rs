//! One sample through all stages, forward and back.

use std::ops::Range;

use mbspike_core::activity::{count, n_nonzero};
use mbspike_core::conv::{ChannelLists, ForwardSpace, ImageLayout, Nonzeros};
use mbspike_core::dense::nonzeros;
use mbspike_core::lif::{lif_backward_from_h, lif_forward_keep_h};
use mbspike_core::{Real, Result, copy_carried, round_to_bf16};

use super::batch::Batch;
use super::packed::{PackedStage, StageGradient};
use super::plan::{Plan, PlannedStage, Stage};
use crate::channels_last::to_channels_last;
use crate::{Activity, Loss, PoolKind, PositionActivity, StepKey, dropout};

/// Working memory of one stage, for the steps of one segment.
#[derive(Debug, Default)]
struct StageSpace {
    /// Output, `[steps, output layout]`, padding always zero.
    output: Vec<f32>,
    /// Gradient of the output, `[steps, output layout without padding]`.
    grad_output: Vec<f32>,
    /// Membranes after charge, `[steps, neurons]`.
    h_seq: Vec<f32>,
    /// Membranes after the last step so far.
    v: Vec<f32>,
    /// Membranes at the start of each segment.
    v_of_segment: Vec<Vec<f32>>,
    grad_v: Vec<f32>,
    /// Spikes of one step; then the gradient of one step's membranes.
    step: Vec<f32>,
    /// The same in the padded layout of a convolution's backward pass.
    padded_step: Vec<f32>,
    forward: ForwardSpace,
    lists: ChannelLists,
    /// Of the gradient of one step's membranes, in a convolution whose input's gradient is wanted.
    dy_nonzeros: Nonzeros,
    index: Vec<u32>,
    value: Vec<f32>,
    /// Dropout mask of the sample, channels last.
    mask: Vec<f32>,
    mask_chw: Vec<f32>,
}

/// Working memory of one thread: one sample's activity.
#[derive(Debug)]
pub(super) struct Workspace {
    /// Input, `[steps, input layout]`.
    input: Vec<f32>,
    stages: Vec<StageSpace>,
    /// Spikes or membranes of the output layer, `[T, outputs]`, and their gradient.
    output_seq: Vec<f32>,
    grad_output_seq: Vec<f32>,
    /// Scores before voting, and gradients on the way back.
    outputs: Vec<f32>,
    grad_outputs: Vec<f32>,
    grad_logits: Vec<f32>,
    /// Steps for which there is room.
    capacity: usize,
}

fn without_padding(layout: &ImageLayout) -> ImageLayout {
    ImageLayout { padding: 0, ..*layout }
}

impl Workspace {
    pub(super) fn new(plan: &Plan) -> Self {
        let stages = plan
            .stages
            .iter()
            .map(|planned| {
                let mut space = StageSpace::default();
                if let Some(neurons) = planned.neurons() {
                    space.v = vec![0.0; neurons.len()];
                    space.grad_v = vec![0.0; neurons.len()];
                    space.step = vec![0.0; neurons.len()];
                }
                match &planned.stage {
                    Stage::Conv { conv, .. } => {
                        space.padded_step = vec![0.0; conv.dy_layout().len()];
                        space.forward = conv.forward_space();
                        space.lists = conv.channel_lists();
                        if planned.needs_input_gradient {
                            space.dy_nonzeros = conv.dy_nonzeros();
                        }
                    }
                    Stage::Dense { dense, .. } => {
                        space.index = vec![0; dense.n_in() + 1];
                        space.value = vec![0.0; dense.n_in() + 1];
                    }
                    Stage::Dropout { .. } => {
                        let layout = without_padding(&planned.output);
                        space.mask = vec![0.0; layout.len()];
                        space.mask_chw = vec![0.0; layout.height * layout.width * layout.channels];
                    }
                    Stage::Pool(_) => {}
                }
                space
            })
            .collect();
        Self {
            input: vec![],
            stages,
            output_seq: vec![],
            grad_output_seq: vec![],
            outputs: vec![0.0; plan.n_outputs],
            grad_outputs: vec![0.0; plan.n_outputs],
            grad_logits: vec![0.0; plan.n_outputs / plan.group],
            capacity: 0,
        }
    }

    /// Makes room for a segment of `n_steps` steps.
    fn reserve(&mut self, plan: &Plan, n_steps: usize) {
        if self.capacity >= n_steps {
            return;
        }
        self.capacity = n_steps;
        self.input.resize(n_steps * plan.input.len(), 0.0);
        for (space, planned) in self.stages.iter_mut().zip(&plan.stages) {
            space.output.resize(n_steps * planned.output.len(), 0.0);
            space.grad_output.resize(n_steps * without_padding(&planned.output).len(), 0.0);
            let n_neurons = planned.neurons().map_or(0, |n| n.len());
            space.h_seq.resize(n_steps * n_neurons, 0.0);
        }
    }

    /// Forward pass of sample `sample`; its scores go to `logits`.
    pub(super) fn forward(
        &mut self,
        plan: &Plan,
        packed: &[PackedStage],
        batch: &Batch<'_>,
        sample: usize,
        logits: &mut [f32],
        activity: &mut Activity,
    ) -> Result<()> {
        let segment = segment_steps(plan, batch);
        self.reserve(plan, segment);
        self.output_seq.resize(batch.n_steps * plan.n_outputs, 0.0);
        for space in &mut self.stages {
            space.v.fill(0.0);
        }
        if let Some((_, _, key)) = batch.training {
            self.fill_masks(plan, sample, key);
        }
        let n_segments = batch.n_steps.div_ceil(segment);
        let keeps_starts = batch.training.is_some() && n_segments > 1;
        for i in 0..n_segments {
            if keeps_starts {
                for space in &mut self.stages {
                    space.v_of_segment.resize(n_segments, vec![]);
                    space.v_of_segment[i].clone_from(&space.v);
                }
            }
            let steps = i * segment..batch.n_steps.min((i + 1) * segment);
            self.forward_segment(plan, packed, batch, sample, &steps, Some(activity))?;
        }
        plan.readout.forward(&mut self.outputs, &self.output_seq);
        let group = plan.group as f32;
        for (logit, outputs) in logits.iter_mut().zip(self.outputs.chunks_exact(plan.group)) {
            *logit = outputs.iter().sum::<f32>() / group;
        }
        Ok(())
    }

    fn fill_masks(&mut self, plan: &Plan, sample: usize, key: StepKey) {
        for (space, planned) in self.stages.iter_mut().zip(&plan.stages) {
            let Stage::Dropout { p, index } = planned.stage else { continue };
            dropout::fill_mask(&mut space.mask_chw, p, index, sample, key);
            let layout = without_padding(&planned.output);
            let n_pixels = layout.height * layout.width;
            for (pixel, mask) in space.mask.chunks_exact_mut(layout.stride).enumerate() {
                for (channel, mask) in mask[..layout.channels].iter_mut().enumerate() {
                    *mask = space.mask_chw[channel * n_pixels + pixel];
                }
            }
        }
    }

    /// Some steps of the sample through all stages.
    fn forward_segment(
        &mut self,
        plan: &Plan,
        packed: &[PackedStage],
        batch: &Batch<'_>,
        sample: usize,
        steps: &Range<usize>,
        mut activity: Option<&mut Activity>,
    ) -> Result<()> {
        self.load_input(plan, batch, sample, steps, activity.as_deref_mut());
        let mut input = &mut self.input;
        for ((space, planned), packed) in self.stages.iter_mut().zip(&plan.stages).zip(packed) {
            if plan.bf16 && planned.position.is_some() {
                // Operands are rounded where a product takes them; nothing else reads them.
                round_to_bf16(&mut input[..steps.len() * planned.input.len()]);
            }
            let training = batch.training.is_some();
            let counted = space.forward(planned, packed, input, steps.len(), training)?;
            if let (Some(activity), Some(position)) = (activity.as_deref_mut(), planned.position) {
                activity.positions[position].merge(&counted);
            }
            input = &mut space.output;
        }
        let last = self.stages.last().expect("a network has an output layer");
        let stride = last.v.len();
        for (k, out) in self.output_seq[steps.start * plan.n_outputs..steps.end * plan.n_outputs]
            .chunks_exact_mut(plan.n_outputs)
            .enumerate()
        {
            let row = if plan.reads_membrane { &last.h_seq } else { &last.output };
            copy_carried(out, &row[k * stride..][..plan.n_outputs]);
        }
        Ok(())
    }

    /// Copies the sample's steps, `[C, H, W]` each, into the padded channels-last input.
    fn load_input(
        &mut self,
        plan: &Plan,
        batch: &Batch<'_>,
        sample: usize,
        steps: &Range<usize>,
        mut activity: Option<&mut Activity>,
    ) {
        let layout = &plan.input;
        let n = layout.height * layout.width * layout.channels;
        let images = self.input.chunks_exact_mut(layout.len());
        for (t, image) in steps.clone().zip(images) {
            let source = &batch.x[(t * batch.batch_size + sample) * n..][..n];
            if let Some(activity) = activity.as_deref_mut() {
                activity.positions[0].add(n, count(source));
            }
            to_channels_last(image, layout, source);
        }
    }

    /// The loss of the sample just computed, and its gradient, divided by the batch size, down to
    /// the outputs over time.
    pub(super) fn loss(
        &mut self,
        plan: &Plan,
        loss: Loss,
        logits: &[f32],
        target: &[f32],
        batch_size: usize,
    ) -> f64 {
        let value = loss.forward(&mut self.grad_logits, logits, target);
        let scale = 1.0 / (batch_size * plan.group) as f32;
        let groups = self.grad_outputs.chunks_exact_mut(plan.group);
        for (grads, grad_logit) in groups.zip(&self.grad_logits) {
            grads.fill((grad_logit * scale).carried());
        }
        self.grad_output_seq.resize(self.output_seq.len(), 0.0);
        plan.readout.backward(&mut self.grad_output_seq, &self.grad_outputs, &self.output_seq);
        f64::from(value)
    }

    /// Backward pass of the sample just computed; adds to `gradients`.
    pub(super) fn backward(
        &mut self,
        plan: &Plan,
        packed: &[PackedStage],
        batch: &Batch<'_>,
        sample: usize,
        gradients: &mut [StageGradient],
    ) -> Result<()> {
        for space in &mut self.stages {
            space.grad_v.fill(0.0);
        }
        let segment = segment_steps(plan, batch);
        let n_segments = batch.n_steps.div_ceil(segment);
        for i in (0..n_segments).rev() {
            let steps = i * segment..batch.n_steps.min((i + 1) * segment);
            if i + 1 < n_segments {
                // Its activity was overwritten by the segments after it: compute it again.
                for space in &mut self.stages {
                    space.v.clone_from(&space.v_of_segment[i]);
                }
                self.forward_segment(plan, packed, batch, sample, &steps, None)?;
            }
            self.backward_segment(plan, packed, &steps, gradients)?;
        }
        Ok(())
    }

    fn backward_segment(
        &mut self,
        plan: &Plan,
        packed: &[PackedStage],
        steps: &Range<usize>,
        gradients: &mut [StageGradient],
    ) -> Result<()> {
        let n_outputs = plan.n_outputs;
        let grad_seq = &self.grad_output_seq[steps.start * n_outputs..steps.end * n_outputs];
        for (i, planned) in plan.stages.iter().enumerate().rev() {
            let (before, rest) = self.stages.split_at_mut(i);
            let (space, input) = (&mut rest[0], before.last_mut());
            let (x, grad_x) = match input {
                Some(input) => (&input.output, &mut input.grad_output[..]),
                None => (&self.input, &mut [][..]),
            };
            let is_output = i + 1 == plan.stages.len();
            let mut membranes = None;
            if is_output {
                let stride = planned.output.stride;
                space.grad_output.fill(0.0);
                if plan.reads_membrane {
                    membranes = Some(grad_seq);
                } else {
                    for (row, g) in space
                        .grad_output
                        .chunks_exact_mut(stride)
                        .zip(grad_seq.chunks_exact(n_outputs))
                    {
                        row[..n_outputs].copy_from_slice(g);
                    }
                }
            }
            let back =
                Back { planned, packed: &packed[i], x, n_steps: steps.len(), bf16: plan.bf16 };
            space.backward(&back, grad_x, membranes, &mut gradients[i])?;
        }
        Ok(())
    }
}

/// Steps whose activity is kept at once: all in training unless checkpointed, one in evaluation.
fn segment_steps(plan: &Plan, batch: &Batch<'_>) -> usize {
    match (&batch.training, plan.checkpoint_steps) {
        (None, _) => 1,
        (Some(_), Some(steps)) => steps.min(batch.n_steps),
        (Some(_), None) => batch.n_steps,
    }
}

/// What a stage's backward pass reads.
struct Back<'a> {
    planned: &'a PlannedStage,
    packed: &'a PackedStage,
    /// The stage's input, `[steps, input layout]`.
    x: &'a [f32],
    n_steps: usize,
    bf16: bool,
}

impl StageSpace {
    /// Some steps through the stage; returns the activity of its neurons.
    fn forward(
        &mut self,
        planned: &PlannedStage,
        packed: &PackedStage,
        input: &[f32],
        n_steps: usize,
        training: bool,
    ) -> Result<PositionActivity> {
        let mut activity = PositionActivity::default();
        let n = self.v.len();
        let inputs = input.chunks_exact(planned.input.len()).take(n_steps);
        let outputs = self.output.chunks_exact_mut(planned.output.len());
        for (k, (x, out)) in inputs.zip(outputs).enumerate() {
            match &planned.stage {
                Stage::Conv { conv, lif, pool, .. } => {
                    let h = &mut self.h_seq[k * n..][..n];
                    conv.forward(h, x, &packed.conv, &mut self.forward)?;
                    lif_forward_keep_h(&mut self.step, h, &mut self.v, lif)?;
                    let neurons = conv.y_layout();
                    activity.merge(&count_channels(&self.step, neurons));
                    match pool {
                        Some(pool) => pool.forward(out, &planned.output, &self.step, neurons)?,
                        None => copy_rows(out, &planned.output, &self.step, neurons),
                    }
                }
                Stage::Dense { dense, lif, bias, .. } => {
                    let h = &mut self.h_seq[k * n..][..n];
                    let n_nonzero = nonzeros(&mut self.index, &mut self.value, x);
                    let (index, value) = (&self.index[..n_nonzero], &self.value[..n_nonzero]);
                    let bias = bias.map(|_| &packed.bias[..]);
                    dense.forward(h, index, value, &packed.by_input, bias)?;
                    lif_forward_keep_h(out, h, &mut self.v, lif)?;
                    activity.merge(&count_channels(out, &planned.output));
                }
                Stage::Pool(pool) => pool.forward(out, &planned.output, x, &planned.input)?,
                Stage::Dropout { .. } => {
                    copy_rows(out, &planned.output, x, &planned.input);
                    if training {
                        let layout = &planned.output;
                        let masks = self.mask.chunks_exact(layout.width * layout.stride);
                        for (y, mask) in masks.enumerate() {
                            for (o, m) in out[layout.row(y)].iter_mut().zip(mask) {
                                *o *= m;
                            }
                        }
                    }
                }
            }
        }
        Ok(activity)
    }

    /// Some steps back through the stage, the last first, from `grad_output` to `grad_x`
    /// `[steps, input layout without padding]` (empty where it is not wanted). `membranes` is the
    /// gradient of the membranes where the readout takes them, `[steps, outputs]`.
    fn backward(
        &mut self,
        back: &Back<'_>,
        grad_x: &mut [f32],
        membranes: Option<&[f32]>,
        gradient: &mut StageGradient,
    ) -> Result<()> {
        let planned = back.planned;
        let grad_layout = without_padding(&planned.output);
        let x_layout = without_padding(&planned.input);
        let n = self.v.len();
        for k in (0..back.n_steps).rev() {
            let x = &back.x[k * planned.input.len()..][..planned.input.len()];
            let grad_out = &self.grad_output[k * grad_layout.len()..][..grad_layout.len()];
            let wanted = planned.needs_input_gradient;
            let grad_x = if wanted {
                &mut grad_x[k * x_layout.len()..][..x_layout.len()]
            } else {
                &mut [][..]
            };
            match &planned.stage {
                Stage::Conv { conv, lif, pool, .. } => {
                    let h = &self.h_seq[k * n..][..n];
                    let neurons = conv.y_layout();
                    match pool {
                        Some(pool) => {
                            let spikes = if pool.kind == PoolKind::Max {
                                // The spikes of this step again, to see which was largest.
                                mbspike_core::lif::fire(&mut self.padded_step[..n], h, lif)?;
                                &self.padded_step[..n]
                            } else {
                                &[]
                            };
                            pool.backward(&mut self.step, spikes, neurons, grad_out, &grad_layout)?;
                            if pool.kind == PoolKind::Max {
                                self.padded_step.fill(0.0);
                            }
                        }
                        None => self.step.copy_from_slice(grad_out),
                    }
                    lif_backward_from_h(&mut self.step, &mut self.grad_v, h, lif)?;
                    if !gradient.bias.is_empty() {
                        for pixel in self.step.chunks_exact(neurons.stride) {
                            add(&mut gradient.bias, pixel);
                        }
                    }
                    if back.bf16 {
                        round_to_bf16(&mut self.step);
                    }
                    let n_nonzero = n_nonzero(&self.step);
                    if n_nonzero == 0 {
                        grad_x.fill(0.0);
                        continue;
                    }
                    copy_rows(&mut self.padded_step, conv.dy_layout(), &self.step, neurons);
                    self.lists.fill(x);
                    conv.backward_weight(&mut gradient.weight, &self.padded_step, &self.lists)?;
                    if wanted && conv.pays_to_skip_zeros(n_nonzero) {
                        self.dy_nonzeros.fill(&self.padded_step);
                        conv.backward_input_sparse(grad_x, &self.dy_nonzeros, &back.packed.conv)?;
                    } else if wanted {
                        conv.backward_input(grad_x, &self.padded_step, &back.packed.conv)?;
                    }
                }
                Stage::Dense { dense, lif, .. } => {
                    let h = &self.h_seq[k * n..][..n];
                    self.step.copy_from_slice(grad_out);
                    if let Some(grad_seq) = membranes {
                        let grads = &grad_seq[k * dense.n_out()..][..dense.n_out()];
                        add(&mut self.grad_v[..dense.n_out()], grads);
                    }
                    lif_backward_from_h(&mut self.step, &mut self.grad_v, h, lif)?;
                    if !gradient.bias.is_empty() {
                        add(&mut gradient.bias, &self.step);
                    }
                    if back.bf16 {
                        round_to_bf16(&mut self.step);
                    }
                    if n_nonzero(&self.step) == 0 {
                        grad_x.fill(0.0);
                        continue;
                    }
                    let n_nonzero = nonzeros(&mut self.index, &mut self.value, x);
                    let (index, value) = (&self.index[..n_nonzero], &self.value[..n_nonzero]);
                    dense.backward_weight(&mut gradient.weight, &self.step, index, value)?;
                    if wanted {
                        dense.backward_input(grad_x, &self.step, &back.packed.by_output)?;
                    }
                }
                Stage::Pool(pool) if wanted => {
                    // The gradient has no padding, the input may have: compare in its layout.
                    let mut unpadded = std::mem::take(&mut self.step);
                    unpadded.resize(x_layout.len(), 0.0);
                    copy_rows(&mut unpadded, &x_layout, x, &planned.input);
                    pool.backward(grad_x, &unpadded, &x_layout, grad_out, &grad_layout)?;
                    self.step = unpadded;
                }
                Stage::Dropout { .. } if wanted => {
                    for ((gx, g), m) in grad_x.iter_mut().zip(grad_out).zip(&self.mask) {
                        *gx = g * m;
                    }
                }
                Stage::Pool(_) | Stage::Dropout { .. } => {}
            }
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

/// Copies an image into another padding.
fn copy_rows(to: &mut [f32], to_layout: &ImageLayout, from: &[f32], from_layout: &ImageLayout) {
    for y in 0..to_layout.height {
        to[to_layout.row(y)].copy_from_slice(&from[from_layout.row(y)]);
    }
}

fn add(sum: &mut [f32], more: &[f32]) {
    for (sum, more) in sum.iter_mut().zip(more) {
        *sum += more;
    }
}

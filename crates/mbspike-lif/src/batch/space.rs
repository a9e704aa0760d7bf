//! Memory of the batch engine: planned from shapes, kept and used again.

use mbspike_core::conv::{ChannelLists, ForwardSpace, ImageLayout, Nonzeros};
use mbspike_core::lif::{Affine, BlockSpace};
use mbspike_core::norm::NormGradient;
use mbspike_core::product::ProductSpace;

use super::edge::RecurrentSpace;
use super::plan::{Plan, PlannedStage, Product, Stage, without_padding};
use super::weights::Packed;
use crate::Activity;

/// Samples are dealt out in at most this many shares, each of which sums on its own; the sums of
/// shares are added in order, so that results do not depend on the number of threads.
const MOST_SHARES: usize = 32;
/// Rows of a dense layer's sums, or of its weight gradient, that a task computes.
const MOST_ROWS: usize = 64;
const FEWEST_ROWS: usize = 12;
/// Tasks that a product is cut into where it has rows enough.
const TASKS: usize = 16;

/// How a batch is cut up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Cut {
    pub(super) n_steps: usize,
    pub(super) batch_size: usize,
    /// Samples in a share.
    pub(super) share: usize,
    pub(super) n_shares: usize,
}

impl Cut {
    pub(super) fn new(n_steps: usize, batch_size: usize) -> Self {
        let share = batch_size.div_ceil(MOST_SHARES);
        Self { n_steps, batch_size, share, n_shares: batch_size.div_ceil(share) }
    }

    /// Images of the batch.
    pub(super) fn n_images(&self) -> usize {
        self.n_steps * self.batch_size
    }

    /// Images of a share.
    pub(super) fn share_images(&self) -> usize {
        self.n_steps * self.share
    }
}

/// Rows of a product that a task computes.
pub(super) fn rows_of_task(n_rows: usize) -> usize {
    n_rows.div_ceil(TASKS).clamp(FEWEST_ROWS, MOST_ROWS).next_multiple_of(FEWEST_ROWS)
}

/// Coefficients of normalization, each `[image row]`.
#[derive(Debug, Default)]
pub(super) struct Coefficients {
    pub(super) scale: Vec<f32>,
    pub(super) shift: Vec<f32>,
    pub(super) mean: Vec<f32>,
    pub(super) slope: Vec<f32>,
    pub(super) constant: Vec<f32>,
    /// `[channels]`, of the last training step.
    pub(super) batch_mean: Vec<f64>,
    pub(super) inverse_deviation: Vec<f64>,
}

impl Coefficients {
    /// Those of a layer without normalization: `z = y`.
    fn new(layout: &ImageLayout) -> Self {
        let row = layout.width * layout.stride;
        Self {
            scale: vec![1.0; row],
            shift: vec![0.0; row],
            mean: vec![0.0; row],
            slope: vec![],
            constant: vec![],
            batch_mean: vec![],
            inverse_deviation: vec![],
        }
    }

    pub(super) fn affine(&self) -> Affine<'_> {
        Affine { scale: &self.scale, shift: &self.shift, mean: &self.mean }
    }

    pub(super) fn gradient(&self) -> NormGradient<'_> {
        NormGradient {
            scale: &self.scale,
            slope: &self.slope,
            constant: &self.constant,
            mean: &self.mean,
        }
    }
}

/// Repeats one value a channel over an image row; padding channels stay zero.
pub(super) fn spread(row: &mut Vec<f32>, layout: &ImageLayout, value: impl Fn(usize) -> f64) {
    row.clear();
    row.resize(layout.width * layout.stride, 0.0);
    for channel in 0..layout.channels {
        let value = value(channel) as f32;
        row[channel..].iter_mut().step_by(layout.stride).for_each(|v| *v = value);
    }
}

/// Adds up an image row's values by channel.
pub(super) fn by_channel<'a>(
    row: &'a [f64],
    layout: &'a ImageLayout,
) -> impl Iterator<Item = f64> + 'a {
    (0..layout.channels).map(|c| row[c..].iter().step_by(layout.stride).sum())
}

/// What is kept of a stage.
#[derive(Debug, Default)]
pub(super) struct StageSpace {
    pub(super) packed: Packed,
    /// Sums before normalization and neurons, `[B, T, neurons]`; in training.
    pub(super) y: Vec<f32>,
    /// `[B, T, output layout]`, padding always zero.
    pub(super) output: Vec<f32>,
    /// Dropout masks, `[B, output layout without padding]`.
    pub(super) mask: Vec<f32>,
    pub(super) coefficients: Coefficients,
}

impl StageSpace {
    pub(super) fn new(planned: &PlannedStage) -> Self {
        let mut space = Self::default();
        if let Some(neurons) = planned.neurons() {
            space.coefficients = Coefficients::new(&neurons.layout);
        }
        space
    }
}

/// What a share of samples sums up.
#[derive(Debug, Default)]
pub(super) struct Share {
    /// One value for each element of an image row: of sums and their squares forward, of gradients
    /// and their products with sums backward.
    pub(super) first: Vec<f64>,
    pub(super) second: Vec<f64>,
    pub(super) tau: f64,
    /// Gradient of a recurrent edge's weights, `[in, out padded]`.
    pub(super) recurrent: Vec<f32>,
    /// Gradient of a bias before normalization, `[channels padded]`.
    pub(super) bias: Vec<f64>,
    pub(super) activity: Activity,
}

impl Share {
    pub(super) fn reset_sums(&mut self, layout: &ImageLayout) {
        let row = layout.width * layout.stride;
        for (sums, n) in
            [(&mut self.first, row), (&mut self.second, row), (&mut self.bias, layout.stride)]
        {
            sums.clear();
            sums.resize(n, 0.0);
        }
        self.tau = 0.0;
    }
}

/// Sums over shares, in order.
#[derive(Debug, Default)]
pub(super) struct Totals {
    pub(super) first: Vec<f64>,
    pub(super) second: Vec<f64>,
    pub(super) bias: Vec<f64>,
    pub(super) tau: f64,
}

impl Totals {
    pub(super) fn add_up(&mut self, shares: &[Share]) {
        let sums = |of: fn(&Share) -> &Vec<f64>, total: &mut Vec<f64>| {
            total.clear();
            total.extend_from_slice(of(&shares[0]));
            for share in &shares[1..] {
                total.iter_mut().zip(of(share)).for_each(|(total, sum)| *total += sum);
            }
        };
        sums(|share| &share.first, &mut self.first);
        sums(|share| &share.second, &mut self.second);
        sums(|share| &share.bias, &mut self.bias);
        self.tau = shares.iter().map(|share| share.tau).sum();
    }
}

/// Working memory of one thread for one stage.
#[derive(Debug, Default)]
pub(super) struct ThreadStage {
    pub(super) forward: ForwardSpace,
    pub(super) lists: ChannelLists,
    /// Of the gradient of one image's sums, where that of the input is wanted.
    pub(super) dy_nonzeros: Nonzeros,
    /// Gradient of one image's sums in the padded layout of a convolution's backward pass.
    pub(super) padded: Vec<f32>,
}

/// Working memory of one thread.
#[derive(Debug, Default)]
pub(super) struct ThreadSpace {
    pub(super) stages: Vec<ThreadStage>,
    pub(super) block: BlockSpace,
    pub(super) product: ProductSpace,
    pub(super) recurrent: RecurrentSpace,
    /// Spikes of a block again, and its output or the gradient of that.
    pub(super) spikes: Vec<f32>,
    pub(super) image: Vec<f32>,
    pub(super) unpadded: Vec<f32>,
}

impl ThreadSpace {
    pub(super) fn new(plan: &Plan) -> Self {
        let stages = plan
            .stages
            .iter()
            .map(|planned| match &planned.stage {
                Stage::Neurons(neurons) => match &neurons.product {
                    Product::Conv(conv, _) => ThreadStage {
                        forward: conv.forward_space(),
                        lists: conv.channel_lists(),
                        dy_nonzeros: if planned.needs_input_gradient() {
                            conv.dy_nonzeros()
                        } else {
                            Nonzeros::default()
                        },
                        padded: vec![0.0; conv.dy_layout().len()],
                    },
                    Product::Dense(_) => ThreadStage::default(),
                },
                Stage::Pool(_) | Stage::Dropout { .. } | Stage::Gather(_) | Stage::Add => {
                    ThreadStage::default()
                }
            })
            .collect();
        Self { stages, ..Self::default() }
    }
}

/// Memory that stages share.
#[derive(Debug, Default)]
pub(super) struct Shared {
    /// The batch, `[B, T, input layout]`.
    pub(super) input: Vec<f32>,
    /// Sums of the stage at hand in evaluation, gradients of its neurons' input in training:
    /// `[B, T, neurons]`.
    pub(super) neurons: Vec<f32>,
    /// Gradients of stages' outputs, `[B, T, layout without padding]`, in the buffers of the plan.
    pub(super) grads: Vec<Vec<f32>>,
    /// Sums of the weight's gradient: `[share, …]` of a convolution, one of a dense layer.
    pub(super) grad_weight: Vec<f32>,
    /// Spikes or membranes of the output layer, `[B, T, outputs]`, and their gradient.
    pub(super) output_seq: Vec<f32>,
    pub(super) grad_output_seq: Vec<f32>,
    pub(super) logits: Vec<f32>,
    pub(super) shares: Vec<Share>,
    pub(super) totals: Totals,
}

fn grow(values: &mut Vec<f32>, n: usize) {
    if values.len() < n {
        values.resize(n, 0.0);
    }
}

impl Shared {
    /// Makes room for a batch.
    pub(super) fn reserve(
        &mut self,
        plan: &Plan,
        stages: &mut [StageSpace],
        cut: &Cut,
        training: bool,
    ) {
        let n_images = cut.n_images();
        self.shares.resize_with(cut.n_shares, Share::default);
        grow(&mut self.input, n_images * plan.input.len());
        grow(&mut self.output_seq, n_images * plan.n_outputs);
        grow(&mut self.logits, cut.batch_size * plan.n_outputs / plan.group);
        let neurons = || plan.stages.iter().filter_map(PlannedStage::neurons);
        let n_neurons = neurons().map(|neurons| neurons.layout.len()).max();
        grow(&mut self.neurons, n_images * n_neurons.unwrap_or(0));
        if training {
            grow(&mut self.grad_output_seq, n_images * plan.n_outputs);
            self.grads.resize_with(plan.grads.len(), Vec::new);
            for (grad, n) in self.grads.iter_mut().zip(&plan.grads) {
                grow(grad, n_images * n);
            }
            let n_gradients = neurons().map(|neurons| match &neurons.product {
                Product::Conv(conv, _) => cut.n_shares * conv.n_gradient(),
                Product::Dense(dense) => dense.n_in * dense.out_stride,
            });
            grow(&mut self.grad_weight, n_gradients.max().unwrap_or(0));
        }
        for (space, planned) in stages.iter_mut().zip(&plan.stages) {
            grow(&mut space.output, n_images * planned.output.len());
            match &planned.stage {
                Stage::Neurons(neurons) if training => {
                    grow(&mut space.y, n_images * neurons.layout.len());
                }
                Stage::Dropout { .. } => {
                    grow(&mut space.mask, cut.batch_size * without_padding(&planned.output).len());
                }
                Stage::Neurons(_) | Stage::Pool(_) | Stage::Gather(_) | Stage::Add => {}
            }
        }
    }
}

/// Copies an image into another padding.
pub(super) fn copy_rows(
    to: &mut [f32],
    to_layout: &ImageLayout,
    from: &[f32],
    from_layout: &ImageLayout,
) {
    for y in 0..to_layout.height {
        to[to_layout.row(y)].copy_from_slice(&from[from_layout.row(y)]);
    }
}

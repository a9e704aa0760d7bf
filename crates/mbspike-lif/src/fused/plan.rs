use mbspike_core::LifParams;
use mbspike_core::conv::{Conv, ConvShape, ImageLayout};
use mbspike_core::dense::Dense;
use mbspike_core::pool::Pool;

use crate::graph::{Graph, Op, Role};
use crate::variables::Variables;
use crate::{NetworkConfig, Precision, Quantization, Readout, Result, Shape};

/// What a sample goes through, in order.
#[derive(Debug)]
pub(super) enum Stage {
    /// Convolution, neurons, and the pooling right after them.
    Conv { conv: Box<Conv>, weight: usize, bias: Option<usize>, lif: LifParams, pool: Option<Pool> },
    /// Dense layer and neurons. `columns[i]` is the column of the weight that element `i` of the
    /// channels-last input multiplies; padding channels have none.
    Dense {
        dense: Dense,
        weight: usize,
        bias: Option<usize>,
        lif: LifParams,
        columns: Vec<Option<u32>>,
    },
    /// Pooling that does not follow neurons directly.
    Pool(Pool),
    /// Dropout; `index` counts such layers.
    Dropout { p: f64, index: usize },
}

/// A stage with the layouts around it.
#[derive(Debug)]
pub(super) struct PlannedStage {
    pub(super) stage: Stage,
    /// How it reads its input, and how it writes its output: with the padding that the next stage
    /// asks for.
    pub(super) input: ImageLayout,
    pub(super) output: ImageLayout,
    /// Whether the gradient of its input is wanted: whether anything before it learns.
    pub(super) needs_input_gradient: bool,
    /// Where its activity is counted, if it spikes.
    pub(super) position: Option<usize>,
}

impl PlannedStage {
    /// Output channels of its weights; 0 where it has none.
    pub(super) fn n_out(&self) -> usize {
        match &self.stage {
            Stage::Conv { conv, .. } => conv.shape().out_channels,
            Stage::Dense { dense, .. } => dense.n_out(),
            Stage::Pool(_) | Stage::Dropout { .. } => 0,
        }
    }

    /// Layout of the neurons before pooling, if it has any.
    pub(super) fn neurons(&self) -> Option<ImageLayout> {
        match &self.stage {
            Stage::Conv { conv, .. } => Some(*conv.y_layout()),
            Stage::Dense { .. } => Some(self.output),
            Stage::Pool(_) | Stage::Dropout { .. } => None,
        }
    }
}

/// The network as stages, with everything that depends on sizes alone.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(super) stages: Vec<PlannedStage>,
    pub(super) input: ImageLayout,
    pub(super) n_outputs: usize,
    /// Outputs in a group that votes; 1 where there is no vote.
    pub(super) group: usize,
    pub(super) readout: Readout,
    pub(super) reads_membrane: bool,
    pub(super) bf16: bool,
    /// Whether weights are rounded to int8.
    pub(super) int8: bool,
    pub(super) checkpoint_steps: Option<usize>,
}

fn unpadded(shape: Shape, stride: usize) -> ImageLayout {
    let Shape { channels, height, width } = shape;
    ImageLayout { height, width, channels, stride, padding: 0 }
}

impl Plan {
    /// Plans a network that [`check`](crate::check()) says can be computed one sample at a time.
    pub(crate) fn new(
        config: &NetworkConfig,
        graph: &Graph,
        variables: &Variables,
    ) -> Result<Self> {
        let shape = graph.input_shape();
        let input = unpadded(shape, shape.channels);
        let mut plan = Self {
            stages: vec![],
            input,
            n_outputs: 0,
            group: 1,
            readout: config.readout,
            reads_membrane: config.readout.reads_membrane(),
            bf16: config.precision == Precision::Bf16,
            int8: config.quantization == Quantization::Int8,
            checkpoint_steps: config.checkpoint_steps,
        };
        let (mut at, mut n_positions, mut learns) = (input, 1, false);
        for (id, node) in graph.nodes().iter().enumerate() {
            let mut position = None;
            let weight = || {
                let weight = variables.place(id, Role::Weight);
                (weight.expect("a layer of weights has weights"), variables.place(id, Role::Bias))
            };
            // The neurons right after weights belong to their stage.
            let lif = || {
                let lif = graph.nodes().get(id + 1).and_then(|node| match &node.op {
                    Op::Neurons(neurons) => Some(neurons.params.lif),
                    _ => None,
                });
                lif.expect("neurons follow the weights of a network in a row")
            };
            let (stage, output) = match &node.op {
                Op::Input(_) | Op::Neurons(_) | Op::Flatten(_) | Op::Output(_) => continue,
                Op::Norm(_) | Op::Add(_) => {
                    unreachable!("the check found that `{}` cannot be fused", node.name)
                }
                Op::Conv(op) => {
                    let conv_shape = ConvShape {
                        in_channels: at.channels,
                        out_channels: op.channels,
                        height: at.height,
                        width: at.width,
                        kernel: op.kernel,
                        padding: op.padding,
                    };
                    let conv = Conv::new(conv_shape, at.stride)?;
                    let output = *conv.y_layout();
                    position = Some(n_positions);
                    let ((weight, bias), lif) = (weight(), lif());
                    (Stage::Conv { conv: Box::new(conv), weight, bias, lif, pool: None }, output)
                }
                Op::Dense(op) => {
                    let dense = Dense::new(at.len(), op.neurons);
                    position = Some(n_positions);
                    plan.n_outputs = op.neurons;
                    let ((weight, bias), lif) = (weight(), lif());
                    let columns = columns_of(&at);
                    let output = unpadded(node.shape(), dense.out_stride());
                    (Stage::Dense { dense, weight, bias, lif, columns }, output)
                }
                Op::Pool(op) => {
                    let pool = Pool { kind: op.kind, size: op.size };
                    let output = unpadded(node.shape(), at.stride);
                    // Pooling right after a convolution's neurons belongs to that stage.
                    if let Some(PlannedStage {
                        stage: Stage::Conv { pool: fused, .. },
                        output: out,
                        ..
                    }) = plan.stages.last_mut()
                        && fused.is_none()
                    {
                        *fused = Some(pool);
                        *out = output;
                        at = output;
                        continue;
                    }
                    (Stage::Pool(pool), output)
                }
                Op::Dropout(op) => (Stage::Dropout { p: op.p, index: op.index }, at),
                Op::Vote(op) => {
                    plan.group = op.group;
                    continue;
                }
            };
            n_positions += usize::from(position.is_some());
            plan.stages.push(PlannedStage {
                stage,
                input: at,
                output,
                needs_input_gradient: learns,
                position,
            });
            learns |= position.is_some();
            at = output;
        }
        plan.pad_for_consumers();
        Ok(plan)
    }

    /// Gives each layout the padding that the stage reading it asks for.
    fn pad_for_consumers(&mut self) {
        for i in 0..self.stages.len() {
            let Stage::Conv { conv, .. } = &self.stages[i].stage else { continue };
            let padding = conv.shape().padding;
            self.stages[i].input.padding = padding;
            match i.checked_sub(1) {
                Some(before) => self.stages[before].output.padding = padding,
                None => self.input.padding = padding,
            }
        }
    }
}

/// For each element of an unpadded channels-last map, its place in `[C, H, W]`.
pub(super) fn columns_of(layout: &ImageLayout) -> Vec<Option<u32>> {
    let n_pixels = layout.height * layout.width;
    (0..n_pixels * layout.stride)
        .map(|i| {
            let (pixel, channel) = (i / layout.stride, i % layout.stride);
            (channel < layout.channels).then_some((channel * n_pixels + pixel) as u32)
        })
        .collect()
}

//! A network as stages of the batch engine: the one file that reads the layers a network is built of.

use mbspike_core::LifParams;
use mbspike_core::conv::{Conv, ConvShape, ImageLayout, padded_channels};
use mbspike_core::pool::Pool;

use crate::graph::{Graph, NodeId, Op, Role};
use crate::variables::Variables;
use crate::{NetworkConfig, Precision, Quantization, Readout, Result, Shape};

/// What the whole batch goes through, in order.
#[derive(Debug)]
pub(super) enum Stage {
    /// Weights and neurons, with what lies between and right after them.
    Neurons(Box<Neurons>),
    /// Pooling that does not follow neurons directly.
    Pool(Pool),
    /// Dropout; `index` counts such layers.
    Dropout { p: f64, index: usize },
}

/// A layer of weights, batch normalization where it has one, neurons, and the pooling right after.
/// Numbers are places among the network's parameters.
#[derive(Debug)]
pub(super) struct Neurons {
    pub(super) product: Product,
    pub(super) weight: usize,
    pub(super) bias: Option<usize>,
    pub(super) norm: Option<Norm>,
    pub(super) lif: LifParams,
    pub(super) tau: Option<usize>,
    pub(super) pool: Option<Pool>,
    /// Of the neurons, without padding.
    pub(super) layout: ImageLayout,
}

/// Batch normalization: scale and shift among the parameters, running mean and variance among the
/// buffers.
#[derive(Debug, Clone, Copy)]
pub(super) struct Norm {
    pub(super) weight: usize,
    pub(super) bias: usize,
    pub(super) mean: usize,
    pub(super) variance: usize,
}

/// How inputs become sums.
#[derive(Debug)]
pub(super) enum Product {
    Conv(Box<Conv>),
    Dense(Dense),
}

/// A dense layer of a channels-last input.
#[derive(Debug)]
pub(super) struct Dense {
    pub(super) n_in: usize,
    pub(super) n_out: usize,
    /// Outputs rounded up to whole vectors.
    pub(super) out_stride: usize,
    /// The column of the weight that each input multiplies; padding channels have none.
    pub(super) columns: Vec<Option<u32>>,
    /// Inputs that have a column, as `(input, column)`: chunk by chunk of [`PACK_ROWS`] image
    /// pixels or single inputs, in the order of columns within each.
    pub(super) order: Vec<Vec<(u32, u32)>>,
    /// Inputs in a chunk of `order`.
    pub(super) chunk: usize,
}

/// Pixels, or inputs that are pixels of their own, whose weights are reordered together.
const PACK_ROWS: usize = 16;

impl Dense {
    fn new(input: &ImageLayout, n_out: usize) -> Self {
        let n_pixels = input.height * input.width;
        let columns: Vec<Option<u32>> = (0..n_pixels * input.stride)
            .map(|i| {
                let (pixel, channel) = (i / input.stride, i % input.stride);
                (channel < input.channels).then_some((channel * n_pixels + pixel) as u32)
            })
            .collect();
        let chunk = if n_pixels == 1 { PACK_ROWS } else { PACK_ROWS * input.stride };
        let order = columns
            .chunks(chunk)
            .enumerate()
            .map(|(of_chunk, columns)| {
                let mut order: Vec<(u32, u32)> = (of_chunk * chunk..)
                    .zip(columns)
                    .filter_map(|(i, column)| column.map(|column| (i as u32, column)))
                    .collect();
                order.sort_by_key(|(_, column)| *column);
                order
            })
            .collect();
        let out_stride = padded_channels(n_out);
        Self { n_in: columns.len(), n_out, out_stride, columns, order, chunk }
    }

    /// Columns of the weight.
    pub(super) fn n_columns(&self) -> usize {
        self.columns.iter().flatten().count()
    }
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
    /// Whether its output is an operand of a product computed in bf16.
    pub(super) rounds_output: bool,
}

impl PlannedStage {
    /// The stage's neurons, if it has any.
    pub(super) fn neurons(&self) -> Option<&Neurons> {
        match &self.stage {
            Stage::Neurons(neurons) => Some(neurons),
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
}

fn unpadded(shape: Shape, stride: usize) -> ImageLayout {
    let Shape { channels, height, width } = shape;
    ImageLayout { height, width, channels, stride, padding: 0 }
}

/// The layout without its padding.
pub(super) fn without_padding(layout: &ImageLayout) -> ImageLayout {
    ImageLayout { padding: 0, ..*layout }
}

impl Plan {
    /// Plans a network that [`check`](crate::check()) says can be computed a layer at a time in this
    /// way.
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
        };
        let (mut at, mut n_positions, mut learns) = (input, 1, false);
        for (id, node) in graph.nodes().iter().enumerate() {
            let mut position = None;
            let (stage, output) = match &node.op {
                Op::Input(_) | Op::Norm(_) | Op::Neurons(_) | Op::Flatten(_) | Op::Output(_) => {
                    continue;
                }
                Op::Add(_) => unreachable!("the check found that `{}` is not in a row", node.name),
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
                    let layout = *conv.y_layout();
                    position = Some(n_positions);
                    let product = Product::Conv(Box::new(conv));
                    (neurons(product, graph, variables, id, layout), layout)
                }
                Op::Dense(op) => {
                    let dense = Dense::new(&at, op.neurons);
                    position = Some(n_positions);
                    plan.n_outputs = op.neurons;
                    let layout = unpadded(node.shape(), dense.out_stride);
                    (neurons(Product::Dense(dense), graph, variables, id, layout), layout)
                }
                Op::Pool(op) => {
                    let pool = Pool { kind: op.kind, size: op.size };
                    let output = unpadded(node.shape(), at.stride);
                    // Pooling right after neurons belongs to their stage.
                    if let Some(PlannedStage { stage: Stage::Neurons(before), output: out, .. }) =
                        plan.stages.last_mut()
                        && before.pool.is_none()
                    {
                        before.pool = Some(pool);
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
                rounds_output: false,
            });
            learns |= position.is_some();
            at = output;
        }
        plan.meet_consumers();
        Ok(plan)
    }

    /// Whether the input is an operand of a product computed in bf16.
    pub(super) fn rounds_input(&self) -> bool {
        self.bf16 && self.stages.first().is_some_and(|first| first.neurons().is_some())
    }

    /// Gives each layout the padding, and each output the rounding, that the stage reading it asks
    /// for.
    fn meet_consumers(&mut self) {
        for i in 0..self.stages.len() {
            let Stage::Neurons(neurons) = &self.stages[i].stage else { continue };
            let padding = match &neurons.product {
                Product::Conv(conv) => conv.shape().padding,
                Product::Dense(_) => 0,
            };
            self.stages[i].input.padding = padding;
            if let Some(before) = i.checked_sub(1) {
                self.stages[before].output.padding = padding;
                self.stages[before].rounds_output = self.bf16;
            } else {
                self.input.padding = padding;
            }
        }
    }
}

/// The stage of the weights of node `id`, with the batch normalization and the neurons after them.
fn neurons(
    product: Product,
    graph: &Graph,
    variables: &Variables,
    id: NodeId,
    layout: ImageLayout,
) -> Stage {
    let needed =
        |id, role| variables.place(id, role).expect("a node has the variables that its kind says");
    let is_normed = matches!(graph.node(id + 1).op, Op::Norm(_));
    let norm = is_normed.then(|| Norm {
        weight: needed(id + 1, Role::Weight),
        bias: needed(id + 1, Role::Bias),
        mean: needed(id + 1, Role::RunningMean),
        variance: needed(id + 1, Role::RunningVariance),
    });
    let at = id + 1 + usize::from(is_normed);
    let Op::Neurons(neurons) = &graph.node(at).op else {
        unreachable!("neurons follow the weights of a network in a row")
    };
    Stage::Neurons(Box::new(Neurons {
        product,
        weight: needed(id, Role::Weight),
        bias: variables.place(id, Role::Bias),
        norm,
        lif: neurons.params.lif,
        tau: variables.place(at, Role::Tau),
        pool: None,
        layout,
    }))
}

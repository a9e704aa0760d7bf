//! A network as stages of the batch engine: the one file that reads the layers a network is built of.

use mbspike_core::LifParams;
use mbspike_core::conv::{Conv, ConvShape, ImageLayout, padded_channels};
use mbspike_core::pool::Pool;

use super::edge::Recurrent;
use super::gather::{Gather, Taps};
use crate::graph::{self, Graph, NodeId, Op, Role};
use crate::variables::Variables;
use crate::{NetworkConfig, Precision, Quantization, Readout, Result, Shape};

/// Where a stage's input comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Source {
    Input,
    /// The output of an earlier stage.
    Stage(usize),
}

/// What the whole batch goes through, each stage after those it reads.
#[derive(Debug)]
pub(super) enum Stage {
    /// Weights and neurons, with what lies between and right after them.
    Neurons(Box<Neurons>),
    /// Pooling that does not follow neurons directly.
    Pool(Pool),
    /// Dropout; `index` counts such layers.
    Dropout { p: f64, index: usize },
    /// Images rearranged for the convolution after them.
    Gather(Gather),
    /// The sum of several sources.
    Add,
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
    pub(super) recurrent: Option<Recurrent>,
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
    /// Of images that were gathered where the weights are others than the parameter's.
    Conv(Box<Conv>, Option<Taps>),
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
    /// What it reads: one source, of a sum several.
    pub(super) sources: Vec<Source>,
    /// How it reads its first source, and how it writes its output: with the padding that a stage
    /// reading it asks for.
    pub(super) input: ImageLayout,
    pub(super) output: ImageLayout,
    /// Whether the gradient of its output is wanted: whether it or anything before it learns.
    pub(super) learns: bool,
    /// Where its activity is counted, if it spikes.
    pub(super) position: Option<usize>,
    /// Whether its output is an operand of a product computed in bf16.
    pub(super) rounds_output: bool,
    /// Which buffer the gradient of its output is in.
    pub(super) grad: usize,
    /// Where the gradient of each source goes, if it is wanted.
    pub(super) grads_of_sources: Vec<Option<GradientOf>>,
}

/// Where a stage puts the gradient of a source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct GradientOf {
    /// The buffer.
    pub(super) slot: usize,
    /// Where there is something in it, the buffer for what is to be added.
    pub(super) scratch: Option<usize>,
}

impl PlannedStage {
    /// The stage's neurons, if it has any.
    pub(super) fn neurons(&self) -> Option<&Neurons> {
        match &self.stage {
            Stage::Neurons(neurons) => Some(neurons),
            Stage::Pool(_) | Stage::Dropout { .. } | Stage::Gather(_) | Stage::Add => None,
        }
    }

    /// Whether the gradient of its first source is wanted.
    pub(super) fn needs_input_gradient(&self) -> bool {
        matches!(self.grads_of_sources[..], [Some(_), ..])
    }
}

/// The network as stages, with everything that depends on sizes alone.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(super) stages: Vec<PlannedStage>,
    pub(super) input: ImageLayout,
    /// Whether the input is an operand of a product computed in bf16.
    pub(super) rounds_input: bool,
    /// Elements for each image of the buffers for gradients of outputs.
    pub(super) grads: Vec<usize>,
    pub(super) n_outputs: usize,
    /// Outputs in a group that votes; 1 where there is no vote.
    pub(super) group: usize,
    pub(super) readout: Readout,
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
        let plan = Self {
            stages: vec![],
            input: unpadded(shape, shape.channels),
            rounds_input: false,
            grads: vec![],
            n_outputs: 0,
            group: 1,
            readout: config.readout,
            bf16: config.precision == Precision::Bf16,
            int8: config.quantization == Quantization::Int8,
        };
        Planner::new(plan, graph, variables).plan()
    }

    /// How a source lies in memory.
    pub(super) fn layout(&self, source: Source) -> &ImageLayout {
        match source {
            Source::Input => &self.input,
            Source::Stage(stage) => &self.stages[stage].output,
        }
    }

    /// Whether scores are read from membranes.
    pub(super) fn reads_membrane(&self) -> bool {
        self.readout.reads_membrane()
    }

    fn learns(&self, source: Source) -> bool {
        match source {
            Source::Input => false,
            Source::Stage(stage) => self.stages[stage].learns,
        }
    }

    /// Deals out buffers for gradients, in the order of the backward pass: one is free again once the
    /// stage whose output it is about has passed.
    fn assign_gradients(&mut self) {
        let mut slots: Vec<Option<usize>> = vec![None; self.stages.len()];
        let (mut free, mut sizes) = (vec![], vec![]);
        let take = |free: &mut Vec<usize>, sizes: &mut Vec<usize>, layout: &ImageLayout| {
            let slot = free.pop().unwrap_or(sizes.len());
            sizes.resize(sizes.len().max(slot + 1), 0);
            sizes[slot] = sizes[slot].max(without_padding(layout).len());
            slot
        };
        for i in (0..self.stages.len()).rev() {
            if !self.stages[i].learns {
                continue;
            }
            let output = &self.stages[i].output;
            let own = *slots[i].get_or_insert_with(|| take(&mut free, &mut sizes, output));
            let mut scratches = vec![];
            let mut of_sources = vec![];
            for source in &self.stages[i].sources {
                of_sources.push(match *source {
                    Source::Stage(j) if self.stages[j].learns => {
                        let output = &self.stages[j].output;
                        let taken = take(&mut free, &mut sizes, output);
                        if let Some(slot) = slots[j] {
                            scratches.push(taken);
                            Some(GradientOf { slot, scratch: Some(taken) })
                        } else {
                            slots[j] = Some(taken);
                            Some(GradientOf { slot: taken, scratch: None })
                        }
                    }
                    Source::Stage(_) | Source::Input => None,
                });
            }
            free.extend(scratches);
            free.push(own);
            self.stages[i].grad = own;
            self.stages[i].grads_of_sources = of_sources;
        }
        self.grads = sizes;
    }
}

/// What a graph's nodes have become so far.
struct Planner<'a> {
    plan: Plan,
    graph: &'a Graph,
    variables: &'a Variables,
    /// Where what each node sends is; none of weights and normalization, which are parts of a stage.
    of_node: Vec<Option<Source>>,
    /// The padding that a product asks of the input and of each stage's output.
    input_padding: Option<usize>,
    paddings: Vec<Option<usize>>,
}

impl<'a> Planner<'a> {
    fn new(plan: Plan, graph: &'a Graph, variables: &'a Variables) -> Self {
        let of_node = vec![None; graph.nodes().len()];
        Self { plan, graph, variables, of_node, input_padding: None, paddings: vec![] }
    }

    fn plan(mut self) -> Result<Plan> {
        let graph = self.graph;
        for (id, node) in graph.nodes().iter().enumerate() {
            let sources: Vec<Source> =
                node.inputs.iter().filter_map(|input| self.of_node[*input]).collect();
            match &node.op {
                Op::Input(_) => self.of_node[id] = Some(Source::Input),
                Op::Norm(_) | Op::Neurons(_) | Op::Output(_) => {}
                Op::Flatten(_) => self.of_node[id] = Some(sources[0]),
                Op::Conv(op) => self.conv(id, op, sources[0])?,
                Op::Dense(op) => {
                    let source = self.ready(id, sources[0], &Gather::new(1, 1, 0), None);
                    let dense = Dense::new(self.plan.layout(source), op.neurons);
                    self.plan.n_outputs = op.neurons;
                    let layout = unpadded(node.shape(), dense.out_stride);
                    self.neurons(id, Product::Dense(dense), layout, source);
                }
                Op::Pool(op) => {
                    let pool = Pool { kind: op.kind, size: op.size };
                    let layout = *self.plan.layout(sources[0]);
                    let output = unpadded(node.shape(), layout.stride);
                    let alone = graph.only_consumer(node.inputs[0]).is_some();
                    // Pooling right after neurons, which nothing else reads, belongs to their stage.
                    if let Source::Stage(stage) = sources[0]
                        && alone
                        && let PlannedStage { stage: Stage::Neurons(before), output: out, .. } =
                            &mut self.plan.stages[stage]
                        && before.pool.is_none()
                        && before.recurrent.is_none()
                    {
                        before.pool = Some(pool);
                        *out = output;
                        self.of_node[id] = Some(sources[0]);
                        continue;
                    }
                    self.of_node[id] = Some(self.push(Stage::Pool(pool), sources, output, None));
                }
                Op::Dropout(op) => {
                    let stage = Stage::Dropout { p: op.p, index: op.index };
                    let layout = without_padding(self.plan.layout(sources[0]));
                    self.of_node[id] = Some(self.push(stage, sources, layout, None));
                }
                Op::Add(_) => {
                    let shape = node.shape();
                    let layout = unpadded(shape, padded_channels(shape.channels));
                    self.of_node[id] = Some(self.push(Stage::Add, sources, layout, None));
                }
                Op::Vote(op) => self.plan.group = op.group,
            }
        }
        let mut plan = self.plan;
        plan.input.padding = self.input_padding.unwrap_or(0);
        for (stage, padding) in plan.stages.iter_mut().zip(self.paddings) {
            stage.output.padding = padding.unwrap_or(0);
        }
        for i in 0..plan.stages.len() {
            plan.stages[i].input = *plan.layout(plan.stages[i].sources[0]);
        }
        plan.assign_gradients();
        Ok(plan)
    }

    fn push(
        &mut self,
        stage: Stage,
        sources: Vec<Source>,
        output: ImageLayout,
        position: Option<usize>,
    ) -> Source {
        let learns = position.is_some() || sources.iter().any(|source| self.plan.learns(*source));
        self.plan.stages.push(PlannedStage {
            stage,
            input: *self.plan.layout(sources[0]),
            sources,
            output,
            learns,
            position,
            rounds_output: false,
            grad: 0,
            grads_of_sources: vec![],
        });
        self.paddings.push(None);
        Source::Stage(self.plan.stages.len() - 1)
    }

    /// The source of node `id`'s product in the form that its kernels take: as it is, or gathered, into
    /// images of so many pixels.
    ///
    /// As it is where it can have the product's padding, and be rounded where operands are: where no
    /// other product has asked for another, and nothing else reads what is rounded.
    fn ready(
        &mut self,
        id: NodeId,
        source: Source,
        gather: &Gather,
        n_out: Option<(usize, usize)>,
    ) -> Source {
        let plan = &mut self.plan;
        let is_alone = {
            let mut at = self.graph.node(id).inputs[0];
            while matches!(self.graph.node(at).op, Op::Flatten(_))
                && self.graph.only_consumer(at).is_some()
            {
                at = self.graph.node(at).inputs[0];
            }
            self.graph.only_consumer(at).is_some()
        };
        let (padding, rounds) = match source {
            Source::Input => (&mut self.input_padding, &mut plan.rounds_input),
            Source::Stage(stage) => {
                (&mut self.paddings[stage], &mut plan.stages[stage].rounds_output)
            }
        };
        let wanted = gather.padding();
        if let Some(wanted) = wanted
            && *padding.get_or_insert(wanted) == wanted
            && (is_alone || !plan.bf16)
        {
            *rounds = plan.bf16;
            return source;
        }
        let bf16 = plan.bf16;
        let x = *plan.layout(source);
        let layout = gather.layout(&x, n_out.unwrap_or((x.height, x.width)));
        let gathered = self.push(Stage::Gather(*gather), vec![source], layout, None);
        if let Some(last) = self.plan.stages.last_mut() {
            last.rounds_output = bf16;
        }
        gathered
    }

    fn conv(&mut self, id: NodeId, op: &graph::Conv, source: Source) -> Result<()> {
        let shape = self.graph.node(id).shape();
        let gather = Gather::new(op.kernel, op.stride, op.padding);
        let x = *self.plan.layout(source);
        let ready = self.ready(id, source, &gather, Some((shape.height, shape.width)));
        let (kernel, padding, taps) = if ready == source {
            (op.kernel, op.padding, None)
        } else {
            (gather.kernel_of_blocks(), 0, gather.taps(&x))
        };
        let at = *self.plan.layout(ready);
        let conv_shape = ConvShape {
            in_channels: at.channels,
            out_channels: op.channels,
            height: at.height,
            width: at.width,
            kernel,
            padding,
        };
        let conv = Conv::new(conv_shape, at.stride)?;
        let layout = *conv.y_layout();
        self.neurons(id, Product::Conv(Box::new(conv), taps), layout, ready);
        Ok(())
    }

    /// The stage of the weights of node `id`, with the batch normalization and the neurons after them.
    fn neurons(&mut self, id: NodeId, product: Product, layout: ImageLayout, source: Source) {
        let (graph, variables) = (self.graph, self.variables);
        let needed = |id, role| {
            variables.place(id, role).expect("a node has the variables that its kind says")
        };
        let after = |id| graph.only_consumer(id).expect("the check found who reads the weights");
        let is_normed = matches!(graph.node(after(id)).op, Op::Norm(_));
        let norm = is_normed.then(|| Norm {
            weight: needed(after(id), Role::Weight),
            bias: needed(after(id), Role::Bias),
            mean: needed(after(id), Role::RunningMean),
            variance: needed(after(id), Role::RunningVariance),
        });
        let at = if is_normed { after(after(id)) } else { after(id) };
        let Op::Neurons(neurons) = &graph.node(at).op else {
            unreachable!("the check found neurons after the weights")
        };
        let stage = Stage::Neurons(Box::new(Neurons {
            product,
            weight: needed(id, Role::Weight),
            bias: variables.place(id, Role::Bias),
            norm,
            lif: neurons.params.lif,
            tau: variables.place(at, Role::Tau),
            recurrent: variables.place(at, Role::Recurrent).map(|weight| Recurrent {
                weight,
                dense: mbspike_core::dense::Dense::new(layout.channels, layout.channels),
            }),
            pool: None,
            layout,
        }));
        let position = graph.neurons().position(|(other, _)| other == at).map(|place| place + 1);
        self.of_node[at] = Some(self.push(stage, vec![source], layout, position));
    }
}

//! The network one node at a time, as tensor operations under candle's autograd: the definition, and
//! the path of everything that is not fused.

use candle_core::{DType, Device, Tensor};
use candle_nn::{BatchNorm, ModuleT};
use mbspike_core::activity::Counts;
use mbspike_core::conv::{MAX_KERNEL, conv2d};
use mbspike_core::lif::LifOptions;
use mbspike_core::pool::PoolKind;
use mbspike_core::{bf16_gradient, bf16_operand, carried, carried_gradient};

use crate::graph::{Conv, Graph, Neurons, NodeId, Op, Pooling, Role};
use crate::layer::{Cells, Dropout, Pool, State, Wanted, readout};
use crate::quantization::fake_quantized;
use crate::trace::{LayerTrace, Membranes};
use crate::variables::Variables;
use crate::{
    DeferredPrediction, DeferredStep, Error, Loss, NetworkConfig, Precision, Quantization, Result,
    StepKey,
};

/// PyTorch's defaults of batch normalization.
pub const NORM_EPSILON: f64 = 1e-5;
pub(crate) const NORM_MOMENTUM: f64 = 0.1;

/// A network as this engine sees it.
#[derive(Clone, Copy)]
pub(crate) struct Layered<'a> {
    pub(crate) graph: &'a Graph,
    pub(crate) variables: &'a Variables,
    pub(crate) config: &'a NetworkConfig,
    pub(crate) device: &'a Device,
}

/// What nodes came to, while anything still reads them.
struct Values {
    of_node: Vec<Option<Tensor>>,
    /// How many nodes have yet to read each.
    readers: Vec<usize>,
    keep: bool,
}

impl Values {
    fn read(&mut self, id: NodeId) -> Tensor {
        let value = self.of_node[id].clone().expect("a node comes after those it reads");
        self.readers[id] -= 1;
        if self.readers[id] == 0 && !self.keep {
            self.of_node[id] = None;
        }
        value
    }
}

impl Layered<'_> {
    pub(crate) fn train_step(
        &self,
        x_seq: &Tensor,
        targets: &Tensor,
        loss: Loss,
        key: StepKey,
    ) -> Result<DeferredStep> {
        let (logits, activity) = self.forward(x_seq, Some(key))?;
        let targets = targets.to_device(self.device)?.to_dtype(logits.dtype())?;
        let loss = loss.forward_tensor(&logits, &targets)?;
        let mut gradients = loss.backward()?;
        let gradients = self
            .variables
            .parameters
            .iter()
            .map(|p| {
                gradients.remove(&p.var).ok_or_else(|| Error::NoGradient { name: p.name.clone() })
            })
            .collect::<Result<_>>()?;
        Ok(DeferredStep { loss: loss.detach(), logits: logits.detach(), gradients, activity })
    }

    pub(crate) fn predict(&self, x_seq: &Tensor) -> Result<DeferredPrediction> {
        let (logits, activity) = self.forward(x_seq, None)?;
        Ok(DeferredPrediction { logits: logits.detach(), activity })
    }

    /// What passes through each layer of weights in one step, `x_seq` `[1, B, C, H, W]`.
    pub(crate) fn trace_step(
        &self,
        x_seq: &Tensor,
        membranes: &mut Membranes,
    ) -> Result<Vec<LayerTrace>> {
        let before = membranes.clone();
        let (_, _, values) = self.run(x_seq, None, Some(membranes))?;
        let value = |id: NodeId| -> Result<Tensor> {
            let value = values.of_node[id].as_ref().expect("what is traced is kept");
            Ok(value.detach().squeeze(0)?)
        };
        let sent_before = |id: NodeId| -> Result<Tensor> {
            let index = self.graph.neurons().position(|(other, _)| other == id);
            let state = index.and_then(|index| before.layers.get(index));
            match state.and_then(|state| state.s.clone()) {
                Some(s) => Ok(s),
                None => Ok(value(id)?.zeros_like()?),
            }
        };
        let layers = self.graph.weights().into_iter().map(|weights| {
            let node = weights.node;
            let (received, input) = if weights.is_recurrent {
                let sent = sent_before(node)?;
                (sent.clone(), sent)
            } else {
                (value(weights.source)?, value(weights.input)?)
            };
            let sent = weights.neurons.map(value).transpose()?;
            Ok(LayerTrace { node, received, input, sent })
        });
        layers.collect()
    }

    /// Class scores `[B, n_classes]`, differentiable, and activity; in training mode where a key is
    /// given.
    pub(crate) fn forward(
        &self,
        x_seq: &Tensor,
        training: Option<StepKey>,
    ) -> Result<(Tensor, Counts)> {
        let (logits, counts, _) = self.run(x_seq, training, None)?;
        Ok((logits, counts))
    }

    /// [`Layered::forward`] that, where membranes are given, goes on from them, leaves there what they
    /// are afterwards, and gives the values of all nodes; without them, average pooling is one
    /// operation with the neurons before it.
    fn run(
        &self,
        x_seq: &Tensor,
        training: Option<StepKey>,
        mut membranes: Option<&mut Membranes>,
    ) -> Result<(Tensor, Counts, Values)> {
        let keep = membranes.is_some();
        let Self { graph, config, device, .. } = *self;
        let dtype = if config.precision == Precision::F64 { DType::F64 } else { DType::F32 };
        let counts = Counts::new(1 + graph.neurons().count(), device)?;
        let n = graph.nodes().len();
        let readers = (0..n).map(|id| {
            graph.nodes().iter().flat_map(|node| &node.inputs).filter(|input| **input == id).count()
        });
        let mut values = Values { of_node: vec![None; n], readers: readers.collect(), keep };
        let mut position = 0;
        for (id, node) in graph.nodes().iter().enumerate() {
            if values.of_node[id].is_some() {
                continue; // pooled together with the neurons before it
            }
            let reads: Vec<Tensor> = node.inputs.iter().map(|id| values.read(*id)).collect();
            let value = match &node.op {
                Op::Input(_) => {
                    let seq = carried(&x_seq.to_dtype(dtype)?.to_device(device)?)?;
                    counts.add(0, &seq)?;
                    seq
                }
                Op::Conv(conv) => over_time(&reads[0], |x| self.conv(id, conv, x))?,
                Op::Dense(_) => over_time(&reads[0], |x| self.dense(id, x))?,
                Op::Norm(_) => over_time(&reads[0], |x| self.normalize(id, x, training.is_some()))?,
                Op::Neurons(neurons) => {
                    position += 1;
                    let pool = if keep { None } else { self.average_pool(id) };
                    let options = LifOptions {
                        average_pool: pool.map(|(_, size)| size),
                        counts: Some((&counts, position)),
                        ..LifOptions::default()
                    };
                    let kept = membranes.as_mut().map(|membranes| {
                        membranes.layers.resize_with(graph.neurons().count(), State::default);
                        &mut membranes.layers[position - 1]
                    });
                    let sent = self.neurons(id, neurons, &reads[0], options, kept)?;
                    if let Some((pool, _)) = pool {
                        values.of_node[pool] = Some(sent);
                        continue;
                    }
                    sent
                }
                Op::Pool(Pooling { kind, size }) => {
                    Pool { kind: *kind, size: *size }.pooled(&reads[0])?
                }
                Op::Flatten(_) => reads[0].flatten_from(2)?,
                Op::Dropout(dropout) => match training {
                    Some(key) => {
                        Dropout::new(dropout.p, dropout.index)?.forward_with(&reads[0], key)?
                    }
                    None => reads[0].clone(),
                },
                Op::Add(_) => {
                    let (first, rest) = reads.split_at(1);
                    rest.iter().try_fold(first[0].clone(), |sum, more| sum + more)?
                }
                Op::Output(output) => output.readout.forward_tensor(&reads[0])?,
                Op::Vote(vote) => readout::vote(&reads[0], vote.group)?,
            };
            values.of_node[id] = Some(value);
        }
        let logits = values.of_node[n - 1].clone().expect("the last node was computed");
        Ok((logits, counts, values))
    }

    fn conv(&self, id: NodeId, conv: &Conv, x: &Tensor) -> Result<Tensor> {
        let x = self.operand(x)?;
        let weight = self.weight(id, Role::Weight)?;
        let x = if conv.is_plain() && conv.kernel <= MAX_KERNEL {
            conv2d(&x, &weight, conv.padding)?
        } else {
            let (x, padding) = without_rest(&x, conv)?;
            x.conv2d(&weight, padding, conv.stride, conv.dilation, conv.groups)?
        };
        let x = self.rounded_gradient(&x)?;
        Ok(match self.variables.tensor(id, Role::Bias) {
            Some(bias) => x.broadcast_add(&bias.reshape((1, bias.elem_count(), 1, 1))?)?,
            None => x,
        })
    }

    fn dense(&self, id: NodeId, x: &Tensor) -> Result<Tensor> {
        let x = self.operand(&x.flatten_from(1)?)?;
        let weight = self.weight(id, Role::Weight)?;
        let x = self.rounded_gradient(&x.matmul(&weight.t()?)?)?;
        Ok(match self.variables.tensor(id, Role::Bias) {
            Some(bias) => x.broadcast_add(bias)?,
            None => x,
        })
    }

    /// Where the neurons `id` are read by average pooling and nothing else: that node, and its window.
    fn average_pool(&self, id: NodeId) -> Option<(NodeId, usize)> {
        let pool = self.graph.only_consumer(id)?;
        match self.graph.node(pool).op {
            Op::Pool(Pooling { kind: PoolKind::Average, size }) => Some((pool, size)),
            _ => None,
        }
    }

    /// Spikes, or membranes where those are sent; from `kept` on where that is given, and the state
    /// after them there.
    fn neurons(
        &self,
        id: NodeId,
        neurons: &Neurons,
        x_seq: &Tensor,
        options: LifOptions<'_>,
        kept: Option<&mut State>,
    ) -> Result<Tensor> {
        let mut cells = Cells::new(neurons.params)?;
        if let Some(tau) = self.variables.tensor(id, Role::Tau) {
            cells = cells.with_tau(tau.clone());
        }
        if let Some(v_threshold) = self.variables.tensor(id, Role::VThreshold) {
            cells = cells.with_v_threshold(v_threshold.clone());
        }
        if self.variables.place(id, Role::Recurrent).is_some() {
            cells = cells.with_recurrent(self.weight(id, Role::Recurrent)?);
        }
        let wanted = Wanted { v_seq: neurons.sends_membrane, state: kept.is_some(), options };
        let at_rest = State::default();
        let sent = cells.run(x_seq, kept.as_deref().unwrap_or(&at_rest), wanted)?;
        if let Some(kept) = kept {
            *kept = sent.state.detach();
        }
        Ok(if neurons.sends_membrane {
            sent.v_seq.expect("membranes were wanted")
        } else {
            sent.s_seq
        })
    }

    /// Batch normalization over steps and samples, `[T·B, C, …]`.
    fn normalize(&self, id: NodeId, x: &Tensor, training: bool) -> Result<Tensor> {
        let of = |role| self.variables.needed(id, role).clone();
        let mean = of(Role::RunningMean);
        let norm = BatchNorm::new_with_momentum(
            mean.elem_count(),
            mean,
            of(Role::RunningVariance),
            of(Role::Weight),
            of(Role::Bias),
            NORM_EPSILON,
            NORM_MOMENTUM,
        )?;
        let y = norm.forward_t(&carried_gradient(x)?, training)?;
        if training {
            // The statistics of a channel that nothing reaches any more decay to 0.
            for role in [Role::RunningMean, Role::RunningVariance] {
                if let Some(buffer) = self.variables.get(id, role) {
                    buffer.var.set(&carried(&buffer.var.as_detached_tensor())?)?;
                }
            }
        }
        Ok(y)
    }

    /// A weight as an operand: quantized where the network is, and without subnormal numbers, which a
    /// file of weights may have.
    fn weight(&self, id: NodeId, role: Role) -> Result<Tensor> {
        let weight = carried(self.variables.needed(id, role))?;
        match self.config.quantization {
            Quantization::None => self.operand(&weight),
            Quantization::Int8 => self.operand(&fake_quantized(&weight)?),
        }
    }

    /// An operand of a product: rounded to bf16 in that precision, with the gradient passing
    /// unchanged.
    fn operand(&self, x: &Tensor) -> Result<Tensor> {
        Ok(match self.config.precision {
            Precision::Bf16 => bf16_operand(x)?,
            Precision::F32 | Precision::F64 => x.clone(),
        })
    }

    /// The result of a product, whose gradient is an operand of the backward products.
    fn rounded_gradient(&self, y: &Tensor) -> Result<Tensor> {
        Ok(match self.config.precision {
            Precision::Bf16 => bf16_gradient(y)?,
            Precision::F32 | Precision::F64 => y.clone(),
        })
    }
}

/// The input `[N, C, H, W]` of a strided convolution and the padding that is left to do: candle's
/// backward pass takes the rows that no output sees, and the columns, to be equally many. Where they are
/// not, both are cut off here.
fn without_rest(x: &Tensor, conv: &Conv) -> Result<(Tensor, usize)> {
    let reach = conv.dilation * (conv.kernel - 1) + 1;
    let padding = conv.padding;
    let rest = |size: usize| (size + 2 * padding - reach) % conv.stride;
    let (height, width) = (x.dim(2)?, x.dim(3)?);
    if rest(height) == rest(width) {
        return Ok((x.clone(), padding));
    }
    let x = x.pad_with_zeros(2, padding, padding)?.pad_with_zeros(3, padding, padding)?;
    let x = x.narrow(2, 0, height + 2 * padding - rest(height))?;
    Ok((x.narrow(3, 0, width + 2 * padding - rest(width))?.contiguous()?, 0))
}

/// A function of `[T·B, …]` on `[T, B, …]`.
fn over_time(seq: &Tensor, f: impl FnOnce(&Tensor) -> Result<Tensor>) -> Result<Tensor> {
    let (n_steps, batch_size) = (seq.dim(0)?, seq.dim(1)?);
    let y = f(&seq.flatten(0, 1)?)?;
    let mut dims = vec![n_steps, batch_size];
    dims.extend_from_slice(&y.dims()[1..]);
    Ok(y.reshape(dims)?)
}

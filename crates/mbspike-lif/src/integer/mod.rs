//! A trained network in whole numbers: int8 weights, level codes as operands, `i32` sums and
//! membranes, no floating point between the input's codes and the scores.
//!
//! With `q` the int8 weights of an output channel, `a` the codes of its input (levels `0..=L` of the
//! layer before, or sums of levels where those are average-pooled, or the input's codes) and `M/2^S`
//! the fixed-point factor that takes a sum to the membrane's format:
//!
//! ```text
//! sum = Σ q a                                i32, exact
//! x   = ⌊(sum M + 2^(S−1)) / 2^S⌋ + bias     the current, i32, in levels with F bits after the point
//! ```
//!
//! `M/2^S = scale · unit · g · L/θ · 2^F`, where `scale` is that of the weights, `unit` what one code
//! of the input stands for (`1/L` of a spike, `1/(L size²)` after average pooling, the step of the
//! input's codes) and `g` the neuron's gain. The neuron is [`IntegerLif`]. Scores are sums of the
//! output's level codes, or its membranes where the readout takes those.
//!
//! [`IntegerNetwork::from_network`] converts; sums and membranes that could leave `i32` on any input
//! are an error there, so none overflows later. [`reference::predict`] is the same plainly.

mod codes;
mod convert;
mod forward;
mod lif;
pub mod loihi;
mod network;
pub mod reference;

use candle_core::{DType, Device, Tensor};
use rayon::prelude::*;

use self::codes::codes_of;
use self::forward::Workspace;
use crate::graph::{Graph, NodeId, Op, Pooling};
use crate::neuron::LearnedBy;
use crate::{
    Activity, Arch, Error, MAX_CODE, NeuronConfig, PoolKind, PositionActivity, Readout, Result,
};

pub use network::{IntegerConfig, IntegerNetwork, IntegerWeights};

pub use lif::{BETA_BITS, IntegerLif, IntegerReset, MAX_FRACTION_BITS, MIN_FRACTION_BITS};
use network::{Spiking, Stage};

/// The largest shift S of a fixed-point factor.
const MAX_SHIFT: u8 = 62;

impl IntegerNetwork {
    /// Puts a network together, from a conversion or from a file.
    ///
    /// # Errors
    /// If the parts do not fit each other, or a sum or membrane could leave `i32`; the message names
    /// the layer.
    pub fn new(config: IntegerConfig, weights: Vec<IntegerWeights>) -> Result<Self> {
        let step = config.input_step;
        if !(step > 0.0 && step.is_finite()) {
            return Err(Error::InvalidParameter {
                name: "input_step",
                expected: "a number above 0",
                got: step.to_string(),
            });
        }
        let graph = config.arch.graph(&NeuronConfig::new(1), false, config.readout)?;
        check_graph(&graph)?;
        let names = names_of(&graph);
        if names.len() != weights.len() || names.len() != config.neurons.len() {
            return Err(Error::Mismatch {
                op: "integer network",
                what: "the layers".into(),
                got: format!("{} weights, {} neurons", weights.len(), config.neurons.len()),
                expected: format!("{} of each", names.len()),
            });
        }
        let mut parts = names.into_iter().zip(weights).zip(&config.neurons);
        let (mut stages, mut n_outputs, mut group) = (vec![], 0, 1);
        let mut largest_code = i64::from(MAX_CODE);
        for node in graph.nodes() {
            let output = node.shape();
            let input = node.inputs.first().map_or(output, |id| graph.node(*id).shape());
            let (kernel, padding, is_dense) = match &node.op {
                Op::Conv(conv) => ([conv.kernel; 2], conv.padding, false),
                Op::Dense(_) => ([input.height, input.width], 0, true),
                Op::Pool(Pooling { kind, size }) => {
                    let (kind, size) = (*kind, *size);
                    if kind != PoolKind::Max {
                        largest_code = largest_code.saturating_mul((size * size) as i64);
                    }
                    stages.push(Stage::Pool { kind, size, input, output });
                    continue;
                }
                Op::Vote(vote) => {
                    group = vote.group;
                    continue;
                }
                // Normalization is part of the weights, neurons are of their stage.
                Op::Input(_)
                | Op::Norm(_)
                | Op::Neurons(_)
                | Op::Flatten(_)
                | Op::Dropout(_)
                | Op::Output(_) => continue,
                Op::Add(_) => unreachable!("the graph was checked"),
            };
            let Some(((name, weights), lif)) = parts.next() else {
                unreachable!("their number was checked")
            };
            let by_input = vec![];
            let mut stage = Spiking {
                name,
                input,
                output,
                kernel,
                padding,
                is_dense,
                weights,
                by_input,
                lif: *lif,
            };
            stage.check(largest_code, config.max_steps)?;
            stage.pack();
            largest_code = lif.n_levels().into();
            n_outputs = output.channels;
            stages.push(Stage::Spiking(Box::new(stage)));
        }
        Ok(Self { config, stages, n_outputs, group })
    }

    /// What is said of it in a file's header.
    pub fn config(&self) -> &IntegerConfig {
        &self.config
    }

    /// Its weight layers, from the input on: name (`conv1`, `fc1`, …), shape of the weights as in
    /// `PyTorch`, numbers.
    pub fn layers(&self) -> impl Iterator<Item = (&str, Vec<usize>, &IntegerWeights)> {
        self.stages.iter().filter_map(|stage| match stage {
            Stage::Spiking(layer) => {
                let shape = if layer.is_dense {
                    vec![layer.output.channels, layer.input.n_elements()]
                } else {
                    let [height, width] = layer.kernel;
                    vec![layer.output.channels, layer.input.channels, height, width]
                };
                Some((layer.name.as_str(), shape, &layer.weights))
            }
            Stage::Pool { .. } => None,
        })
    }

    /// Scores `[B, n_classes]`, i64, of a batch `[T, B, C, H, W]`: for each class the sum of its
    /// level codes over time and group, or of its membranes where the readout takes them.
    ///
    /// # Errors
    /// If the input has another shape, more steps than [`IntegerConfig::max_steps`], or a NaN.
    pub fn predict(&self, x_seq: &Tensor) -> Result<Tensor> {
        Ok(self.predict_with_activity(x_seq)?.0)
    }

    /// [`predict`](Self::predict) with the activity of the input and of each layer of neurons, the
    /// positions of the network that it was converted from.
    ///
    /// # Errors
    /// As [`predict`](Self::predict).
    pub fn predict_with_activity(&self, x_seq: &Tensor) -> Result<(Tensor, Activity)> {
        let (codes, [n_steps, batch_size]) = self.codes(x_seq)?;
        let n_classes = self.n_outputs / self.group;
        let mut scores = vec![0_i64; batch_size * n_classes];
        let seen = scores.par_chunks_mut(n_classes).enumerate().map_init(
            || Workspace::new(self),
            |workspace, (sample, scores)| {
                let n = self.config.arch.input.n_elements();
                let steps = (0..n_steps).map(|t| &codes[(t * batch_size + sample) * n..][..n]);
                let outputs = workspace.run(self, steps);
                for (score, group) in scores.iter_mut().zip(outputs.chunks(self.group)) {
                    *score = group.iter().sum();
                }
                std::mem::replace(&mut workspace.seen, self.nothing_seen())
            },
        );
        // In the order of the samples, whatever thread had them.
        let seen: Vec<Vec<PositionActivity>> = seen.collect();
        let mut activity = Activity::default();
        for positions in seen {
            activity.merge(&Activity { positions });
        }
        let scores = Tensor::from_vec(scores, (batch_size, n_classes), &Device::Cpu)?;
        Ok((scores, activity))
    }

    /// Class scores as those of the network that it was converted from, f64: `scores` are of
    /// [`predict`](Self::predict) over `n_steps` steps, and `v_threshold` is that of its output.
    ///
    /// # Errors
    /// If `scores` cannot be scaled as numbers.
    ///
    /// # Panics
    /// Never: a network has an output layer.
    pub fn logits(&self, scores: &Tensor, n_steps: usize, v_threshold: f64) -> Result<Tensor> {
        let lif = self.config.neurons.last().expect("a network has an output layer");
        let unit = match self.config.readout {
            Readout::MeanSpike => 1.0 / n_steps as f64,
            Readout::LastMembrane | Readout::MaxMembrane => {
                v_threshold / f64::from(1_u32 << lif.fraction_bits)
            }
        };
        let unit = unit / f64::from(lif.n_levels()) / self.group as f64;
        Ok((scores.to_dtype(DType::F64)? * unit)?)
    }

    /// The codes of an input, with its steps and batch size.
    fn codes(&self, x_seq: &Tensor) -> Result<(Vec<i32>, [usize; 2])> {
        const OP: &str = "integer network";
        let IntegerConfig { arch, input_step, max_steps, .. } = &self.config;
        let (codes, [n_steps, batch_size]) = codes_of(OP, x_seq, arch.input, *input_step)?;
        if n_steps > *max_steps {
            return Err(Error::Mismatch {
                op: OP,
                what: "the number of steps".into(),
                got: n_steps.to_string(),
                expected: format!("at most {max_steps}, for which it was converted"),
            });
        }
        Ok((codes, [n_steps, batch_size]))
    }
}

impl Spiking {
    /// Refuses numbers that do not fit the layer, or could leave `i32` for inputs of at most
    /// `largest_code` over `max_steps` steps.
    fn check(&self, largest_code: i64, max_steps: usize) -> Result<()> {
        self.lif.validate(&self.name)?;
        let w = &self.weights;
        let n_out = self.output.channels;
        let n = n_out * self.input.channels * self.kernel[0] * self.kernel[1];
        let lengths =
            [w.weight.len(), w.scale.len(), w.bias.len(), w.multiplier.len(), w.shift.len()];
        if lengths != [n, n_out, n_out, n_out, n_out] {
            let reason = format!(
                "weight, scale, bias, multiplier and shift have {lengths:?} elements, not {n} and \
                 {n_out} each"
            );
            return Err(Error::NotInteger { layer: self.name.clone(), reason });
        }
        w.check_range(&self.name, &self.lif, largest_code, max_steps)
    }

    /// Orders the weights for [`forward`].
    fn pack(&mut self) {
        let n_out = self.output.channels;
        let n_in = self.input.channels * self.kernel[0] * self.kernel[1];
        self.by_input = vec![0; n_in * n_out];
        for (channel, row) in self.weights.weight.chunks_exact(n_in).enumerate() {
            for (i, q) in row.iter().enumerate() {
                self.by_input[i * n_out + channel] = *q;
            }
        }
    }
}

impl IntegerWeights {
    /// Refuses numbers that could leave `i32` for inputs of at most `largest_code` over `max_steps`
    /// steps.
    fn check_range(
        &self,
        layer: &str,
        lif: &IntegerLif,
        largest_code: i64,
        max_steps: usize,
    ) -> Result<()> {
        let fail = |reason| Err(Error::NotInteger { layer: layer.to_owned(), reason });
        let n_out = self.scale.len();
        for (channel, q) in self.weight.chunks_exact(self.weight.len() / n_out).enumerate() {
            let (multiplier, shift) = (self.multiplier[channel], self.shift[channel]);
            if multiplier < 0 || shift > MAX_SHIFT {
                return fail(format!("channel {channel} has no valid factor"));
            }
            let sum: i64 = q.iter().map(|q| i64::from(*q).abs()).sum();
            let sum = sum.saturating_mul(largest_code);
            if sum > i64::from(i32::MAX) {
                return fail(format!(
                    "sums of channel {channel} can reach {sum}, beyond 32 bits, with inputs of up \
                     to {largest_code}"
                ));
            }
            // Rounding can add a unit.
            let current = ((sum * i64::from(multiplier)) >> shift) + 1;
            let current = current + i64::from(self.bias[channel]).abs();
            if lif.largest_membrane(current, max_steps) > i64::from(i32::MAX) {
                return fail(format!(
                    "membranes of channel {channel} can leave 32 bits within {max_steps} steps, \
                     with {} bits after the point",
                    lif.fraction_bits
                ));
            }
        }
        Ok(())
    }
}

/// Names of the weight layers of an architecture, from the input on: `conv1`, …, `fc1`, …; none where
/// the layers do not fit each other.
pub fn weight_names(arch: &Arch) -> Vec<String> {
    let graph = arch.graph(&NeuronConfig::new(1), false, Readout::default());
    graph.map_or_else(|_| vec![], |graph| names_of(&graph))
}

fn names_of(graph: &Graph) -> Vec<String> {
    let is_weights = |op: &Op| matches!(op, Op::Conv(_) | Op::Dense(_));
    let nodes = graph.nodes().iter().filter(|node| is_weights(&node.op));
    nodes.map(|node| node.name.clone()).collect()
}

/// Refuses a graph with a node that is not computed in whole numbers yet.
///
/// # Errors
/// [`Error::NotInteger`] names the node and says why.
pub fn check_graph(graph: &Graph) -> Result<()> {
    for (id, node) in graph.nodes().iter().enumerate() {
        if let Some(reason) = why_not(graph, id) {
            return Err(Error::NotInteger { layer: node.name.clone(), reason: reason.to_owned() });
        }
    }
    Ok(())
}

/// Why a node is not computed in whole numbers; `None` if it is.
fn why_not(graph: &Graph, id: NodeId) -> Option<&'static str> {
    let node = graph.node(id);
    let only = graph.only_consumer(id);
    let next = only.map(|next| &graph.node(next).op);
    let next_after_norm = match next {
        Some(Op::Norm(_)) => {
            only.and_then(|norm| graph.only_consumer(norm)).map(|next| &graph.node(next).op)
        }
        other => other,
    };
    let spiking = || {
        let is = matches!(next_after_norm, Some(Op::Neurons(_)));
        (!is).then_some("there are no neurons right after it")
    };
    let alone = || {
        let is = only.is_some() || id + 1 == graph.nodes().len();
        (!is).then_some("what it sends is read by several layers")
    };
    match &node.op {
        Op::Input(_) | Op::Pool(_) | Op::Flatten(_) | Op::Dropout(_) => alone(),
        Op::Norm(_) | Op::Output(_) | Op::Vote(_) => None,
        Op::Conv(conv) if conv.stride != 1 => Some("strides are not computed in whole numbers yet"),
        Op::Conv(conv) if conv.dilation != 1 => {
            Some("dilations are not computed in whole numbers yet")
        }
        Op::Conv(conv) if conv.groups != 1 => Some("groups are not computed in whole numbers yet"),
        Op::Conv(conv) if conv.padding >= conv.kernel => {
            Some("padding as wide as the kernel is not computed in whole numbers yet")
        }
        Op::Conv(_) | Op::Dense(_) => spiking(),
        Op::Neurons(neurons) => {
            let before = &graph.node(node.inputs[0]).op;
            if !matches!(before, Op::Conv(_) | Op::Dense(_) | Op::Norm(_)) {
                return Some("there are no weights right before these neurons");
            }
            if neurons.recurrent {
                return Some("recurrent edges are not computed in whole numbers yet");
            }
            if neurons.learned_tau == Some(LearnedBy::Channel)
                || neurons.learned_threshold.is_some()
            {
                return Some(
                    "time constants by channel and learned thresholds are not computed in whole \
                     numbers yet",
                );
            }
            neurons.params.not_plain().or_else(alone)
        }
        Op::Add(_) => Some("layers that are not in a row are not computed in whole numbers yet"),
    }
}

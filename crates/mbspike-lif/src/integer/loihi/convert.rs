//! From a trained network to the chip's numbers.

use mbspike_core::{Decay, Reset};

use super::cell::{
    DECAY_UNITY, LARGEST_STATE, LARGEST_THRESHOLD, LoihiCell, LoihiFire, STATE_SHIFT,
};
use super::network::{
    LARGEST_BIAS, LARGEST_WEIGHT, LoihiConfig, LoihiLayer, LoihiNetwork, LoihiWeights,
};
use super::refusal::fail;
use crate::graph::{Conv, Graph, Neurons, NodeId, Op, Pooling};
use crate::integer::convert::FloatLayer;
use crate::layer::NeuronParams;
use crate::neuron::LearnedBy;
use crate::{Error, InputRange, MAX_CODE, Network, PoolKind, Result, Shape};

/// The share of the largest membrane that a full spike's threshold may take.
const LARGEST_SHARE: f64 = 0.25;

/// The largest exponent of biases.
const LARGEST_BIAS_EXP: u32 = 7;

/// What a layer reads.
#[derive(Debug, Clone, Copy)]
struct Payload {
    /// What 1 stands for.
    unit: f64,
    /// The largest there can be.
    largest: i64,
}

impl LoihiNetwork {
    /// Converts a trained network for inputs of a range and sequences of `n_steps` steps.
    ///
    /// Batch normalization and pooling become part of the weights; each layer's weights have one scale.
    /// A layer in microcode takes as many fewer bits of its sums as keeps all states within 24 bits.
    ///
    /// # Errors
    /// If the chip has nothing for a layer: branches, recurrent edges, maximum pooling, hard resets of
    /// graded spikes or to another potential than 0, signed, rising or counted spikes; or its numbers
    /// are too large; the message names it.
    pub fn from_network(
        network: &Network,
        input: InputRange,
        n_steps: usize,
        synaptic_delay: bool,
    ) -> Result<Self> {
        let input_step = input.step().filter(|step| step.is_finite());
        let input_step = input_step.ok_or_else(|| Error::InvalidParameter {
            name: "the input's range",
            expected: "of finite numbers that are not all zero",
            got: input.largest.to_string(),
        })?;
        let largest_input = ((input.largest / input_step).round() as i32).min(MAX_CODE);
        let graph = network.graph();
        let mut payload = Payload { unit: input_step.into(), largest: largest_input.into() };
        let (mut layers, mut weights) = (vec![], vec![]);
        let (mut pools, mut map, mut group) = (vec![], graph.input_shape(), 1);
        for (id, node) in graph.nodes().iter().enumerate() {
            check_row(graph, id)?;
            match &node.op {
                Op::Pool(Pooling { kind: PoolKind::Max, .. }) => {
                    return fail(&node.name, "the chip has no maximum pooling; train with `2a`");
                }
                Op::Pool(pool) => pools.push(*pool),
                Op::Conv(_) | Op::Dense(_) => {
                    let window = Window::of(graph, id, map, &pools);
                    let cells = cells(graph, id)?;
                    let reader = Reader { name: &node.name, cells, payload, n_steps };
                    let (layer, numbers) = reader.convert(network, id, window)?;
                    let levels = layer.cell.levels();
                    payload =
                        Payload { unit: 1.0 / f64::from(levels.max(1)), largest: levels.into() };
                    map = node.shape();
                    pools.clear();
                    layers.push(layer);
                    weights.push(numbers);
                }
                Op::Vote(vote) => group = vote.group,
                Op::Input(_)
                | Op::Norm(_)
                | Op::Neurons(_)
                | Op::Flatten(_)
                | Op::Dropout(_)
                | Op::Output(_)
                | Op::Add(_) => {}
            }
        }
        let readout = network.config().readout;
        let config =
            LoihiConfig { layers, readout, group, input_step, largest_input, synaptic_delay };
        Self::new(config, weights)
    }
}

/// Refuses what is not layers in a row, each of weights and neurons.
fn check_row(graph: &Graph, id: NodeId) -> Result<()> {
    let node = graph.node(id);
    if matches!(node.op, Op::Add(_)) {
        return fail(&node.name, "layers that are not in a row are not converted");
    }
    if id + 1 < graph.nodes().len() && graph.only_consumer(id).is_none() {
        return fail(&node.name, "what it sends is read by several layers");
    }
    if let Op::Neurons(_) = node.op {
        let before = &graph.node(node.inputs[0]).op;
        if !matches!(before, Op::Conv(_) | Op::Dense(_) | Op::Norm(_)) {
            return fail(&node.name, "there are no weights right before these neurons");
        }
    }
    Ok(())
}

/// The neurons right after a layer of weights.
fn cells(graph: &Graph, id: NodeId) -> Result<&Neurons> {
    let mut next = graph.only_consumer(id);
    if let Some(norm) = next.filter(|next| matches!(graph.node(*next).op, Op::Norm(_))) {
        next = graph.only_consumer(norm);
    }
    match next.map(|next| &graph.node(next).op) {
        Some(Op::Neurons(neurons)) => Ok(neurons),
        _ => fail(&graph.node(id).name, "there are no neurons right after it"),
    }
}

/// A kernel on the map before pooling.
#[derive(Debug, Clone)]
struct Window {
    input: Shape,
    output: Shape,
    /// What it was trained as: kernel, dilation, channels of a group.
    of: [usize; 2],
    dilation: usize,
    groups: usize,
    kernel: [usize; 2],
    stride: usize,
    padding: usize,
    is_dense: bool,
    /// Side of the pooling before it, and what its weights are multiplied by.
    pool: usize,
    share: f64,
}

impl Window {
    fn of(graph: &Graph, id: NodeId, input: Shape, pools: &[Pooling]) -> Self {
        let pool: usize = pools.iter().map(|pool| pool.size).product();
        let shares = pools.iter().filter(|pool| pool.kind == PoolKind::Average);
        let share = shares.map(|pool| 1.0 / (pool.size * pool.size) as f64).product();
        let output = graph.node(id).shape();
        match &graph.node(id).op {
            Op::Conv(conv) => {
                let Conv { kernel, stride, padding, dilation, groups, .. } = *conv;
                let side = pool * (dilation * (kernel - 1) + 1);
                Self {
                    input,
                    output,
                    of: [kernel; 2],
                    dilation,
                    groups,
                    kernel: [side; 2],
                    stride: stride * pool,
                    padding: padding * pool,
                    is_dense: false,
                    pool,
                    share,
                }
            }
            _ => Self {
                input,
                output,
                of: [input.height / pool, input.width / pool],
                dilation: 1,
                groups: 1,
                kernel: [input.height, input.width],
                stride: 1,
                padding: 0,
                is_dense: true,
                pool,
                share,
            },
        }
    }

    /// Weights `[out, in/groups, ky, kx]` as those of this window, `[out, in, ky, kx]`.
    fn expand(&self, weight: &[f64]) -> Vec<f64> {
        let [rows, columns] = self.of;
        let [height, width] = self.kernel;
        let n_in = self.input.channels;
        let per_group = [n_in / self.groups, self.output.channels / self.groups];
        let mut expanded = vec![0.0; self.output.channels * n_in * height * width];
        for (at, w) in weight.iter().enumerate() {
            let (column, row) = (at % columns, at / columns % rows);
            let (c, channel) =
                (at / (columns * rows) % per_group[0], at / (columns * rows * per_group[0]));
            let c = channel / per_group[1] * per_group[0] + c;
            let (y, x) = (row * self.dilation * self.pool, column * self.dilation * self.pool);
            for i in 0..self.pool * self.pool {
                let (y, x) = (y + i / self.pool, x + i % self.pool);
                expanded[((channel * n_in + c) * height + y) * width + x] = w * self.share;
            }
        }
        expanded
    }
}

struct Reader<'a> {
    name: &'a str,
    cells: &'a Neurons,
    payload: Payload,
    n_steps: usize,
}

impl Reader<'_> {
    fn convert(
        &self,
        network: &Network,
        id: NodeId,
        window: Window,
    ) -> Result<(LoihiLayer, LoihiWeights)> {
        let layer = FloatLayer::read(network, id)?;
        let gain = layer.lif.gain();
        let per_channel = layer.weight.len() / layer.factor.len();
        let weight: Vec<f64> = layer
            .weight
            .iter()
            .enumerate()
            .map(|(i, w)| f64::from(*w) * layer.factor[i / per_channel] * gain)
            .collect();
        let weight = window.expand(&weight);
        let bias: Vec<f64> = layer.bias.iter().map(|bias| bias * gain).collect();
        if let Some(bad) = weight.iter().chain(&bias).find(|x| !x.is_finite()) {
            return fail(self.name, format!("one of its weights is {bad}"));
        }
        let largest = weight.iter().fold(0.0_f64, |most, w| most.max(w.abs()));
        let cell = self.cell(&layer)?;
        let one = layer.lif.v_threshold / f64::from(layer.lif.n_levels());
        // One level in sums, were weights as large as they can be.
        let finest = if largest > 0.0 {
            one * f64::from(LARGEST_WEIGHT) / (largest * self.payload.unit)
        } else {
            f64::from(LARGEST_THRESHOLD)
        };
        let levels = f64::from(cell.levels().max(1));
        let shifts = match cell.fire {
            LoihiFire::Binary { .. } => STATE_SHIFT..=STATE_SHIFT,
            _ => 0..=STATE_SHIFT,
        };
        let largest_bias = bias.iter().fold(0.0_f64, |most, bias| most.max(bias.abs()));
        let of_bias = f64::from(LARGEST_BIAS << LARGEST_BIAS_EXP) * one / largest_bias;
        let mut best = None;
        for shift in shifts.rev() {
            let room = f64::from(LARGEST_STATE >> shift) * LARGEST_SHARE / levels;
            let room = room.min(of_bias / f64::from(1 << shift));
            let level = finest.min(room).min(f64::from(LARGEST_THRESHOLD)).floor();
            if level < 1.0 {
                continue;
            }
            let cell = with_level(LoihiCell { shift, ..cell }, level as i32);
            let made = self.layer(&window, cell, &weight, &bias, one / level)?;
            let is_safe = made.0.headroom(&made.1, self.payload.largest, self.n_steps).worst <= 1.0;
            // States within range before the resolution of weights before that of states; where
            // nothing is in range, the most room.
            let is_better = best.as_ref().is_none_or(|(was_safe, before, _)| {
                (is_safe, level) > (*was_safe, *before)
                    || (!is_safe && !*was_safe && level == *before)
            });
            if is_better {
                best = Some((is_safe, level, made));
            }
        }
        match best {
            Some((_, _, made)) => Ok(made),
            None => fail(
                self.name,
                format!("a weight of {largest} is more than {LARGEST_WEIGHT} levels of {one}"),
            ),
        }
    }

    /// The neurons, but for their level.
    fn cell(&self, layer: &FloatLayer) -> Result<LoihiCell> {
        let (cells, lif) = (self.cells, &layer.lif);
        let params = cells.params;
        let plain = NeuronParams { tau_syn: params.tau_syn, ..params.lif.into() };
        if params != plain {
            return fail(
                self.name,
                "signed spikes, rounding to the nearest, counts and rising thresholds are not converted",
            );
        }
        if cells.recurrent {
            return fail(self.name, "recurrent edges are not converted");
        }
        if cells.learned_tau == Some(LearnedBy::Channel) || cells.learned_threshold.is_some() {
            return fail(
                self.name,
                "time constants by channel and learned thresholds are not converted",
            );
        }
        let decay = |share: f64| {
            ((share * f64::from(DECAY_UNITY)).round() as i32).clamp(0, DECAY_UNITY - 1)
        };
        let fire = match (lif.reset, lif.n_levels()) {
            _ if cells.sends_membrane => LoihiFire::Membrane {},
            (Reset::Hard { v_reset: 0.0 }, 1) => LoihiFire::Binary { vth: 1 },
            (Reset::Hard { .. }, _) => {
                return fail(
                    self.name,
                    "a hard reset is the chip's for 1 bit and to 0; others need a product that is not \
                     there",
                );
            }
            (Reset::Soft {} | Reset::None {}, levels) => LoihiFire::Staircase {
                level: 1,
                levels: levels as i32,
                soft: lif.reset == Reset::Soft {},
            },
        };
        let leak = match lif.decay {
            Decay::Tau(_) | Decay::Beta(_) => 1.0 - lif.beta(),
        };
        let du = match params.tau_syn {
            Some(tau) => decay(1.0 / tau) - 1,
            None => DECAY_UNITY - 1,
        };
        Ok(LoihiCell { du: du.max(0), dv: decay(leak), shift: STATE_SHIFT, bias_exp: 0, fire })
    }

    /// The layer whose sums count `scale`.
    fn layer(
        &self,
        window: &Window,
        mut cell: LoihiCell,
        weight: &[f64],
        bias: &[f64],
        scale: f64,
    ) -> Result<(LoihiLayer, LoihiWeights)> {
        let of_two = 2.0 * scale / self.payload.unit;
        let weight = weight.iter().map(|w| 2 * (w / of_two).round() as i16).collect();
        let in_state = scale / f64::from(1 << cell.shift);
        let largest = bias.iter().fold(0.0_f64, |most, bias| most.max(bias.abs())) / in_state;
        // The chip's tools take 6; another exponent only where that does not do.
        let fits = |exp: u32| (largest / f64::from(1 << exp)).round() <= f64::from(LARGEST_BIAS);
        let Some(exp) = [6, LARGEST_BIAS_EXP].into_iter().find(|exp| fits(*exp)) else {
            let reason = format!("a bias is {largest} in units of the membrane, beyond 13 bits");
            return fail(self.name, reason);
        };
        cell.bias_exp = exp;
        let of_bias = in_state * f64::from(1 << exp);
        let bias = bias.iter().map(|bias| (bias / of_bias).round() as i32).collect();
        let dims = |shape: Shape| [shape.channels, shape.height, shape.width];
        let layer = LoihiLayer {
            name: self.name.to_owned(),
            input: dims(window.input),
            output: dims(window.output),
            kernel: window.kernel,
            stride: window.stride,
            padding: window.padding,
            is_dense: window.is_dense,
            cell,
            unit: in_state,
        };
        Ok((layer, LoihiWeights { weight, bias }))
    }
}

fn with_level(cell: LoihiCell, level: i32) -> LoihiCell {
    let fire = match cell.fire {
        LoihiFire::Binary { .. } => LoihiFire::Binary { vth: level },
        LoihiFire::Staircase { levels, soft, .. } => LoihiFire::Staircase { level, levels, soft },
        LoihiFire::Membrane {} => LoihiFire::Membrane {},
    };
    LoihiCell { fire, ..cell }
}

//! From a graph to a network.

mod neurons;
mod notation;
mod order;
mod plan;

use std::collections::{BTreeMap, HashMap};

use candle_core::{Device, Tensor};
use mbspike_lif::graph::{Conv, Dense, Flatten as ToRow, Neurons, Op, Pooling, Role, Vote};
use mbspike_lif::{PoolKind, Readout, Shape};

use self::order::Ordered;
use self::plan::{Plan, Weights};
use super::{Error, Fate, Import, ImportOptions, METADATA, Note, READOUTS, unsupported};
use crate::{Array, Conv2d, Flatten, Graph, Kind, Metadata, Node, Padding, Pool2d, Value};

/// A graph as a network: nodes in any ways from an input to an output, what several edges bring to a
/// node added; of cycles those that lead from neurons through a linear node back to them. Nested
/// graphs are dissolved, but for those that are a graded neuron.
///
/// The network is in the notation where that can say it, else in tables, with the graph's names.
///
/// # Errors
/// If the graph has another form, or a node that networks have no layer for; with the node.
pub fn import(graph: &Graph, options: &ImportOptions) -> Result<Import, Error> {
    graph.check()?;
    let metadata = match graph.metadata.get(METADATA) {
        Some(Value::Map(metadata)) => metadata.clone(),
        _ => Metadata::new(),
    };
    let dt = options
        .dt
        .or_else(|| metadata.get("dt").and_then(Value::as_number))
        .unwrap_or(super::ExportOptions::default().dt);
    if !(dt > 0.0 && dt.is_finite()) {
        return Err(crate::Error::expected("a time step above 0", dt.to_string())
            .in_attribute("dt")
            .into());
    }
    let Ordered { graph, order, recurrent } = order::ordered(graph, dt)?;
    let mut reader = Reader {
        options,
        dt,
        graph: &graph,
        recurrent,
        plan: Plan::default(),
        signals: HashMap::new(),
        readout: None,
        notes: vec![],
    };
    for name in &order {
        let node = &graph.nodes[name];
        reader.node(name, node).map_err(|error| match error {
            Error::Nir(error) if error.node.is_empty() => Error::Nir(error.in_node(name)),
            other => other,
        })?;
    }
    reader.finish(metadata)
}

/// What a node of the graph sends: what one of the network sends, times a factor.
#[derive(Debug, Clone, Copy)]
struct Signal {
    id: usize,
    factor: f64,
}

struct Reader<'a> {
    options: &'a ImportOptions,
    dt: f64,
    graph: &'a Graph,
    recurrent: BTreeMap<String, (String, Kind)>,
    plan: Plan,
    signals: HashMap<String, Signal>,
    /// The neurons that are read out, and whether by their membranes.
    readout: Option<bool>,
    notes: Vec<Note>,
}

impl Reader<'_> {
    fn note(&mut self, node: &str, text: impl Into<String>) {
        self.notes.push(Note { node: node.to_owned(), fate: Fate::Converted, text: text.into() });
    }

    /// What a node reads: the sum of what its sources send.
    fn input(&mut self, name: &str) -> Result<Signal, Error> {
        let sources: Vec<Signal> =
            self.graph.sources(name).map(|source| self.signals[source]).collect();
        match sources.as_slice() {
            [one] => Ok(*one),
            several => {
                let factor = several[0].factor;
                if several.iter().any(|signal| signal.factor != factor) {
                    return unsupported(name, "it adds values that are scaled differently");
                }
                let ids = several.iter().map(|signal| signal.id).collect();
                let id = self.plan.add(name, None, mbspike_lif::graph::Add {}, ids);
                Ok(Signal { id, factor })
            }
        }
    }

    fn node(&mut self, name: &str, node: &Node) -> Result<(), Error> {
        if let Kind::Input { shape } = &node.kind {
            return self.start(name, shape);
        }
        let input = self.input(name)?;
        if self.plan.sends_membrane(input.id)
            && !matches!(node.kind, Kind::Linear(_) | Kind::Output { .. })
        {
            return unsupported(
                name,
                "it reads a membrane without spikes, which only an output layer has",
            );
        }
        if let Some(neuron) = neurons::neuron(name, node, self.dt, self.options)? {
            return self.neurons(name, input, neuron);
        }
        let one = |id| Signal { id, factor: 1.0 };
        let signal = match &node.kind {
            Kind::Output { .. } => return self.output(name, input),
            Kind::Conv2d(conv) => one(self.convolution(name, conv, input)?),
            Kind::Linear(linear) => {
                if self.votes(name, &linear.weight, input) {
                    return Ok(());
                }
                if self.plan.sends_membrane(input.id) {
                    return unsupported(name, "it reads a membrane, and is not a vote");
                }
                one(self.dense(name, &linear.weight, None, input)?)
            }
            Kind::Affine(affine) => {
                one(self.dense(name, &affine.weight, Some(&affine.bias), input)?)
            }
            Kind::AvgPool2d(pool) => self.pool(name, pool, PoolKind::Average, input)?,
            Kind::SumPool2d(pool) => self.pool(name, pool, PoolKind::Sum, input)?,
            Kind::Flatten(flatten) => self.flatten(name, flatten, input)?,
            Kind::Scale(scale) => match scale.scale.uniform() {
                Some(factor) => {
                    if factor != 1.0 {
                        self.note(name, format!("a factor of {factor} in the weights beside it"));
                    }
                    Signal { factor: input.factor * factor, ..input }
                }
                None => {
                    return unsupported(
                        name,
                        "its factors differ; networks have no layer for that",
                    );
                }
            },
            other => {
                return unsupported(
                    name,
                    format!("networks have no layer for nodes of type {}", other.tag()),
                );
            }
        };
        self.signals.insert(name.to_owned(), signal);
        Ok(())
    }

    fn start(&mut self, name: &str, shape: &[usize]) -> Result<(), Error> {
        let shape = match shape {
            [1, inner @ ..] if matches!(shape.len(), 2 | 4) => {
                self.note(name, "its first dimension, of size 1, is taken for the batch");
                inner
            }
            shape => shape,
        };
        let shape = match shape {
            &[n] => Shape { channels: n, height: 1, width: 1 },
            &[channels, height, width] => Shape { channels, height, width },
            other => {
                return unsupported(
                    name,
                    format!("its shape is {other:?}; networks take [N] or [C, H, W]"),
                );
            }
        };
        let id = self.plan.start(name, shape);
        self.signals.insert(name.to_owned(), Signal { id, factor: 1.0 });
        Ok(())
    }

    fn convolution(&mut self, name: &str, conv: &Conv2d, input: Signal) -> Result<usize, Error> {
        let shape = conv.weight.shape();
        let (channels, kernel) = (shape[0], shape[2]);
        let mut wrong = vec![];
        if shape[2] != shape[3] {
            wrong.push(format!("a kernel of {}x{}", shape[2], shape[3]));
        }
        if conv.stride[0] != conv.stride[1] {
            wrong.push(format!("stride {:?}", conv.stride));
        }
        if conv.dilation[0] != conv.dilation[1] {
            wrong.push(format!("dilation {:?}", conv.dilation));
        }
        let padding = match conv.padding {
            Padding::Valid => Some(0),
            Padding::Same if kernel % 2 == 1 => Some(conv.dilation[0] * (kernel - 1) / 2),
            Padding::Zeros([rows, columns]) if rows == columns => Some(rows),
            Padding::Same | Padding::Zeros(_) => None,
        };
        let (Some(padding), true) = (padding, wrong.is_empty()) else {
            if padding.is_none() {
                wrong.push(format!("padding {:?} with a kernel of {kernel}", conv.padding));
            }
            let wrong = wrong.join(", ");
            return unsupported(
                name,
                format!(
                    "it has {wrong}; convolutions of networks are the same in rows and columns"
                ),
            );
        };
        let op = Conv {
            channels,
            kernel,
            stride: conv.stride[0],
            padding,
            dilation: conv.dilation[0],
            groups: conv.groups,
            bias: false,
        };
        Ok(self.weights(name, op, &conv.weight, Some(&conv.bias), input))
    }

    fn dense(
        &mut self,
        name: &str,
        weight: &Array,
        bias: Option<&Array>,
        input: Signal,
    ) -> Result<usize, Error> {
        let &[neurons, _] = weight.shape() else {
            return unsupported(name, format!("its weight is {}, not a matrix", weight.describe()));
        };
        Ok(self.weights(name, Dense { neurons, bias: false }, weight, bias, input))
    }

    fn weights(
        &mut self,
        name: &str,
        op: impl Into<Op>,
        weight: &Array,
        bias: Option<&Array>,
        input: Signal,
    ) -> usize {
        if !weight.is_single() || bias.is_some_and(|bias| !bias.is_single()) {
            self.note(name, "weights rounded to single precision");
        }
        let n_out = weight.shape()[0];
        let weights = Weights {
            shape: weight.shape().to_vec(),
            weight: weight.to_f64().into_iter().map(|w| w * input.factor).collect(),
            bias: bias.map_or_else(|| vec![0.0; n_out], Array::to_f64),
        };
        self.plan.add_weights(name, op, input.id, weights)
    }

    fn pool(
        &mut self,
        name: &str,
        pool: &Pool2d,
        kind: PoolKind,
        input: Signal,
    ) -> Result<Signal, Error> {
        let [height, width] = pool.kernel_size;
        if height != width || pool.stride != pool.kernel_size || pool.padding != [0, 0] {
            return unsupported(
                name,
                format!(
                    "a window of {:?} with stride {:?} and padding {:?}; pooling of networks has \
                     square windows side by side",
                    pool.kernel_size, pool.stride, pool.padding
                ),
            );
        }
        let id = self.plan.add(name, Some(name), Pooling { kind, size: height }, vec![input.id]);
        Ok(Signal { id, ..input })
    }

    fn flatten(&mut self, name: &str, flatten: &Flatten, input: Signal) -> Result<Signal, Error> {
        let is_all = (flatten.start_dim, flatten.end_dim) == (0, -1)
            || flatten.input_type.as_ref().is_some_and(|shape| {
                flatten.start_dim == 0 && flatten.end_dim == shape.len() as i64 - 1
            });
        if !is_all {
            return unsupported(
                name,
                "it does not join all dimensions, as a dense layer's input does",
            );
        }
        // Dense layers flatten what they read.
        let is_dense = |target| {
            matches!(self.graph.nodes[target].kind, Kind::Linear(_) | Kind::Affine(_))
                && self.graph.sources(target).count() == 1
        };
        if self.graph.targets(name).all(is_dense) {
            return Ok(input);
        }
        let id = self.plan.add(name, Some(name), ToRow {}, vec![input.id]);
        Ok(Signal { id, ..input })
    }

    fn neurons(&mut self, name: &str, input: Signal, neuron: neurons::Neuron) -> Result<(), Error> {
        let gain = neuron.gain * input.factor;
        if let Some(note) = neuron.note {
            self.note(name, note);
        }
        let recurrent = self.recurrent.remove(name);
        if let Some((weights, Kind::Affine(affine))) = &recurrent
            && affine.bias.to_f64().iter().any(|&bias| bias != 0.0)
        {
            let bias = affine.bias.to_f64();
            self.plan.add_bias(self.graph, input.id, &bias).map_err(|reason| {
                let reason = format!("it is a recurrent edge with a bias, and {reason}");
                Error::Unsupported { node: weights.clone(), reason }
            })?;
            self.note(weights, "the bias of a recurrent edge is in the weights before its neurons");
        }
        if gain != 1.0 {
            self.plan.scale(self.graph, input.id, gain).map_err(|reason| {
                let reason = format!("its input is multiplied by {gain}, and {reason}");
                Error::Unsupported { node: name.to_owned(), reason }
            })?;
            self.note(name, format!("its gain {gain} is in the weights before it"));
        }
        let op = Neurons {
            params: neuron.params,
            recurrent: recurrent.is_some(),
            sends_membrane: neuron.sends_membrane,
            ..Neurons::default()
        };
        let id = self.plan.add(name, Some(name), op, vec![input.id]);
        if let Some((weights, kind)) = &recurrent {
            let weight = match kind {
                Kind::Affine(affine) => &affine.weight,
                Kind::Linear(linear) => &linear.weight,
                _ => unreachable!("taken out as one of the two"),
            };
            let values = weight.to_f64().into_iter().map(|w| w * gain).collect();
            self.plan.set_recurrent(id, weights, weight.shape().to_vec(), values);
        }
        self.signals.insert(name.to_owned(), Signal { id, factor: 1.0 });
        Ok(())
    }

    /// Whether a matrix is the vote of the output: the mean of groups of what neurons send.
    fn votes(&mut self, name: &str, weight: &Array, input: Signal) -> bool {
        let targets: Vec<&str> = self.graph.targets(name).collect();
        let [target] = targets.as_slice() else { return false };
        let is_last = matches!(self.graph.nodes[*target].kind, Kind::Output { .. })
            && self.graph.sources(target).count() == 1;
        match vote_group(weight) {
            Some(group) if is_last && input.factor == 1.0 && self.plan.is_neurons(input.id) => {
                let id = self.read_out(input.id);
                let id = self.plan.add(name, None, Vote { group }, vec![id]);
                self.signals.insert(name.to_owned(), Signal { id, factor: 1.0 });
                true
            }
            _ => false,
        }
    }

    fn read_out(&mut self, neurons: usize) -> usize {
        self.readout = Some(self.plan.sends_membrane(neurons));
        let readout = Readout::MeanSpike;
        self.plan.add("the readout", None, mbspike_lif::graph::Output { readout }, vec![neurons])
    }

    fn output(&mut self, name: &str, input: Signal) -> Result<(), Error> {
        if self.plan.is_vote(input.id) {
            return Ok(());
        }
        if !self.plan.is_neurons(input.id) {
            let before = self.graph.sources(name).next().unwrap_or_default().to_owned();
            let reason = "the output reads it; in networks it reads neurons, or a vote of theirs";
            return unsupported(&before, reason);
        }
        if input.factor != 1.0 {
            return unsupported(name, "what its last neurons fire is scaled");
        }
        self.read_out(input.id);
        Ok(())
    }

    fn finish(mut self, metadata: Metadata) -> Result<Import, Error> {
        let reads_membrane = self.readout == Some(true);
        let named = metadata.get("readout").and_then(Value::as_text);
        let named = READOUTS.iter().find(|(_, known)| Some(*known) == named);
        let readout = match (reads_membrane, named) {
            (false, _) => Readout::MeanSpike,
            (true, Some((readout, _))) if readout.reads_membrane() => *readout,
            (true, _) => Readout::LastMembrane,
        };
        let bias = self.plan.settle(readout);
        let built = self.plan.build()?;
        let said = notation::say(&built.graph, bias, readout)?;
        let (mut tensors, mut origins) = (vec![], vec![]);
        let mut keep = |name: String, origin: &str, shape: &[usize], values: Vec<f32>| {
            origins.push((name.clone(), origin.to_owned()));
            let tensor = Tensor::from_vec(values, shape, &Device::Cpu)?;
            tensors.push((name, tensor));
            Ok::<(), Error>(())
        };
        for (id, node) in said.graph.nodes().iter().enumerate() {
            let origin = &built.origins[id];
            for variable in &node.variables {
                let value = match variable.role {
                    Role::Tau => Some(vec![built.tau(id)]),
                    role => built.values(id, role),
                };
                let n: usize = variable.dims.iter().product();
                match value {
                    Some(value) if value.len() == n => {
                        let value = value.into_iter().map(|x| x as f32).collect();
                        keep(variable.name.clone(), origin, &variable.dims, value)?;
                    }
                    value => {
                        let got = value.map_or(0, |value| value.len());
                        return unsupported(
                            origin,
                            format!("its weights are {got} numbers where its input takes {n}"),
                        );
                    }
                }
            }
        }
        let notes = std::mem::take(&mut self.notes);
        let notation::Said { arch, neuron, .. } = said;
        Ok(Import { arch, neuron, readout, bias, tensors, origins, metadata, notes })
    }
}

/// The size of the groups that a matrix averages, each of its inputs once and in order.
fn vote_group(weight: &Array) -> Option<usize> {
    let &[outputs, inputs] = weight.shape() else { return None };
    let group = inputs.checked_div(outputs).filter(|group| group * outputs == inputs)?;
    let share = 1.0 / group as f32;
    let is_vote = weight.to_f32().iter().enumerate().all(|(at, &weight)| {
        let (row, column) = (at / inputs, at % inputs);
        weight == if column / group == row { share } else { 0.0 }
    });
    is_vote.then_some(group)
}

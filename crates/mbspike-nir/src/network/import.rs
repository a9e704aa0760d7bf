//! From a graph to a network.

use std::collections::BTreeSet;

use candle_core::{Device, Tensor};
use mbspike_core::Reset;
use mbspike_lif::{Arch, ConvLayer, Layer, NeuronConfig, PoolKind, Readout, Shape};

use super::{Error, Fate, Import, ImportOptions, METADATA, Note, READOUTS, exact, unsupported};
use crate::{Array, Conv2d, Graph, Kind, Lif, Metadata, Node, Padding, Pool2d, Value};

/// A graph as a network: nodes in one row from an input to an output, each weight node followed by
/// neurons, all neurons alike but for their levels and time constants.
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
    let row = row(graph)?;
    let mut reader = Reader {
        options,
        dt,
        input: Shape { channels: 1, height: 1, width: 1 },
        layers: vec![],
        pending: None,
        factor: 1.0,
        vote: None,
        tensors: vec![],
        neurons: vec![],
        reads_membrane: false,
        notes: vec![],
        counts: [0; 2],
    };
    for (name, node) in row {
        reader.node(name, node).map_err(|error| match error {
            Error::Nir(error) if error.node.is_empty() => Error::Nir(error.in_node(name)),
            other => other,
        })?;
    }
    reader.finish(metadata)
}

/// The nodes from the input to the output, where they lie in one row.
fn row(graph: &Graph) -> Result<Vec<(&str, &Node)>, Error> {
    let one = |names: Vec<&str>, what: &str| match names.as_slice() {
        [name] => Ok((*name).to_owned()),
        names => unsupported(
            "graph",
            format!("it has {} nodes of type {what}, and networks have one", names.len()),
        ),
    };
    let mut name = one(graph.inputs().collect(), "Input")?;
    let mut row = vec![];
    let mut seen = BTreeSet::new();
    loop {
        let Some((name_in_graph, node)) = graph.nodes.get_key_value(&name) else { break };
        if !seen.insert(name_in_graph.as_str()) {
            return unsupported(
                &name,
                "it is part of a cycle; networks here have no recurrent edges",
            );
        }
        row.push((name_in_graph.as_str(), node));
        let targets: Vec<&str> = graph.targets(name_in_graph).collect();
        let next = match targets.as_slice() {
            [] => break,
            [next] => (*next).to_owned(),
            targets => {
                return unsupported(
                    &name,
                    format!(
                        "it has edges to `{}`; networks here are one row of layers, without \
                         branches and recurrent edges",
                        targets.join("`, `")
                    ),
                );
            }
        };
        name = next;
    }
    let last = row.last().map(|(name, node)| (*name, &node.kind));
    if let Some((name, kind)) = last
        && !matches!(kind, Kind::Output { .. })
    {
        return unsupported(name, "the row of nodes from the input on ends here, not at an Output");
    }
    if let Some(name) = graph.nodes.keys().find(|name| !seen.contains(name.as_str())) {
        return unsupported(name, "it does not lie between the input and the output");
    }
    Ok(row)
}

/// A weight node before its neurons.
struct Pending {
    name: String,
    layer: Layer,
    weight: Array,
    bias: Array,
}

struct Reader<'a> {
    options: &'a ImportOptions,
    dt: f64,
    input: Shape,
    layers: Vec<Layer>,
    pending: Option<Pending>,
    /// What the next weights are multiplied by, in place of a scaling before them.
    factor: f64,
    /// What averages the outputs of the last neurons.
    vote: Option<Layer>,
    /// Parameter, node, value.
    tensors: Vec<(String, String, Tensor)>,
    neurons: Vec<(String, exact::Neuron)>,
    reads_membrane: bool,
    notes: Vec<Note>,
    /// Convolutions and dense layers so far.
    counts: [usize; 2],
}

impl Reader<'_> {
    fn note(&mut self, node: &str, text: impl Into<String>) {
        self.notes.push(Note { node: node.to_owned(), fate: Fate::Converted, text: text.into() });
    }

    fn node(&mut self, name: &str, node: &Node) -> Result<(), Error> {
        if let Some(pending) = &self.pending {
            let is_neuron = matches!(
                node.kind,
                Kind::Lif(_)
                    | Kind::Li(_)
                    | Kind::If(_)
                    | Kind::CubaLif(_)
                    | Kind::CubaLi(_)
                    | Kind::I(_)
                    | Kind::Graph(_)
                    | Kind::Unknown { .. }
            );
            if let (Kind::Output { .. }, Some(group)) = (&node.kind, vote_group(pending)) {
                self.vote = Some(Layer::Vote { group });
                self.pending = None;
                return Ok(());
            }
            if !is_neuron {
                return self.without_neurons(pending.name.clone(), name, node);
            }
        }
        match &node.kind {
            Kind::Input { shape } => {
                let shape = match shape.as_slice() {
                    [1, inner @ ..] if matches!(shape.len(), 2 | 4) => {
                        self.note(name, "its first dimension, of size 1, is taken for the batch");
                        inner
                    }
                    shape => shape,
                };
                self.input = match shape {
                    &[n] => Shape { channels: n, height: 1, width: 1 },
                    &[channels, height, width] => Shape { channels, height, width },
                    other => {
                        return unsupported(
                            name,
                            format!("its shape is {other:?}; networks take [N] or [C, H, W]"),
                        );
                    }
                };
                Ok(())
            }
            Kind::Output { .. } => Ok(()),
            _ if self.reads_membrane && !matches!(node.kind, Kind::Linear(_)) => unsupported(
                name,
                "it reads a membrane without spikes, which only an output layer has",
            ),
            Kind::Conv2d(conv) => self.convolution(name, conv),
            Kind::Linear(linear) => {
                let bias = Array::full(&linear.weight.shape()[..1], 0.0);
                self.dense(name, &linear.weight, bias)
            }
            Kind::Affine(affine) => self.dense(name, &affine.weight, affine.bias.clone()),
            Kind::AvgPool2d(pool) => self.pool(name, pool, false),
            Kind::SumPool2d(pool) => self.pool(name, pool, true),
            Kind::Flatten(flatten) => {
                if (flatten.start_dim, flatten.end_dim) == (0, -1)
                    || flatten.input_type.as_ref().is_some_and(|shape| {
                        flatten.start_dim == 0 && flatten.end_dim == shape.len() as i64 - 1
                    })
                {
                    return Ok(());
                }
                unsupported(name, "it does not join all dimensions, as a dense layer's input does")
            }
            Kind::Scale(scale) => match scale.scale.uniform() {
                Some(factor) => {
                    self.factor *= factor;
                    self.note(name, format!("a factor of {factor} in the next weights"));
                    Ok(())
                }
                None => unsupported(name, "its factors differ; networks have no layer for that"),
            },
            Kind::Lif(lif) => self.lif(name, lif, &node.metadata),
            Kind::Li(li) => {
                self.reads_membrane = true;
                let is_written = |neuron: &exact::Neuron| {
                    neuron.li(li.tau.shape(), self.dt).is_ok_and(|written| written == *li)
                };
                if let Some(neuron) = self.marked(&node.metadata).filter(is_written) {
                    return self.neurons(name, neuron, 1.0);
                }
                if uniform("v_leak", &li.v_leak)? != 0.0 {
                    return unsupported(name, "its `v_leak` is not 0, which a readout's is");
                }
                let (neuron, gain) = self.membrane(&li.tau, &li.r, exact::Reset::None)?;
                self.neurons(name, neuron, gain)
            }
            Kind::Graph(graph) => match exact::Neuron::of_graph(graph, self.dt) {
                Some(neuron) => self.neurons(name, neuron, 1.0),
                None => unsupported(
                    name,
                    "a nested graph that is not the construction of a graded neuron with this \
                     time step; networks here have no nested or recurrent parts",
                ),
            },
            other => unsupported(
                name,
                format!("networks have no layer for nodes of type {}", other.tag()),
            ),
        }
    }

    /// A weight node that is followed by something else than neurons.
    fn without_neurons(&mut self, pending: String, name: &str, node: &Node) -> Result<(), Error> {
        unsupported(
            &pending,
            format!(
                "it is followed by `{name}` ({}); in networks neurons follow each convolution and \
                 dense layer",
                node.kind.tag()
            ),
        )
    }

    fn convolution(&mut self, name: &str, conv: &Conv2d) -> Result<(), Error> {
        let shape = conv.weight.shape();
        let (channels, kernel) = (shape[0], shape[2]);
        let mut wrong = vec![];
        if shape[2] != shape[3] {
            wrong.push(format!("a kernel of {}x{}", shape[2], shape[3]));
        }
        if conv.stride != [1, 1] {
            wrong.push(format!("stride {:?}", conv.stride));
        }
        if conv.dilation != [1, 1] {
            wrong.push(format!("dilation {:?}", conv.dilation));
        }
        if conv.groups != 1 {
            wrong.push(format!("{} groups", conv.groups));
        }
        let same = kernel % 2 == 1
            && (conv.padding == Padding::Same || conv.padding == Padding::Zeros([kernel / 2; 2]));
        let valid = conv.padding == Padding::Valid || conv.padding == Padding::Zeros([0; 2]);
        if !same && !valid {
            wrong.push(format!("padding {:?}", conv.padding));
        }
        if !wrong.is_empty() {
            return unsupported(
                name,
                format!(
                    "it has {}; convolutions of networks have square kernels, stride and dilation \
                     1, one group, and no padding or one that keeps the size",
                    wrong.join(", ")
                ),
            );
        }
        let layer = Layer::Conv(ConvLayer { valid: !same, ..ConvLayer::new(channels, kernel) });
        self.weights(name, layer, &conv.weight, conv.bias.clone());
        Ok(())
    }

    fn dense(&mut self, name: &str, weight: &Array, bias: Array) -> Result<(), Error> {
        let &[neurons, _] = weight.shape() else {
            return unsupported(name, format!("its weight is {}, not a matrix", weight.describe()));
        };
        self.weights(name, Layer::dense(neurons), weight, bias);
        Ok(())
    }

    fn weights(&mut self, name: &str, layer: Layer, weight: &Array, bias: Array) {
        let weight = scaled(weight, self.factor);
        self.factor = 1.0;
        if !weight.is_single() || !bias.is_single() {
            self.note(name, "weights rounded to single precision");
        }
        self.pending = Some(Pending { name: name.to_owned(), layer, weight, bias });
    }

    fn pool(&mut self, name: &str, pool: &Pool2d, is_sum: bool) -> Result<(), Error> {
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
        if is_sum {
            self.factor *= (height * width) as f64;
            self.note(name, "sums are averages with larger weights in the next layer");
        }
        self.layers.push(Layer::Pool { kind: PoolKind::Average, size: height });
        Ok(())
    }

    /// The neuron that our own metadata say a node is.
    fn marked(&self, metadata: &Metadata) -> Option<exact::Neuron> {
        let (neuron, dt) = exact::Neuron::of_metadata(metadata.get(METADATA)?.as_map()?)?;
        (dt == self.dt).then_some(neuron)
    }

    fn lif(&mut self, name: &str, lif: &Lif, metadata: &Metadata) -> Result<(), Error> {
        if let Some(neuron) = self.marked(metadata) {
            // What the node stands for, if it still is the one that was written for it.
            let v_reset = match neuron.reset {
                exact::Reset::Hard { v_reset } => v_reset,
                exact::Reset::Soft | exact::Reset::None => 0.0,
            };
            let written =
                exact::Neuron { levels: 1, reset: exact::Reset::Hard { v_reset }, ..neuron };
            if written.lif(lif.tau.shape(), self.dt).is_ok_and(|written| written == *lif) {
                if written != neuron {
                    self.note(name, "the graded neuron that its metadata describe");
                }
                return self.neurons(name, neuron, 1.0);
            }
        }
        let v_reset = uniform("v_reset", &lif.v_reset)?;
        let v_leak = uniform("v_leak", &lif.v_leak)?;
        if v_leak != v_reset {
            return unsupported(
                name,
                format!(
                    "it leaks to {v_leak} and resets to {v_reset}; neurons of networks leak to \
                     where they reset"
                ),
            );
        }
        let (neuron, gain) = self.membrane(&lif.tau, &lif.r, exact::Reset::Hard { v_reset })?;
        let threshold = uniform("v_threshold", &lif.v_threshold)? as f32;
        // `v > θ` is `v ≥` the next number.
        let threshold = if self.options.threshold_fires { threshold } else { threshold.next_up() };
        let v_threshold = shortest(threshold);
        self.neurons(name, exact::Neuron { v_threshold, ..neuron }, gain)
    }

    /// Time constant in steps and what the input is multiplied by, which is 1 or `1/τ` or goes into
    /// the weights.
    fn membrane(
        &self,
        tau: &Array,
        r: &Array,
        reset: exact::Reset,
    ) -> Result<(exact::Neuron, f64), Error> {
        let steps = shortest((uniform("tau", tau)? / self.dt) as f32);
        if !(steps >= 1.0 && steps.is_finite()) {
            return Err(crate::Error::expected(
                format!("a time constant of at least one step of {} s", self.dt),
                format!("one of {steps} steps; with another `--dt` it may be longer"),
            )
            .in_attribute("tau")
            .into());
        }
        let r = uniform("r", r)?;
        let neuron =
            exact::Neuron { levels: 1, tau: steps, decay_input: false, v_threshold: 1.0, reset };
        let is = |value: f64| (r - value).abs() <= 1e-6 * value.abs();
        Ok(if is(steps) {
            (neuron, 1.0)
        } else if is(1.0) {
            (exact::Neuron { decay_input: true, ..neuron }, 1.0)
        } else {
            (neuron, r / steps)
        })
    }

    fn neurons(&mut self, name: &str, neuron: exact::Neuron, gain: f64) -> Result<(), Error> {
        let Some(pending) = self.pending.take() else {
            return unsupported(name, "no convolution or dense layer lies before these neurons");
        };
        let Pending { name: origin, layer, weight, bias } = pending;
        let (weight, bias) = (scaled(&weight, gain), scaled(&bias, gain));
        if gain != 1.0 {
            self.note(name, format!("its gain r·dt/tau = {gain} is in the weights of `{origin}`"));
        }
        let (count, prefix) = match layer {
            Layer::Conv { .. } => (&mut self.counts[0], "conv"),
            _ => (&mut self.counts[1], "fc"),
        };
        *count += 1;
        let prefix = format!("{prefix}{count}");
        self.layers.push(layer);
        for (parameter, array) in [("weight", weight), ("bias", bias)] {
            let tensor = Tensor::from_vec(array.to_f32(), array.shape(), &Device::Cpu)?;
            self.tensors.push((format!("{prefix}.{parameter}"), origin.clone(), tensor));
        }
        self.neurons.push((name.to_owned(), neuron));
        Ok(())
    }

    fn finish(mut self, metadata: Metadata) -> Result<Import, Error> {
        let Some(&Layer::Dense { neurons, .. }) = self.layers.last() else {
            return unsupported("graph", "its last layer is not a dense one");
        };
        self.layers.pop();
        self.layers.push(Layer::Output { neurons });
        self.layers.extend(self.vote);
        if self.factor != 1.0 {
            return unsupported("graph", "what its last neurons fire is scaled");
        }
        let arch = Arch { input: self.input, layers: self.layers };
        arch.shapes().map_err(mbspike_lif::Error::from)?;

        let bias = self.tensors.iter().any(|(name, _, tensor)| {
            name.ends_with(".bias")
                && tensor.to_vec1::<f32>().is_ok_and(|bias| bias.iter().any(|&b| b != 0.0))
        });
        if !bias {
            self.tensors.retain(|(name, ..)| !name.ends_with(".bias"));
        }
        let readout = match metadata.get("readout").and_then(Value::as_text) {
            Some(name) if self.reads_membrane => {
                READOUTS.iter().find(|(_, known)| *known == name).map(|(readout, _)| *readout)
            }
            _ => None,
        };
        let readout = match (self.reads_membrane, readout) {
            (false, _) => Readout::MeanSpike,
            (true, Some(readout)) if readout.reads_membrane() => readout,
            (true, _) => Readout::LastMembrane,
        };
        let neuron = neuron_config(&self.neurons, self.reads_membrane, &mut self.tensors)?;
        let origins =
            self.tensors.iter().map(|(name, node, _)| (name.clone(), node.clone())).collect();
        let tensors = self.tensors.into_iter().map(|(name, _, tensor)| (name, tensor)).collect();
        Ok(Import { arch, neuron, readout, bias, tensors, origins, metadata, notes: self.notes })
    }
}

/// The size of the groups that a matrix averages, each of its inputs once and in order.
fn vote_group(pending: &Pending) -> Option<usize> {
    let &[outputs, inputs] = pending.weight.shape() else { return None };
    let group = inputs.checked_div(outputs).filter(|group| group * outputs == inputs)?;
    let share = 1.0 / group as f32;
    let is_vote = pending.bias.to_f64().iter().all(|&bias| bias == 0.0)
        && pending.weight.to_f32().iter().enumerate().all(|(at, &weight)| {
            let (row, column) = (at / inputs, at % inputs);
            weight == if column / group == row { share } else { 0.0 }
        });
    is_vote.then_some(group)
}

/// The settings that all neurons share, with levels and time constants of their own where they
/// differ.
fn neuron_config(
    neurons: &[(String, exact::Neuron)],
    reads_membrane: bool,
    tensors: &mut Vec<(String, String, Tensor)>,
) -> Result<NeuronConfig, Error> {
    let Some((first_name, first)) = neurons.first() else {
        return unsupported("graph", "it has no neurons");
    };
    let mut config = NeuronConfig::new(first.bits());
    config.tau = first.tau;
    config.decay_input = first.decay_input;
    config.v_threshold = first.v_threshold;
    config.reset = match first.reset {
        exact::Reset::Soft => Reset::Soft {},
        exact::Reset::Hard { v_reset } => Reset::Hard { v_reset },
        exact::Reset::None => Reset::None {},
    };
    let mut bits = vec![];
    for (index, (name, neuron)) in neurons.iter().enumerate() {
        let is_readout = reads_membrane && index + 1 == neurons.len();
        if neuron.levels != (1 << neuron.bits()) - 1 {
            return unsupported(
                name,
                format!("its {} levels are no number of bits", neuron.levels),
            );
        }
        bits.push(if is_readout { first.bits() } else { neuron.bits() });
        let alike = exact::Neuron { levels: first.levels, tau: first.tau, ..*neuron };
        if !is_readout && alike != *first {
            return unsupported(
                name,
                format!("threshold, reset or input decay differ from those of `{first_name}`"),
            );
        }
        if is_readout && neuron.decay_input != first.decay_input {
            return unsupported(name, format!("its input decay differs from `{first_name}`'s"));
        }
    }
    if bits.iter().any(|&n| n != bits[0]) {
        config.layer_bits = Some(bits);
    }
    if neurons.iter().any(|(_, neuron)| neuron.tau != first.tau) {
        if reads_membrane {
            return unsupported(
                first_name,
                "time constants differ from layer to layer, which networks have only where spikes \
                 are read",
            );
        }
        config.learnable_tau = true;
        for (index, (name, neuron)) in neurons.iter().enumerate() {
            let tensor = Tensor::from_vec(vec![neuron.tau as f32], 1, &Device::Cpu)?;
            tensors.push((format!("lif{}.tau", index + 1), name.clone(), tensor));
        }
    }
    Ok(config)
}

fn uniform(name: &str, array: &Array) -> Result<f64, Error> {
    array.uniform().ok_or_else(|| {
        crate::Error::expected("one value for all neurons of a layer", "several")
            .in_attribute(name)
            .into()
    })
}

/// The shortest decimal that is this number in single precision: what was meant by it.
fn shortest(value: f32) -> f64 {
    value.to_string().parse().unwrap_or(f64::from(value))
}

fn scaled(array: &Array, factor: f64) -> Array {
    if factor == 1.0 {
        return array.clone();
    }
    let values = array.to_f64().into_iter().map(|x| (x * factor) as f32).collect();
    Array::f32(array.shape(), values).unwrap_or_else(|_| array.clone())
}

//! From a network to a graph.

use std::collections::BTreeMap;

use candle_core::{DType, Tensor};
use mbspike_core::pool::PoolKind;
use mbspike_lif::graph::{Conv, Graph as Layers, Neurons, NodeId, Op, Pooling};
use mbspike_lif::{LearnedBy, NORM_EPSILON, Network, Precision, Quantization};

use super::{
    Error, Export, ExportOptions, Fate, METADATA, Mode, Note, READOUTS, cells, unsupported,
};
use crate::{
    Affine, Array, Conv2d, Data, Flatten, Graph, Kind, Linear, Metadata, Node, Padding, Pool2d,
    Scale, Value,
};

/// A network as a graph, with time constants for steps of `options.dt` seconds.
///
/// Nodes have the names of the network's, with `_` for dots. The output node carries what the readout
/// reads: spikes, or membranes. Sums of layers are edges to one node, a recurrent edge is a linear node
/// that neurons reach and that leads back to them. Batch normalization is folded into its layer, dropout,
/// which does nothing in evaluation, is left out.
///
/// # Errors
/// If something cannot be said in NIR and `options.mode` does not allow for it, or at all: maximum
/// pooling, constants learned by channel, neurons that no node is; the error names the node.
pub fn export(network: &Network, options: &ExportOptions) -> Result<Export, Error> {
    let config = network.config();
    let named = network.parameters().iter().chain(network.buffers());
    let tensors =
        named.map(|parameter| (parameter.name.clone(), parameter.var.as_detached_tensor()));
    let layers = network.graph();
    let input = layers.input_shape();
    let has_maps = (input.height, input.width) != (1, 1)
        || layers.nodes().iter().any(|node| matches!(node.op, Op::Conv(_) | Op::Pool(_)));
    let mut writer = Writer {
        options,
        layers,
        tensors: tensors.collect(),
        has_maps,
        graph: Graph::default(),
        sources: vec![],
        notes: vec![],
    };
    writer.note_rounding(config.precision, config.quantization);
    for id in 0..layers.nodes().len() {
        let sources = writer.node(id)?;
        writer.sources.push(sources);
    }
    let last = writer.sources.last().cloned().unwrap_or_default();
    writer.add("output", Kind::Output { shape: vec![layers.n_classes()] }, &last)?;
    let readout = READOUTS.iter().find(|(readout, _)| *readout == config.readout);
    let about = Metadata::from([
        ("arch".into(), config.arch.to_string().as_str().into()),
        ("dt".into(), Value::number(options.dt)),
        ("readout".into(), readout.map_or("", |(_, name)| name).into()),
    ]);
    writer.graph.metadata.insert(METADATA.into(), Value::Map(about));
    writer.finish()
}

struct Writer<'a> {
    options: &'a ExportOptions,
    layers: &'a Layers,
    tensors: BTreeMap<String, Tensor>,
    /// Whether values before the first dense layer have channels, rows and columns.
    has_maps: bool,
    graph: Graph,
    /// For each of the network's nodes so far, the nodes of the graph whose sum it sends.
    sources: Vec<Vec<String>>,
    notes: Vec<Note>,
}

impl Writer<'_> {
    fn finish(self) -> Result<Export, Error> {
        let losses: Vec<Note> =
            self.notes.iter().filter(|note| note.fate == Fate::Lost).cloned().collect();
        if self.options.mode != Mode::Lossy && !losses.is_empty() {
            let help = match self.options.mode {
                Mode::Strict => {
                    "`--exact` says soft resets and graded spikes by graphs of thresholds, \
                     `--lossy` leaves out what cannot be said and records it as metadata"
                }
                _ => "`--lossy` leaves it out and records it as metadata",
            };
            return Err(Error::Lossy { help, losses });
        }
        self.graph.check()?;
        Ok(Export { graph: self.graph, notes: self.notes })
    }

    fn note(&mut self, node: &str, fate: Fate, text: impl Into<String>) {
        self.notes.push(Note { node: node.to_owned(), fate, text: text.into() });
    }

    /// What node `id` of the network sends: the graph's nodes whose sum it is.
    fn node(&mut self, id: NodeId) -> Result<Vec<String>, Error> {
        let node = self.layers.node(id);
        let name = self.free_name(&node.name);
        let reads: Vec<String> =
            node.inputs.iter().flat_map(|input| self.sources[*input].iter().cloned()).collect();
        match &node.op {
            Op::Input(_) => {
                self.graph.insert(&name, Kind::Input { shape: self.dimensions(id) });
                Ok(vec![name])
            }
            // Normalization is part of the layer before it, pooling over 1 nothing, a sum several edges.
            Op::Norm(_) | Op::Pool(Pooling { size: 1, .. }) | Op::Add(_) | Op::Output(_) => {
                Ok(reads)
            }
            Op::Conv(conv) => self.convolution(id, &name, *conv, &reads),
            Op::Dense(_) => self.dense(id, &name, &reads),
            Op::Neurons(neurons) => self.neurons(id, &name, neurons, &reads),
            Op::Pool(Pooling { kind: PoolKind::Max, .. }) => unsupported(
                &node.name,
                "NIR has no node for maximum pooling; train with average pooling (`2a`)",
            ),
            Op::Pool(Pooling { kind, size }) => {
                let window =
                    Pool2d { kernel_size: [*size; 2], stride: [*size; 2], padding: [0; 2] };
                let is_sum = *kind == PoolKind::Sum;
                let pool = if is_sum { Kind::SumPool2d } else { Kind::AvgPool2d };
                self.add(&name, pool(window), &reads)
            }
            Op::Flatten(_) => self.flatten(node.inputs[0], &name, &reads),
            Op::Dropout(_) => {
                let text = "left out: dropout does nothing in evaluation";
                self.note(&node.name, Fate::Converted, text);
                Ok(reads)
            }
            Op::Vote(vote) => {
                let n_inputs = self.layers.node(node.inputs[0]).shape().n_elements();
                self.vote(&name, vote.group, n_inputs, &reads)
            }
        }
    }

    /// A name as frameworks take it, which make it one of a Python module.
    fn free_name(&self, name: &str) -> String {
        let mut name = name.replace('.', "_");
        while self.graph.nodes.contains_key(&name) || name == "output" {
            name.push('_');
        }
        name
    }

    /// The shape of what a node sends as NIR has it: `[C, H, W]`, or `[N]` without a map.
    fn dimensions(&self, id: NodeId) -> Vec<usize> {
        let node = self.layers.node(id);
        let shape = node.shape();
        if self.has_maps && node.extent.is_map {
            vec![shape.channels, shape.height, shape.width]
        } else {
            vec![shape.n_elements()]
        }
    }

    /// Adds a node that reads the sum of `reads`.
    fn add(
        &mut self,
        name: &str,
        node: impl Into<Node>,
        reads: &[String],
    ) -> Result<Vec<String>, Error> {
        let mut sources = vec![];
        for source in reads {
            if !sources.contains(source) {
                sources.push(source.clone());
                continue;
            }
            // An edge cannot be there twice.
            let shape = self.graph.shapes()?[source].output.clone();
            let again = self.free_name(&format!("{source}_again"));
            self.graph.insert(&again, Kind::from(Scale { scale: Array::full(&shape, 1.0) }));
            self.graph.connect(source.clone(), again.clone());
            sources.push(again);
        }
        self.graph.insert(name, node);
        for source in sources {
            self.graph.connect(source, name);
        }
        Ok(vec![name.to_owned()])
    }

    fn note_rounding(&mut self, precision: Precision, quantization: Quantization) {
        if precision == Precision::Bf16 {
            self.note(
                "train.precision",
                Fate::Lost,
                "the rounding of weights and inputs to bf16 (exported without it; with \
                 `--set train.precision=f32` it is not part of the network)",
            );
        }
        if !quantization.is_none() {
            self.note(
                "train.quantization",
                Fate::Lost,
                "the rounding of weights and inputs to 8 bits (exported without it)",
            );
        }
    }

    fn array(&self, name: &str) -> Result<Array, Error> {
        match self.tensors.get(name) {
            Some(tensor) => array(tensor),
            None => unsupported(name, "the network has no parameter of that name"),
        }
    }

    /// The variable of a node, where it has it.
    fn variable(&self, id: NodeId, of: &str) -> Result<Option<Array>, Error> {
        let name = format!("{}.{of}", self.layers.node(id).name);
        self.tensors.get(&name).map(array).transpose()
    }

    /// Weights `[out, …]` and bias of a layer, batch normalization after it included.
    fn weights(&mut self, id: NodeId) -> Result<(Array, Option<Array>), Error> {
        let name = self.layers.node(id).name.clone();
        let weight = self.array(&format!("{name}.weight"))?;
        let bias = self.variable(id, "bias")?;
        let is_norm = |id: &NodeId| matches!(self.layers.node(*id).op, Op::Norm(_));
        let Some(norm) = self.layers.consumers(id).find(is_norm) else {
            return Ok((weight, bias));
        };
        let norm_name = self.layers.node(norm).name.clone();
        if self.layers.only_consumer(id).is_none() {
            let reason = format!("`{norm_name}` is not the only layer that reads it");
            return unsupported(&name, reason);
        }
        let bias = bias.unwrap_or_else(|| Array::full(&weight.shape()[..1], 0.0));
        let (weight, bias) = self.fold(&norm_name, &weight, &bias)?;
        let text = format!("batch normalization `{norm_name}` is part of its weights and bias");
        self.note(&name, Fate::Converted, text);
        Ok((weight, Some(bias)))
    }

    /// `γ (W x + b − μ) / √(σ² + ε) + β` as one layer.
    fn fold(&self, norm: &str, weight: &Array, bias: &Array) -> Result<(Array, Array), Error> {
        let of = |name: &str| self.array(&format!("{norm}.{name}")).map(|array| array.to_f64());
        let (gamma, beta) = (of("weight")?, of("bias")?);
        let (mean, variance) = (of("running_mean")?, of("running_var")?);
        let scale: Vec<f64> =
            gamma.iter().zip(&variance).map(|(g, v)| g / (v + NORM_EPSILON).sqrt()).collect();
        let values = weight.to_f64();
        let per_channel = values.len() / scale.len().max(1);
        let folded = values
            .chunks(per_channel.max(1))
            .zip(&scale)
            .flat_map(|(weights, scale)| weights.iter().map(move |w| (w * scale) as f32))
            .collect();
        let bias = bias.to_f64();
        let shifted = (0..scale.len())
            .map(|c| ((bias[c] - mean[c]) * scale[c] + beta[c]) as f32)
            .collect::<Vec<_>>();
        Ok((Array::f32(weight.shape(), folded)?, Array::f32(&[shifted.len()], shifted)?))
    }

    fn convolution(
        &mut self,
        id: NodeId,
        name: &str,
        conv: Conv,
        reads: &[String],
    ) -> Result<Vec<String>, Error> {
        let (weight, bias) = self.weights(id)?;
        let input = self.layers.node(self.layers.node(id).inputs[0]).shape();
        let node = Conv2d {
            input_shape: Some([input.height, input.width]),
            bias: bias.unwrap_or_else(|| Array::full(&weight.shape()[..1], 0.0)),
            weight,
            stride: [conv.stride; 2],
            padding: Padding::Zeros([conv.padding; 2]),
            dilation: [conv.dilation; 2],
            groups: conv.groups,
        };
        self.add(name, Kind::Conv2d(node), reads)
    }

    /// The values of node `id`, which `reads` sum to, as a row.
    fn flatten(&mut self, id: NodeId, name: &str, reads: &[String]) -> Result<Vec<String>, Error> {
        let dimensions = self.dimensions(id);
        if dimensions.len() == 1 {
            return Ok(reads.to_vec());
        }
        let node = Flatten { input_type: Some(dimensions), start_dim: 0, end_dim: -1 };
        self.add(name, Kind::Flatten(node), reads)
    }

    fn dense(&mut self, id: NodeId, name: &str, reads: &[String]) -> Result<Vec<String>, Error> {
        let flat = ["flatten", &format!("{name}_flatten")]
            .into_iter()
            .find(|flat| !self.graph.nodes.contains_key(*flat))
            .map_or_else(|| self.free_name("flatten"), str::to_owned);
        let reads = self.flatten(self.layers.node(id).inputs[0], &flat, reads)?;
        let (weight, bias) = self.weights(id)?;
        let kind = match bias {
            Some(bias) => Kind::from(Affine { weight, bias }),
            None => Kind::from(Linear { weight }),
        };
        self.add(name, kind, &reads)
    }

    fn neurons(
        &mut self,
        id: NodeId,
        name: &str,
        neurons: &Neurons,
        reads: &[String],
    ) -> Result<Vec<String>, Error> {
        let node = &self.layers.node(id).name;
        let is_by_channel = |learned: Option<LearnedBy>| learned == Some(LearnedBy::Channel);
        if is_by_channel(neurons.learned_tau) || is_by_channel(neurons.learned_threshold) {
            return unsupported(node, "constants learned by channel are not exported");
        }
        let learned = |of| -> Result<Option<f64>, Error> {
            Ok(self.variable(id, of)?.and_then(|array| array.to_f64().first().copied()))
        };
        let learned = [learned("tau")?, learned("v_threshold")?];
        let shape = self.dimensions(id);
        let written = cells::node(node, neurons, learned, &shape, self.options)?;
        for (fate, text) in written.notes {
            self.note(node, fate, text);
        }
        let sources = self.add(name, written.node, reads)?;
        if neurons.recurrent {
            let weight = self.array(&format!("{node}.recurrent"))?;
            let back = self.free_name(&format!("{name}_recurrent"));
            self.add(&back, Kind::from(Linear { weight }), &sources)?;
            self.graph.connect(back, name);
        }
        Ok(sources)
    }

    /// The mean of each group of outputs.
    fn vote(
        &mut self,
        name: &str,
        group: usize,
        n_inputs: usize,
        reads: &[String],
    ) -> Result<Vec<String>, Error> {
        let n_classes = n_inputs / group.max(1);
        let mut weight = vec![0.0; n_classes * n_inputs];
        for (class, row) in weight.chunks_mut(n_inputs.max(1)).enumerate() {
            row[class * group..(class + 1) * group].fill(1.0 / group as f32);
        }
        let weight = Array::f32(&[n_classes, n_inputs], weight)?;
        self.note(name, Fate::Converted, "the mean of each group of outputs is a linear node");
        self.add(name, Kind::from(Linear { weight }), reads)
    }
}

fn array(tensor: &Tensor) -> Result<Array, Error> {
    let shape = tensor.dims().to_vec();
    let flat = tensor.flatten_all()?;
    let data = match tensor.dtype() {
        DType::F64 => Data::F64(flat.to_vec1()?),
        _ => Data::F32(flat.to_dtype(DType::F32)?.to_vec1()?),
    };
    Ok(Array::new(&shape, data)?)
}

//! From a network to a graph.

use std::collections::BTreeMap;

use candle_core::{DType, Tensor};
use mbspike_core::lif::{Decay, Reset};
use mbspike_lif::layer::NeuronParams;
use mbspike_lif::{
    ConvLayer, Layer, LearnedBy, NORM_EPSILON, Network, PoolKind, Precision, Quantization, Shape,
};

use super::{
    Error, Export, ExportOptions, Fate, METADATA, Mode, Note, READOUTS, exact, unsupported,
};
use crate::{
    Affine, Array, Conv2d, Data, Flatten, Graph, Kind, Linear, Metadata, Node, Padding, Pool2d,
    Value,
};

/// A network as a graph, with time constants for steps of `options.dt` seconds.
///
/// The output node carries what the readout reads: spikes, or membranes. Batch normalization is
/// folded into its convolution, dropout, which does nothing in evaluation, is left out.
///
/// # Errors
/// If something cannot be said in NIR and `options.mode` does not allow for it, or at all: maximum
/// pooling, unless its input is one number.
pub fn export(network: &Network, options: &ExportOptions) -> Result<Export, Error> {
    let config = network.config();
    let named = network.parameters().iter().chain(network.buffers());
    if config.neuron.learnable_threshold || config.neuron.learned_by != LearnedBy::Layer {
        return unsupported(
            "neuron",
            "learned thresholds, and constants learned by channel, are not exported",
        );
    }
    let mut tensors = BTreeMap::new();
    for parameter in named {
        tensors.insert(parameter.name.clone(), parameter.var.as_detached_tensor());
    }
    let input = config.arch.input;
    let mut writer = Writer {
        options,
        tensors,
        graph: Graph::default(),
        last: "input".to_owned(),
        is_map: (input.height, input.width) != (1, 1)
            || matches!(config.arch.layers.first(), Some(Layer::Conv { .. } | Layer::Pool { .. })),
        notes: vec![],
    };
    let shape = writer.dimensions(input);
    writer.graph.insert("input", Kind::Input { shape });
    writer.note_rounding(config.precision, config.quantization);

    let shapes = config.arch.shapes().map_err(mbspike_lif::Error::from)?;
    let layers = &config.arch.layers;
    let is_spiking = |layer: &&Layer| {
        matches!(layer, Layer::Conv { .. } | Layer::Dense { .. } | Layer::Output { .. })
    };
    let n_spiking = layers.iter().filter(is_spiking).count();
    let inputs: Vec<Shape> = std::iter::once(input).chain(shapes.iter().copied()).collect();
    let (mut n_conv, mut n_dense, mut n_norm, mut n_pool, mut n_lif) = (0, 0, 0, 0, 0);
    for (index, (layer, &output)) in layers.iter().zip(&shapes).enumerate() {
        let input = inputs[index];
        match *layer {
            Layer::Conv(conv) => {
                if !conv.spiking {
                    return without_neurons(layer);
                }
                n_conv += 1;
                let norm = matches!(layers.get(index + 1), Some(Layer::BatchNorm)).then(|| {
                    n_norm += 1;
                    n_norm
                });
                writer.convolution(n_conv, norm, input, conv)?;
                let params = config.neuron.params(n_lif, n_spiking)?;
                n_lif += 1;
                let shape = writer.dimensions(output);
                writer.neurons(n_lif, params, &shape, false)?;
            }
            // Folded into the convolution before it.
            Layer::BatchNorm => {}
            Layer::Pool { size, .. } if size == 1 => {}
            Layer::Pool { kind: kind @ (PoolKind::Average | PoolKind::Sum), size } => {
                n_pool += 1;
                let window = Pool2d { kernel_size: [size; 2], stride: [size; 2], padding: [0; 2] };
                let pool = if kind == PoolKind::Sum { Kind::SumPool2d } else { Kind::AvgPool2d };
                writer.add(&format!("pool{n_pool}"), pool(window));
            }
            Layer::Pool { kind: PoolKind::Max, size } => {
                return unsupported(
                    &format!("{size}m"),
                    "NIR has no node for maximum pooling; train with average pooling (`2a`)",
                );
            }
            Layer::Dense { spiking: false, .. } => return without_neurons(layer),
            Layer::Dense { recurrent: true, .. } => {
                return unsupported(
                    &layer.to_string(),
                    "recurrent edges are not exported yet; train without them",
                );
            }
            Layer::Neurons | Layer::Residual { .. } | Layer::Table(_) => {
                return unsupported(
                    &layer.to_string(),
                    "only networks in one row of convolutions, dense layers and pooling are exported",
                );
            }
            Layer::Dense { .. } | Layer::Output { .. } => {
                if matches!(layers.get(index + 1), Some(Layer::BatchNorm)) {
                    return unsupported(
                        "bn",
                        "batch normalization of a dense layer is not exported; that of a convolution is",
                    );
                }
                n_dense += 1;
                writer.dense(n_dense, input)?;
                let is_output = matches!(layer, Layer::Output { .. });
                let reads_membrane = is_output && config.readout.reads_membrane();
                let params = config.neuron.params(n_lif, n_spiking)?;
                n_lif += 1;
                writer.neurons(n_lif, params, &[output.n_elements()], reads_membrane)?;
            }
            Layer::Dropout { p } => writer.note(
                &format!("dp{p}"),
                Fate::Converted,
                "left out: dropout does nothing in evaluation",
            ),
            Layer::Vote { group } => writer.vote(group, input.n_elements())?,
        }
    }
    let output = config.arch.n_classes();
    writer.add("output", Kind::Output { shape: vec![output] });
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
    tensors: BTreeMap<String, Tensor>,
    graph: Graph,
    last: String,
    /// Whether the last node has channels, rows and columns.
    is_map: bool,
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

    /// A shape as NIR has it: `[C, H, W]`, or `[N]` without a map.
    fn dimensions(&self, shape: Shape) -> Vec<usize> {
        if self.is_map {
            vec![shape.channels, shape.height, shape.width]
        } else {
            vec![shape.n_elements()]
        }
    }

    /// Adds a node behind the last one.
    fn add(&mut self, name: &str, node: impl Into<Node>) {
        self.graph.insert(name, node);
        self.graph.connect(self.last.clone(), name);
        name.clone_into(&mut self.last);
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

    fn tensor(&self, name: &str) -> Result<&Tensor, Error> {
        match self.tensors.get(name) {
            Some(tensor) => Ok(tensor),
            None => unsupported(name, "the network has no parameter of that name"),
        }
    }

    fn array(&self, name: &str) -> Result<Array, Error> {
        array(self.tensor(name)?)
    }

    fn convolution(
        &mut self,
        index: usize,
        norm: Option<usize>,
        input: Shape,
        conv: ConvLayer,
    ) -> Result<(), Error> {
        let name = format!("conv{index}");
        let mut weight = self.array(&format!("{name}.weight"))?;
        let channels = weight.shape()[0];
        let bias_name = format!("{name}.bias");
        let mut bias = if self.tensors.contains_key(&bias_name) {
            self.array(&bias_name)?
        } else {
            Array::full(&[channels], 0.0)
        };
        if let Some(norm) = norm {
            (weight, bias) = self.fold(norm, &weight, &bias)?;
            self.note(
                &name,
                Fate::Converted,
                format!("batch normalization `bn{norm}` is part of its weights and bias"),
            );
        }
        let padding = if conv.valid { 0 } else { conv.dilation * (conv.kernel - 1) / 2 };
        self.add(
            &name,
            Kind::Conv2d(Conv2d {
                input_shape: Some([input.height, input.width]),
                weight,
                stride: [conv.stride; 2],
                padding: Padding::Zeros([padding; 2]),
                dilation: [conv.dilation; 2],
                groups: if conv.channels.is_some() { conv.groups } else { input.channels },
                bias,
            }),
        );
        Ok(())
    }

    /// `γ (W x + b − μ) / √(σ² + ε) + β` as one convolution.
    fn fold(&self, norm: usize, weight: &Array, bias: &Array) -> Result<(Array, Array), Error> {
        let of = |name: &str| self.array(&format!("bn{norm}.{name}")).map(|array| array.to_f64());
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

    fn dense(&mut self, index: usize, input: Shape) -> Result<(), Error> {
        if self.is_map {
            let input_type = Some(self.dimensions(input));
            self.add("flatten", Kind::Flatten(Flatten { input_type, start_dim: 0, end_dim: -1 }));
            self.is_map = false;
        }
        let name = format!("fc{index}");
        let weight = self.array(&format!("{name}.weight"))?;
        let bias_name = format!("{name}.bias");
        if self.tensors.contains_key(&bias_name) {
            let bias = self.array(&bias_name)?;
            self.add(&name, Kind::from(Affine { weight, bias }));
        } else {
            self.add(&name, Kind::from(Linear { weight }));
        }
        Ok(())
    }

    fn neurons(
        &mut self,
        index: usize,
        params: NeuronParams,
        shape: &[usize],
        reads_membrane: bool,
    ) -> Result<(), Error> {
        let name = format!("lif{index}");
        if params != NeuronParams::from(params.lif) {
            return unsupported(
                &name,
                "signed spikes, rounding to the nearest, counts, synaptic currents and rising \
                 thresholds are not exported",
            );
        }
        let params = params.lif;
        let tau_name = format!("{name}.tau");
        let tau = if self.tensors.contains_key(&tau_name) {
            self.array(&tau_name)?.to_f64().first().copied().unwrap_or(f64::NAN)
        } else {
            match params.decay {
                Decay::Tau(tau) => tau,
                Decay::Beta(beta) => 1.0 / (1.0 - beta),
            }
        };
        let neuron = exact::Neuron {
            levels: params.n_levels(),
            tau,
            decay_input: params.decay_input,
            v_threshold: params.v_threshold,
            reset: match params.reset {
                _ if reads_membrane => exact::Reset::None,
                Reset::Soft {} => exact::Reset::Soft,
                Reset::Hard { v_reset } => exact::Reset::Hard { v_reset },
                Reset::None {} => exact::Reset::None,
            },
        };
        let dt = self.options.dt;
        let in_node = |error: crate::Error| Error::from(error.in_node(&name));
        if reads_membrane {
            let membrane = neuron.li(shape, dt).map_err(in_node)?;
            let metadata = mark(&neuron, dt);
            self.add(&name, Node { kind: membrane.into(), metadata });
            return Ok(());
        }
        let losses = losses(&neuron);
        if losses.is_empty() {
            let kind = neuron.lif(shape, dt).map_err(in_node)?.into();
            self.add(&name, Node { kind, metadata: mark(&neuron, dt) });
            return Ok(());
        }
        if self.options.mode == Mode::Exact && !matches!(neuron.reset, exact::Reset::Hard { .. }) {
            let graph = neuron.graph(shape, dt).map_err(in_node)?;
            self.note(
                &name,
                Fate::Converted,
                format!(
                    "{}: a graph of {} thresholds that computes the same",
                    losses.join(" and "),
                    neuron.levels
                ),
            );
            self.add(&name, Kind::from(graph));
            return Ok(());
        }
        let v_reset = match neuron.reset {
            exact::Reset::Hard { v_reset } => v_reset,
            exact::Reset::Soft | exact::Reset::None => 0.0,
        };
        for loss in &losses {
            let text = format!("{loss}; in its place a spike of 1 and a reset to {v_reset}");
            self.note(&name, Fate::Lost, text);
        }
        if self.options.mode == Mode::Lossy {
            let nearest =
                exact::Neuron { levels: 1, reset: exact::Reset::Hard { v_reset }, ..neuron };
            let kind = Kind::Lif(nearest.lif(shape, dt).map_err(in_node)?);
            self.add(&name, Node { kind, metadata: mark(&neuron, dt) });
        }
        Ok(())
    }

    /// The mean of each group of outputs.
    fn vote(&mut self, group: usize, n_inputs: usize) -> Result<(), Error> {
        let n_classes = n_inputs / group.max(1);
        let mut weight = vec![0.0; n_classes * n_inputs];
        for (class, row) in weight.chunks_mut(n_inputs.max(1)).enumerate() {
            row[class * group..(class + 1) * group].fill(1.0 / group as f32);
        }
        let weight = Array::f32(&[n_classes, n_inputs], weight)?;
        let name = "vote";
        self.note(name, Fate::Converted, "the mean of each group of outputs is a linear node");
        self.add(name, Kind::from(Linear { weight }));
        Ok(())
    }
}

fn without_neurons<T>(layer: &Layer) -> Result<T, Error> {
    unsupported(&layer.to_string(), "weight layers without neurons are not exported")
}

/// What an LIF node cannot say of a neuron.
fn losses(neuron: &exact::Neuron) -> Vec<String> {
    let mut losses = vec![];
    if neuron.levels > 1 {
        losses.push(format!("graded spikes of {} levels ({} bits)", neuron.levels, neuron.bits()));
    }
    match neuron.reset {
        exact::Reset::Soft => losses.push("soft reset".into()),
        exact::Reset::None => losses.push("spikes without reset".into()),
        exact::Reset::Hard { .. } => {}
    }
    losses
}

/// Metadata of a node that say which neuron it is or stands for.
fn mark(neuron: &exact::Neuron, dt: f64) -> Metadata {
    Metadata::from([(METADATA.into(), Value::Map(neuron.metadata(dt)))])
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

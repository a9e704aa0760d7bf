use mbspike_core::InputCode;
use serde::{Deserialize, Serialize};

use crate::arch::LayerTable;
use crate::graph::Graph;
use crate::neuron::NeuronTable;
use crate::{Arch, Error, NeuronConfig, Quantization, Readout, Result};

/// Which code computes the network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Execution {
    /// What is fastest for the network's shapes: fused or batch, or layered where neither applies.
    #[default]
    Auto,
    /// One sample at a time through all layers and steps, in the cache: f32 or bf16 on the CPU, layers
    /// in a row, without batch normalization and learnable time constants.
    Fused,
    /// One layer at a time over the whole batch, in blocks that stay in the cache: f32 or bf16 on the
    /// CPU, layers in a row.
    Batch,
    /// One layer at a time over the whole batch, as tensor operations.
    Layered,
}

/// Element types of the computation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    /// Single precision throughout.
    #[default]
    F32,
    /// Operands of convolutions and dense layers rounded to bf16, sums and weights in f32.
    Bf16,
    /// Double precision throughout, to check results with.
    F64,
}

/// What a network is built from.
#[derive(Debug, Clone, PartialEq)]
pub struct NetworkConfig {
    /// Its layers.
    pub arch: Arch,
    /// Its neurons.
    pub neuron: NeuronConfig,
    /// How the output layer's activity becomes class scores. A readout of membranes makes the
    /// output neurons integrate without reset.
    pub readout: Readout,
    /// Whether convolutions and dense layers have a bias.
    pub bias: bool,
    /// Which code computes it.
    pub execution: Execution,
    /// Element types.
    pub precision: Precision,
    /// Time steps whose activity is kept for the backward pass at once; longer sequences are
    /// recomputed in segments of this length (gradient checkpointing over time, fused execution
    /// only). `None` keeps all.
    pub checkpoint_steps: Option<usize>,
    /// What weights and inputs are rounded to in the forward pass.
    pub quantization: Quantization,
    /// What the numbers of its input are; decides how they are rounded where they are.
    pub input: InputCode,
}

impl NetworkConfig {
    /// The thesis's settings for an architecture and a bit width.
    pub fn new(arch: Arch, bits: u32) -> Self {
        Self {
            arch,
            neuron: NeuronConfig::new(bits),
            readout: Readout::default(),
            bias: false,
            execution: Execution::default(),
            precision: Precision::default(),
            checkpoint_steps: None,
            quantization: Quantization::default(),
            input: InputCode::default(),
        }
    }

    /// Its layers, neurons and readout as a graph.
    ///
    /// # Errors
    /// If a layer does not fit what comes before it, or a neuron's parameter is out of range.
    pub fn graph(&self) -> Result<Graph> {
        self.arch.graph(&self.neuron, self.bias, self.readout)
    }
}

/// `[network]` as it is written in a config.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NetworkTable {
    /// The notation.
    pub arch: Option<String>,
    /// The name of one of [`Arch::PRESETS`].
    pub preset: Option<String>,
    /// Size of the input of `layer`, as in the notation.
    pub input: Option<String>,
    /// `[[network.layer]]`.
    pub layer: Option<Vec<LayerTable>>,
    /// See [`NetworkConfig`].
    #[serde(default)]
    pub readout: Readout,
    /// See [`NetworkConfig`].
    #[serde(default)]
    pub bias: bool,
    /// See [`NetworkConfig`].
    #[serde(default)]
    pub execution: Execution,
    /// See [`NetworkConfig`].
    pub checkpoint_steps: Option<usize>,
}

impl NetworkTable {
    /// The architecture: the notation, a preset, or tables.
    ///
    /// # Errors
    /// If there is not exactly one of them, no such preset, or layers do not fit.
    pub fn architecture(&self) -> Result<Arch> {
        let invalid = |name, expected, got: &str| {
            Err(Error::InvalidParameter { name, expected, got: got.to_owned() })
        };
        match (&self.arch, &self.preset, &self.input, &self.layer) {
            (Some(text), None, None, None) => Ok(text.parse()?),
            (None, Some(name), None, None) => match Arch::preset(name) {
                Some(arch) => Ok(arch),
                None => invalid("preset", "the name of a network", &format!("{name:?}")),
            },
            (None, None, Some(input), Some(layers)) => {
                Arch::of_tables(input.parse()?, layers.clone())
            }
            (None, None, None, Some(_)) => invalid("input", "given with `layer`", "missing"),
            (None, None, Some(_), None) => invalid("layer", "given with `input`", "missing"),
            (None, None, None, None) => {
                invalid("arch", "given (or `preset`, or `input` and `layer`)", "missing")
            }
            _ => invalid("arch", "one of `arch`, `preset` and `layer`", "several of them"),
        }
    }

    /// A network with these neurons, in the given precision.
    ///
    /// # Errors
    /// As [`NetworkTable::architecture`] and [`NeuronTable::resolve`].
    pub fn resolve(&self, neuron: &NeuronTable, precision: Precision) -> Result<NetworkConfig> {
        Ok(NetworkConfig {
            arch: self.architecture()?,
            neuron: neuron.resolve()?,
            readout: self.readout,
            bias: self.bias,
            execution: self.execution,
            precision,
            checkpoint_steps: self.checkpoint_steps,
            quantization: Quantization::default(),
            input: InputCode::default(),
        })
    }
}

//! The architecture notation: `28x28-8c5-2a-16c5-2a-10o`, and the tables that say the same at length.
//!
//! Layers are separated by `-`, the input comes first, time is not mentioned.
//!
//! | part | means |
//! |---|---|
//! | `28x28`, `34x34x2`, `700` | the input: height × width, one channel; height × width × channels; a row |
//! | `8c5` | convolution to 8 channels, kernel 5×5, stride 1, padding that keeps the size. Neurons follow |
//! | `8c5v` | the same without padding |
//! | `8c3s2` | with stride 2: the map is halved, rounded up |
//! | `8c3d2` | with dilation 2: a step between the taps of the kernel |
//! | `8c3g4` | in 4 groups of channels that see only each other |
//! | `dw3`, `dw3s2` | depthwise: each channel by itself |
//! | `bn` | batch normalization of the convolution or dense layer before it, before its neurons |
//! | `2a`, `2m`, `2s` | average, maximum, sum over 2×2, stride 2 |
//! | `512` | dense layer of 512 neurons |
//! | `128r` | the same, and what its neurons send comes back to them a step later through weights |
//! | `8c5l`, `512l` | a layer without neurons: its current goes on |
//! | `lif` | neurons by themselves, after pooling of currents for instance |
//! | `res(16c3-bn-16c3-bn)` | what comes in is added to what the layers inside make of it, spikes to spikes (SEW-ResNet) |
//! | `res(32c3s2-bn-32c3-bn\|32c1s2-bn)` | the same with a shortcut of its own after `\|` |
//! | `resc(16c3-bn-16c3-bn)` | currents are added: the last layer inside, and of the shortcut, has no neurons; they follow the sum |
//! | `dp0.5` | dropout with probability 0.5, the same mask at all steps |
//! | `10o` | the output layer, dense, of 10 neurons |
//! | `vote10` | each group of 10 outputs is averaged to the score of one class |
//!
//! A pooling size must divide the map: there is no silent cropping of the last rows, and where a
//! published network relies on it, a valid convolution before it says the same openly.
//!
//! Everything is built to one [`Graph`]. [`LayerTable`]s (`[[network.layer]]` in a config) can say what
//! the notation cannot: names, neurons of a layer's own, and any ways between layers.
//!
//! ```
//! use mbspike_lif::{Arch, Shape};
//!
//! let arch: Arch = "28x28-8c5-2a-16c5-2a-10o".parse()?;
//! assert_eq!(arch.n_classes(), 10);
//! assert_eq!(arch.shapes()?[3], Shape { channels: 16, height: 7, width: 7 });
//!
//! let error = "28x28-8c5-3a-10o".parse::<Arch>().unwrap_err();
//! assert_eq!(
//!     error.to_string(),
//!     "architecture, byte 10: found `3a` on a map of 28x28x8, \
//!      expected a pooling size that divides 28 and 28\n  \
//!      28x28-8c5-3a-10o\n            ^^"
//! );
//! # Ok::<(), mbspike_lif::ArchError>(())
//! ```

mod build;
mod error;
mod parse;
mod presets;
mod table;

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

pub use error::ArchError;
pub use mbspike_core::pool::PoolKind;
pub use table::{LayerKind, LayerTable, NamedPadding, Reads, TablePadding};

use crate::graph::Graph;
use crate::{NeuronConfig, Readout, Result};

/// The size of a feature map at one time step; a layer of `n` neurons without a map is `1x1xn`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Shape {
    /// Channels C.
    pub channels: usize,
    /// Rows H.
    pub height: usize,
    /// Columns W.
    pub width: usize,
}

impl Shape {
    /// `C · H · W`.
    pub fn n_elements(self) -> usize {
        self.channels * self.height * self.width
    }
}

/// `34x34x2`: height, width, channels, as in the notation.
impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}x{}x{}", self.height, self.width, self.channels)
    }
}

/// A size as in the notation; one channel may be left out.
impl FromStr for Shape {
    type Err = ArchError;

    fn from_str(text: &str) -> std::result::Result<Self, ArchError> {
        parse::shape(text)
    }
}

/// A convolution of the notation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConvLayer {
    /// Output channels; `None` for a depthwise convolution, which keeps the number.
    pub channels: Option<usize>,
    /// Height and width of the kernel.
    pub kernel: usize,
    /// Steps between outputs.
    pub stride: usize,
    /// Steps between the kernel's taps.
    pub dilation: usize,
    /// Groups of channels; not used for a depthwise convolution.
    pub groups: usize,
    /// Whether there is no padding; otherwise `dilation · (kernel − 1) / 2` zeros on each side keep the
    /// size (at stride 1).
    pub valid: bool,
    /// Whether neurons follow.
    pub spiking: bool,
}

impl ConvLayer {
    /// `8c5`.
    pub fn new(channels: usize, kernel: usize) -> Self {
        Self {
            channels: Some(channels),
            kernel,
            stride: 1,
            dilation: 1,
            groups: 1,
            valid: false,
            spiking: true,
        }
    }

    /// `8c5v`.
    pub fn valid(channels: usize, kernel: usize) -> Self {
        Self { valid: true, ..Self::new(channels, kernel) }
    }
}

/// What a residual block adds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Join {
    /// Spikes to spikes, as SEW-ResNet.
    Spikes,
    /// Currents, before the neurons.
    Currents,
}

/// One layer of the notation, or of a table.
#[derive(Debug, Clone, PartialEq)]
pub enum Layer {
    /// `8c5`, `8c5v`, `8c3s2`, `dw3`: a convolution, followed by neurons.
    Conv(ConvLayer),
    /// `bn`: batch normalization of the layer before it, before its neurons.
    BatchNorm,
    /// `2a`, `2m`, `2s`: pooling with stride equal to the window.
    Pool {
        /// Average, maximum or sum.
        kind: PoolKind,
        /// Height and width of the window.
        size: usize,
    },
    /// `512`, `128r`, `512l`: a dense layer, followed by neurons.
    Dense {
        /// Its neurons.
        neurons: usize,
        /// Whether its neurons hear each other a step later.
        recurrent: bool,
        /// Whether neurons follow.
        spiking: bool,
    },
    /// `lif`: neurons.
    Neurons,
    /// `res(…)`, `resc(…)`: a block whose input is added to what it makes of it.
    Residual {
        /// What is added.
        join: Join,
        /// The layers inside.
        body: Vec<Layer>,
        /// The layers of the shortcut; none where the input itself is added.
        shortcut: Vec<Layer>,
    },
    /// `dp0.5`: dropout.
    Dropout {
        /// The probability, in `0..1`, that an element is dropped.
        p: f64,
    },
    /// `10o`: the dense output layer, followed by neurons.
    Output {
        /// Its neurons.
        neurons: usize,
    },
    /// `vote10`: the mean of each group of outputs.
    Vote {
        /// Outputs in a group.
        group: usize,
    },
    /// A layer of a table, `[[network.layer]]`; the notation has no such part.
    Table(Box<LayerTable>),
}

impl Layer {
    /// `512`.
    pub fn dense(neurons: usize) -> Self {
        Self::Dense { neurons, recurrent: false, spiking: true }
    }
}

fn join(layers: &[Layer]) -> String {
    layers.iter().map(ToString::to_string).collect::<Vec<_>>().join("-")
}

impl fmt::Display for Layer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Conv(conv) => {
                match conv.channels {
                    Some(channels) => write!(f, "{channels}c{}", conv.kernel)?,
                    None => write!(f, "dw{}", conv.kernel)?,
                }
                for (letter, n) in [('s', conv.stride), ('d', conv.dilation), ('g', conv.groups)] {
                    if n != 1 {
                        write!(f, "{letter}{n}")?;
                    }
                }
                f.write_str(if conv.valid { "v" } else { "" })?;
                f.write_str(if conv.spiking { "" } else { "l" })
            }
            Self::BatchNorm => f.write_str("bn"),
            Self::Pool { kind: PoolKind::Average, size } => write!(f, "{size}a"),
            Self::Pool { kind: PoolKind::Max, size } => write!(f, "{size}m"),
            Self::Pool { kind: PoolKind::Sum, size } => write!(f, "{size}s"),
            Self::Dense { neurons, recurrent, spiking } => {
                let recurrent = if *recurrent { "r" } else { "" };
                write!(f, "{neurons}{recurrent}{}", if *spiking { "" } else { "l" })
            }
            Self::Neurons => f.write_str("lif"),
            Self::Residual { join: kind, body, shortcut } => {
                let name = match kind {
                    Join::Spikes => "res",
                    Join::Currents => "resc",
                };
                write!(f, "{name}({}", join(body))?;
                if !shortcut.is_empty() {
                    write!(f, "|{}", join(shortcut))?;
                }
                f.write_str(")")
            }
            Self::Dropout { p } => write!(f, "dp{p}"),
            Self::Output { neurons } => write!(f, "{neurons}o"),
            Self::Vote { group } => write!(f, "vote{group}"),
            Self::Table(table) => write!(f, "<{}>", table.title()),
        }
    }
}

/// A network architecture; the notation is described in the [module](self) text.
///
/// One that was parsed fits: [`Arch::shapes`] cannot fail on it. In serialized form it is its
/// notation; one of tables is `input` and `layer`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "ArchWire", into = "ArchWire")]
pub struct Arch {
    /// Size of the input.
    pub input: Shape,
    /// The layers, from the input on.
    pub layers: Vec<Layer>,
}

#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum ArchWire {
    Notation(String),
    Tables { input: String, layer: Vec<LayerTable> },
}

impl Arch {
    /// The named architectures and their notation; sources in the file `arch/presets.rs`.
    ///
    /// Names without a suffix are trainable on two cores. `…-slayer` and `…-plif` are the published
    /// networks of Shrestha and Orchard (2018) and of Fang et al. (2021).
    pub const PRESETS: &[(&str, &str)] = presets::PRESETS;

    /// The architecture of that name among [`Arch::PRESETS`].
    pub fn preset(name: &str) -> Option<Self> {
        let (_, notation) = Self::PRESETS.iter().find(|(preset, _)| *preset == name)?;
        notation.parse().ok()
    }

    /// An architecture of tables.
    ///
    /// # Errors
    /// If a table's keys do not belong to its kind, or a layer does not fit; the error names it.
    pub fn of_tables(input: Shape, tables: Vec<LayerTable>) -> Result<Self> {
        let layers = tables.into_iter().map(|table| Layer::Table(Box::new(table))).collect();
        let arch = Self { input, layers };
        arch.graph(&NeuronConfig::new(1), false, Readout::default())?;
        Ok(arch)
    }

    /// The architecture of a graph that was built by hand, as tables, its neurons with it.
    pub fn of_graph(graph: &Graph) -> Self {
        let layers = table::of_graph(graph).into_iter();
        let layers = layers.map(|table| Layer::Table(Box::new(table))).collect();
        Self { input: graph.input_shape(), layers }
    }

    /// The tables that it is made of, if it is.
    pub fn tables(&self) -> Option<Vec<&LayerTable>> {
        let table = |layer| match layer {
            &Layer::Table(ref table) => Some(&**table),
            _ => None,
        };
        let tables: Option<Vec<_>> = self.layers.iter().map(table).collect();
        tables.filter(|tables| !tables.is_empty())
    }

    /// The graph of the network with these neurons; `bias` says whether convolutions and dense layers
    /// have one.
    ///
    /// # Errors
    /// If a layer does not fit what comes before it, or a neuron's parameter is out of range.
    pub fn graph(&self, neuron: &NeuronConfig, bias: bool, readout: Readout) -> Result<Graph> {
        let graph = match self.tables() {
            Some(tables) => return table::build(self.input, &tables, neuron, bias, readout),
            None => build::build(self, bias, readout)?.0,
        };
        build::with_neurons(graph, |_| Ok(neuron.clone()))
    }

    /// Classes that the network tells apart: its outputs, or its groups of outputs where it votes.
    ///
    /// 0 for a hand-made architecture without an output layer.
    pub fn n_classes(&self) -> usize {
        if self.tables().is_some() {
            let graph = self.graph(&NeuronConfig::new(1), false, Readout::default());
            return graph.map_or(0, |graph| graph.n_classes());
        }
        self.layers.iter().fold(0, |n_classes, layer| match layer {
            Layer::Output { neurons } => *neurons,
            Layer::Vote { group } => n_classes.checked_div(*group).unwrap_or(0),
            Layer::Conv(_)
            | Layer::BatchNorm
            | Layer::Pool { .. }
            | Layer::Dense { .. }
            | Layer::Neurons
            | Layer::Residual { .. }
            | Layer::Dropout { .. }
            | Layer::Table(_) => n_classes,
        })
    }

    /// The output shape of each layer, in the order of [`Arch::layers`]; of tables, of each node.
    ///
    /// # Errors
    /// If a layer does not fit what comes before it.
    pub fn shapes(&self) -> std::result::Result<Vec<Shape>, ArchError> {
        if self.tables().is_some() {
            let graph = self.graph(&NeuronConfig::new(1), false, Readout::default());
            let graph = graph.map_err(|error| {
                let text = self.notation().0;
                let expected = "layers that fit".to_owned();
                let length = text.len();
                ArchError { text, position: 0, length, found: error.to_string(), expected }
            })?;
            return Ok(graph.nodes()[1..].iter().map(crate::graph::Node::shape).collect());
        }
        Ok(build::build(self, false, Readout::default())?.1)
    }

    /// Layers of neurons; 0 where the layers do not fit each other.
    pub fn n_spiking(&self) -> usize {
        let graph = self.graph(&NeuronConfig::new(1), false, Readout::default());
        graph.map_or(0, |graph| graph.neurons().count())
    }

    /// The number of trainable weights of each node that has any; `bias` says whether convolutions and
    /// dense layers have one.
    ///
    /// # Errors
    /// If a layer does not fit what comes before it.
    pub fn parameter_counts(&self, bias: bool) -> Result<Vec<usize>> {
        let graph = self.graph(&NeuronConfig::new(1), bias, Readout::default())?;
        Ok(graph.parameter_counts().into_iter().map(|(_, n)| n).collect())
    }

    /// The canonical notation and where each part, the input first and the parts of a block after it,
    /// stands in it.
    fn notation(&self) -> (String, Vec<parse::Span>) {
        let Shape { channels, height, width } = self.input;
        let mut text = match (channels, height) {
            (1, 1) => width.to_string(),
            (1, _) => format!("{height}x{width}"),
            _ => self.input.to_string(),
        };
        let mut spans = Vec::with_capacity(self.layers.len() + 1);
        spans.push(0..text.len());
        for layer in &self.layers {
            text.push('-');
            push_spans(layer, text.len(), &mut spans);
            text.push_str(&layer.to_string());
        }
        (text, spans)
    }
}

/// Where a layer that starts at byte `start`, and the layers inside it, stand.
fn push_spans(layer: &Layer, start: usize, spans: &mut Vec<parse::Span>) {
    spans.push(start..start + layer.to_string().len());
    if let Layer::Residual { join, body, shortcut } = layer {
        let name = match join {
            Join::Spikes => "res(",
            Join::Currents => "resc(",
        };
        let mut at = start + name.len();
        for inner in body.iter().chain(shortcut) {
            push_spans(inner, at, spans);
            // And a `-` or `|`.
            at += inner.to_string().len() + 1;
        }
    }
}

/// The canonical notation; parsing it gives the same architecture.
impl fmt::Display for Arch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.notation().0)
    }
}

impl FromStr for Arch {
    type Err = ArchError;

    fn from_str(text: &str) -> std::result::Result<Self, ArchError> {
        let (arch, spans) = parse::parse(text)?;
        build::of_text(text, &arch, &spans, false, Readout::default())?;
        Ok(arch)
    }
}

impl TryFrom<ArchWire> for Arch {
    type Error = crate::Error;

    fn try_from(wire: ArchWire) -> Result<Self> {
        match wire {
            ArchWire::Notation(text) => Ok(text.parse()?),
            ArchWire::Tables { input, layer } => Self::of_tables(input.parse()?, layer),
        }
    }
}

impl From<Arch> for ArchWire {
    fn from(arch: Arch) -> Self {
        match arch.tables() {
            Some(tables) => Self::Tables {
                input: arch.input.to_string(),
                layer: tables.into_iter().cloned().collect(),
            },
            None => Self::Notation(arch.to_string()),
        }
    }
}

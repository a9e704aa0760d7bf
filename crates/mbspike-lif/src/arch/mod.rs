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
mod from_tables;
mod layer;
mod neurons;
mod notation;
mod parse;
mod presets;
mod table;
mod to_tables;

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

pub use error::ArchError;
pub use layer::{ConvLayer, Join, Layer};
pub use mbspike_core::pool::PoolKind;
pub use table::{LayerKind, LayerTable, NamedPadding, Reads, TablePadding};

use notation::notation;

use crate::graph::Graph;
use crate::{NeuronConfig, Readout, Result, Shape};

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
        let layers = to_tables::of_graph(graph).into_iter();
        let layers = layers.map(|table| Layer::Table(Box::new(table))).collect();
        Self { input: graph.input_shape(), layers }
    }

    /// The tables that it is made of, if it is.
    pub fn tables(&self) -> Option<Vec<&LayerTable>> {
        fn table(layer: &Layer) -> Option<&LayerTable> {
            if let Layer::Table(table) = layer { Some(table) } else { None }
        }
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
            Some(tables) => return from_tables::build(self.input, &tables, neuron, bias, readout),
            None => build::build(self.input, &self.layers, bias, readout)?.0,
        };
        neurons::with_neurons(graph, |_| Ok(neuron.clone()))
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
                let text = notation(self.input, &self.layers).0;
                let expected = "layers that fit".to_owned();
                let length = text.len();
                ArchError { text, position: 0, length, found: error.to_string(), expected }
            })?;
            return Ok(graph.nodes()[1..].iter().map(crate::graph::Node::shape).collect());
        }
        Ok(build::build(self.input, &self.layers, false, Readout::default())?.1)
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
}

/// The canonical notation; parsing it gives the same architecture.
impl fmt::Display for Arch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&notation(self.input, &self.layers).0)
    }
}

impl FromStr for Arch {
    type Err = ArchError;

    fn from_str(text: &str) -> std::result::Result<Self, ArchError> {
        let (input, layers, spans) = parse::parse(text)?;
        build::of_text(text, input, &layers, &spans, false, Readout::default())?;
        Ok(Self { input, layers })
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

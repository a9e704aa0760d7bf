//! Graphs to and from networks of `mbspike-lif` (feature `network`).
//!
//! [`export`] never loses anything unsaid: what NIR's nodes cannot say is an error that lists it,
//! unless the [`Mode`] says how to go on. [`import`] refuses what a network cannot say, by node.

mod cells;
mod export;
mod import;

use std::fmt;

use candle_core::Tensor;
use mbspike_lif::graph::Op;
use mbspike_lif::{Arch, NeuronConfig, Readout};

use crate::{Graph, Metadata, exact};

pub use export::export;
pub use import::import;

/// The entry of a graph's and of a node's metadata that is ours.
pub const METADATA: &str = "mbspike";

/// What to do about neurons that no single NIR node is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Mode {
    /// Refuse them, with a list.
    #[default]
    Strict,
    /// Write them as [graphs of levels](exact), which compute the same.
    Exact,
    /// Write the nearest single node, and their parameters as metadata.
    Lossy,
}

/// How a network is exported.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ExportOptions {
    /// The time step in seconds: a time constant of τ steps is written as `τ·dt`.
    pub dt: f64,
    /// What to do about neurons that no single NIR node is.
    pub mode: Mode,
}

impl Default for ExportOptions {
    /// 10⁻⁴ s, which snnTorch and SpikingJelly take, and nothing lost.
    fn default() -> Self {
        Self { dt: 1e-4, mode: Mode::default() }
    }
}

/// How an import is read.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct ImportOptions {
    /// The time step in seconds; the one in the graph's metadata, else 10⁻⁴ without it.
    pub dt: Option<f64>,
    /// Whether a membrane that meets its threshold fires. In NIR it does not; SpikingJelly, whose
    /// neurons do fire then, writes its thresholds as they are.
    pub threshold_fires: bool,
}

/// What became of one part of a network or graph.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    /// The node or layer.
    pub node: String,
    /// How much of it is left.
    pub fate: Fate,
    /// What was done.
    pub text: String,
}

/// How much is left of a part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It is said in another way that computes the same, apart from rounding.
    Converted,
    /// It is not said; what is computed differs.
    Lost,
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}`: {}", self.node, self.text)
    }
}

/// A network as a graph.
#[derive(Debug, Clone, PartialEq)]
pub struct Export {
    /// The graph.
    pub graph: Graph,
    /// What is said in another way than in the network, or not at all.
    pub notes: Vec<Note>,
}

/// A graph as a network.
#[derive(Debug, Clone)]
pub struct Import {
    /// Its layers.
    pub arch: Arch,
    /// Its neurons: levels, time constant, threshold and reset; the rest has its default.
    pub neuron: NeuronConfig,
    /// How scores are read.
    pub readout: Readout,
    /// Whether convolutions and dense layers have a bias.
    pub bias: bool,
    /// Values of the network's parameters by name.
    pub tensors: Vec<(String, Tensor)>,
    /// For each parameter the node it came from.
    pub origins: Vec<(String, String)>,
    /// The graph's metadata under [`METADATA`].
    pub metadata: Metadata,
    /// What was converted on the way.
    pub notes: Vec<Note>,
}

impl Import {
    /// Whether its first layers are dense ones, which take a map as a row of numbers, too.
    pub fn takes_rows(&self) -> bool {
        let graph = self.arch.graph(&self.neuron, self.bias, self.readout);
        graph.is_ok_and(|graph| {
            let is_dense = |id| matches!(graph.node(id).op, Op::Dense(_));
            graph.consumers(0).all(is_dense)
        })
    }
}

/// What exporting or importing can fail with.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A graph or a neuron in it.
    #[error(transparent)]
    Nir(#[from] crate::Error),
    /// A network refused something.
    #[error(transparent)]
    Network(#[from] mbspike_lif::Error),
    /// The tensor library's own error.
    #[error(transparent)]
    Tensor(#[from] candle_core::Error),
    /// Something would be lost.
    #[error("NIR cannot say all of this network; {help}:{}", list(losses))]
    Lossy {
        /// What can be done.
        help: &'static str,
        /// What would be lost.
        losses: Vec<Note>,
    },
    /// A layer that NIR has no node for, or a node that networks have no layer for.
    #[error("`{node}`: {reason}")]
    Unsupported {
        /// The layer or node.
        node: String,
        /// Why, and what to do.
        reason: String,
    },
}

fn list(notes: &[Note]) -> String {
    notes.iter().flat_map(|note| ["\n  ".to_owned(), note.to_string()]).collect()
}

fn unsupported<T>(node: &str, reason: impl Into<String>) -> Result<T, Error> {
    Err(Error::Unsupported { node: node.to_owned(), reason: reason.into() })
}

/// A name of a readout in metadata.
const READOUTS: [(Readout, &str); 3] = [
    (Readout::MeanSpike, "mean-spike"),
    (Readout::LastMembrane, "last-membrane"),
    (Readout::MaxMembrane, "max-membrane"),
];

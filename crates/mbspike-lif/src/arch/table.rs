//! Layers at length: `[[network.layer]]` in a config.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use super::build::with_neurons;
use super::{PoolKind, Shape};
use crate::graph::{
    Add, Conv, Dense, Dropout, Flatten, Graph, GraphBuilder, Neurons, Node, NodeId, Norm, Op,
    Output, Pooling, Vote,
};
use crate::neuron::NeuronTable;
use crate::{Error, NeuronConfig, Readout, Result};

/// What a table's layer is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LayerKind {
    /// A convolution: `channels`, `kernel`, `stride`, `padding`, `dilation`, `groups`, `bias`; then
    /// `norm`, and neurons unless `spiking = false`.
    Conv,
    /// A dense layer: `neurons`, `bias`; then `norm`, and neurons (`recurrent`) unless `spiking =
    /// false`.
    Dense,
    /// Batch normalization by itself, of a layer without neurons.
    Norm,
    /// Neurons by themselves: `neuron`, `recurrent`.
    Neurons,
    /// Pooling: `take`, `size`.
    Pool,
    /// A map becomes a row.
    Flatten,
    /// Dropout: `p`.
    Dropout,
    /// The sum of the layers in `input`, two or more.
    Add,
    /// The output layer: `neurons`, `bias`.
    Output,
    /// The readout by itself, of the neurons before it.
    Readout,
    /// The mean of groups of outputs: `group`.
    Vote,
}

impl LayerKind {
    fn name(self) -> &'static str {
        match self {
            Self::Conv => "conv",
            Self::Dense => "dense",
            Self::Norm => "norm",
            Self::Neurons => "neurons",
            Self::Pool => "pool",
            Self::Flatten => "flatten",
            Self::Dropout => "dropout",
            Self::Add => "add",
            Self::Output => "output",
            Self::Readout => "readout",
            Self::Vote => "vote",
        }
    }

    /// The keys that it takes, besides `kind`, `name` and `input`.
    fn keys(self) -> &'static [&'static str] {
        match self {
            Self::Conv => &[
                "channels", "kernel", "stride", "padding", "dilation", "groups", "bias", "norm",
                "spiking", "neuron",
            ],
            Self::Dense => &["neurons", "bias", "norm", "recurrent", "spiking", "neuron"],
            Self::Neurons => &["recurrent", "neuron"],
            Self::Pool => &["take", "size"],
            Self::Norm | Self::Flatten | Self::Add | Self::Readout => &[],
            Self::Dropout => &["p"],
            Self::Output => &["neurons", "bias", "neuron"],
            Self::Vote => &["group"],
        }
    }
}

/// What a layer reads: one layer by name, or several.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Reads {
    /// One layer.
    One(String),
    /// Several.
    Many(Vec<String>),
}

/// Zeros around the input of a convolution.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum TablePadding {
    /// So many on each side.
    By(usize),
    /// A name.
    Named(NamedPadding),
}

/// Padding by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum NamedPadding {
    /// What keeps the size at stride 1; needs an odd kernel.
    Same,
    /// None.
    Valid,
}

/// One layer of `[[network.layer]]`. A layer reads the one before it unless `input` says otherwise;
/// `"input"` is the network's.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LayerTable {
    /// What it is.
    pub kind: LayerKind,
    /// What it is called, in checkpoints too; its kind and number where left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// What it reads.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub input: Option<Reads>,
    /// Channels out of a convolution.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub channels: Option<usize>,
    /// Side of the kernel.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kernel: Option<usize>,
    /// Steps between outputs; 1 where left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stride: Option<usize>,
    /// `"same"` where left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub padding: Option<TablePadding>,
    /// Steps between taps; 1 where left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dilation: Option<usize>,
    /// Groups of channels; 1 where left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub groups: Option<usize>,
    /// Neurons of a dense or output layer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub neurons: Option<usize>,
    /// Whether there is a bias; as the network says where left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bias: Option<bool>,
    /// Whether batch normalization comes before the neurons.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub norm: Option<bool>,
    /// Whether the neurons hear each other a step later.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub recurrent: Option<bool>,
    /// Whether neurons follow; true where left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub spiking: Option<bool>,
    /// What is different about the neurons.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub neuron: Option<NeuronTable>,
    /// What is taken of a window.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub take: Option<PoolKind>,
    /// Side of a window.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size: Option<usize>,
    /// Probability of dropout.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub p: Option<f64>,
    /// Outputs in a group.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group: Option<usize>,
}

impl LayerTable {
    /// A layer of that kind, to be filled in.
    pub fn new(kind: LayerKind) -> Self {
        Self {
            kind,
            name: None,
            input: None,
            channels: None,
            kernel: None,
            stride: None,
            padding: None,
            dilation: None,
            groups: None,
            neurons: None,
            bias: None,
            norm: None,
            recurrent: None,
            spiking: None,
            neuron: None,
            take: None,
            size: None,
            p: None,
            group: None,
        }
    }

    /// Its name, or its kind.
    pub fn title(&self) -> &str {
        self.name.as_deref().unwrap_or(self.kind.name())
    }

    /// Refuses keys that do not belong to its kind.
    fn check_keys(&self) -> std::result::Result<(), String> {
        let Self {
            kind,
            name: _,
            input: _,
            channels,
            kernel,
            stride,
            padding,
            dilation,
            groups,
            neurons,
            bias,
            norm,
            recurrent,
            spiking,
            neuron,
            take,
            size,
            p,
            group,
        } = self;
        let given = [
            ("channels", channels.is_some()),
            ("kernel", kernel.is_some()),
            ("stride", stride.is_some()),
            ("padding", padding.is_some()),
            ("dilation", dilation.is_some()),
            ("groups", groups.is_some()),
            ("neurons", neurons.is_some()),
            ("bias", bias.is_some()),
            ("norm", norm.is_some()),
            ("recurrent", recurrent.is_some()),
            ("spiking", spiking.is_some()),
            ("neuron", neuron.is_some()),
            ("take", take.is_some()),
            ("size", size.is_some()),
            ("p", p.is_some()),
            ("group", group.is_some()),
        ];
        let stray = given.iter().find(|(key, given)| *given && !kind.keys().contains(key));
        match stray {
            None => Ok(()),
            Some((key, _)) => Err(format!(
                "`{key}` does not belong to a layer of kind \"{}\", which takes {}",
                kind.name(),
                match kind.keys() {
                    [] => "no key of its own".to_owned(),
                    keys => format!("`{}`", keys.join("`, `")),
                }
            )),
        }
    }
}

/// The graph of an architecture of tables.
pub(super) fn build(
    input: Shape,
    tables: &[&LayerTable],
    neuron: &NeuronConfig,
    bias: bool,
    readout: Readout,
) -> Result<Graph> {
    let graph = GraphBuilder::new(input)?;
    let here = graph.input();
    let ends = HashMap::from([("input".to_owned(), here)]);
    let mut build = Build { graph, ends, here, bias, readout, neurons: HashMap::new() };
    for (i, table) in tables.iter().enumerate() {
        let fail = |reason| Error::Layer { index: i + 1, name: table.title().to_owned(), reason };
        table.check_keys().map_err(fail)?;
        build.layer(table).map_err(fail)?;
    }
    let Build { graph, neurons, .. } = build;
    let graph = graph.finish()?;
    with_neurons(graph, |name| match neurons.get(name) {
        None => Ok(neuron.clone()),
        Some((i, own)) => own
            .over(neuron)
            .and_then(|own| {
                if own.layer_bits.is_some() && own.layer_bits != neuron.layer_bits {
                    return Err(Error::InvalidParameter {
                        name: "layer_bits",
                        expected: "of the network; a layer has `bits` of its own",
                        got: format!("{:?}", own.layer_bits),
                    });
                }
                NeuronConfig { layer_bits: None, ..own.clone() }.params(0, 1)?;
                // Its own bits come before those that the network has for it.
                Ok(if own_bits(tables[*i]) {
                    NeuronConfig { layer_bits: None, ..own }
                } else {
                    own
                })
            })
            .map_err(|error| Error::Layer {
                index: i + 1,
                name: tables[*i].title().to_owned(),
                reason: format!("neuron.{error}"),
            }),
    })
}

/// Whether the neurons of a layer's own table say how many bits or levels there are.
fn own_bits(table: &LayerTable) -> bool {
    table
        .neuron
        .as_ref()
        .is_some_and(|of| of.bits.is_some() || of.levels.is_some() || of.preset.is_some())
}

struct Build {
    graph: GraphBuilder,
    /// The node that each layer ends with, by the layer's name.
    ends: HashMap<String, NodeId>,
    here: NodeId,
    bias: bool,
    readout: Readout,
    /// Neurons with a table of their own: the layer's place and the table.
    neurons: HashMap<String, (usize, NeuronTable)>,
}

type Built<T> = std::result::Result<T, String>;

fn needed<T: Copy>(key: &str, value: Option<T>) -> Built<T> {
    value.ok_or_else(|| format!("the key `{key}` is missing"))
}

impl Build {
    fn layer(&mut self, table: &LayerTable) -> Built<()> {
        let reads = self.reads(table)?;
        let name = table.name.as_deref();
        let index = self.ends.len() - 1;
        let bias = table.bias.unwrap_or(self.bias);
        let first = match table.kind {
            LayerKind::Conv => {
                let op = self.conv(table, &reads, bias)?;
                let first = self.add(op, &reads, name)?;
                self.here = self.finish_weights(table, index, first)?;
                first
            }
            LayerKind::Dense => {
                let neurons = needed("neurons", table.neurons)?;
                let first = self.add(Dense { neurons, bias }, &reads, name)?;
                self.here = self.finish_weights(table, index, first)?;
                first
            }
            LayerKind::Neurons => {
                let recurrent = table.recurrent.unwrap_or(false);
                let op = Neurons { recurrent, ..Neurons::default() };
                let first = self.add(op, &reads, name)?;
                self.note_neurons(table, index, first);
                self.here = first;
                first
            }
            LayerKind::Pool => {
                let kind = needed("take", table.take)?;
                let size = needed("size", table.size)?;
                self.single(Pooling { kind, size }, &reads, name)?
            }
            LayerKind::Flatten => self.single(Flatten {}, &reads, name)?,
            LayerKind::Dropout => {
                let p = needed("p", table.p)?;
                self.single(Dropout { p, index: 0 }, &reads, name)?
            }
            LayerKind::Add => self.single(Add {}, &reads, name)?,
            LayerKind::Output => {
                let neurons = needed("neurons", table.neurons)?;
                let first = self.add(Dense { neurons, bias }, &reads, name)?;
                let lif = name.map(|name| format!("{name}.lif"));
                let cells = self.add(Neurons::default(), &[first], lif.as_deref())?;
                self.note_neurons(table, index, cells);
                self.here = self.add(Output { readout: self.readout }, &[cells], None)?;
                first
            }
            LayerKind::Norm => self.single(Norm {}, &reads, name)?,
            LayerKind::Readout => {
                let readout = self.readout;
                self.single(Output { readout }, &reads, name)?
            }
            LayerKind::Vote => {
                let group = needed("group", table.group)?;
                self.single(Vote { group }, &reads, name)?
            }
        };
        let name = self.graph.node(first).name.clone();
        self.ends.insert(name, self.here);
        Ok(())
    }

    fn single(&mut self, op: impl Into<Op>, reads: &[NodeId], name: Option<&str>) -> Built<NodeId> {
        self.here = self.add(op, reads, name)?;
        Ok(self.here)
    }

    fn add(&mut self, op: impl Into<Op>, reads: &[NodeId], name: Option<&str>) -> Built<NodeId> {
        self.graph.add_named(op, reads, name).map_err(|error| {
            format!(
                "found `{}`{}, expected {}",
                error.node, error.misfit.context, error.misfit.expected
            )
        })
    }

    fn reads(&self, table: &LayerTable) -> Built<Vec<NodeId>> {
        let names: &[String] = match &table.input {
            None => return Ok(vec![self.here]),
            Some(Reads::One(name)) => std::slice::from_ref(name),
            Some(Reads::Many(names)) => names,
        };
        let end = |name: &String| {
            let end = self.ends.get(name).copied().or_else(|| self.graph.find(name));
            end.ok_or_else(|| format!("input: no layer before it is called \"{name}\""))
        };
        names.iter().map(end).collect()
    }

    fn conv(&self, table: &LayerTable, reads: &[NodeId], bias: bool) -> Built<Conv> {
        let kernel = needed("kernel", table.kernel)?;
        let channels = needed("channels", table.channels)?;
        let dilation = table.dilation.unwrap_or(1);
        let padding = match table.padding.unwrap_or(TablePadding::Named(NamedPadding::Same)) {
            TablePadding::By(padding) => padding,
            TablePadding::Named(NamedPadding::Valid) => 0,
            TablePadding::Named(NamedPadding::Same) if kernel % 2 == 0 && kernel > 0 => {
                return Err(format!(
                    "padding: no padding keeps the size with an even kernel, {kernel}; give a number or \
                     \"valid\""
                ));
            }
            TablePadding::Named(NamedPadding::Same) => {
                dilation.saturating_mul(kernel.saturating_sub(1)) / 2
            }
        };
        if reads.len() != 1 {
            return Err("input: a convolution reads one layer".into());
        }
        let (stride, groups) = (table.stride.unwrap_or(1), table.groups.unwrap_or(1));
        Ok(Conv { channels, kernel, stride, padding, dilation, groups, bias })
    }

    /// Batch normalization and neurons after weights.
    fn finish_weights(&mut self, table: &LayerTable, index: usize, first: NodeId) -> Built<NodeId> {
        let part = |of: &str| table.name.as_ref().map(|name| format!("{name}.{of}"));
        let mut here = first;
        if table.norm.unwrap_or(false) {
            here = self.add(Norm {}, &[here], part("bn").as_deref())?;
        }
        if !table.spiking.unwrap_or(true) {
            let stray =
                [("neuron", table.neuron.is_some()), ("recurrent", table.recurrent == Some(true))];
            return match stray.iter().find(|(_, given)| *given) {
                Some((key, _)) => Err(format!("`{key}` is given, but `spiking` is false")),
                None => Ok(here),
            };
        }
        let op = Neurons { recurrent: table.recurrent.unwrap_or(false), ..Neurons::default() };
        here = self.add(op, &[here], part("lif").as_deref())?;
        self.note_neurons(table, index, here);
        Ok(here)
    }

    fn note_neurons(&mut self, table: &LayerTable, index: usize, cells: NodeId) {
        if let Some(own) = &table.neuron {
            let name = self.graph.node(cells).name.clone();
            self.neurons.insert(name, (index, own.clone()));
        }
    }
}

/// The tables that say the same as a graph, node by node.
pub(super) fn of_graph(graph: &Graph) -> Vec<LayerTable> {
    graph.nodes().iter().skip(1).map(|node| of_node(graph, node)).collect()
}

fn of_node(graph: &Graph, node: &Node) -> LayerTable {
    let mut names: Vec<String> =
        node.inputs.iter().map(|id| graph.node(*id).name.clone()).collect();
    let reads = match names.len() {
        1 => Reads::One(names.remove(0)),
        _ => Reads::Many(names),
    };
    let named = |kind| LayerTable {
        name: Some(node.name.clone()),
        input: Some(reads.clone()),
        ..LayerTable::new(kind)
    };
    match &node.op {
        Op::Input(_) => unreachable!("the input is the first node"),
        Op::Conv(conv) => LayerTable {
            channels: Some(conv.channels),
            kernel: Some(conv.kernel),
            stride: Some(conv.stride),
            padding: Some(TablePadding::By(conv.padding)),
            dilation: Some(conv.dilation),
            groups: Some(conv.groups),
            bias: Some(conv.bias),
            spiking: Some(false),
            ..named(LayerKind::Conv)
        },
        Op::Dense(dense) => LayerTable {
            neurons: Some(dense.neurons),
            bias: Some(dense.bias),
            spiking: Some(false),
            ..named(LayerKind::Dense)
        },
        Op::Norm(Norm {}) => named(LayerKind::Norm),
        Op::Neurons(neurons) => LayerTable {
            recurrent: Some(neurons.recurrent),
            neuron: Some(NeuronTable::of(neurons)),
            ..named(LayerKind::Neurons)
        },
        Op::Pool(pool) => {
            LayerTable { take: Some(pool.kind), size: Some(pool.size), ..named(LayerKind::Pool) }
        }
        Op::Flatten(Flatten {}) => named(LayerKind::Flatten),
        Op::Dropout(dropout) => LayerTable { p: Some(dropout.p), ..named(LayerKind::Dropout) },
        Op::Add(Add {}) => named(LayerKind::Add),
        Op::Output(_) => named(LayerKind::Readout),
        Op::Vote(vote) => LayerTable { group: Some(vote.group), ..named(LayerKind::Vote) },
    }
}

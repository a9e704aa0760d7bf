//! From tables of layers to the graph.

use std::collections::HashMap;

use super::neurons::with_neurons;
use super::table::{LayerKind, LayerTable, NamedPadding, Reads, TablePadding};
use crate::graph::{
    Add, Conv, Dense, Dropout, Flatten, Graph, GraphBuilder, Neurons, NodeId, Norm, Op, Output,
    Pooling, Vote,
};
use crate::neuron::{NeuronConfig, NeuronTable};
use crate::{Error, Readout, Result, Shape};

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
                let op = Self::conv(table, &reads, bias)?;
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

    fn conv(table: &LayerTable, reads: &[NodeId], bias: bool) -> Built<Conv> {
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

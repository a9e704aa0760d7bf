//! From the notation to the graph.

use mbspike_core::pool::PoolKind;

use super::error::ArchError;
use super::layer::{ConvLayer, Join, Layer};
use super::notation::{Span, notation};
use crate::graph::{
    Add, Conv, Dense, Dropout, Graph, GraphBuilder, GraphError, Misfit, Neurons, NodeId, Norm, Op,
    Output, Pooling, Vote,
};
use crate::{Readout, Shape};

/// The graph of an architecture and the shape behind each of its layers; neurons are placeholders.
pub(super) fn build(
    input: Shape,
    layers: &[Layer],
    bias: bool,
    readout: Readout,
) -> Result<(Graph, Vec<Shape>), ArchError> {
    let (text, spans) = notation(input, layers);
    of_text(&text, input, layers, &spans, bias, readout)
}

/// [`build`] of an architecture whose parts stand at `spans` of `text`: the input, then the layers, each
/// before those inside it.
pub(super) fn of_text(
    text: &str,
    input: Shape,
    layers: &[Layer],
    spans: &[Span],
    bias: bool,
    readout: Readout,
) -> Result<(Graph, Vec<Shape>), ArchError> {
    let graph = GraphBuilder::new(input).map_err(|error| at(text, &spans[0], &error.misfit))?;
    let mut build = Build { text, spans, next: 1, graph, bias, readout };
    let mut shapes = vec![];
    let mut here = build.graph.input();
    let mut done = false;
    for (i, layer) in layers.iter().enumerate() {
        let span = build.spans[build.next].clone();
        check_order(text, &span, layer, i.checked_sub(1).map(|i| &layers[i]))?;
        done |= matches!(layer, Layer::Output { .. });
        let before = i.checked_sub(1).map(|i| &layers[i]);
        here = build.layer(layer, [before, layers.get(i + 1)], here, true)?;
        shapes.push(build.graph.node(here).shape());
    }
    let fail = |expected: &str| ArchError {
        text: text.to_owned(),
        position: text.len(),
        length: 0,
        found: "the end".to_owned(),
        expected: expected.to_owned(),
    };
    if !done {
        return Err(fail("an output layer such as `-10o`"));
    }
    let graph = build.graph.finish().map_err(|error| fail(&error.misfit.expected))?;
    Ok((graph, shapes))
}

/// The error that a part does not fit.
fn at(text: &str, span: &Span, misfit: &Misfit) -> ArchError {
    ArchError {
        text: text.to_owned(),
        position: span.start,
        length: span.len(),
        found: format!("`{}`{}", &text[span.clone()], misfit.context),
        expected: misfit.expected.clone(),
    }
}

/// Checks that `layer` may stand after `before`.
fn check_order(
    text: &str,
    span: &Span,
    layer: &Layer,
    before: Option<&Layer>,
) -> Result<(), ArchError> {
    let fail = |context: &str, expected: &str| Err(at(text, span, &Misfit::new(context, expected)));
    match (before, layer) {
        (Some(Layer::Output { .. }), Layer::Vote { .. })
        | (Some(Layer::Conv(_) | Layer::Dense { .. }), Layer::BatchNorm) => Ok(()),
        (Some(Layer::Output { .. }), _) => {
            fail(" after the output layer", "a vote such as `vote10`, or the end")
        }
        (Some(Layer::Vote { .. }), _) => fail(" after the vote", "the end"),
        (_, Layer::Vote { .. }) => {
            fail(" before the output layer", "a vote right after the output layer")
        }
        (_, Layer::BatchNorm) => {
            let after = before.map_or_else(|| "the input".to_owned(), |layer| format!("`{layer}`"));
            let expected = "batch normalization right after a convolution or dense layer";
            fail(&format!(" after {after}"), expected)
        }
        _ => Ok(()),
    }
}

struct Build<'a> {
    text: &'a str,
    spans: &'a [Span],
    /// The span of the next layer.
    next: usize,
    graph: GraphBuilder,
    bias: bool,
    readout: Readout,
}

type Built<T> = Result<T, ArchError>;

impl Build<'_> {
    /// Adds a layer that reads node `here`; gives the node that it ends with. Neurons come after batch
    /// normalization, where that is the layer after; and not at all where `spikes` is false.
    fn layer(
        &mut self,
        layer: &Layer,
        [before, after]: [Option<&Layer>; 2],
        here: NodeId,
        spikes: bool,
    ) -> Built<NodeId> {
        let span = self.spans[self.next].clone();
        self.next += 1;
        let normed = after == Some(&Layer::BatchNorm);
        match layer {
            Layer::Conv(conv) => {
                let op = self.conv(&span, conv, here)?;
                let here = self.add(&span, op, &[here])?;
                self.neurons(&span, here, spikes && conv.spiking && !normed, false)
            }
            Layer::Dense { neurons, recurrent, spiking } => {
                let here =
                    self.add(&span, Dense { neurons: *neurons, bias: self.bias }, &[here])?;
                self.neurons(&span, here, spikes && *spiking && !normed, *recurrent)
            }
            Layer::BatchNorm => {
                let here = self.add(&span, Norm {}, &[here])?;
                // The layer before it says whether neurons follow.
                let (spiking, recurrent) = match before {
                    Some(Layer::Conv(conv)) => (conv.spiking, false),
                    Some(Layer::Dense { spiking, recurrent, .. }) => (*spiking, *recurrent),
                    _ => (false, false),
                };
                self.neurons(&span, here, spikes && spiking, recurrent)
            }
            Layer::Pool { kind, size } => {
                self.add(&span, Pooling { kind: *kind, size: *size }, &[here])
            }
            Layer::Neurons => self.neurons(&span, here, true, false),
            Layer::Dropout { p } => self.add(&span, Dropout { p: *p, index: 0 }, &[here]),
            Layer::Residual { join, body, shortcut } => {
                self.residual(&span, *join, body, shortcut, here)
            }
            Layer::Output { neurons } => {
                let readout = self.readout;
                let dense = Dense { neurons: *neurons, bias: self.bias };
                let here = self.add(&span, dense, &[here])?;
                let here = self.add(&span, Neurons::default(), &[here])?;
                self.add(&span, Output { readout }, &[here])
            }
            Layer::Vote { group } => self.add(&span, Vote { group: *group }, &[here]),
            Layer::Table(_) => {
                let expected = "tables only, or the notation only";
                Err(at(self.text, &span, &Misfit::new("", expected)))
            }
        }
    }

    fn add(&mut self, span: &Span, op: impl Into<Op>, reads: &[NodeId]) -> Built<NodeId> {
        let text = self.text;
        self.graph.add(op, reads).map_err(|GraphError { misfit, .. }| at(text, span, &misfit))
    }

    fn neurons(
        &mut self,
        span: &Span,
        here: NodeId,
        follow: bool,
        recurrent: bool,
    ) -> Built<NodeId> {
        if follow {
            self.add(span, Neurons { recurrent, ..Neurons::default() }, &[here])
        } else {
            Ok(here)
        }
    }

    fn conv(&self, span: &Span, conv: &ConvLayer, here: NodeId) -> Built<Conv> {
        let in_channels = self.graph.node(here).shape().channels;
        let ConvLayer { channels, kernel, stride, dilation, groups, valid, .. } = *conv;
        if !valid && kernel % 2 == 0 && kernel > 0 {
            let part = &self.text[span.clone()];
            return Err(at(
                self.text,
                span,
                &Misfit::new(
                    "",
                    format!(
                        "an odd kernel (no padding keeps the size with an even one), or `{part}v`"
                    ),
                ),
            ));
        }
        let padding = if valid { 0 } else { dilation.saturating_mul(kernel.saturating_sub(1)) / 2 };
        let (channels, groups) = match channels {
            Some(channels) => (channels, groups),
            None => (in_channels, in_channels),
        };
        Ok(Conv { channels, kernel, stride, padding, dilation, groups, bias: self.bias })
    }

    /// The layers of one way through a block; without neurons after the last layer of weights where
    /// currents are joined.
    fn way(&mut self, layers: &[Layer], join: Join, mut here: NodeId) -> Built<NodeId> {
        let is_weights = |layer: &Layer| matches!(layer, Layer::Conv(_) | Layer::Dense { .. });
        let last = layers.iter().rposition(is_weights);
        let mut before: Option<&Layer> = None;
        for (i, layer) in layers.iter().enumerate() {
            let span = self.spans[self.next].clone();
            if matches!(layer, Layer::Output { .. } | Layer::Vote { .. }) {
                let misfit = Misfit::new(" inside a block", "the output layer after all blocks");
                return Err(at(self.text, &span, &misfit));
            }
            check_order(self.text, &span, layer, before)?;
            let of_last = last == Some(i)
                || (*layer == Layer::BatchNorm
                    && i.checked_sub(1).is_some_and(|i| last == Some(i)));
            let joins = join == Join::Currents && of_last;
            here = self.layer(layer, [before, layers.get(i + 1)], here, !joins)?;
            let fits = match layer {
                Layer::Pool { kind, .. } => *kind != PoolKind::Max,
                Layer::Conv(_) | Layer::Dense { .. } | Layer::BatchNorm => true,
                _ => false,
            };
            if join == Join::Currents && last.is_some_and(|last| i > last) && !fits {
                let expected = "a block of currents that ends with a convolution or dense layer";
                return Err(at(
                    self.text,
                    &span,
                    &Misfit::new(" after the last current", expected),
                ));
            }
            before = Some(layer);
        }
        Ok(here)
    }

    fn residual(
        &mut self,
        span: &Span,
        join: Join,
        body: &[Layer],
        shortcut: &[Layer],
        here: NodeId,
    ) -> Built<NodeId> {
        let has_weights =
            body.iter().any(|layer| matches!(layer, Layer::Conv(_) | Layer::Dense { .. }));
        if body.is_empty() || (join == Join::Currents && !has_weights) {
            let misfit = Misfit::new("", "a block with a convolution or dense layer inside");
            return Err(at(self.text, span, &misfit));
        }
        let through = self.way(body, join, here)?;
        let around = self.way(shortcut, join, here)?;
        let sum = self.add(span, Add {}, &[through, around])?;
        self.neurons(span, sum, join == Join::Currents, false)
    }
}

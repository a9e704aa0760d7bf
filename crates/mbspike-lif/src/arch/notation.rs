//! Layers as text.

use std::ops::Range;

use super::layer::{Join, Layer};
use crate::Shape;

/// A range of bytes in the notation.
pub(super) type Span = Range<usize>;

/// The canonical notation and where each part, the input first and the parts of a block after it,
/// stands in it.
pub(super) fn notation(input: Shape, layers: &[Layer]) -> (String, Vec<Span>) {
    let Shape { channels, height, width } = input;
    let mut text = match (channels, height) {
        (1, 1) => width.to_string(),
        (1, _) => format!("{height}x{width}"),
        _ => input.to_string(),
    };
    let mut spans = Vec::with_capacity(layers.len() + 1);
    spans.push(0..text.len());
    for layer in layers {
        text.push('-');
        push_spans(layer, text.len(), &mut spans);
        text.push_str(&layer.to_string());
    }
    (text, spans)
}

/// Where a layer that starts at byte `start`, and the layers inside it, stand.
fn push_spans(layer: &Layer, start: usize, spans: &mut Vec<Span>) {
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

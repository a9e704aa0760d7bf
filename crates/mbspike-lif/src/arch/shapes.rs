//! Whether the layers of an architecture fit each other, and the shapes they give.

use super::parse::Span;
use super::{Arch, ArchError, Layer, Shape};

/// The most elements of a map and the most weights of a layer: 2^31, 8 GiB of `f32`. More is a
/// typing error, and would otherwise end in a failed allocation.
const MAX_ELEMENTS: usize = 1 << 31;

/// Gives the output shape of each layer of `arch`, whose parts stand at `spans` of `text`, the
/// input first.
pub(super) fn check(text: &str, arch: &Arch, spans: &[Span]) -> Result<Vec<Shape>, ArchError> {
    let at = |i: usize| Place { text, span: spans[i].clone() };
    let Shape { channels, height, width } = arch.input;
    if product(&[channels, height, width]).is_none_or(|n| n == 0) {
        return Err(at(0).error(String::new(), format!("an input of 1 to {MAX_ELEMENTS} elements")));
    }
    let mut shapes: Vec<Shape> = Vec::with_capacity(arch.layers.len());
    for (i, layer) in arch.layers.iter().enumerate() {
        let before = i.checked_sub(1).map(|i| &arch.layers[i]);
        let input = shapes.last().copied().unwrap_or(arch.input);
        let flat = arch.layers[..i].iter().any(|layer| matches!(layer, Layer::Dense { .. }));
        let place = at(i + 1);
        check_order(&place, layer, before, flat)?;
        shapes.push(output_shape(&place, layer, input)?);
    }
    if arch.layers.iter().any(|layer| matches!(layer, Layer::Output { .. })) {
        Ok(shapes)
    } else {
        Err(ArchError {
            text: text.to_owned(),
            position: text.len(),
            length: 0,
            found: "the end".to_owned(),
            expected: "an output layer such as `-10o`".to_owned(),
        })
    }
}

/// Where a layer stands, for errors about it.
struct Place<'a> {
    text: &'a str,
    span: Span,
}

impl Place<'_> {
    fn error(&self, context: impl AsRef<str>, expected: impl Into<String>) -> ArchError {
        ArchError {
            text: self.text.to_owned(),
            position: self.span.start,
            length: self.span.len(),
            found: format!("`{}`{}", &self.text[self.span.clone()], context.as_ref()),
            expected: expected.into(),
        }
    }
}

/// The product of sizes, if it is at most [`MAX_ELEMENTS`].
fn product(sizes: &[usize]) -> Option<usize> {
    let product = sizes.iter().try_fold(1_usize, |product, size| product.checked_mul(*size))?;
    (product <= MAX_ELEMENTS).then_some(product)
}

/// Checks that `layer` may stand after `before`; `flat` says whether a dense layer came earlier.
fn check_order(
    place: &Place,
    layer: &Layer,
    before: Option<&Layer>,
    flat: bool,
) -> Result<(), ArchError> {
    match (before, layer) {
        (Some(Layer::Output { .. }), Layer::Vote { .. })
        | (Some(Layer::Conv { .. }), Layer::BatchNorm) => Ok(()),
        (Some(Layer::Output { .. }), _) => {
            Err(place.error(" after the output layer", "a vote such as `vote10`, or the end"))
        }
        (Some(Layer::Vote { .. }), _) => Err(place.error(" after the vote", "the end")),
        (_, Layer::Vote { .. }) => {
            Err(place.error(" before the output layer", "a vote right after the output layer"))
        }
        (_, Layer::BatchNorm) => {
            let after = before.map_or_else(|| "the input".to_owned(), |layer| format!("`{layer}`"));
            let expected = "batch normalization right after a convolution";
            Err(place.error(format!(" after {after}"), expected))
        }
        (_, Layer::Conv { .. } | Layer::Pool { .. }) if flat => Err(place.error(
            " after a dense layer",
            "a dense layer, dropout or the output: there is no map any more",
        )),
        _ => Ok(()),
    }
}

/// The shape that `layer` makes of `input`.
fn output_shape(place: &Place, layer: &Layer, input: Shape) -> Result<Shape, ArchError> {
    let on_map = format!(" on a map of {input}");
    let Shape { channels: in_channels, height, width } = input;
    match *layer {
        Layer::Conv { channels: 0, .. }
        | Layer::Conv { kernel: 0, .. }
        | Layer::Pool { size: 0, .. }
        | Layer::Dense { neurons: 0 }
        | Layer::Output { neurons: 0 }
        | Layer::Vote { group: 0 } => Err(place.error("", "sizes of at least 1")),
        Layer::Conv { kernel, valid: true, .. } if kernel > height || kernel > width => {
            Err(place.error(on_map, "a kernel that is not larger than the map, or padding (no `v`)"))
        }
        Layer::Conv { channels, kernel, valid: false } if kernel % 2 == 0 => Err(place.error(
            "",
            format!(
                "an odd kernel (no padding keeps the size with an even one), or `{channels}c{kernel}v`"
            ),
        )),
        Layer::Conv { channels, kernel, valid } => {
            let lost = if valid { kernel - 1 } else { 0 };
            let (height, width) = (height - lost, width - lost);
            let weights = product(&[channels, in_channels, kernel, kernel]);
            if weights.is_none() || product(&[channels, height, width]).is_none() {
                return Err(too_large(place, on_map));
            }
            Ok(Shape { channels, height, width })
        }
        Layer::Pool { size, .. } => {
            if height % size != 0 || width % size != 0 {
                return Err(place.error(
                    on_map,
                    format!("a pooling size that divides {height} and {width}"),
                ));
            }
            Ok(Shape { channels: in_channels, height: height / size, width: width / size })
        }
        Layer::Dense { neurons } | Layer::Output { neurons } => {
            if product(&[neurons, in_channels, height, width]).is_none() {
                return Err(too_large(place, on_map));
            }
            Ok(Shape { channels: neurons, height: 1, width: 1 })
        }
        Layer::Dropout { p } if !(0.0..1.0).contains(&p) => {
            Err(place.error("", "the probability of dropout in 0..1"))
        }
        Layer::Vote { group } if in_channels % group != 0 => Err(place.error(
            format!(" on {in_channels} outputs"),
            format!("a group that divides {in_channels}"),
        )),
        Layer::Vote { group } => Ok(Shape { channels: in_channels / group, ..input }),
        Layer::BatchNorm | Layer::Dropout { .. } => Ok(input),
    }
}

fn too_large(place: &Place, on_map: String) -> ArchError {
    place.error(on_map, format!("a layer of at most {MAX_ELEMENTS} weights and neurons"))
}

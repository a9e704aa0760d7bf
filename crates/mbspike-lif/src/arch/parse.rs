//! The syntax of the notation. Whether the layers fit each other is the business of `build`.

use std::str::FromStr;

use mbspike_core::pool::PoolKind;

use super::error::ArchError;
use super::layer::{ConvLayer, Join, Layer};
use super::notation::Span;
use crate::Shape;

const LAYER: &str =
    "a layer such as `8c5`, `2a`, `2m`, `bn`, `512`, `128r`, `res(…)`, `dp0.5`, `10o` or `vote10`";
/// Blocks in blocks beyond this are not meant.
const MAX_DEPTH: usize = 16;

/// Reads the notation; the spans are those of the input and of each layer, a block before the layers
/// inside it.
pub(super) fn parse(text: &str) -> Result<(Shape, Vec<Layer>, Vec<Span>), ArchError> {
    let mut cursor = Cursor { text, position: 0, spans: vec![], depth: 0 };
    let input = cursor.input()?;
    cursor.spans.push(0..cursor.position);
    let mut layers = Vec::new();
    while cursor.position < text.len() {
        let end_of_layer = if layers.is_empty() { "of the input" } else { "of the layer" };
        if !cursor.accept("-") {
            return Err(cursor.error(format!("`-` or the end {end_of_layer}")));
        }
        layers.push(cursor.layer()?);
    }
    Ok((input, layers, cursor.spans))
}

/// A size as in the notation; one channel may be left out.
impl FromStr for Shape {
    type Err = ArchError;

    fn from_str(text: &str) -> Result<Self, ArchError> {
        let mut cursor = Cursor { text, position: 0, spans: vec![], depth: 0 };
        let shape = cursor.input()?;
        if cursor.position < text.len() {
            return Err(cursor.error("the end of the input"));
        }
        Ok(shape)
    }
}

struct Cursor<'a> {
    text: &'a str,
    position: usize,
    spans: Vec<Span>,
    /// Blocks around.
    depth: usize,
}

impl Cursor<'_> {
    fn rest(&self) -> &str {
        &self.text[self.position..]
    }

    /// The error that the next character is not what was expected.
    fn error(&self, expected: impl Into<String>) -> ArchError {
        let next = self.rest().chars().next();
        ArchError {
            text: self.text.to_owned(),
            position: self.position,
            length: next.map_or(0, char::len_utf8),
            found: next.map_or_else(|| "the end".to_owned(), |c| format!("`{c}`")),
            expected: expected.into(),
        }
    }

    fn accept(&mut self, symbol: &str) -> bool {
        let found = self.rest().starts_with(symbol);
        if found {
            self.position += symbol.len();
        }
        found
    }

    fn digits(&mut self) -> Span {
        let start = self.position;
        self.position += self.rest().bytes().take_while(u8::is_ascii_digit).count();
        start..self.position
    }

    /// A positive integer.
    fn number(&mut self, what: &str) -> Result<usize, ArchError> {
        let span = self.digits();
        if span.is_empty() {
            return Err(self.error(what));
        }
        let digits = &self.text[span.clone()];
        match digits.parse() {
            Ok(0) => Err(self.error_at(span, format!("{what}, at least 1"))),
            Ok(number) => Ok(number),
            Err(_) => Err(self.error_at(span, format!("{what}, at most {}", usize::MAX))),
        }
    }

    fn error_at(&self, span: Span, expected: impl Into<String>) -> ArchError {
        ArchError {
            text: self.text.to_owned(),
            position: span.start,
            length: span.len(),
            found: format!("`{}`", &self.text[span]),
            expected: expected.into(),
        }
    }

    fn input(&mut self) -> Result<Shape, ArchError> {
        let height = self.number("the height of the input, as in `28x28-…`")?;
        if self.rest().is_empty() || self.rest().starts_with('-') {
            // A row of inputs, as of spoken digits.
            return Ok(Shape { channels: 1, height: 1, width: height });
        }
        if !self.accept("x") {
            return Err(self.error("`x` and the width of the input"));
        }
        let width = self.number("the width of the input")?;
        let channels = if self.accept("x") { self.number("the channels of the input")? } else { 1 };
        Ok(Shape { channels, height, width })
    }

    /// A layer, whose span is noted before those of the layers inside.
    fn layer(&mut self) -> Result<Layer, ArchError> {
        let (start, place) = (self.position, self.spans.len());
        self.spans.push(start..start);
        let layer = if self.accept("bn") {
            Layer::BatchNorm
        } else if self.accept("dp") {
            Layer::Dropout { p: self.probability()? }
        } else if self.accept("dw") {
            let kernel = self.number("the size of the kernel")?;
            self.conv(None, kernel)?
        } else if self.accept("vote") {
            Layer::Vote { group: self.number("the number of outputs in a group")? }
        } else if self.accept("lif") {
            Layer::Neurons
        } else if self.accept("resc(") {
            self.block(Join::Currents)?
        } else if self.accept("res(") {
            self.block(Join::Spikes)?
        } else {
            self.numbered_layer()?
        };
        self.spans[place] = start..self.position;
        Ok(layer)
    }

    /// The inside of a block and its closing parenthesis.
    fn block(&mut self, join: Join) -> Result<Layer, ArchError> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(self.error(format!("at most {MAX_DEPTH} blocks in each other")));
        }
        let (mut body, mut shortcut) = (vec![self.layer()?], vec![]);
        let mut after_bar = false;
        loop {
            if self.accept("-") {
                let layer = self.layer()?;
                if after_bar { &mut shortcut } else { &mut body }.push(layer);
            } else if !after_bar && self.accept("|") {
                after_bar = true;
                shortcut.push(self.layer()?);
            } else if self.accept(")") {
                self.depth -= 1;
                return Ok(Layer::Residual { join, body, shortcut });
            } else if after_bar {
                return Err(self.error("`-` or `)`, the end of the block"));
            } else {
                return Err(self.error("`-`, `|` before a shortcut, or `)`, the end of the block"));
            }
        }
    }

    fn numbered_layer(&mut self) -> Result<Layer, ArchError> {
        let number = self.number(LAYER)?;
        if self.accept("c") {
            let kernel = self.number("the size of the kernel")?;
            self.conv(Some(number), kernel)
        } else if self.accept("a") {
            Ok(Layer::Pool { kind: PoolKind::Average, size: number })
        } else if self.accept("m") {
            Ok(Layer::Pool { kind: PoolKind::Max, size: number })
        } else if self.accept("s") {
            Ok(Layer::Pool { kind: PoolKind::Sum, size: number })
        } else if self.accept("o") {
            Ok(Layer::Output { neurons: number })
        } else if self.accept("r") {
            Ok(Layer::Dense { neurons: number, recurrent: true, spiking: true })
        } else if self.accept("l") {
            Ok(Layer::Dense { neurons: number, recurrent: false, spiking: false })
        } else if matches!(self.rest().chars().next(), None | Some('-' | '|' | ')')) {
            Ok(Layer::dense(number))
        } else {
            Err(self.error(
                "`c` (convolution), `a`, `m` or `s` (pooling), `r` (recurrent), `o` (output), or `-` \
                 or the end after a dense layer",
            ))
        }
    }

    /// What follows the size of the kernel, in any order, each once.
    fn conv(&mut self, channels: Option<usize>, kernel: usize) -> Result<Layer, ArchError> {
        let (mut stride, mut dilation, mut groups) = (None, None, None);
        let (mut valid, mut linear) = (false, false);
        loop {
            let start = self.position;
            let twice = if stride.is_none() && self.accept("s") {
                stride = Some(self.number("the stride")?);
                false
            } else if dilation.is_none() && self.accept("d") {
                dilation = Some(self.number("the dilation")?);
                false
            } else if groups.is_none() && channels.is_some() && self.accept("g") {
                groups = Some(self.number("the number of groups")?);
                false
            } else if !valid && self.accept("v") {
                valid = true;
                false
            } else if !linear && self.accept("l") {
                linear = true;
                false
            } else {
                self.rest().starts_with(['s', 'd', 'g', 'v', 'l'])
            };
            if twice {
                let depthwise = channels.is_none() && self.rest().starts_with('g');
                return Err(self.error(if depthwise {
                    "no groups: a depthwise convolution has as many as channels"
                } else {
                    "each of `s`, `d`, `g`, `v` and `l` once"
                }));
            }
            if self.position == start {
                break;
            }
        }
        Ok(Layer::Conv(ConvLayer {
            channels,
            kernel,
            stride: stride.unwrap_or(1),
            dilation: dilation.unwrap_or(1),
            groups: groups.unwrap_or(1),
            valid,
            spiking: !linear,
        }))
    }

    /// A decimal number in `0..1`.
    fn probability(&mut self) -> Result<f64, ArchError> {
        const PROBABILITY: &str = "the probability of dropout, a decimal number in 0..1";
        let start = self.position;
        let whole = self.digits();
        if whole.is_empty() {
            return Err(self.error(PROBABILITY));
        }
        if self.accept(".") && self.digits().is_empty() {
            return Err(self.error("a digit after the decimal point"));
        }
        let span = start..self.position;
        match self.text[span.clone()].parse() {
            Ok(p) if p < 1.0 => Ok(p),
            _ => Err(self.error_at(span, PROBABILITY)),
        }
    }
}

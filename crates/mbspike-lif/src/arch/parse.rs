//! The syntax of the notation. Whether the layers fit each other is the business of `shapes`.

use std::ops::Range;

use super::{Arch, ArchError, Layer, PoolKind, Shape};

/// A range of bytes in the notation.
pub(super) type Span = Range<usize>;

const LAYER: &str = "a layer such as `8c5`, `2a`, `2m`, `bn`, `512`, `dp0.5`, `10o` or `vote10`";

/// Reads the notation; the spans are those of the input and of each layer.
pub(super) fn parse(text: &str) -> Result<(Arch, Vec<Span>), ArchError> {
    let mut cursor = Cursor { text, position: 0 };
    let mut spans = Vec::new();
    let input = cursor.input()?;
    spans.push(0..cursor.position);
    let mut layers = Vec::new();
    while cursor.position < text.len() {
        let end_of_layer = if layers.is_empty() { "of the input" } else { "of the layer" };
        if !cursor.accept("-") {
            return Err(cursor.error(format!("`-` or the end {end_of_layer}")));
        }
        let start = cursor.position;
        layers.push(cursor.layer()?);
        spans.push(start..cursor.position);
    }
    Ok((Arch { input, layers }, spans))
}

struct Cursor<'a> {
    text: &'a str,
    position: usize,
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
        if !self.accept("x") {
            return Err(self.error("`x` and the width of the input"));
        }
        let width = self.number("the width of the input")?;
        let channels = if self.accept("x") { self.number("the channels of the input")? } else { 1 };
        Ok(Shape { channels, height, width })
    }

    fn layer(&mut self) -> Result<Layer, ArchError> {
        if self.accept("bn") {
            Ok(Layer::BatchNorm)
        } else if self.accept("dp") {
            Ok(Layer::Dropout { p: self.probability()? })
        } else if self.accept("vote") {
            Ok(Layer::Vote { group: self.number("the number of outputs in a group")? })
        } else {
            self.numbered_layer()
        }
    }

    fn numbered_layer(&mut self) -> Result<Layer, ArchError> {
        let number = self.number(LAYER)?;
        if self.accept("c") {
            let kernel = self.number("the size of the kernel")?;
            Ok(Layer::Conv { channels: number, kernel, valid: self.accept("v") })
        } else if self.accept("a") {
            Ok(Layer::Pool { kind: PoolKind::Average, size: number })
        } else if self.accept("m") {
            Ok(Layer::Pool { kind: PoolKind::Max, size: number })
        } else if self.accept("o") {
            Ok(Layer::Output { neurons: number })
        } else if matches!(self.rest().chars().next(), None | Some('-')) {
            Ok(Layer::Dense { neurons: number })
        } else {
            Err(self.error(
                "`c` (convolution), `a` or `m` (pooling), `o` (output), or `-` or the end after a \
                 dense layer",
            ))
        }
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

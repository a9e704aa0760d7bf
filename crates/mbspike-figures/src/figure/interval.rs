//! Bars for intervals, which say where an axis cuts them.

use plotters::element::{EmptyElement, PathElement, Polygon};
use plotters::style::{Color, RGBColor};

use super::axes::{Axis, Chart};
use super::canvas::DrawResult;
use super::style::{HAIRLINE, pt};

/// Half the width of an arrow's head, in points.
const HEAD: f64 = 1.5;

/// The axis that a bar lies along.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Side {
    X,
    Y,
}

/// A bar between two numbers of an axis.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bar {
    pub axis: Side,
    /// Its place on the other axis.
    pub at: f64,
    pub ends: [f64; 2],
    /// Half the width of the cap where it ends, in points; 0 for none.
    pub cap: f64,
}

impl Bar {
    /// Draws it with a cap where it ends, and an arrow where the axis cuts it.
    pub fn draw(self, chart: &mut Chart<'_, '_>, axis: &Axis, ink: RGBColor) -> DrawResult<()> {
        let place = |end: f64| match self.axis {
            Side::X => (end, self.at),
            Side::Y => (self.at, end),
        };
        // Upwards in numbers is downwards on the screen.
        let offset = |along: i32, across: i32| match self.axis {
            Side::X => (along, across),
            Side::Y => (across, -along),
        };
        let style = ink.stroke_width(pt(HAIRLINE) as u32);
        let shown = self.ends.map(|end| end.clamp(axis.range.start, axis.range.end));
        chart.draw_series([PathElement::new(shown.map(place), style)])?;
        for (side, (end, shown)) in [-1, 1].into_iter().zip(self.ends.into_iter().zip(shown)) {
            if end == shown {
                let cap = vec![offset(0, -pt(self.cap)), offset(0, pt(self.cap))];
                chart
                    .draw_series([EmptyElement::at(place(shown)) + PathElement::new(cap, style)])?;
            } else {
                let (back, half) = (-side * pt(2.2 * HEAD), pt(HEAD));
                let head = vec![offset(0, 0), offset(back, -half), offset(back, half)];
                let head = Polygon::new(head, ink.filled());
                chart.draw_series([EmptyElement::at(place(shown)) + head])?;
            }
        }
        Ok(())
    }
}

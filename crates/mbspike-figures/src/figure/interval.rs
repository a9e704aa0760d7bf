//! Bars for intervals, which say where an axis cuts them.

use plotters::element::{EmptyElement, PathElement, Polygon};
use plotters::style::{Color, RGBColor};

use super::axes::{Axis, Chart};
use super::canvas::DrawResult;
use super::style::{LINE, PAPER, pt};
use mbspike_results::Measure;

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

/// What a bar or a band is, on every figure.
pub(super) const INTERVAL: &str = "95 % interval of the mean";

/// The 95 % interval that is drawn: that of at least three repeats. From two it is nine standard
/// deviations to each side, wider than all there is to see.
pub(super) fn shown_interval(measure: &Measure) -> Option<(f64, f64)> {
    measure.interval().filter(|_| measure.n > 2)
}

/// An open arrow at a bound, that says to which side the value lies: what it is, nobody has seen.
pub(super) fn bound_arrow(
    chart: &mut Chart<'_, '_>,
    at: (f64, f64),
    side: i32,
    ink: RGBColor,
) -> DrawResult<()> {
    let style = ink.stroke_width(pt(LINE) as u32);
    let (half, length) = (pt(2.6), side * pt(5.0));
    let head = vec![(0, -half), (length, 0), (0, half), (0, -half)];
    chart.draw_series([EmptyElement::at(at) + Polygon::new(head.clone(), PAPER.filled())])?;
    chart.draw_series([EmptyElement::at(at) + PathElement::new(head, style)])?;
    Ok(())
}

impl Bar {
    /// Draws it with a cap where it ends, and an arrow where the axis cuts it.
    pub fn draw(
        self,
        chart: &mut Chart<'_, '_>,
        axis: &Axis,
        ink: RGBColor,
        width: f64,
    ) -> DrawResult<()> {
        let place = |end: f64| match self.axis {
            Side::X => (end, self.at),
            Side::Y => (self.at, end),
        };
        // Upwards in numbers is downwards on the screen.
        let offset = |along: i32, across: i32| match self.axis {
            Side::X => (along, across),
            Side::Y => (across, -along),
        };
        let style = ink.stroke_width(pt(width) as u32);
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

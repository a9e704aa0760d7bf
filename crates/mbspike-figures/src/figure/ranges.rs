//! Bars from one value to another, one row a category.

use plotters::element::{PathElement, Rectangle};
use plotters::style::Color;

use super::axes::{Axis, chart};
use super::canvas::Figure;
use super::error::{Error, Result};
use super::style::{AXIS_PT, COLUMN_IN, HAIRLINE, INK, OKABE_ITO, PAGE_IN, TICK_PT, pt, units};

/// Rows of bars around zero.
#[derive(Debug, Clone)]
pub(super) struct Ranges {
    pub name: &'static str,
    pub title: String,
    pub x_label: String,
    /// Name, and the two ends of the bar.
    pub rows: Vec<(String, f64, f64)>,
}

impl Ranges {
    pub fn draw(&self) -> Result<Figure> {
        if self.rows.is_empty() {
            let missing = format!("no record has the {} yet", self.title);
            return Err(Error::NoData { figure: self.name.to_owned(), missing });
        }
        let ends = || self.rows.iter().flat_map(|(_, a, b)| [*a, *b]);
        let (low, high) = (ends().fold(0.0, f64::min), ends().fold(0.0, f64::max));
        let room = 0.06 * (high - low).max(1e-9);
        let x = Axis::over(&self.x_label, low - room..high + room, 4);
        let names: Vec<String> = self.rows.iter().map(|(name, ..)| name.clone()).collect();
        let y = Axis::categories("", &names).reversed();
        let axes_in = (AXIS_PT + TICK_PT) * 2.0 / 72.0;
        let is_narrow = y.label_width() <= units(COLUMN_IN) / 2;
        let width = if is_narrow { COLUMN_IN } else { PAGE_IN };
        let size = (width, 0.24 * self.rows.len() as f64 + axes_in + 0.12);
        Figure::draw(self.name, &self.title, size, |area| {
            let mut chart = chart(area, &[], &x, &y, y.label_width())?;
            let bar = |(i, (_, a, b)): (usize, &(String, f64, f64))| {
                let at = i as f64;
                Rectangle::new([(*a, at - 0.3), (*b, at + 0.3)], OKABE_ITO[0].filled())
            };
            chart.draw_series(self.rows.iter().enumerate().map(bar))?;
            let zero = [(0.0, -0.5), (0.0, self.rows.len() as f64 - 0.5)];
            let line = INK.stroke_width(pt(HAIRLINE) as u32);
            chart.draw_series([PathElement::new(zero, line)])?;
            Ok(())
        })
    }
}

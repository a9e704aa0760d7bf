//! A number for each cell of a table, with a colour for its size.

use plotters::element::Rectangle;
use plotters::style::Color;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use super::axes::{Axis, chart};
use super::canvas::Figure;
use super::error::{Error, Result};
use super::style::{
    AXIS_PT, COLUMN_IN, GRID, LINE_HEIGHT, PAGE_IN, TICK_PT, ink_on, pt, text, text_width, units,
    viridis,
};

/// Rows and columns of cells.
#[derive(Debug, Clone)]
pub(super) struct HeatMap {
    pub name: &'static str,
    pub title: String,
    pub x_label: String,
    pub y_label: String,
    pub rows: Vec<String>,
    pub columns: Vec<String>,
    /// A value for each column of each row, with its text; nothing where there is none.
    pub cells: Vec<Vec<Option<(f64, String)>>>,
}

/// Height of a row, in inches.
const ROW_IN: f64 = 0.26;

impl HeatMap {
    pub fn draw(&self) -> Result<Figure> {
        let values = || self.cells.iter().flatten().flatten().map(|(value, _)| *value);
        let (low, high) =
            (values().fold(f64::INFINITY, f64::min), values().fold(f64::NEG_INFINITY, f64::max));
        if low >= high {
            let missing = format!("no two values differ of the {}", self.title);
            return Err(Error::NoData { figure: self.name.to_owned(), missing });
        }
        let x = Axis { grid: false, ..Axis::categories(&self.x_label, &self.columns) };
        let y = Axis::categories(&self.y_label, &self.rows).reversed();
        let texts = self.cells.iter().flatten().flatten().map(|(_, text)| text);
        let texts =
            texts.chain(&self.columns).map(|text| text_width(text, TICK_PT)).max().unwrap_or(0);
        let needed =
            y.label_width() + (texts + pt(6.0)) * self.columns.len() as i32 + pt(AXIS_PT * 2.5);
        let width = if needed <= units(COLUMN_IN) { COLUMN_IN } else { PAGE_IN };
        let axes_in = (2.5 * TICK_PT + AXIS_PT * LINE_HEIGHT + 4.0) / 72.0;
        // A vertical title needs its length.
        let least = f64::from(text_width(&self.y_label, AXIS_PT)) / f64::from(units(1.0));
        let height = (ROW_IN * self.rows.len() as f64).max(least) + axes_in;
        Figure::draw(self.name, &self.title, (width, height), |area| {
            let mut chart = chart(area, &[], &x, &y, y.label_width())?;
            let (dx, dy) = area.get_base_pixel();
            for (row, cells) in self.cells.iter().enumerate() {
                for (column, cell) in cells.iter().enumerate() {
                    let (at_x, at_y) = (column as f64, row as f64);
                    let corners = [(at_x - 0.5, at_y - 0.5), (at_x + 0.5, at_y + 0.5)];
                    let Some((value, words)) = cell else {
                        chart.draw_series([Rectangle::new(corners, GRID.filled())])?;
                        continue;
                    };
                    let ground = viridis((value - low) / (high - low));
                    chart.draw_series([Rectangle::new(corners, ground.filled())])?;
                    let ink = ink_on(ground);
                    let style = text(TICK_PT).color(&ink);
                    let style = style.pos(Pos::new(HPos::Center, VPos::Center));
                    let (x, y) = chart.backend_coord(&(at_x, at_y));
                    area.draw_text(words, &style, (x - dx, y - dy + pt(TICK_PT * 0.08)))?;
                }
            }
            Ok(())
        })
    }
}

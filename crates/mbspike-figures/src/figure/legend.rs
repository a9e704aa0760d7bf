//! Legends: a strip of entries above the data, in as many rows as they need.

use super::canvas::{Area, DrawResult};
use super::style::{LEGEND_PT, LINE, PAPER, pt, text, text_width};
use plotters::element::{Circle, PathElement, Rectangle};
use plotters::style::text_anchor::{HPos, Pos, VPos};
use plotters::style::{Color, RGBColor};

/// What stands before an entry's text.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Key {
    Line,
    Dashed,
    Patch,
    OpenMarker,
}

/// One entry.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub label: String,
    pub colour: RGBColor,
    pub key: Key,
}

const ROW_PT: f64 = LEGEND_PT * 1.5;
const KEY_PT: f64 = 13.0;
const GAP_PT: f64 = 9.0;

/// Entries placed in rows: each with its left edge and its row.
pub(super) struct Legend {
    placed: Vec<(Entry, i32, i32)>,
    n_rows: i32,
}

impl Legend {
    /// Lays the entries out in rows of the given width (units of the drawing).
    pub fn new(entries: Vec<Entry>, width: i32) -> Self {
        let widths: Vec<i32> = entries
            .iter()
            .map(|e| pt(KEY_PT + 3.0 + GAP_PT) + text_width(&e.label, LEGEND_PT))
            .collect();
        // Columns of equal width where several rows are needed, so that they line up.
        let fits_one_row = widths.iter().sum::<i32>() <= width;
        let column = widths.iter().copied().max().unwrap_or(1);
        let n_columns = (width / column).max(1);
        let (mut x, mut placed) = (pt(4.0), Vec::new());
        let mut n_rows = 1;
        for (i, (entry, entry_width)) in entries.into_iter().zip(widths).enumerate() {
            if fits_one_row {
                placed.push((entry, x, 0));
                x += entry_width;
            } else {
                let i = i as i32;
                placed.push((entry, pt(4.0) + i % n_columns * column, i / n_columns));
                n_rows = i / n_columns + 1;
            }
        }
        if placed.is_empty() {
            n_rows = 0;
        }
        Self { placed, n_rows }
    }

    /// Height in inches.
    pub fn height_in(&self) -> f64 {
        f64::from(self.n_rows) * ROW_PT / 72.0
    }

    /// Draws the legend at the top of the area and returns the rest of the area.
    pub fn draw<'a>(&self, area: &Area<'a>) -> DrawResult<Area<'a>> {
        let (strip, rest) = area.split_vertically(pt(f64::from(self.n_rows) * ROW_PT));
        for (entry, x, row) in &self.placed {
            let y = pt((f64::from(*row) + 0.55) * ROW_PT);
            let end = x + pt(KEY_PT);
            let stroke = entry.colour.stroke_width(pt(LINE) as u32);
            match entry.key {
                Key::Line => strip.draw(&PathElement::new([(*x, y), (end, y)], stroke))?,
                Key::Dashed => {
                    let dash = (end - x) / 3;
                    for start in [*x, end - dash] {
                        strip.draw(&PathElement::new([(start, y), (start + dash, y)], stroke))?;
                    }
                }
                Key::Patch => {
                    let half = pt(LEGEND_PT * 0.35);
                    let corners = [(end - 2 * half, y - half), (end, y + half)];
                    strip.draw(&Rectangle::new(corners, entry.colour.filled()))?;
                }
                Key::OpenMarker => {
                    let centre = (end - pt(4.0), y);
                    strip.draw(&Circle::new(centre, pt(2.4), PAPER.filled()))?;
                    strip.draw(&Circle::new(centre, pt(2.4), stroke))?;
                }
            }
            let style = text(LEGEND_PT).pos(Pos::new(HPos::Left, VPos::Center));
            let baseline = y + pt(LEGEND_PT * 0.08);
            strip.draw_text(&entry.label, &style, (end + pt(3.0), baseline))?;
        }
        Ok(rest)
    }
}

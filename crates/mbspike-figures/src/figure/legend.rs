//! Legends: a strip of entries above the data, in as many rows as they need.

use super::canvas::{Area, DrawResult};
use super::style::{HAIRLINE, LEGEND_PT, LINE, LINE_HEIGHT, PAPER, pt, text, text_width, wrapped};
use plotters::element::{Circle, PathElement, Polygon, Rectangle};
use plotters::style::text_anchor::{HPos, Pos, VPos};
use plotters::style::{Color, RGBColor};

/// What stands before an entry's text.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Key {
    Line,
    /// A line with these dashes and gaps, in points.
    Dashed(f64, f64),
    Patch,
    /// A mark of a shape.
    Mark(Shape),
    /// A ring, as for a single repeat.
    Ring,
    /// The mean with a bar through it.
    Interval,
    /// A band around a line.
    Band,
    /// An open arrow, to the right or to the left.
    Bound(i32),
}

/// Shapes that are told apart without colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    Circle,
    Square,
    Triangle,
    Diamond,
    Wedge,
}

impl Shape {
    /// The shapes in the order they are given out in.
    pub const ALL: [Self; 5] =
        [Self::Circle, Self::Square, Self::Triangle, Self::Diamond, Self::Wedge];

    /// Its corners around the origin, `size` from the middle to the edge; none for a circle.
    pub fn corners(self, size: i32) -> Vec<(i32, i32)> {
        let (s, d) = (size * 9 / 10, size * 13 / 10);
        match self {
            Self::Circle => vec![],
            Self::Square => vec![(-s, -s), (s, -s), (s, s), (-s, s)],
            Self::Triangle => vec![(0, -d), (d, s), (-d, s)],
            Self::Diamond => vec![(0, -d), (d, 0), (0, d), (-d, 0)],
            Self::Wedge => vec![(0, d), (d, -s), (-d, -s)],
        }
    }
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

/// An entry with its place.
struct Placed {
    entry: Entry,
    lines: Vec<String>,
    x: i32,
    /// Where its row begins.
    y: i32,
}

/// Entries placed in rows.
pub(super) struct Legend {
    placed: Vec<Placed>,
    height: i32,
}

impl Legend {
    /// Lays the entries out in rows of the given width (units of the drawing). Labels that are wider
    /// than all of it are broken into lines.
    pub fn new(entries: Vec<Entry>, width: i32) -> Self {
        let beside = pt(KEY_PT + 3.0);
        let left = pt(4.0);
        let room = width - left - beside;
        let lines: Vec<Vec<String>> =
            entries.iter().map(|entry| wrapped(&entry.label, LEGEND_PT, room)).collect();
        let width_of = |lines: &Vec<String>| {
            let widest = lines.iter().map(|line| text_width(line, LEGEND_PT)).max().unwrap_or(0);
            beside + pt(GAP_PT) + widest
        };
        let widths: Vec<i32> = lines.iter().map(width_of).collect();
        // Columns of equal width where several rows are needed, so that they line up; an entry that is
        // much wider than most takes several.
        let fits_one_row = left + widths.iter().sum::<i32>() - pt(GAP_PT) <= width;
        let mut sorted = widths.clone();
        sorted.sort_unstable();
        let usual = sorted.get(sorted.len() / 2).copied().unwrap_or(1) * 3 / 2;
        let column = sorted.into_iter().filter(|width| *width <= usual).max().unwrap_or(1);
        let n_columns = ((width - left + pt(GAP_PT)) / column).max(1);
        let (mut placed, mut x, mut y, mut at, mut most) = (Vec::new(), left, 0, 0, 1);
        let row_height =
            |n_lines: usize| pt(ROW_PT) + pt((n_lines - 1) as f64 * LEGEND_PT * LINE_HEIGHT);
        for ((entry, lines), entry_width) in entries.into_iter().zip(lines).zip(widths) {
            let span = ((entry_width - pt(GAP_PT) + column - 1) / column).clamp(1, n_columns);
            if !fits_one_row && at + span > n_columns {
                (x, at) = (left, 0);
                y += row_height(std::mem::replace(&mut most, 1));
            }
            most = most.max(lines.len());
            placed.push(Placed { entry, lines, x, y });
            x += if fits_one_row { entry_width } else { span * column };
            at += span;
        }
        y += row_height(most);
        // Some room to what is below.
        let height = if placed.is_empty() { 0 } else { y + pt(3.0) };
        Self { placed, height }
    }

    /// Height in inches.
    pub fn height_in(&self) -> f64 {
        f64::from(self.height) / super::style::UNITS_PER_INCH
    }

    /// Draws the legend at the top of the area and returns the rest of the area.
    pub fn draw<'a>(&self, area: &Area<'a>) -> DrawResult<Area<'a>> {
        let (strip, rest) = area.split_vertically(self.height);
        for Placed { entry, lines, x, y } in &self.placed {
            let y = y + pt(0.55 * ROW_PT);
            draw_key(&strip, entry, *x, y)?;
            let style = text(LEGEND_PT).pos(Pos::new(HPos::Left, VPos::Center));
            for (i, line) in lines.iter().enumerate() {
                let y = y + pt(LEGEND_PT * (0.08 + i as f64 * LINE_HEIGHT));
                strip.draw_text(line, &style, (x + pt(KEY_PT + 3.0), y))?;
            }
        }
        Ok(rest)
    }
}

/// What stands before an entry at `x`, in the middle of its line.
fn draw_key(strip: &Area<'_>, entry: &Entry, x: i32, y: i32) -> DrawResult<()> {
    let end = x + pt(KEY_PT);
    let middle = x + pt(KEY_PT / 2.0);
    let colour = entry.colour;
    let stroke = colour.stroke_width(pt(LINE) as u32);
    match entry.key {
        Key::Line => strip.draw(&PathElement::new([(x, y), (end, y)], stroke))?,
        Key::Dashed(dash, gap) => {
            let mut at = x;
            while at < end {
                let to = (at + pt(dash)).min(end);
                strip.draw(&PathElement::new([(at, y), (to, y)], stroke))?;
                at += pt(dash + gap);
            }
        }
        Key::Patch => {
            let half = pt(LEGEND_PT * 0.35);
            let corners = [(middle - half, y - half), (middle + half, y + half)];
            strip.draw(&Rectangle::new(corners, colour.filled()))?;
        }
        Key::Mark(Shape::Circle) => {
            strip.draw(&Circle::new((middle, y), pt(2.4), colour.filled()))?;
        }
        Key::Mark(shape) => {
            let corners = shape.corners(pt(2.4)).into_iter().map(|(dx, dy)| (middle + dx, y + dy));
            strip.draw(&Polygon::new(corners.collect::<Vec<_>>(), colour.filled()))?;
        }
        Key::Ring => {
            let thin = colour.stroke_width(pt(HAIRLINE) as u32);
            strip.draw(&Circle::new((middle, y), pt(1.6), thin))?;
        }
        Key::Interval => {
            strip.draw(&PathElement::new([(x, y), (end, y)], stroke))?;
            for at in [x, end] {
                let cap = [(at, y - pt(1.8)), (at, y + pt(1.8))];
                strip.draw(&PathElement::new(cap, stroke))?;
            }
            strip.draw(&Circle::new((middle, y), pt(2.0), colour.filled()))?;
        }
        Key::Band => {
            let half = pt(LEGEND_PT * 0.4);
            let ground = colour.mix(super::style::BAND_ALPHA * 1.6).filled();
            strip.draw(&Rectangle::new([(x, y - half), (end, y + half)], ground))?;
        }
        Key::Bound(side) => {
            let half = pt(2.6);
            let (back, tip) = (middle - side * pt(2.5), middle + side * pt(2.5));
            let head = [(back, y - half), (tip, y), (back, y + half), (back, y - half)];
            strip.draw(&Polygon::new(head, PAPER.filled()))?;
            strip.draw(&PathElement::new(head, stroke))?;
        }
    }
    Ok(())
}

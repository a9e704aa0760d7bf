//! Axes: ticks at round numbers, titles with units, and the chart that plotters draws in them.
//!
//! Texts are laid out here, so that none is cut and none touches another: titles are broken into lines,
//! and of ticks that are too close only every second, third, … has its label.

use super::canvas::{Area, DrawResult};
use super::style::{
    AXIS_PT, GRID, HAIRLINE, INK, LINE_HEIGHT, TICK_PT, TITLE_PT, bold_text, pt, text, text_width,
    wrapped,
};
use std::ops::Range;

use plotters::chart::{ChartBuilder, ChartContext};
use plotters::coord::cartesian::Cartesian2d;
use plotters::coord::ranged1d::{DefaultFormatting, KeyPointHint, Ranged};
use plotters::prelude::SVGBackend;
use plotters::style::text_anchor::{HPos, Pos, VPos};
use plotters::style::{Color, FontTransform};

/// A linear coordinate with given key points.
#[derive(Debug, Clone)]
pub(super) struct Coordinate {
    range: Range<f64>,
    ticks: Vec<f64>,
}

impl Ranged for Coordinate {
    type FormatOption = DefaultFormatting;
    type ValueType = f64;

    fn map(&self, value: &f64, (low, high): (i32, i32)) -> i32 {
        let share = (value - self.range.start) / (self.range.end - self.range.start);
        low + (share * f64::from(high - low)).round() as i32
    }

    fn key_points<Hint: KeyPointHint>(&self, _: Hint) -> Vec<f64> {
        self.ticks.clone()
    }

    fn range(&self) -> Range<f64> {
        self.range.clone()
    }
}

/// A chart with linear axes.
pub(super) type Chart<'a, 'b> =
    ChartContext<'a, SVGBackend<'b>, Cartesian2d<Coordinate, Coordinate>>;

/// One axis: its range and its ticks with their labels.
#[derive(Debug, Clone)]
pub(super) struct Axis {
    /// What the axis shows, with its unit; empty where a neighbouring panel says it.
    pub label: String,
    pub range: Range<f64>,
    pub ticks: Vec<(f64, String)>,
    /// Whether lines across the chart mark the ticks.
    pub grid: bool,
}

impl Axis {
    /// A linear axis over exactly this range.
    pub fn over(label: &str, range: Range<f64>, n_ticks: usize) -> Self {
        let step = round_step((range.end - range.start) / n_ticks.max(1) as f64);
        let decimals = (-step.log10()).ceil().max(0.0) as usize;
        let first = (range.start / step - 1e-9).ceil() as i64;
        let last = (range.end / step + 1e-9).floor() as i64;
        let ticks = (first..=last)
            .map(|i| i as f64 * step)
            .map(|tick| (tick, number(tick, decimals)))
            .collect();
        Self { label: label.to_owned(), range, ticks, grid: true }
    }

    /// An axis of whole numbers, such as epochs.
    pub fn whole(label: &str, values: Range<u64>, n_ticks: usize) -> Self {
        let (first, last) = (values.start as f64, values.end as f64);
        let room = 0.04 * (last - first).max(1.0);
        let step = round_step((last - first) / n_ticks.max(1) as f64).max(1.0) as u64;
        let ticks = (values.start..=values.end)
            .filter(|tick| tick % step == 0)
            .map(|tick| (tick as f64, number(tick as f64, 0)))
            .collect();
        Self { label: label.to_owned(), range: first - room..last + room, ticks, grid: true }
    }

    /// One place for each label, at 0, 1, 2, …
    pub fn categories(label: &str, labels: &[String]) -> Self {
        Self {
            label: label.to_owned(),
            range: -0.5..labels.len() as f64 - 0.5,
            ticks: labels.iter().enumerate().map(|(i, l)| (i as f64, l.clone())).collect(),
            grid: false,
        }
    }

    /// The same with the direction reversed: the first category at the top of a vertical axis.
    pub fn reversed(mut self) -> Self {
        self.range = self.range.end..self.range.start;
        self
    }

    /// The same without its label.
    pub fn without_label(mut self) -> Self {
        self.label.clear();
        self
    }

    /// Width of the widest tick label, in units of the drawing.
    pub fn label_width(&self) -> i32 {
        self.ticks.iter().map(|(_, label)| text_width(label, TICK_PT)).max().unwrap_or(0)
    }

    /// The same with labels only on every so many ticks that those on a horizontal axis of this length
    /// stand apart.
    fn thinned(mut self, length: i32) -> Self {
        let place = |tick: f64| {
            f64::from(length) * (tick - self.range.start) / (self.range.end - self.range.start)
        };
        let edge = |(tick, label): &(f64, String), side: f64| {
            place(*tick) + side * f64::from(text_width(label, TICK_PT)) / 2.0
        };
        let gap = f64::from(pt(TICK_PT * 0.5));
        let stand_apart = |step: usize| {
            let kept: Vec<_> = self.ticks.iter().step_by(step).collect();
            kept.windows(2).all(|pair| edge(pair[0], 1.0) + gap <= edge(pair[1], -1.0))
        };
        let n = self.ticks.len();
        let step = (1..=n.max(1)).find(|step| stand_apart(*step)).unwrap_or(n.max(1));
        for (i, (_, label)) in self.ticks.iter_mut().enumerate() {
            if i % step != 0 {
                label.clear();
            }
        }
        self
    }

    fn coordinate(&self) -> Coordinate {
        let ticks = self.ticks.iter().map(|(tick, _)| *tick).collect();
        Coordinate { range: self.range.clone(), ticks }
    }

    fn label_at(&self, value: f64) -> String {
        self.ticks.iter().find(|(tick, _)| *tick == value).map_or_else(String::new, |t| t.1.clone())
    }
}

/// Height of so many lines, in units of the drawing.
pub(super) fn lines_height(n: usize, points: f64) -> i32 {
    pt(n as f64 * points * LINE_HEIGHT)
}

/// Lines that a panel's title takes on an area of this width.
pub(super) fn title_lines(title: &str, width: i32) -> Vec<String> {
    wrapped(title, TITLE_PT, width - pt(6.0))
}

/// Draws axes into the area, below a title if there is one, and returns the chart to draw in.
/// `label_width` is the room for the vertical axis's tick labels (panels side by side share one).
pub(super) fn chart<'a, 'b>(
    area: &'a Area<'b>,
    title: &[String],
    x: &Axis,
    y: &Axis,
    label_width: i32,
) -> DrawResult<Chart<'a, 'b>> {
    let (width, height) = area.dim_in_pixel();
    let (width, height) = (width as i32, height as i32);
    let (tick, margin) = (pt(2.0), pt(1.5));
    let above = match title.len() {
        0 => pt(TICK_PT * 0.6),
        n => lines_height(n, TITLE_PT) + pt(TITLE_PT * 0.55),
    };
    let beside = label_width + 2 * tick + pt(1.0);
    // Half of the last tick's label may stick out on the right.
    let last_tick = x.ticks.last().map_or(0, |(_, label)| text_width(label, TICK_PT));
    let right = (last_tick / 2).max(pt(3.0));
    let below = 2 * tick + pt(TICK_PT + 2.0);
    let x_room = width - beside - right - 2 * margin;
    let lines = |label: &str, room: i32| {
        if label.is_empty() { vec![] } else { wrapped(label, AXIS_PT, room.max(pt(AXIS_PT))) }
    };
    let y_lines = lines(&y.label, height - above - below);
    let left = margin + lines_height(y_lines.len(), AXIS_PT);
    // A long title may reach below the tick labels on the left.
    let x_lines = lines(&x.label, x_room - left + beside);
    let bottom = margin + lines_height(x_lines.len(), AXIS_PT);
    for (i, line) in title.iter().enumerate() {
        let middle = (left + beside + width - right) / 2;
        let at = (middle, pt(TITLE_PT * 0.3) + lines_height(i, TITLE_PT));
        area.draw_text(line, &bold_text(TITLE_PT).pos(Pos::new(HPos::Center, VPos::Top)), at)?;
    }
    let x = &x.clone().thinned(width - left - beside - right);
    let mut chart = ChartBuilder::on(area)
        .margin_top(above)
        .margin_right(right)
        .margin_bottom(bottom)
        .margin_left(left)
        .x_label_area_size(below)
        .y_label_area_size(beside)
        .build_cartesian_2d(x.coordinate(), y.coordinate())?;
    let mut mesh = chart.configure_mesh();
    mesh.bold_line_style(GRID.stroke_width(pt(0.5) as u32))
        .axis_style(INK.stroke_width(pt(HAIRLINE) as u32))
        .set_all_tick_mark_size(tick)
        .label_style(text(TICK_PT))
        .y_label_offset(pt(TICK_PT * 0.08));
    if !x.grid {
        mesh.disable_x_mesh();
    }
    if !y.grid {
        mesh.disable_y_mesh();
    }
    let (x_label, y_label) = (|v: &f64| x.label_at(*v), |v: &f64| y.label_at(*v));
    mesh.x_label_formatter(&x_label).y_label_formatter(&y_label);
    mesh.draw()?;
    let centred = text(AXIS_PT).pos(Pos::new(HPos::Center, VPos::Center));
    let line_at = |i: usize| pt((i as f64 + 0.5) * AXIS_PT * LINE_HEIGHT);
    for (i, line) in x_lines.iter().enumerate() {
        // Centred below the plot as far as it fits, else as far to the right as it can be.
        let half = text_width(line, AXIS_PT) / 2;
        let middle = (left + beside + width - right) / 2;
        let middle = middle.min(width - margin - half).max(margin + half);
        area.draw_text(line, &centred, (middle, height - bottom + line_at(i)))?;
    }
    let vertical = centred.transform(FontTransform::Rotate270);
    for (i, line) in y_lines.iter().enumerate() {
        let middle = (above + height - bottom - below) / 2;
        area.draw_text(line, &vertical, (margin + line_at(i), middle))?;
    }
    Ok(chart)
}

/// The smallest of 1, 2, 5, 10, … × 10^k that is not below `step`.
fn round_step(step: f64) -> f64 {
    let step = step.max(1e-12);
    let power = 10f64.powf(step.log10().floor());
    let factor = [1.0, 2.0, 5.0].into_iter().find(|f| f * power >= step * (1.0 - 1e-9));
    factor.unwrap_or(10.0) * power
}

/// A number with a thin space between thousands and a true minus sign.
pub(super) fn number(value: f64, decimals: usize) -> String {
    let text = format!("{:.decimals$}", value.abs());
    let (whole, fraction) = text.split_once('.').unwrap_or((&text, ""));
    let mut grouped = String::new();
    for (i, digit) in whole.chars().enumerate() {
        if i > 0 && (whole.len() - i).is_multiple_of(3) && whole.len() > 4 {
            grouped.push('\u{2009}');
        }
        grouped.push(digit);
    }
    let sign =
        if value < 0.0 && text.bytes().any(|b| (b'1'..=b'9').contains(&b)) { "−" } else { "" };
    let point = if fraction.is_empty() { "" } else { "." };
    format!("{sign}{grouped}{point}{fraction}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(axis: &Axis) -> Vec<&str> {
        axis.ticks.iter().map(|(_, label)| label.as_str()).collect()
    }

    #[test]
    fn ticks_are_round_numbers() {
        assert_eq!(labels(&Axis::over("", 0.0..100.0, 5)), ["0", "20", "40", "60", "80", "100"]);
        assert_eq!(labels(&Axis::over("", 71.3..83.9, 4)), ["75", "80"]);
        assert_eq!(labels(&Axis::over("", -1.0..0.5, 3)), ["−1.0", "−0.5", "0.0", "0.5"]);
        assert_eq!(
            labels(&Axis::over("", 0.0..24000.0, 3)),
            ["0", "10\u{2009}000", "20\u{2009}000"]
        );
    }

    #[test]
    fn whole_numbers_have_no_ticks_between_them() {
        assert_eq!(labels(&Axis::whole("", 1..5, 6)), ["1", "2", "3", "4", "5"]);
        assert_eq!(labels(&Axis::whole("", 1..50, 5)), ["10", "20", "30", "40", "50"]);
        assert_eq!(labels(&Axis::whole("", 1..1, 5)), ["1"]);
    }

    #[test]
    fn ticks_that_are_too_close_lose_their_labels_not_their_marks() {
        let axis = Axis::over("", 0.0..1e6, 20).thinned(pt(120.0));
        assert!(axis.ticks.len() >= 20);
        let shown: Vec<&str> =
            labels(&axis).into_iter().filter(|label| !label.is_empty()).collect();
        assert!((2..6).contains(&shown.len()), "{shown:?}");
    }
}

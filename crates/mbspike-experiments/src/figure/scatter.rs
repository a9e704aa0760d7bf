//! One quantity over another, a mark for each point of a sweep: a dot for the mean of its repeats,
//! with 95 % intervals both ways, and a small ring for each repeat.

use plotters::element::{Circle, PathElement};
use plotters::style::Color;

use super::axes::{Axis, chart};
use super::canvas::{Figure, pt, units};
use super::legend::{Entry, Key, Legend};
use super::{COLUMN_IN, Error, HAIRLINE, PAGE_IN, Result, colour};
use crate::curves::Estimate;

/// Panels side by side with one vertical axis.
#[derive(Debug, Clone)]
pub(super) struct Scatter {
    pub name: &'static str,
    pub title: String,
    pub y_label: &'static str,
    /// The largest value that the vertical quantity can have.
    pub most: f64,
    /// Names of the marks, the same in each panel.
    pub labels: Vec<String>,
    pub panels: Vec<ScatterPanel>,
}

/// For each mark its repeats, as `(x, y)`.
#[derive(Debug, Clone)]
pub(super) struct ScatterPanel {
    pub x_label: String,
    pub marks: Vec<Vec<(f64, f64)>>,
}

impl Scatter {
    pub fn draw(&self) -> Result<Figure> {
        let all = || self.panels.iter().flat_map(|panel| panel.marks.iter().flatten());
        let (low, high) =
            all().fold((f64::INFINITY, f64::NEG_INFINITY), |(a, b), (_, y)| (a.min(*y), b.max(*y)));
        if low > high {
            let missing = format!("no record has the {} yet", self.title);
            return Err(Error::NoData { figure: self.name.to_owned(), missing });
        }
        let room = 0.12 * (high - low).max(1.0);
        let y = Axis::over(self.y_label, low - room..(high + room).min(self.most), 5);
        let n = self.labels.len();
        let entries = self.labels.iter().enumerate().map(|(i, label)| Entry {
            label: label.clone(),
            colour: colour(i, n),
            key: Key::Patch,
        });
        let width = if self.panels.len() > 1 { PAGE_IN } else { COLUMN_IN };
        let legend = Legend::new(entries.collect(), units(width) - pt(6.0));
        let height = legend.height_in() + 2.25;
        Figure::draw(self.name, &self.title, (width, height), |area| {
            let area = legend.draw(area)?;
            let cells = area.split_evenly((1, self.panels.len()));
            for (i, (panel, cell)) in self.panels.iter().zip(&cells).enumerate() {
                let xs = || panel.marks.iter().flatten().map(|(x, _)| *x);
                let most = xs().fold(0.0, f64::max).max(f64::MIN_POSITIVE);
                let x = Axis::over(&panel.x_label, 0.0..1.1 * most, 4);
                let y = if i == 0 { y.clone() } else { y.clone().without_label() };
                let mut chart = chart(cell, None, &x, &y, y.label_width())?;
                for (i, repeats) in panel.marks.iter().enumerate() {
                    let ink = colour(i, n);
                    let of = |value: fn(&(f64, f64)) -> f64| {
                        Estimate::of(&repeats.iter().map(value).collect::<Vec<_>>())
                    };
                    let (Some(at_x), Some(at_y)) = (of(|p| p.0), of(|p| p.1)) else { continue };
                    if repeats.len() > 1 {
                        let thin = ink.mix(0.55).stroke_width(pt(HAIRLINE) as u32);
                        let rings = repeats.iter().map(|p| Circle::new(*p, pt(1.6), thin));
                        chart.draw_series(rings)?;
                    }
                    let bar = ink.stroke_width(pt(HAIRLINE) as u32);
                    let clip = |v: f64, axis: &Axis| v.clamp(axis.range.start, axis.range.end);
                    if let Some((a, b)) = at_x.interval() {
                        let ends = [(clip(a, &x), at_y.mean), (clip(b, &x), at_y.mean)];
                        chart.draw_series([PathElement::new(ends, bar)])?;
                    }
                    if let Some((a, b)) = at_y.interval() {
                        let ends = [(at_x.mean, clip(a, &y)), (at_x.mean, clip(b, &y))];
                        chart.draw_series([PathElement::new(ends, bar)])?;
                    }
                    let mean = (at_x.mean, at_y.mean);
                    chart.draw_series([Circle::new(mean, pt(2.6), ink.filled())])?;
                }
            }
            Ok(())
        })
    }
}

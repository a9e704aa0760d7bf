//! One quantity over another, a mark for each point of a sweep: a dot for the mean of its repeats,
//! with 95 % intervals both ways, a small ring for each repeat, and the Pareto front of the means.

use std::ops::Range;

use plotters::element::{Circle, PathElement};
use plotters::style::{Color, RGBColor};

use super::axes::{Axis, Chart, chart};
use super::canvas::{DrawResult, Figure};
use super::error::{Error, Result};
use super::interval::{Bar, Side};
use super::legend::{Entry, Key, Legend};
use super::line_panels::{shown_interval, union};
use super::style::{COLUMN_IN, HAIRLINE, MUTED, PAGE_IN, colour, pt, units};
use mbspike_results::{Estimate, Measure};

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

/// For each mark its repeats, as `(x, y)`: the less of x and the more of y, the better.
#[derive(Debug, Clone)]
pub(super) struct ScatterPanel {
    pub x_label: String,
    pub marks: Vec<Vec<(f64, f64)>>,
}

/// The mean of a mark's repeats.
struct Mean {
    x: Measure,
    y: Measure,
}

impl ScatterPanel {
    fn means(&self) -> Vec<Option<Mean>> {
        let mean = |repeats: &Vec<(f64, f64)>| {
            let of = |value: fn(&(f64, f64)) -> f64| {
                Estimate::of(&repeats.iter().map(value).collect::<Vec<_>>()).map(Measure::from)
            };
            Some(Mean { x: of(|p| p.0)?, y: of(|p| p.1)? })
        };
        self.marks.iter().map(mean).collect()
    }

    /// The marks on the Pareto front of the means, in the order of x.
    pub fn front(&self) -> Vec<usize> {
        pareto_front(
            &self.means().iter().map(|mean| Some(mean.as_ref()?.point())).collect::<Vec<_>>(),
        )
    }
}

impl Mean {
    fn point(&self) -> (f64, f64) {
        (self.x.value, self.y.value)
    }
}

impl Scatter {
    pub fn draw(&self) -> Result<Figure> {
        let Some(y) = self.y_axis() else {
            let missing = format!("no record has the {} yet", self.title);
            return Err(Error::NoData { figure: self.name.to_owned(), missing });
        };
        let n = self.labels.len();
        let has_front = n > 2;
        let mut entries: Vec<Entry> = self
            .labels
            .iter()
            .enumerate()
            .map(|(i, label)| Entry { label: label.clone(), colour: colour(i, n), key: Key::Patch })
            .collect();
        if has_front {
            let label = "Pareto front of the means".to_owned();
            entries.push(Entry { label, colour: MUTED, key: Key::Line });
        }
        let n_columns = self.panels.len().min(MAX_COLUMNS);
        let n_rows = self.panels.len().div_ceil(n_columns);
        let width = if n_columns > 1 { PAGE_IN } else { COLUMN_IN };
        let legend = Legend::new(entries, units(width) - pt(6.0));
        let height = legend.height_in() + PANEL_IN * n_rows as f64;
        Figure::draw(self.name, &self.title, (width, height), |area| {
            let area = legend.draw(area)?;
            let cells = area.split_evenly((n_rows, n_columns));
            for (i, (panel, cell)) in self.panels.iter().zip(&cells).enumerate() {
                let xs = || panel.marks.iter().flatten().map(|(x, _)| *x);
                let most = xs().fold(0.0, f64::max).max(f64::MIN_POSITIVE);
                let x = Axis::over(&panel.x_label, 0.0..1.1 * most, 4);
                let own = y.clone();
                let own = if i % n_columns == 0 { own } else { own.without_label() };
                let mut chart = chart(cell, None, &x, &own, y.label_width())?;
                let means = panel.means();
                if has_front {
                    draw_front(&mut chart, panel, &x, &y)?;
                }
                for (i, (repeats, mean)) in panel.marks.iter().zip(&means).enumerate() {
                    let Some(mean) = mean else { continue };
                    draw_mark(&mut chart, repeats, mean, colour(i, n), &x, &y)?;
                }
            }
            Ok(())
        })
    }

    /// Wide enough for all repeats, and for intervals as far as they are not wider than all these.
    fn y_axis(&self) -> Option<Axis> {
        let marks = self.panels.iter().flat_map(|panel| panel.marks.iter().flatten());
        let Range { start: low, end: high } = union(marks.map(|(_, y)| *y..*y))?;
        let spread = (high - low).max(1.0);
        let means = self.panels.iter().flat_map(ScatterPanel::means).flatten();
        let intervals = means.filter_map(|mean| shown_interval(&mean.y)).map(|(a, b)| a..b);
        let wide = union(intervals).unwrap_or(low..high);
        let low = low.min(wide.start.max(low - spread));
        let high = high.max(wide.end.min(high + spread));
        let room = 0.08 * (high - low).max(1.0);
        Some(Axis::over(self.y_label, (low - room).max(0.0)..(high + room).min(self.most), 5))
    }
}

/// Most panels side by side.
const MAX_COLUMNS: usize = 2;
/// Half a cap, in points.
const CAP: f64 = 1.8;
/// Height of a panel, in inches.
const PANEL_IN: f64 = 2.25;

/// Which points no other beats in both, with less of x and more of y; in the order of x.
fn pareto_front(points: &[Option<(f64, f64)>]) -> Vec<usize> {
    let mut front: Vec<(usize, (f64, f64))> =
        points.iter().enumerate().filter_map(|(i, point)| Some((i, (*point)?))).collect();
    front.sort_by(|(_, a), (_, b)| a.0.total_cmp(&b.0).then(b.1.total_cmp(&a.1)));
    let mut best = f64::NEG_INFINITY;
    front.retain(|(_, (_, y))| {
        let is_better = *y > best;
        best = best.max(*y);
        is_better
    });
    front.into_iter().map(|(i, _)| i).collect()
}

/// The front as a staircase: what is above and to the left of it, no point reaches.
fn draw_front(
    chart: &mut Chart<'_, '_>,
    panel: &ScatterPanel,
    x: &Axis,
    y: &Axis,
) -> DrawResult<()> {
    let means = panel.means();
    let points = panel.front().into_iter().filter_map(|i| Some(means[i].as_ref()?.point()));
    let mut path: Vec<(f64, f64)> = Vec::new();
    for (at, level) in points {
        let before = path.last().map_or(y.range.start, |(_, level)| *level);
        path.extend([(at, before), (at, level)]);
    }
    path.extend(path.last().map(|(_, level)| (x.range.end, *level)));
    chart.draw_series([PathElement::new(path, MUTED.stroke_width(pt(HAIRLINE) as u32))])?;
    Ok(())
}

fn draw_mark(
    chart: &mut Chart<'_, '_>,
    repeats: &[(f64, f64)],
    mean: &Mean,
    ink: RGBColor,
    x: &Axis,
    y: &Axis,
) -> DrawResult<()> {
    if repeats.len() > 1 {
        let thin = ink.mix(0.55).stroke_width(pt(HAIRLINE) as u32);
        let rings = repeats.iter().map(|p| Circle::new(*p, pt(1.6), thin));
        chart.draw_series(rings)?;
    }
    let middle = mean.point();
    if let Some((low, high)) = shown_interval(&mean.x) {
        Bar { axis: Side::X, at: middle.1, ends: [low, high], cap: CAP }.draw(chart, x, ink)?;
    }
    if let Some((low, high)) = shown_interval(&mean.y) {
        Bar { axis: Side::Y, at: middle.0, ends: [low, high], cap: CAP }.draw(chart, y, ink)?;
    }
    chart.draw_series([Circle::new(middle, pt(2.6), ink.filled())])?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::pareto_front;

    #[test]
    fn no_point_of_the_front_is_beaten_in_both() {
        let points = [(4.0, 80.0), (1.0, 70.0), (2.0, 69.0), (3.0, 80.0), (3.0, 75.0), (9.0, 81.0)];
        let mut points: Vec<_> = points.into_iter().map(Some).collect();
        points.insert(0, None);
        assert_eq!(pareto_front(&points), [2, 4, 6]);
        assert!(pareto_front(&[]).is_empty());
    }
}

//! One quantity over another, a mark for each point of a sweep: a dot for the mean of its repeats,
//! with 95 % intervals both ways, a small ring for each repeat, and the Pareto front of the means.

use std::ops::Range;

use plotters::element::{Circle, EmptyElement, PathElement, Polygon};
use plotters::style::text_anchor::{HPos, Pos, VPos};
use plotters::style::{Color, RGBColor};

use super::axes::{Axis, Chart, chart};
use super::canvas::{Area, DrawResult, Figure};
use super::error::{Error, Result};
use super::interval::{Bar, INTERVAL, Side, shown_interval};
use super::legend::{Entry, Key, Legend, Shape};
use super::line_panels::union;
use super::style::{
    COLUMN_IN, HAIRLINE, LEGEND_PT, MUTED, OKABE_ITO, PAGE_IN, Series, TICK_PT, pt, text,
    text_width, units,
};
use mbspike_results::{Estimate, Grid, Group, Groups, Measure, Summary, bits_in_words};

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
    pub looks: Looks,
    pub panels: Vec<ScatterPanel>,
}

/// How the marks are told apart.
#[derive(Debug, Clone)]
pub(super) struct Looks {
    /// Colour and shape of each mark.
    pub marks: Vec<(RGBColor, Shape)>,
    /// What they mean.
    pub entries: Vec<Entry>,
}

impl Looks {
    /// Of groups that differ in bits and time steps alone a colour for bits and a shape for time steps;
    /// else a colour for each group.
    pub fn of<R: AsRef<Summary>>(runs: &Groups<R>) -> Self {
        let entry = |label: String, colour, key| Entry { label, colour, key };
        let Some(Grid { bits, time_steps, .. }) = runs.grid() else {
            let n = runs.groups.len();
            let scale = if runs.is_ordered() { Series::Ordered } else { Series::Kinds };
            // Colours come back after a while; shapes do, too, but never both at once.
            let look = |i: usize| {
                let shape = match scale {
                    Series::Ordered => Shape::Circle,
                    Series::Kinds => Shape::ALL[i / OKABE_ITO.len() % Shape::ALL.len()],
                };
                (scale.colour(i, n), shape)
            };
            let marks: Vec<_> = (0..n).map(look).collect();
            let entries = runs.labels().into_iter().zip(&marks);
            let entries =
                entries.map(|(label, (colour, shape))| entry(label, *colour, Key::Mark(*shape)));
            return Self { entries: entries.collect(), marks };
        };
        let place =
            |values: &[u64], value: u64| values.iter().position(|v| *v == value).unwrap_or(0);
        let colour = |bits_of: u64| Series::Ordered.colour(place(&bits, bits_of), bits.len());
        let shape = |steps: u64| Shape::ALL[place(&time_steps, steps) % Shape::ALL.len()];
        let mark = |group: &Group<R>| {
            (colour(group.bits().into()), shape(group.first().time_steps as u64))
        };
        let of_bits = bits
            .iter()
            .map(|&bits| entry(bits_in_words(&bits.to_string()), colour(bits), Key::Patch));
        let of_steps = time_steps
            .iter()
            .map(|&steps| entry(format!("T = {steps}"), MUTED, Key::Mark(shape(steps))));
        Self {
            marks: runs.groups.iter().map(mark).collect(),
            entries: of_bits.chain(of_steps).collect(),
        }
    }
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
        let has_front = self.labels.len() > 2;
        let mut entries = self.looks.entries.clone();
        if has_front {
            let label = "front: none is better in both".to_owned();
            entries.push(Entry { label, colour: MUTED, key: Key::Line });
        }
        let means = || self.panels.iter().flat_map(ScatterPanel::means).flatten();
        if means().any(|mean| shown_interval(&mean.x).or(shown_interval(&mean.y)).is_some()) {
            let label = format!("mean, {INTERVAL}");
            entries.push(Entry { label, colour: MUTED, key: Key::Interval });
        }
        if self.panels.iter().any(|panel| panel.marks.iter().any(|repeats| repeats.len() > 1)) {
            let label = "one repeat".to_owned();
            entries.push(Entry { label, colour: MUTED, key: Key::Ring });
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
                let mut chart = chart(cell, &[], &x, &own, y.label_width())?;
                let means = panel.means();
                if has_front {
                    draw_front(&mut chart, panel, &x, &y)?;
                }
                for ((repeats, mean), look) in panel.marks.iter().zip(&means).zip(&self.looks.marks)
                {
                    let Some(mean) = mean else { continue };
                    draw_mark(&mut chart, repeats, mean, *look, &x, &y)?;
                }
                if has_front {
                    self.label_front(cell, &chart, panel, &means, [&x, &y])?;
                }
            }
            Ok(())
        })
    }

    /// Names of the points on the front, each beside its point, where it covers nothing.
    fn label_front(
        &self,
        area: &Area<'_>,
        chart: &Chart<'_, '_>,
        panel: &ScatterPanel,
        means: &[Option<Mean>],
        [x, y]: [&Axis; 2],
    ) -> DrawResult<()> {
        let (dx, dy) = area.get_base_pixel();
        let place = |at: (f64, f64)| {
            let (x, y) = chart.backend_coord(&at);
            (x - dx, y - dy)
        };
        let (left, bottom) = place((x.range.start, y.range.start));
        let (right, top) = place((x.range.end, y.range.end));
        // Left, top, right, bottom of what is taken.
        let around = |(x, y): (i32, i32), r: i32| [x - r, y - r, x + r, y + r];
        let mut taken: Vec<[i32; 4]> =
            means.iter().flatten().map(|mean| around(place(mean.point()), pt(2.6))).collect();
        for i in panel.front() {
            let Some(mean) = &means[i] else { continue };
            let (px, py) = place(mean.point());
            let (width, height) = (text_width(&self.labels[i], TICK_PT), pt(TICK_PT));
            let gap = pt(4.0);
            let candidates = [
                (px + gap, py + gap / 2),
                (px - gap - width, py - gap / 2 - height),
                (px + gap, py - gap / 2 - height),
                (px - gap - width, py + gap / 2),
                (px - width / 2, py - 2 * gap - height),
                (px - width / 2, py + 2 * gap),
            ];
            let free = candidates.into_iter().find(|(x, y)| {
                let [l, t, r, b] = [*x, *y, x + width, y + height];
                let is_inside = l >= left && r <= right && t >= top && b <= bottom;
                is_inside && taken.iter().all(|o| r < o[0] || o[2] < l || b < o[1] || o[3] < t)
            });
            if let Some((x, y)) = free {
                let style = text(LEGEND_PT).pos(Pos::new(HPos::Left, VPos::Top));
                area.draw_text(&self.labels[i], &style, (x, y))?;
                taken.push([x, y, x + width, y + height]);
            }
        }
        Ok(())
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
    (ink, shape): (RGBColor, Shape),
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
        Bar { axis: Side::X, at: middle.1, ends: [low, high], cap: CAP }
            .draw(chart, x, ink, HAIRLINE)?;
    }
    if let Some((low, high)) = shown_interval(&mean.y) {
        Bar { axis: Side::Y, at: middle.0, ends: [low, high], cap: CAP }
            .draw(chart, y, ink, HAIRLINE)?;
    }
    if shape == Shape::Circle {
        chart.draw_series([Circle::new(middle, pt(2.6), ink.filled())])?;
    } else {
        let mark = Polygon::new(shape.corners(pt(2.6)), ink.filled());
        chart.draw_series([EmptyElement::at(middle) + mark])?;
    }
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

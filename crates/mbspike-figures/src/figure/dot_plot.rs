//! Means with 95 % intervals, one row a category: a dot for the mean, a bar for its interval, and a small
//! ring for each repeat. A bound is an open arrow.

use plotters::element::Circle;
use plotters::series::DashedLineSeries;
use plotters::style::text_anchor::{HPos, Pos, VPos};
use plotters::style::{Color, RGBColor};

use super::axes::{Axis, Chart, chart};
use super::canvas::{Area, DrawResult, Figure};
use super::error::{Error, Result};
use super::interval::{Bar, INTERVAL, Side, bound_arrow, shown_interval};
use super::legend::{Entry, Key, Legend};
use super::style::{
    AXIS_PT, COLUMN_IN, HAIRLINE, INK, LINE, LINE_HEIGHT, MUTED, OKABE_ITO, PAGE_IN,
    Series as Scale, TICK_PT, bold_text, bold_width, pt, text, units, wrapped,
};
use mbspike_results::{Bound, Measure, Repeats};

/// The repeats of one category and series.
#[derive(Debug, Clone)]
pub(super) struct Cell {
    pub measure: Measure,
    pub values: Vec<f64>,
}

impl Cell {
    /// The mean of some repeats; `None` without any.
    pub fn of(repeats: &Repeats) -> Option<Self> {
        Some(Self { measure: repeats.measure()?, values: repeats.values() })
    }

    /// The mean of some repeats over that of others, times `unit`; `None` where that says nothing.
    pub fn ratio(repeats: &Repeats, reference: &Repeats, unit: f64) -> Option<Self> {
        // Two lower bounds say nothing of each other, were they the same.
        if repeats.n_censored() > 0 && reference.n_censored() > 0 {
            return None;
        }
        let measure = repeats.ratio_to(reference)?.scaled(unit);
        let values = repeats.relative_values(reference);
        Some(Self { measure, values: values.into_iter().map(|value| unit * value).collect() })
    }

    /// The mean of some repeats less that of others; `None` where that says nothing.
    pub fn difference(repeats: &Repeats, reference: &Repeats) -> Option<Self> {
        Some(Self { measure: repeats.difference_to(reference)?, values: vec![] })
    }

    /// To which side of its mark the value lies, where it is a bound.
    fn side(&self) -> Option<i32> {
        match self.measure.bound {
            Bound::Exact => None,
            Bound::AtLeast => Some(1),
            Bound::AtMost => Some(-1),
        }
    }
}

/// One colour: a cell for each category, where there is one.
#[derive(Debug, Clone)]
pub(super) struct Series {
    pub label: String,
    pub cells: Vec<Option<Cell>>,
}

impl Series {
    /// The only series of a figure, which needs no name.
    pub fn only(cells: impl Iterator<Item = Option<Cell>>) -> Vec<Self> {
        vec![Self { label: String::new(), cells: cells.collect() }]
    }
}

/// Rows of categories, in each a dot for each series.
#[derive(Debug, Clone)]
pub(super) struct DotPlot {
    pub name: &'static str,
    pub title: String,
    pub x_label: String,
    pub categories: Vec<String>,
    pub series: Vec<Series>,
    /// Whether the series come in an order.
    pub scale: Scale,
    /// The category that the others are compared with.
    pub reference: Option<usize>,
    /// A number to mark, such as 0 for differences; the mean of the reference where this is left open.
    pub level: Option<f64>,
    /// Whether the axis starts at 0, as it should where lengths are compared.
    pub from_zero: bool,
    /// The smallest and the largest value that the quantity can have.
    pub limits: (f64, f64),
}

/// Height of a row with one series, and what each more adds, in inches.
const ROW_IN: (f64, f64) = (0.07, 0.19);
/// The share of a figure's width that labels of categories may take.
const LABEL_SHARE: f64 = 0.45;
/// What stands in a row without a value.
const NOTHING: &str = "not known";

impl DotPlot {
    fn cells(&self) -> impl Iterator<Item = &Cell> {
        self.series.iter().flat_map(|series| series.cells.iter().flatten())
    }

    fn no_data(&self, missing: String) -> Error {
        Error::NoData { figure: self.name.to_owned(), missing }
    }

    /// Why the figure would say nothing.
    fn reason_not_to_draw(&self) -> Option<String> {
        let mut values = self.cells().map(|cell| cell.measure.value);
        let Some(first) = values.next() else {
            return Some(format!("no record has the {} yet", self.title));
        };
        if self.cells().count() < 2 && self.level.is_none() {
            return Some(format!("one value alone of the {}", self.title));
        }
        let is_same = self.cells().count() > 1 && values.all(|value| value == first);
        let is_exact = self.cells().all(|cell| cell.side().is_none());
        (is_same && is_exact).then(|| format!("all values are equal of the {}", self.title))
    }

    fn range(&self) -> (f64, f64) {
        let ends = |cell: &Cell| {
            let values = cell.values.iter().copied().chain([cell.measure.value]);
            let interval = shown_interval(&cell.measure).into_iter().flat_map(|(a, b)| [a, b]);
            let all = values.chain(interval);
            all.fold((f64::INFINITY, f64::NEG_INFINITY), |(a, b), v| (a.min(v), b.max(v)))
        };
        let (low, high) = self
            .cells()
            .map(ends)
            .fold((f64::INFINITY, f64::NEG_INFINITY), |a, b| (a.0.min(b.0), a.1.max(b.1)));
        let level = self.level.unwrap_or(low);
        let (low, high) = (low.min(level), high.max(level));
        // An interval may reach beyond what the quantity can be; the axis does not.
        let (low, high) = (low.max(self.limits.0), high.min(self.limits.1));
        let low = if self.from_zero { low.min(0.0) } else { low };
        let room = 0.06 * (high - low).max(1e-3 * high.abs()).max(1e-9);
        (if self.from_zero && low >= 0.0 { 0.0 } else { low - room }, high + room)
    }

    /// What marks mean, as far as they are there.
    fn entries(&self) -> Vec<Entry> {
        let n = self.series.len();
        let mut entries = Vec::new();
        if n > 1 {
            entries.extend(self.series.iter().enumerate().map(|(i, series)| Entry {
                label: series.label.clone(),
                colour: self.scale.colour(i, n),
                key: Key::Patch,
            }));
        }
        let ink = if n > 1 { MUTED } else { OKABE_ITO[0] };
        let mut add = |is_there: bool, label: &str, key| {
            if is_there {
                entries.push(Entry { label: label.to_owned(), colour: ink, key });
            }
        };
        let has_intervals = self.cells().any(|cell| shown_interval(&cell.measure).is_some());
        add(has_intervals, &format!("mean, {INTERVAL}"), Key::Interval);
        add(self.cells().any(|cell| cell.values.len() > 1), "one repeat", Key::Ring);
        for (side, words) in [(1, "at least"), (-1, "at most")] {
            let is_there = self.cells().any(|cell| cell.side() == Some(side));
            add(is_there, &format!("{words}: not every repeat reached it"), Key::Bound(side));
        }
        entries
    }

    pub fn draw(&self) -> Result<Figure> {
        if let Some(reason) = self.reason_not_to_draw() {
            return Err(self.no_data(reason));
        }
        let (low, high) = self.range();
        let x = Axis::over(&self.x_label, low..high, 5);
        let blank = vec![String::new(); self.categories.len()];
        let y = Axis::categories("", &blank).reversed();
        let name = |(i, name): (usize, &String)| {
            if self.reference == Some(i) { format!("{name} (reference)") } else { name.clone() }
        };
        let names: Vec<String> = self.categories.iter().enumerate().map(name).collect();
        // A column wide where the labels leave room for the data, else a page.
        let widest = names.iter().map(|name| bold_width(name, TICK_PT)).max().unwrap_or(0);
        let fits = f64::from(widest) <= LABEL_SHARE * f64::from(units(COLUMN_IN));
        let width = if fits { COLUMN_IN } else { PAGE_IN };
        let room = widest.min((LABEL_SHARE * f64::from(units(width))) as i32);
        let labels: Vec<Vec<String>> =
            names.iter().map(|name| wrapped(name, TICK_PT, room)).collect();
        let n_lines = labels.iter().map(Vec::len).max().unwrap_or(1);
        let n = self.series.len();
        let row_in = (ROW_IN.0 + ROW_IN.1 * n as f64 * if n > 4 { 0.6 } else { 1.0 })
            .max((n_lines as f64 + 0.5) * TICK_PT * LINE_HEIGHT / 72.0);
        let legend = Legend::new(self.entries(), units(width) - pt(6.0));
        let n_title = wrapped(&self.x_label, AXIS_PT, units(width) - room - pt(10.0)).len();
        let axes_in = (TICK_PT * 2.0 + n_title as f64 * AXIS_PT * LINE_HEIGHT + 4.0) / 72.0;
        let height = legend.height_in() + row_in * self.categories.len() as f64 + axes_in;

        Figure::draw(self.name, &self.title, (width, height), |area| {
            let area = legend.draw(area)?;
            let mut chart = chart(&area, &[], &x, &y, room + pt(TICK_PT))?;
            self.draw_labels(&area, &chart, &labels)?;
            self.draw_level(&mut chart, &y)?;
            for (i, series) in self.series.iter().enumerate() {
                let offset = (i as f64 + 0.5) / n as f64 - 0.5;
                for (row, cell) in series.cells.iter().enumerate() {
                    let at = row as f64 + 0.8 * offset;
                    match cell {
                        Some(cell) => {
                            draw_cell(&mut chart, cell, at, &x, self.scale.colour(i, n))?;
                        }
                        None if n == 1 => {
                            let style = text(TICK_PT).color(&MUTED);
                            let style = style.pos(Pos::new(HPos::Left, VPos::Center));
                            let (left, y) = chart.backend_coord(&(x.range.start, at));
                            let (dx, dy) = area.get_base_pixel();
                            area.draw_text(NOTHING, &style, (left - dx + pt(4.0), y - dy))?;
                        }
                        None => {}
                    }
                }
            }
            Ok(())
        })
    }

    /// Names of the categories, in lines, that of the reference in bold.
    fn draw_labels(
        &self,
        area: &Area<'_>,
        chart: &Chart<'_, '_>,
        labels: &[Vec<String>],
    ) -> DrawResult<()> {
        let (dx, dy) = area.get_base_pixel();
        for (row, lines) in labels.iter().enumerate() {
            let (left, middle) = chart.backend_coord(&(self.range().0, row as f64));
            let style =
                if self.reference == Some(row) { bold_text(TICK_PT) } else { text(TICK_PT) };
            let style = style.pos(Pos::new(HPos::Right, VPos::Center));
            for (i, line) in lines.iter().enumerate() {
                let up = (lines.len() - 1) as f64 / 2.0 - i as f64;
                let y = middle - dy - pt(up * TICK_PT * LINE_HEIGHT) + pt(TICK_PT * 0.08);
                area.draw_text(line, &style, (left - dx - pt(4.0), y))?;
            }
        }
        Ok(())
    }

    /// A dashed line at the level, or at the reference's mean.
    fn draw_level(&self, chart: &mut Chart<'_, '_>, y: &Axis) -> DrawResult<()> {
        let cell = self.reference.and_then(|row| self.series.first()?.cells.get(row)?.as_ref());
        let of_reference = cell.filter(|cell| cell.side().is_none() && self.series.len() == 1);
        let Some(level) = self.level.or(of_reference.map(|cell| cell.measure.value)) else {
            return Ok(());
        };
        let ends = [(level, y.range.start), (level, y.range.end)];
        let style = INK.mix(0.6).stroke_width(pt(HAIRLINE) as u32);
        chart.draw_series(DashedLineSeries::new(ends, pt(2.5), pt(2.0), style))?;
        Ok(())
    }
}

fn draw_cell(
    chart: &mut Chart<'_, '_>,
    cell: &Cell,
    at: f64,
    x: &Axis,
    ink: RGBColor,
) -> DrawResult<()> {
    if cell.values.len() > 1 {
        let thin = ink.mix(0.55).stroke_width(pt(HAIRLINE) as u32);
        chart.draw_series(cell.values.iter().map(|&v| Circle::new((v, at), pt(1.6), thin)))?;
    }
    if let Some((low, high)) = shown_interval(&cell.measure) {
        Bar { axis: Side::X, at, ends: [low, high], cap: 2.0 }.draw(chart, x, ink, LINE)?;
    }
    let mean = (cell.measure.value, at);
    if let Some(side) = cell.side() {
        return bound_arrow(chart, mean, side, ink);
    }
    chart.draw_series([Circle::new(mean, pt(2.4), ink.filled())])?;
    Ok(())
}

//! Means with 95 % intervals, one row a category: a dot for the mean, a bar
//! for the spread, and a small ring for each repeat.

use plotters::element::{Circle, PathElement};
use plotters::style::Color;

use super::axes::{Axis, chart};
use super::canvas::Figure;
use super::error::{Error, Result};
use super::legend::{Entry, Key, Legend};
use super::style::{
    AXIS_PT, COLUMN_IN, HAIRLINE, LINE, MUTED, PAPER, TICK_PT, UNITS_PER_INCH, colour, pt,
    text_width, units,
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
        let measure = repeats.ratio_to(reference)?.scaled(unit);
        let values = repeats.relative_values(reference);
        Some(Self { measure, values: values.into_iter().map(|value| unit * value).collect() })
    }

    /// Whether the mean is a bound.
    fn is_open(&self) -> bool {
        self.measure.bound != Bound::Exact
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
    /// Whether the axis starts at 0, as it should where lengths are compared.
    pub from_zero: bool,
    /// The largest value that the quantity can have.
    pub most: f64,
}

impl DotPlot {
    fn cells(&self) -> impl Iterator<Item = &Cell> {
        self.series.iter().flat_map(|series| series.cells.iter().flatten())
    }

    pub fn draw(&self) -> Result<Figure> {
        let ends = |cell: &Cell| {
            let values = cell.values.iter().copied();
            let all = values.chain(cell.measure.interval().into_iter().flat_map(|(a, b)| [a, b]));
            all.fold((f64::INFINITY, f64::NEG_INFINITY), |(a, b), v| (a.min(v), b.max(v)))
        };
        let (low, high) = self
            .cells()
            .map(ends)
            .fold((f64::INFINITY, f64::NEG_INFINITY), |a, b| (a.0.min(b.0), a.1.max(b.1)));
        if low > high {
            let missing = format!("no record has the {} yet", self.title);
            return Err(Error::NoData { figure: self.name.to_owned(), missing });
        }
        // An interval may reach beyond what the quantity can be; the axis does not.
        let low = if self.from_zero { 0.0 } else { low.max(0.0) };
        let high = high.min(self.most);
        let room = 0.06 * (high - low).max(1.0);
        let range = if self.from_zero { 0.0 } else { low - room }..high + room;
        let x = Axis::over(&self.x_label, range, 4);
        let y = Axis::categories("", &self.categories).reversed();

        let n = self.series.len();
        let row_in = (0.19 * n as f64).clamp(0.26, 1.4);
        let mut entries = Vec::new();
        if n > 1 {
            entries.extend(self.series.iter().enumerate().map(|(i, series)| Entry {
                label: series.label.clone(),
                colour: colour(i, n),
                key: Key::Patch,
            }));
        }
        for (bound, words) in [(Bound::AtLeast, "at least"), (Bound::AtMost, "at most")] {
            if self.cells().any(|cell| cell.measure.bound == bound) {
                let label = format!("not reached by every repeat: {words}");
                entries.push(Entry { label, colour: MUTED, key: Key::OpenMarker });
            }
        }
        let legend = Legend::new(entries, units(COLUMN_IN) - pt(6.0));
        let axes_in = (AXIS_PT + TICK_PT) * 2.0 / 72.0;
        let height = legend.height_in() + row_in * self.categories.len() as f64 + axes_in + 0.12;
        let label_width = y.ticks.iter().map(|(_, l)| text_width(l, TICK_PT)).max().unwrap_or(0);

        // As wide as a column, or as the labels need beside the axis's title.
        let labels = label_width + text_width(&self.x_label, AXIS_PT) + pt(16.0);
        let width = COLUMN_IN.max(f64::from(labels) / UNITS_PER_INCH);

        Figure::draw(self.name, &self.title, (width, height), |area| {
            let area = legend.draw(area)?;
            let mut chart = chart(&area, None, &x, &y, label_width)?;
            for (i, series) in self.series.iter().enumerate() {
                let offset = (i as f64 + 0.5) / n as f64 - 0.5;
                for (row, cell) in series.cells.iter().enumerate() {
                    let Some(cell) = cell else { continue };
                    let at = row as f64 + 0.8 * offset;
                    let ink = colour(i, n);
                    let clip = |v: f64| v.clamp(x.range.start, x.range.end);
                    if cell.values.len() > 1 {
                        let thin = ink.mix(0.55).stroke_width(pt(HAIRLINE) as u32);
                        let rings =
                            cell.values.iter().map(|&v| Circle::new((v, at), pt(1.6), thin));
                        chart.draw_series(rings)?;
                    }
                    let bold = ink.stroke_width(pt(LINE) as u32);
                    if let Some((a, b)) = cell.measure.interval() {
                        let bar = PathElement::new([(clip(a), at), (clip(b), at)], bold);
                        chart.draw_series([bar])?;
                        // Only an end that is inside the axis has a cap.
                        let cap = 0.22 / n as f64;
                        for end in [a, b].into_iter().filter(|end| clip(*end) == *end) {
                            let cap = [(end, at - cap), (end, at + cap)];
                            chart.draw_series([PathElement::new(cap, bold)])?;
                        }
                    }
                    let mean = (cell.measure.value, at);
                    if cell.is_open() {
                        chart.draw_series([Circle::new(mean, pt(2.4), PAPER.filled())])?;
                        chart.draw_series([Circle::new(mean, pt(2.4), bold)])?;
                    } else {
                        chart.draw_series([Circle::new(mean, pt(2.4), ink.filled())])?;
                    }
                }
            }
            Ok(())
        })
    }
}

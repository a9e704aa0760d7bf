//! Lines with 95 % intervals over training, in one panel or several: bands around few lines, bars at
//! the end of many.

use std::ops::Range;

use plotters::element::{Circle, Polygon};
use plotters::series::{DashedLineSeries, LineSeries};
use plotters::style::text_anchor::{HPos, Pos, VPos};
use plotters::style::{Color, RGBColor};

use super::axes::{Axis, Chart, chart, lines_height, title_lines};
use super::canvas::{Area, DrawResult, Figure};
use super::error::{Error, Result};
use super::hover::{Hover, HoverLine};
use super::interval::{Bar, INTERVAL, Side, shown_interval};
use super::legend::{Entry, Key, Legend};
use super::style::{
    AXIS_PT, BAND_ALPHA, COLUMN_IN, HAIRLINE, LINE, MAX_POINTS, MUTED, PAGE_IN, Series, TICK_PT,
    TITLE_PT, pt, text, units,
};
use mbspike_results::Measure;
use mbspike_results::curves::thin;

/// A quantity over training.
#[derive(Debug, Clone)]
pub(super) struct LinePanels {
    pub name: &'static str,
    /// What the figure shows, for those who cannot see it.
    pub title: String,
    pub x_label: &'static str,
    pub y_label: &'static str,
    /// Whether places are few whole numbers (epochs), which are then marked on the lines.
    pub marks: bool,
    /// Where the horizontal axis starts, unless places are marked.
    pub from: u64,
    /// Whether all panels have the same vertical range.
    pub same_range: bool,
    /// The largest value that is possible, such as 100 %.
    pub most: f64,
    /// A level to mark, with its name.
    pub level: Option<(f64, String)>,
    /// Names of the lines, the same in each panel.
    pub labels: Vec<String>,
    /// Whether the lines come in an order.
    pub scale: Series,
    /// Decimals of a value under the pointer.
    pub digits: usize,
    pub panels: Vec<Panel>,
    /// Titles of blocks of panels, one below the other, to which the panels are dealt evenly; empty for
    /// one block without a title.
    pub blocks: Vec<String>,
}

/// One panel: a line for each label, empty where there is nothing yet.
#[derive(Debug, Clone)]
pub(super) struct Panel {
    pub title: Option<String>,
    pub lines: Vec<Vec<(u64, Measure)>>,
}

impl Panel {
    fn x_range(&self) -> Option<Range<u64>> {
        let places = || self.lines.iter().flatten().map(|(at, _)| *at);
        Some(places().min()?..places().max()?)
    }

    fn has_bands(&self) -> bool {
        self.lines.len() <= MAX_BANDS
    }

    fn y_range(&self) -> Option<Range<f64>> {
        let ends = || {
            self.lines.iter().flat_map(|line| {
                let first = if self.has_bands() { 0 } else { line.len().saturating_sub(1) };
                let shown = line[first..].iter().filter_map(|(_, e)| shown_interval(e));
                line.iter().map(|(_, e)| e.value).chain(shown.flat_map(|(a, b)| [a, b]))
            })
        };
        let low = ends().reduce(f64::min)?;
        Some(low..ends().reduce(f64::max)?)
    }
}

/// Lines of a panel up to which their intervals are bands, which more would hide.
const MAX_BANDS: usize = 3;
/// Places of a line whose values a page shows under the pointer, at most.
const MAX_HOVER: usize = 120;
/// Share of a panel's width for the intervals of more lines, at the lines' end.
const BARS_SHARE: f64 = 0.16;

impl LinePanels {
    /// Draws the panels in as many columns as fit a page.
    pub fn draw(&self) -> Result<Figure> {
        let x_range = union(self.panels.iter().filter_map(Panel::x_range));
        let all_y = union(self.panels.iter().filter_map(Panel::y_range));
        let (Some(x_range), Some(mut all_y)) = (x_range, all_y) else {
            return Err(Error::NoData {
                figure: self.name.to_owned(),
                missing: format!("no record has the {} yet", self.title),
            });
        };
        let n_lines: usize = self.panels.iter().map(|panel| panel.lines.len()).sum();
        if all_y.start >= all_y.end && n_lines > 1 {
            let missing = format!("all values are equal of the {}", self.title);
            return Err(Error::NoData { figure: self.name.to_owned(), missing });
        }
        if let Some((level, _)) = self.level {
            all_y = all_y.start.min(level)..all_y.end.max(level);
        }
        let n_blocks = self.blocks.len().max(1);
        let n_panels = self.panels.len().div_ceil(n_blocks);
        let n_columns = match n_panels {
            n @ 1..=4 => n,
            n @ (5 | 6 | 9) => n.div_ceil(if n == 9 { 3 } else { 2 }),
            _ => 4,
        };
        let n_rows = n_panels.div_ceil(n_columns);
        let single = n_columns == 1;
        let width = if single { COLUMN_IN } else { PAGE_IN };
        let legend = Legend::new(self.entries(), units(width) - pt(6.0));
        let panel_width =
            (units(width) - if single { 0 } else { pt(AXIS_PT * 1.7) }) / n_columns as i32;
        let titles: Vec<Vec<String>> = self
            .panels
            .iter()
            .map(|panel| {
                panel
                    .title
                    .as_ref()
                    .map_or_else(Vec::new, |title| title_lines(title, panel_width * 3 / 4))
            })
            .collect();
        let n_lines = titles.iter().map(Vec::len).max().unwrap_or(0);
        let more_lines =
            f64::from(lines_height(n_lines.saturating_sub(1), TITLE_PT)) / f64::from(units(1.0));
        // Panels in a row are nearly square; a single one is as wide as a column.
        let panel_height = if single { 2.25 } else { (width / n_columns as f64 * 0.86).min(2.1) };
        let panel_height = panel_height + more_lines;
        let shared_titles = if single { 0.0 } else { AXIS_PT * 1.7 / 72.0 };
        let block_title = if self.blocks.is_empty() { 0.0 } else { TITLE_PT * 1.8 / 72.0 };
        let block_height = block_title + panel_height * n_rows as f64;
        let height = legend.height_in() + block_height * n_blocks as f64 + shared_titles;

        let mut hover = Vec::new();
        let figure = Figure::draw(self.name, &self.title, (width, height), |area| {
            let mut area = legend.draw(area)?;
            if !single {
                area = self.draw_shared_titles(&area, shared_titles)?;
            }
            let n_ticks = if single { 5 } else { 3 };
            let x = self.x_axis(x_range, n_ticks, single);
            let axes: Vec<Axis> =
                self.panels.iter().map(|p| self.y_axis(p, &all_y, single)).collect();
            let label_width = axes.iter().map(Axis::label_width).max().unwrap_or(0);
            let blocks = self.panels.chunks(n_panels).zip(axes.chunks(n_panels));
            let blocks = blocks.zip(titles.chunks(n_panels));
            for (i, ((panels, axes), titles)) in blocks.enumerate() {
                let (block, rest) = area.split_vertically(units(block_height));
                area = rest;
                let (strip, cells) = block.split_vertically(units(block_title));
                if let Some(title) = self.blocks.get(i) {
                    let style = text(TITLE_PT).pos(Pos::new(HPos::Center, VPos::Center));
                    let (width, height) = strip.dim_in_pixel();
                    strip.draw_text(title, &style, (width as i32 / 2, height as i32 / 2))?;
                }
                let cells = cells.split_evenly((n_rows, n_columns));
                for (((panel, y), title), cell) in panels.iter().zip(axes).zip(titles).zip(&cells) {
                    let mut chart = chart(cell, title, &x, y, label_width)?;
                    self.draw_panel(&mut chart, panel, &x, y)?;
                    hover.push(self.hover(&chart, panel, &x, y));
                }
            }
            Ok(())
        })?;
        Ok(figure.with_hover(hover))
    }

    /// The values of a panel, with where they are drawn.
    fn hover(&self, chart: &Chart<'_, '_>, panel: &Panel, x: &Axis, y: &Axis) -> Hover {
        let n = panel.lines.len();
        let (left, bottom) = chart.backend_coord(&(x.range.start, y.range.start));
        let (right, top) = chart.backend_coord(&(x.range.end, y.range.end));
        let line = |(i, line): (usize, &Vec<(u64, Measure)>)| {
            let ink = self.scale.colour(i, n);
            let point = |(at, measure): &(u64, Measure)| {
                let (x, y) = chart.backend_coord(&(*at as f64, measure.value));
                (x, y, *at, measure.text(self.digits))
            };
            HoverLine {
                label: self.labels.get(i).cloned().unwrap_or_default(),
                colour: format!("#{:02x}{:02x}{:02x}", ink.0, ink.1, ink.2),
                points: thin(line, MAX_HOVER).iter().map(point).collect(),
            }
        };
        Hover {
            frame: [left, top, right, bottom],
            x_label: self.x_label.to_owned(),
            lines: panel.lines.iter().enumerate().map(line).collect(),
        }
    }

    fn entries(&self) -> Vec<Entry> {
        let n = self.labels.len();
        let has_points = |i: usize| {
            self.panels.iter().any(|panel| panel.lines.get(i).is_some_and(|line| !line.is_empty()))
        };
        let lines = self.labels.iter().enumerate();
        let lines = lines.filter(|(i, _)| (n > 1 || self.level.is_some()) && has_points(*i));
        let line = |(i, label): (usize, &String)| {
            let key = match self.scale.dash(i) {
                Some((dash, gap)) => Key::Dashed(dash, gap),
                None => Key::Line,
            };
            Entry { label: label.clone(), colour: self.scale.colour(i, n), key }
        };
        let level = self.level.iter().map(|(_, name)| Entry {
            label: name.clone(),
            colour: MUTED,
            key: Key::Dashed(3.0, 2.0),
        });
        let mut entries: Vec<Entry> = lines.map(line).chain(level).collect();
        let shown = |panel: &&Panel| {
            let last = |line: &Vec<(u64, Measure)>| {
                line.last().is_some_and(|(_, e)| shown_interval(e).is_some())
            };
            let any =
                |line: &Vec<(u64, Measure)>| line.iter().any(|(_, e)| shown_interval(e).is_some());
            if panel.has_bands() {
                panel.lines.iter().any(any)
            } else {
                panel.lines.iter().any(last)
            }
        };
        if let Some(panel) = self.panels.iter().find(shown) {
            let (key, at) =
                if panel.has_bands() { (Key::Band, "") } else { (Key::Interval, ", at the end") };
            entries.push(Entry { label: format!("{INTERVAL}{at}"), colour: MUTED, key });
        }
        entries
    }

    /// The axis titles of all panels, once at the left and once below; returns what they leave.
    fn draw_shared_titles<'a>(&self, area: &Area<'a>, size_in: f64) -> DrawResult<Area<'a>> {
        let (width, height) = area.dim_in_pixel();
        let size = units(size_in);
        let (left, rest) = area.split_horizontally(size);
        let (panels, below) = rest.split_vertically(height as i32 - size);
        let style = text(AXIS_PT).pos(Pos::new(HPos::Center, VPos::Center));
        below.draw_text(self.x_label, &style, ((width as i32 - size) / 2, size / 2))?;
        let vertical = style.transform(plotters::style::FontTransform::Rotate270);
        left.draw_text(self.y_label, &vertical, (size / 2, (height as i32 - size) / 2))?;
        Ok(panels)
    }

    fn x_axis(&self, range: Range<u64>, n_ticks: usize, labelled: bool) -> Axis {
        let mut axis = if self.marks {
            Axis::whole(self.x_label, range, n_ticks)
        } else {
            let end = range.end.max(self.from + 1);
            Axis::over(self.x_label, self.from as f64..end as f64, n_ticks)
        };
        let has_bars = |panel: &Panel| {
            let ends = || panel.lines.iter().filter_map(|line| line.last());
            !panel.has_bands() && ends().any(|(_, e)| shown_interval(e).is_some())
        };
        if self.panels.iter().any(has_bars) {
            let width = axis.range.end - axis.range.start;
            axis.range.end += BARS_SHARE / (1.0 - BARS_SHARE) * width;
        }
        if labelled { axis } else { axis.without_label() }
    }

    fn y_axis(&self, panel: &Panel, all: &Range<f64>, labelled: bool) -> Axis {
        let own = if self.same_range { None } else { panel.y_range() };
        let range = own.unwrap_or_else(|| all.clone());
        // Shares end at 0 and 100 %, whatever a band or some room would add.
        let room = 0.05 * (range.end - range.start).max(0.5);
        let range = (range.start - room).max(0.0)..(range.end + room).min(self.most);
        let axis = Axis::over(self.y_label, range, if labelled { 8 } else { 4 });
        if labelled { axis } else { axis.without_label() }
    }

    fn draw_panel(
        &self,
        chart: &mut Chart<'_, '_>,
        panel: &Panel,
        x: &Axis,
        y: &Axis,
    ) -> DrawResult<()> {
        if let Some((level, _)) = self.level {
            let ends = [(x.range.start, level), (x.range.end, level)];
            let style = MUTED.stroke_width(pt(0.9) as u32);
            chart.draw_series(DashedLineSeries::new(ends, pt(3.0), pt(2.0), style))?;
        }
        let lines: Vec<Vec<(u64, Measure)>> =
            panel.lines.iter().map(|line| thin(line, MAX_POINTS)).collect();
        let n = lines.len();
        if panel.has_bands() {
            for (i, line) in lines.iter().enumerate() {
                for stretch in line.chunk_by(|a, b| a.1.n.min(3) == b.1.n.min(3)) {
                    let ink = self.scale.colour(i, n);
                    chart.draw_series(band(stretch, y, ink))?;
                    draw_cuts(chart, stretch, y, ink)?;
                }
            }
        }
        for (i, line) in lines.iter().enumerate() {
            let points = || line.iter().map(|(at, e)| (*at as f64, e.value));
            let ink = self.scale.colour(i, n);
            let style = ink.stroke_width(pt(LINE) as u32);
            // What lies on another line lets it show through.
            let is_hidden = lines[..i].iter().any(|other| coincide(line, other, y));
            let dash = self.scale.dash(i).or(is_hidden.then_some((3.0, 3.0 + LINE)));
            if let Some((dash, gap)) = dash {
                chart.draw_series(DashedLineSeries::new(points(), pt(dash), pt(gap), style))?;
            } else {
                chart.draw_series(LineSeries::new(points(), style))?;
            }
            // Epochs are marked while they stand apart; so is a line of a single point.
            if (self.marks && line.len() <= 12) || line.len() == 1 {
                let mark = |(at, mean)| Circle::new((at, mean), pt(1.7), ink.filled());
                chart.draw_series(points().map(mark))?;
            }
        }
        if !panel.has_bands() {
            for (i, line) in lines.iter().enumerate() {
                let Some((_, last)) = line.last() else { continue };
                let Some((low, high)) = shown_interval(last) else { continue };
                // Beside the end of the lines, one after the other.
                let at = x.range.end
                    - BARS_SHARE * (x.range.end - x.range.start) * (n - i) as f64 / (n + 1) as f64;
                let ink = self.scale.colour(i, n);
                let bar = Bar { axis: Side::Y, at, ends: [low, high], cap: 0.0 };
                bar.draw(chart, y, ink, HAIRLINE)?;
                chart.draw_series([Circle::new((at, last.value), pt(1.2), ink.filled())])?;
            }
        }
        if lines.iter().all(Vec::is_empty) {
            let middle = (
                f64::midpoint(x.range.start, x.range.end),
                f64::midpoint(y.range.start, y.range.end),
            );
            let style = text(TICK_PT).pos(Pos::new(HPos::Center, VPos::Center));
            chart.draw_series([plotters::element::Text::new("no records yet", middle, style)])?;
        }
        Ok(())
    }
}

/// Whether two lines are the same within what a figure can show.
fn coincide(a: &[(u64, Measure)], b: &[(u64, Measure)], y: &Axis) -> bool {
    let least = 0.004 * (y.range.end - y.range.start);
    a.len() == b.len()
        && a.iter().zip(b).all(|((i, a), (j, b))| i == j && (a.value - b.value).abs() < least)
}

/// The 95 % interval around a stretch of a line, cut to what the quantity can be; nothing where none
/// is shown.
fn band(stretch: &[(u64, Measure)], y: &Axis, colour: RGBColor) -> Option<Polygon<(f64, f64)>> {
    let edge = |side: usize| {
        move |(at, e): &(u64, Measure)| {
            let (low, high) = shown_interval(e)?;
            Some((*at as f64, [low, high][side].clamp(y.range.start, y.range.end)))
        }
    };
    let outline: Option<Vec<_>> =
        stretch.iter().map(edge(0)).chain(stretch.iter().rev().map(edge(1))).collect();
    Some(Polygon::new(outline.filter(|o| o.len() > 3)?, colour.mix(BAND_ALPHA)))
}

/// A line along the edge of the axis where it cuts the band of a stretch.
fn draw_cuts(
    chart: &mut Chart<'_, '_>,
    stretch: &[(u64, Measure)],
    y: &Axis,
    ink: RGBColor,
) -> DrawResult<()> {
    for (side, edge) in [y.range.start, y.range.end].into_iter().enumerate() {
        let is_cut = |(_, measure): &(u64, Measure)| {
            shown_interval(measure).is_some_and(|(low, high)| match side {
                0 => low < edge,
                _ => high > edge,
            })
        };
        for cut in stretch.chunk_by(|a, b| is_cut(a) == is_cut(b)).filter(|cut| is_cut(&cut[0])) {
            let ends = [cut.first(), cut.last()].into_iter().flatten();
            let ends: Vec<_> = ends.map(|(at, _)| (*at as f64, edge)).collect();
            let style = ink.stroke_width(pt(LINE) as u32);
            chart.draw_series(DashedLineSeries::new(ends, pt(1.2), pt(1.5), style))?;
        }
    }
    Ok(())
}

pub(super) fn union<T: PartialOrd>(ranges: impl Iterator<Item = Range<T>>) -> Option<Range<T>> {
    ranges.reduce(|a, b| {
        (if b.start < a.start { b.start } else { a.start })..(if b.end > a.end {
            b.end
        } else {
            a.end
        })
    })
}

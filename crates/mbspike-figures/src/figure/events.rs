//! A recording of an event camera: its events in space and time, and their rate.

use plotters::element::{Circle, PathElement};
use plotters::series::LineSeries;
use plotters::style::text_anchor::{HPos, Pos, VPos};
use plotters::style::{Color, RGBColor};

use super::axes::{Axis, chart};
use super::canvas::{Area, DrawResult, Figure};
use super::error::{Error, Result};
use super::legend::{Entry, Key, Legend};
use super::style::{
    AXIS_PT, GRID, HAIRLINE, INK, LINE, OKABE_ITO, PAGE_IN, TICK_PT, pt, text, text_width, units,
};

const NAME: &str = "events";
/// Events drawn at most; more only cover each other.
const MAX_EVENTS: usize = 8000;
/// Parts of the duration whose rates are drawn.
const N_PARTS: usize = 60;
const CLOUD_IN: f64 = 2.7;
const RATE_IN: f64 = 1.35;
/// Vermilion and blue, as in pictures of frames.
const ON: RGBColor = OKABE_ITO[1];
const OFF: RGBColor = OKABE_ITO[0];
/// Where one width of the sensor goes on paper, as shares of the cloud's width and height: to the
/// right and up, as seen from the left.
const DEPTH: (f64, f64) = (0.17, 0.36);

/// A recording of an event camera, event by event in the order of time.
#[derive(Debug, Clone, Copy)]
pub struct Recording<'a> {
    /// Height and width of the sensor.
    pub sensor: [usize; 2],
    /// Times in microseconds.
    pub t_us: &'a [i64],
    /// Columns.
    pub x: &'a [u16],
    /// Rows.
    pub y: &'a [u16],
    /// Whether brightness rose.
    pub on: &'a [bool],
}

impl Recording<'_> {
    fn is_empty(&self) -> bool {
        self.t_us.is_empty()
    }

    fn len(&self) -> usize {
        self.t_us.len()
    }

    fn duration_us(&self) -> i64 {
        self.t_us.last().map_or(0, |last| last - self.t_us[0])
    }
}

/// The events of a recording over time, column and row (of many an even selection), above the rate
/// of ON and OFF events.
pub fn events(recording: &Recording<'_>) -> Result<Figure> {
    if recording.is_empty() {
        let missing = "the recording has no events".to_owned();
        return Err(Error::NoData { figure: NAME.to_owned(), missing });
    }
    let n = recording.len();
    let stride = n.div_ceil(MAX_EVENTS);
    let note =
        if stride == 1 { format!("{n} events") } else { format!("one in {stride} of {n} events") };
    let entries = [("ON", ON), ("OFF", OFF)].map(|(label, colour)| Entry {
        label: label.to_owned(),
        colour,
        key: Key::Patch,
    });
    let legend = Legend::new(entries.to_vec(), units(PAGE_IN) - pt(6.0));
    let size = (PAGE_IN, legend.height_in() + CLOUD_IN + RATE_IN);
    let title = format!("events of a recording in space and time: {note}");
    Figure::draw(NAME, &title, size, |area| {
        let style = text(TICK_PT).pos(Pos::new(HPos::Right, VPos::Top));
        area.draw_text(&note, &style, (units(PAGE_IN) - pt(6.0), pt(1.5)))?;
        let area = legend.draw(area)?;
        let (above, below) = area.split_vertically(units(CLOUD_IN));
        cloud(&above, recording, stride)?;
        rates(&below, recording)
    })
}

/// The box of time, column and row, with a dot for each event.
fn cloud(area: &Area<'_>, recording: &Recording<'_>, stride: usize) -> DrawResult<()> {
    let [height, width] = recording.sensor;
    let (paper_width, paper_height) = area.dim_in_pixel();
    let left = pt(AXIS_PT * 2.2) + text_width(&(height - 1).to_string(), TICK_PT);
    let right = pt(AXIS_PT * 2.2) + text_width(&(width - 1).to_string(), TICK_PT);
    let (top, bottom) = (pt(4.0), pt(AXIS_PT * 2.9));
    let w = f64::from(paper_width as i32 - left - right);
    let h = f64::from(paper_height as i32 - top - bottom);
    let (first, duration) = (recording.t_us[0], recording.duration_us().max(1) as f64);
    // Shares of time, column and row to a place on the paper.
    let place = |t: f64, x: f64, y: f64| {
        let across = t * (1.0 - DEPTH.0) + x * DEPTH.0;
        let down = y * (1.0 - DEPTH.1) + (1.0 - x) * DEPTH.1;
        (left + (across * w).round() as i32, top + (down * h).round() as i32)
    };
    let line = |from: (f64, f64, f64), to: (f64, f64, f64), colour: &RGBColor| {
        let ends = [place(from.0, from.1, from.2), place(to.0, to.1, to.2)];
        area.draw(&PathElement::new(ends, colour.stroke_width(pt(HAIRLINE) as u32)))
    };
    // Edges behind the events first.
    for (from, to) in [
        ((0.0, 1.0, 0.0), (1.0, 1.0, 0.0)),
        ((0.0, 1.0, 1.0), (1.0, 1.0, 1.0)),
        ((0.0, 1.0, 0.0), (0.0, 1.0, 1.0)),
        ((1.0, 1.0, 0.0), (1.0, 1.0, 1.0)),
        ((0.0, 0.0, 0.0), (0.0, 1.0, 0.0)),
        ((0.0, 0.0, 1.0), (0.0, 1.0, 1.0)),
        ((1.0, 0.0, 0.0), (1.0, 1.0, 0.0)),
    ] {
        line(from, to, &GRID)?;
    }
    let share = |i: u16, n: usize| (f64::from(i) + 0.5) / n as f64;
    let mut shown: Vec<usize> = (0..recording.len()).step_by(stride).collect();
    // Far columns are on the right and behind.
    shown.sort_by_key(|&i| std::cmp::Reverse(recording.x[i]));
    for i in shown {
        let t = (recording.t_us[i] - first) as f64 / duration;
        let at = place(t, share(recording.x[i], width), share(recording.y[i], height));
        let colour = if recording.on[i] { ON } else { OFF };
        area.draw(&Circle::new(at, pt(0.55), colour.mix(0.75).filled()))?;
    }
    for (from, to) in [
        ((0.0, 0.0, 0.0), (1.0, 0.0, 0.0)),
        ((0.0, 0.0, 1.0), (1.0, 0.0, 1.0)),
        ((0.0, 0.0, 0.0), (0.0, 0.0, 1.0)),
        ((1.0, 0.0, 0.0), (1.0, 0.0, 1.0)),
        ((1.0, 0.0, 1.0), (1.0, 1.0, 1.0)),
    ] {
        line(from, to, &INK)?;
    }
    let label = |words: &str, points: f64, h: HPos, v: VPos, at: (i32, i32)| {
        area.draw_text(words, &text(points).pos(Pos::new(h, v)), at)
    };
    // Rows at the left front edge, from the top.
    for (row, share) in [(0, 0.0), (height - 1, 1.0)] {
        let (x, y) = place(0.0, 0.0, share);
        label(&row.to_string(), TICK_PT, HPos::Right, VPos::Center, (x - pt(3.0), y))?;
    }
    let (x, y) = place(0.0, 0.0, 0.5);
    label("y", AXIS_PT, HPos::Right, VPos::Center, (x - pt(5.0), y))?;
    // Columns along the bottom edge that goes back on the right.
    for (column, share) in [(0, 0.0), (width - 1, 1.0)] {
        let (x, y) = place(1.0, share, 1.0);
        label(&column.to_string(), TICK_PT, HPos::Left, VPos::Center, (x + pt(4.0), y))?;
    }
    let (x, y) = place(1.0, 0.5, 1.0);
    label("x", AXIS_PT, HPos::Left, VPos::Center, (x + pt(6.0), y))?;
    // Times along the bottom front edge.
    let axis = Axis::over("", 0.0..duration / 1e3, 6);
    for (tick, words) in &axis.ticks {
        let (x, y) = place(tick * 1e3 / duration, 0.0, 1.0);
        area.draw(&PathElement::new(
            [(x, y), (x, y + pt(2.0))],
            INK.stroke_width(pt(HAIRLINE) as u32),
        ))?;
        label(words, TICK_PT, HPos::Center, VPos::Top, (x, y + pt(3.5)))?;
    }
    let (x, y) = place(0.5, 0.0, 1.0);
    label("time (ms)", AXIS_PT, HPos::Center, VPos::Top, (x, y + pt(TICK_PT * 1.7)))
}

/// The rates of ON and OFF events over time.
fn rates(area: &Area<'_>, recording: &Recording<'_>) -> DrawResult<()> {
    let (first, duration) = (recording.t_us[0], recording.duration_us().max(1) as f64);
    let per_ms = N_PARTS as f64 / duration * 1e3;
    let curve = |on: bool| {
        let mut rates = vec![0.0; N_PARTS];
        for i in (0..recording.len()).filter(|&i| recording.on[i] == on) {
            let part = ((recording.t_us[i] - first) as f64 / duration * N_PARTS as f64) as usize;
            rates[part.min(N_PARTS - 1)] += per_ms;
        }
        rates
    };
    let (on, off) = (curve(true), curve(false));
    let largest = on.iter().chain(&off).copied().fold(0.0, f64::max);
    let x = Axis::over("time (ms)", 0.0..duration / 1e3, 6);
    let y = Axis::over("events/ms", 0.0..1.08 * largest, 3);
    let width = y.label_width();
    let mut chart = chart(area, &[], &x, &y, width)?;
    for (curve, colour) in [(off, OFF), (on, ON)] {
        let at = |i: usize| (i as f64 + 0.5) * duration / 1e3 / N_PARTS as f64;
        let points = curve.iter().enumerate().map(|(i, rate)| (at(i), *rate));
        chart.draw_series(LineSeries::new(points, colour.stroke_width(pt(LINE) as u32)))?;
    }
    Ok(())
}

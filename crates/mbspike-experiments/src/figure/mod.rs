//! Figures of a run folder, as SVG and PNG, drawn from saved results alone.
//!
//! [`draw_all`] reads a run folder and writes every figure that its records allow into
//! `<folder>/figures/`. Each figure is also a function of plain data: [`train_accuracy`],
//! [`test_accuracy`], [`time_to_target`], [`final_accuracy`], [`nonzero_rate`],
//! [`final_nonzero_rate`], [`step_time()`] from a [`Sweep`], [`spike_function`] from the parameters of
//! a neuron, [`events()`] from a recording. [`draw_energy`] does the same for estimates of energy.
//!
//! Style: one column of a paper is 3.3 inches, so text is 7 to 8 points at that width. Up to four
//! series have the colours of Okabe & Ito (2008), which are told apart with every kind of colour
//! vision; more, as eight bit widths, have colours of viridis, whose lightness falls in order.

mod accuracy;
mod axes;
mod canvas;
mod dot_plot;
mod energy;
mod events;
mod interval;
mod legend;
mod line_panels;
mod nonzero_rate;
mod ranges;
mod scatter;
mod spike_function;
mod step_time;
mod sweep;
mod target;

use std::path::{Path, PathBuf};

use plotters::style::{Color, FontDesc, FontStyle, IntoFont, RGBColor, TextStyle};

pub use accuracy::{final_accuracy, test_accuracy, train_accuracy};
pub use canvas::Figure;
pub(crate) use energy::pareto_fronts;
pub use energy::{
    accuracy_energy, draw_energy, energy_figures, energy_sensitivity, inference_energy_by_model,
    inference_energy_normalized, inference_time, training_energy, training_energy_normalized,
};
pub use events::events;
pub use nonzero_rate::{final_nonzero_rate, nonzero_rate};
pub use spike_function::{spike_function, spike_function_shifts};
pub use step_time::step_time;
pub use sweep::{Group, Run, Sweep};
pub(crate) use sweep::{group_label, group_order};
pub use target::{
    RelativeTimes, TargetKind, relative_time_by_target, relative_time_to_target,
    relative_times_to_target, time_to_target, times_to_target,
};

use crate::curves::SMOOTHING_WINDOW;

/// Width of one column of a paper, in inches.
pub(crate) const COLUMN_IN: f64 = 3.3;
/// Width of a page's two columns, in inches.
pub(crate) const PAGE_IN: f64 = 6.9;

/// The drawing's coordinates are thousandths of an inch: whole numbers, as plotters wants, and
/// still fine enough for smooth curves.
const UNITS_PER_INCH: f64 = 1000.0;
const PNG_DPI: f32 = 300.0;

/// The embedded font first, then fonts of about its width, for a browser that lacks it.
const FONT_FAMILY: &str = "DejaVu Sans, Verdana, Helvetica, Arial, sans-serif";
const AXIS_PT: f64 = 8.0;
const TICK_PT: f64 = 7.0;
const TITLE_PT: f64 = 7.5;
const LEGEND_PT: f64 = 7.0;

/// Widths of lines, in points.
const LINE: f64 = 1.2;
const HAIRLINE: f64 = 0.7;

const PAPER: RGBColor = RGBColor(255, 255, 255);
const INK: RGBColor = RGBColor(34, 34, 34);
const GRID: RGBColor = RGBColor(226, 226, 226);
const MUTED: RGBColor = RGBColor(110, 110, 110);
/// How much of a confidence band's colour covers what is below.
const BAND_ALPHA: f64 = 0.18;
/// Points drawn of one line at most: more than a column's pixels show nothing new.
const MAX_POINTS: usize = 500;

/// Blue, vermilion, bluish green, reddish purple.
const OKABE_ITO: [RGBColor; 4] =
    [RGBColor(0, 114, 178), RGBColor(213, 94, 0), RGBColor(0, 158, 115), RGBColor(204, 121, 167)];
/// Viridis at even distances, without its yellow end, which white paper swallows.
const VIRIDIS: [RGBColor; 8] = [
    RGBColor(68, 1, 84),
    RGBColor(70, 44, 123),
    RGBColor(58, 82, 139),
    RGBColor(44, 114, 142),
    RGBColor(33, 145, 140),
    RGBColor(40, 174, 128),
    RGBColor(94, 201, 98),
    RGBColor(173, 214, 46),
];

/// What drawing a figure can fail with.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no run in the folder.
    #[error("{}: no runs to draw (a run is drawn once it is over: a sub-folder with a summary.json)", .0.display())]
    NoRuns(PathBuf),
    /// The records hold nothing for this figure, for example because no epoch is finished yet.
    #[error("nothing to draw in figure `{figure}`: {missing}")]
    NoData {
        /// The figure's name.
        figure: String,
        /// What the records lack.
        missing: String,
    },
    /// The figure could not be made from its data.
    #[error("cannot draw figure `{figure}`: {reason}")]
    Draw {
        /// The figure's name.
        figure: String,
        /// What went wrong, in the words of the drawing library.
        reason: String,
    },
    /// Reading a record failed.
    #[error(transparent)]
    Results(#[from] crate::results::Error),
    /// Reading or writing a file failed.
    #[error(transparent)]
    Io(#[from] std::io::Error),
}

/// What the functions here return.
pub type Result<T> = std::result::Result<T, Error>;

/// Choices that the saved results leave open.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Options {
    /// Iterations that training curves are smoothed over.
    pub window: u64,
    /// Accuracy in `0..=1` whose time of reaching is drawn; `None` for that of the runs' config.
    pub target: Option<f64>,
}

impl Default for Options {
    fn default() -> Self {
        Self { window: SMOOTHING_WINDOW, target: None }
    }
}

/// Draws every figure that the runs of a folder allow into `<folder>/figures/` and returns the
/// files written.
///
/// A figure for which there are no records yet is left out, so a sweep still running can be drawn
/// at any time.
///
/// # Errors
/// If there is no run in the folder, a record cannot be read or a file cannot be written.
pub fn draw_all(folder: &Path, options: &Options) -> Result<Vec<PathBuf>> {
    let sweep = Sweep::read(folder)?;
    let into = folder.join("figures");
    fs_err::create_dir_all(&into)?;
    let mut files = Vec::new();
    for figure in figures(&sweep, options).into_iter().chain(neuron_figures()) {
        match figure {
            Ok(figure) => files.extend(figure.save(&into)?),
            Err(Error::NoData { .. }) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(files)
}

/// Every figure of a sweep, in the order of the text; [`Error::NoData`] stands for one that the
/// records do not allow yet.
pub fn figures(sweep: &Sweep, options: &Options) -> Vec<Result<Figure>> {
    vec![
        train_accuracy(sweep, options),
        test_accuracy(sweep, options),
        time_to_target(sweep, TargetKind::TrainIterations, options),
        relative_time_to_target(sweep, options),
        relative_time_by_target(sweep, options),
        time_to_target(sweep, TargetKind::TestEpochs, options),
        final_accuracy(sweep),
        nonzero_rate(sweep, options),
        final_nonzero_rate(sweep),
        step_time(sweep),
    ]
}

/// The spike function and its surrogate gradients, which need no runs.
pub fn neuron_figures() -> Vec<Result<Figure>> {
    vec![spike_function(), spike_function_shifts(2)]
}

/// Colour `i` of `n` series.
fn colour(i: usize, n: usize) -> RGBColor {
    if n <= OKABE_ITO.len() {
        return OKABE_ITO[i % OKABE_ITO.len()];
    }
    let position = i as f64 / (n - 1) as f64 * (VIRIDIS.len() - 1) as f64;
    let (low, high) = (position.floor() as usize, position.ceil() as usize);
    let (a, b) = (VIRIDIS[low.min(7)], VIRIDIS[high.min(7)]);
    let mix = |a: u8, b: u8| {
        (f64::from(a) + (f64::from(b) - f64::from(a)) * position.fract()).round() as u8
    };
    RGBColor(mix(a.0, b.0), mix(a.1, b.1), mix(a.2, b.2))
}

fn font(points: f64, style: FontStyle) -> FontDesc<'static> {
    // plotters writes an SVG font size of its own size divided by 1.24.
    let size = points / 72.0 * UNITS_PER_INCH * 1.24;
    (FONT_FAMILY, size).into_font().style(style)
}

/// Plain text of the given size in points.
fn text(points: f64) -> TextStyle<'static> {
    font(points, FontStyle::Normal).color(&INK.to_rgba())
}

/// Bold text of the given size in points.
fn bold_text(points: f64) -> TextStyle<'static> {
    font(points, FontStyle::Bold).color(&INK.to_rgba())
}

/// Width of a text, in units of the drawing.
fn text_width(text: &str, points: f64) -> i32 {
    let measured = canvas::register_fonts()
        .then(|| font(points, FontStyle::Normal).box_size(text).ok())
        .flatten()
        .map(|(width, _)| width as i32);
    measured.unwrap_or_else(|| canvas::pt(text.chars().count() as f64 * points * 0.6))
}

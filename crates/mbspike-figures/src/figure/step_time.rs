//! What a training step takes (thesis section 5.2).

use mbspike_results::{RunGroup, RunSet};

use super::canvas::Figure;
use super::dot_plot::{Cell, DotPlot, Series};
use super::error::{Error, Result};
use super::style::Series as Scale;

/// What repeats, or the first and the last steps of a run, may differ by on a machine that did nothing
/// else.
const MOST_CHANGE: f64 = 1.25;

/// Median wall time of a training iteration of each run, waiting for data included.
///
/// # Errors
/// If there are no records for it, or they were taken while the machine did other work, so that they say
/// more about that.
pub fn step_time(runs: &RunSet) -> Result<Figure> {
    const NAME: &str = "step-time";
    let time = |group: &RunGroup| group.repeats(|run| Some(1e3 * run.summary.median_step_time_s?));
    let differ = |times: &[f64]| {
        let (low, high) =
            times.iter().fold((f64::INFINITY, 0.0_f64), |(a, b), t| (a.min(*t), b.max(*t)));
        high > MOST_CHANGE * low
    };
    let within = runs.groups.iter().flat_map(|group| &group.runs).any(|run| {
        let ends = [run.summary.first_steps_median_s, run.summary.last_steps_median_s];
        differ(&ends.into_iter().flatten().collect::<Vec<_>>())
    });
    if within || runs.groups.iter().any(|group| differ(&time(group).values())) {
        let missing = "the steps were timed while the machine did other work".to_owned();
        return Err(Error::NoData { figure: NAME.to_owned(), missing });
    }
    DotPlot {
        name: NAME,
        title: "time of a training step".to_owned(),
        x_label: "time of a training step (ms)".to_owned(),
        categories: runs.marked_labels(),
        series: Series::only(runs.groups.iter().map(|group| Cell::of(&time(group)))),
        scale: Scale::Ordered,
        reference: None,
        level: None,
        from_zero: true,
        limits: (0.0, f64::INFINITY),
    }
    .draw()
}

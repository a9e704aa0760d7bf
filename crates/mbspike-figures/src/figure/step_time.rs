//! What a training step takes (thesis section 5.2).

use mbspike_results::{RunGroup, RunSet};

use super::canvas::Figure;
use super::dot_plot::{Cell, DotPlot, Series};
use super::error::Result;

/// Median wall time of a training iteration of each run, waiting for data included.
///
/// # Errors
/// If there are no records for it.
pub fn step_time(runs: &RunSet) -> Result<Figure> {
    let cell = |group: &RunGroup| {
        Cell::of(&group.repeats(|run| Some(1e3 * run.summary.median_step_time_s?)))
    };
    DotPlot {
        name: "step-time",
        title: "time of a training step as recorded, whatever else the machine did".to_owned(),
        x_label: "time of a training step (ms)".to_owned(),
        categories: runs.marked_labels(),
        series: Series::only(runs.groups.iter().map(cell)),
        from_zero: true,
        most: f64::INFINITY,
    }
    .draw()
}

//! What a training step takes (thesis section 5.2).

use super::dot_plot::{Cell, DotPlot, Series};
use super::sweep::{Group, Sweep};
use super::{Figure, Result};

/// Median wall time of a training iteration of each run, waiting for data included.
pub fn step_time(sweep: &Sweep) -> Result<Figure> {
    let cell = |group: &Group| {
        let times = group.runs.iter().filter_map(|run| run.summary.median_step_time_s);
        Cell::of(times.map(|time_s| 1e3 * time_s).collect())
    };
    DotPlot {
        name: "step-time",
        title: "time of a training step as recorded, whatever else the machine did".to_owned(),
        x_label: "time of a training step (ms)".to_owned(),
        categories: sweep.labels(),
        series: Series::only(sweep.groups.iter().map(cell)),
        from_zero: true,
        most: f64::INFINITY,
    }
    .draw()
}

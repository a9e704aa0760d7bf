//! Time to a target accuracy (thesis Figs. 4.3, A.16–A.20).

use super::dot_plot::{Cell, DotPlot, Series};
use super::sweep::Sweep;
use super::{Error, Figure, Options, Result};
use crate::curves::{Sample, TimeToTarget, first_reaching};

/// What is counted until the target is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TargetKind {
    /// Iterations to a training accuracy, smoothed.
    TrainIterations,
    /// Epochs to a test accuracy.
    TestEpochs,
}

/// Iterations or epochs to the target for each point of the sweep. Runs that never reached it count
/// with their length, and the mark is open: the mean is then a lower bound.
pub fn time_to_target(sweep: &Sweep, kind: TargetKind, options: &Options) -> Result<Figure> {
    let name = match kind {
        TargetKind::TrainIterations => "iterations-to-target",
        TargetKind::TestEpochs => "epochs-to-target",
    };
    let Some(target) = options.target.or_else(|| sweep.target()) else {
        let missing = "the runs have no target accuracy".to_owned();
        return Err(Error::NoData { figure: name.to_owned(), missing });
    };
    let of_run = |run: &super::Run| match kind {
        TargetKind::TrainIterations => {
            let samples: Vec<Sample> = run
                .windows
                .iter()
                .map(|w| Sample { at: w.iteration, span: w.n_iterations, value: w.train_accuracy })
                .collect();
            // The run's own count is exact to the iteration; another target is found in windows.
            let recorded = run.summary.iterations_to_target;
            let own = run.summary.target_accuracy == Some(target);
            let reached =
                if own { recorded } else { first_reaching(&samples, options.window, target) };
            (reached, run.summary.n_iterations)
        }
        TargetKind::TestEpochs => {
            let reached = run.epochs.iter().find(|e| e.test_accuracy >= target).map(|e| e.epoch);
            (reached, run.summary.n_epochs)
        }
    };
    let cells = sweep.groups.iter().map(|group| {
        let times = TimeToTarget::of(&group.runs.iter().map(of_run).collect::<Vec<_>>());
        let values = times.reached.iter().chain(&times.censored).map(|&t| t as f64).collect();
        Some(Cell { is_open: !times.is_complete(), ..Cell::of(values)? })
    });
    let (unit, of) = match kind {
        TargetKind::TrainIterations => ("iterations", "training"),
        TargetKind::TestEpochs => ("epochs", "test"),
    };
    DotPlot {
        name,
        title: format!("{unit} to {:.0} % {of} accuracy", 100.0 * target),
        x_label: format!("{unit} to {:.0} % {of} accuracy", 100.0 * target),
        categories: sweep.labels(),
        series: vec![Series { label: String::new(), cells: cells.collect() }],
        from_zero: true,
        most: f64::INFINITY,
    }
    .draw()
}

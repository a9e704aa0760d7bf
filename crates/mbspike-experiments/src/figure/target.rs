//! Time to a target accuracy (thesis Figs. 4.3, A.16–A.20).

use super::dot_plot::{Cell, DotPlot, Series};
use super::line_panels::{LinePanels, Panel};
use super::sweep::{Facet, Sweep};
use super::{Error, Figure, Group, Options, Result};
use crate::curves::{Estimate, SMOOTHING_WINDOW, Sample, TimeToTarget, first_reaching};
use crate::results::WindowRecord;

/// What is counted until the target is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TargetKind {
    /// Iterations to a training accuracy, smoothed.
    TrainIterations,
    /// Epochs to a test accuracy.
    TestEpochs,
}

/// For each group the repeats' times to the target, in iterations or epochs; `None` if neither the
/// options nor the runs name a target.
///
/// Iterations are counted to the first at which the training accuracy, averaged over the last
/// `options.window` iterations, is at least the target; epochs to the first after which the test
/// accuracy is.
pub fn times_to_target(
    sweep: &Sweep,
    kind: TargetKind,
    options: &Options,
) -> Option<Vec<TimeToTarget>> {
    let target = options.target.or_else(|| sweep.target())?;
    let of_run = |run: &super::Run| match kind {
        TargetKind::TrainIterations => {
            // The run's own count is exact to the iteration; others are found in windows.
            let is_own =
                run.summary.target_accuracy == Some(target) && options.window == SMOOTHING_WINDOW;
            let reached = if is_own {
                run.summary.iterations_to_target
            } else {
                let sample = |w: &WindowRecord| Sample {
                    at: w.iteration,
                    span: w.n_iterations,
                    value: w.train_accuracy,
                };
                let samples: Vec<Sample> = run.windows.iter().map(sample).collect();
                first_reaching(&samples, options.window, target)
            };
            (reached, run.summary.n_iterations)
        }
        TargetKind::TestEpochs => {
            let reached = run.epochs.iter().find(|e| e.test_accuracy >= target).map(|e| e.epoch);
            (reached, run.summary.n_epochs)
        }
    };
    let times =
        |group: &Group| TimeToTarget::of(&group.runs.iter().map(of_run).collect::<Vec<_>>());
    Some(sweep.groups.iter().map(times).collect())
}

/// Times to the target over the mean time of the group's [reference](Sweep::reference).
#[derive(Debug, Clone, PartialEq)]
pub struct RelativeTimes {
    /// One for each repeat; those that never reached the target count with their length.
    pub values: Vec<f64>,
    /// Whether some repeat never reached it: the mean is then a lower bound.
    pub is_bound: bool,
}

/// [`times_to_target`] relative to each group's [reference](Sweep::reference); `None` for a group
/// whose reference has a repeat that never reached the target.
pub fn relative_times_to_target(
    sweep: &Sweep,
    kind: TargetKind,
    options: &Options,
) -> Option<Vec<Option<RelativeTimes>>> {
    let times = times_to_target(sweep, kind, options)?;
    let relative = |(group, own): (&Group, &TimeToTarget)| {
        let label = &sweep.reference(group).label;
        let mut all = sweep.groups.iter().zip(&times);
        let (_, of_reference) = all.find(|(other, _)| other.label == *label)?;
        let mean = of_reference.estimate().filter(|_| of_reference.is_complete())?.mean;
        let times = own.reached.iter().chain(&own.censored);
        Some(RelativeTimes {
            values: times.map(|&time| time as f64 / mean).collect(),
            is_bound: !own.is_complete(),
        })
    };
    Some(sweep.groups.iter().zip(&times).map(relative).collect())
}

/// Iterations or epochs to the target for each point of the sweep. Runs that never reached it count
/// with their length, the label says how many did, and the mark is open: the mean is then a lower
/// bound.
pub fn time_to_target(sweep: &Sweep, kind: TargetKind, options: &Options) -> Result<Figure> {
    let name = match kind {
        TargetKind::TrainIterations => "iterations-to-target",
        TargetKind::TestEpochs => "epochs-to-target",
    };
    let target = options.target.or_else(|| sweep.target());
    let (Some(target), Some(times)) = (target, times_to_target(sweep, kind, options)) else {
        let missing = "the runs have no target accuracy".to_owned();
        return Err(Error::NoData { figure: name.to_owned(), missing });
    };
    let cells = times.iter().map(|times| {
        let values = times.reached.iter().chain(&times.censored).map(|&t| t as f64).collect();
        Some(Cell { is_open: !times.is_complete(), ..Cell::of(values)? })
    });
    let (unit, of) = match kind {
        TargetKind::TrainIterations => ("iterations", "training"),
        TargetKind::TestEpochs => ("epochs", "test"),
    };
    let categories = sweep.labels().into_iter().zip(&times).map(|(label, times)| {
        let (n_reached, n_censored) = (times.reached.len(), times.censored.len());
        match n_censored {
            0 => label,
            _ => format!("{label} ({n_reached} of {})", n_reached + n_censored),
        }
    });
    DotPlot {
        name,
        title: format!("{unit} to {:.0} % {of} accuracy", 100.0 * target),
        x_label: format!("{unit} to {:.0} % {of} accuracy", 100.0 * target),
        categories: categories.collect(),
        series: Series::only(cells),
        from_zero: true,
        most: f64::INFINITY,
    }
    .draw()
}

/// Iterations to the target relative to each point's [reference](Sweep::reference), in percent, with
/// standard deviations as the thesis gives them (section 5.1.1).
pub fn relative_time_to_target(sweep: &Sweep, options: &Options) -> Result<Figure> {
    const NAME: &str = "relative-iterations-to-target";
    let no_data =
        |missing: &str| Err(Error::NoData { figure: NAME.to_owned(), missing: missing.to_owned() });
    let target = options.target.or_else(|| sweep.target());
    let times = relative_times_to_target(sweep, TargetKind::TrainIterations, options);
    let (Some(target), Some(times)) = (target, times) else {
        return no_data("the runs have no target accuracy");
    };
    if sweep.groups.len() < 2 {
        return no_data("nothing to compare with");
    }
    let cell = |times: &Option<RelativeTimes>| {
        let times = times.as_ref()?;
        let cell = Cell::of(times.values.iter().map(|value| 100.0 * value).collect())?;
        Some(Cell { is_open: times.is_bound, ..cell.with_sd() })
    };
    let mut references: Vec<_> = sweep.groups.iter().map(|g| &sweep.reference(g).label).collect();
    references.dedup();
    let to = match references[..] {
        [only] => only,
        _ => "fewest bits",
    };
    DotPlot {
        name: NAME,
        title: format!(
            "iterations to {:.0} % training accuracy relative to {to}, mean and standard deviation",
            100.0 * target
        ),
        x_label: format!("iterations relative to {to} (%)"),
        categories: sweep.labels(),
        series: Series::only(times.iter().map(cell)),
        from_zero: true,
        most: f64::INFINITY,
    }
    .draw()
}

/// Iterations relative to each point's [reference](Sweep::reference) over the training accuracy that
/// they lead to, as far as all repeats reach it: whether an advantage depends on the target chosen.
pub fn relative_time_by_target(sweep: &Sweep, options: &Options) -> Result<Figure> {
    let kind = TargetKind::TrainIterations;
    let to = |percent: u64| Options { target: Some(percent as f64 / 100.0), ..*options };
    // Accuracies that every run has within the first window say nothing.
    let is_late = |percent: &u64| {
        let times = times_to_target(sweep, kind, &to(*percent));
        let mut all = times.iter().flatten().flat_map(|t| t.reached.iter().chain(&t.censored));
        all.any(|&time| time > options.window)
    };
    let lowest = (1..=100).find(is_late).unwrap_or(100);
    let relative = |percent| Some((percent, relative_times_to_target(sweep, kind, &to(percent))?));
    let times: Vec<_> = (lowest..=100).filter_map(relative).collect();
    let line = |group: Option<&Group>| {
        let index =
            sweep.groups.iter().position(|other| Some(&other.label) == group.map(|g| &g.label));
        let of_target = |(percent, times): &(u64, Vec<Option<RelativeTimes>>)| {
            let times = times[index?].as_ref().filter(|times| !times.is_bound)?;
            let shares: Vec<f64> = times.values.iter().map(|value| 100.0 * value).collect();
            Some((*percent, Estimate::of(&shares)?))
        };
        times.iter().filter_map(of_target).collect()
    };
    let panel = |Facet { title, groups }: Facet<'_>| Panel {
        title,
        lines: groups.into_iter().map(line).collect(),
    };
    let (labels, panels) = sweep.panels();
    LinePanels {
        name: "relative-iterations-by-target",
        title: "iterations to a training accuracy relative to the fewest bits".to_owned(),
        x_label: "training accuracy to reach (%)",
        y_label: "relative iterations (%)",
        marks: false,
        from: lowest,
        same_range: true,
        most: f64::INFINITY,
        level: None,
        labels,
        panels: panels.into_iter().map(panel).collect(),
        blocks: vec![],
    }
    .draw()
}

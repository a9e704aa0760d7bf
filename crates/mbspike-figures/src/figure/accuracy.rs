//! Accuracy over training and at its end (thesis Figs. 4.2, 4.4, A.1–A.15).

use mbspike_results::curves::{Sample, mean_curve};
use mbspike_results::{EpochRecord, Facet, Run, RunGroup, RunSet, TargetOptions};

use super::canvas::Figure;
use super::dot_plot::{Cell, DotPlot, Series};
use super::error::Result;
use super::line_panels::{LinePanels, Panel};

fn level(runs: &RunSet, options: &TargetOptions) -> Option<(f64, String)> {
    let target = 100.0 * options.accuracy.or_else(|| runs.target())?;
    Some((target, format!("target {target:.0} %")))
}

/// Training accuracy, smoothed, over iterations; mean over repeats with its 95 % interval.
///
/// # Errors
/// If there are no records for it.
pub fn train_accuracy(runs: &RunSet, options: &TargetOptions) -> Result<Figure> {
    let (labels, panels) = runs.panels();
    let panel = |Facet { title, groups }: Facet<'_, Run>| Panel {
        title,
        lines: RunSet::smoothed(&groups, options.window, |w| Some(w.train_accuracy)),
    };
    LinePanels {
        name: "train-accuracy",
        title: format!("training accuracy, mean of the last {} iterations", options.window),
        x_label: "iteration",
        y_label: "training accuracy (%)",
        marks: false,
        from: 0,
        same_range: true,
        most: 100.0,
        level: level(runs, options),
        labels,
        panels: panels.into_iter().map(panel).collect(),
        blocks: vec![],
    }
    .draw()
}

/// Test accuracy after each epoch; mean over repeats with its 95 % interval.
///
/// # Errors
/// If there are no records for it.
pub fn test_accuracy(runs: &RunSet, options: &TargetOptions) -> Result<Figure> {
    let (labels, panels) = runs.panels();
    let of_group = |group: Option<&RunGroup>| {
        let of_run = |run: &Run| {
            let sample =
                |e: &EpochRecord| Sample { at: e.epoch, span: 1, value: 100.0 * e.test_accuracy };
            run.epochs.iter().map(sample).collect()
        };
        let runs = group.into_iter().flat_map(|group| &group.runs);
        mean_curve(&runs.map(of_run).collect::<Vec<_>>())
    };
    let panel = |Facet { title, groups }: Facet<'_, Run>| Panel {
        title,
        lines: groups.into_iter().map(of_group).collect(),
    };
    LinePanels {
        name: "test-accuracy",
        title: "test accuracy after each epoch".to_owned(),
        x_label: "epoch",
        y_label: "test accuracy (%)",
        marks: true,
        from: 0,
        same_range: true,
        most: 100.0,
        level: level(runs, options),
        labels,
        panels: panels.into_iter().map(panel).collect(),
        blocks: vec![],
    }
    .draw()
}

/// Test accuracy after the last epoch, for each point of the sweep.
///
/// # Errors
/// If there are no records for it.
pub fn final_accuracy(runs: &RunSet) -> Result<Figure> {
    let cells = runs.groups.iter().map(|group| {
        Cell::of(&group.repeats(|run| Some(100.0 * run.summary.final_test_accuracy?)))
    });
    DotPlot {
        name: "final-accuracy",
        title: "test accuracy after the last epoch".to_owned(),
        x_label: "test accuracy (%)".to_owned(),
        categories: runs.marked_labels(),
        series: Series::only(cells),
        from_zero: false,
        most: 100.0,
    }
    .draw()
}

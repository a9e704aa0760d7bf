//! Accuracy over training and at its end (thesis Figs. 4.2, 4.4, A.1–A.15).

use super::dot_plot::{Cell, DotPlot, Series};
use super::line_panels::{LinePanels, Panel};
use super::sweep::{Facet, Group, Sweep};
use super::{Figure, Options, Result};
use crate::curves::{Sample, mean_curve};

fn level(sweep: &Sweep, options: &Options) -> Option<(f64, String)> {
    let target = 100.0 * options.target.or_else(|| sweep.target())?;
    Some((target, format!("target {target:.0} %")))
}

/// Training accuracy, smoothed, over iterations; mean over repeats with its 95 % interval.
pub fn train_accuracy(sweep: &Sweep, options: &Options) -> Result<Figure> {
    let (labels, panels) = sweep.panels();
    let panel = |Facet { title, groups }: Facet<'_>| Panel {
        title,
        lines: Sweep::smoothed(&groups, options.window, |w| Some(w.train_accuracy)),
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
        level: level(sweep, options),
        labels,
        panels: panels.into_iter().map(panel).collect(),
        blocks: vec![],
    }
    .draw()
}

/// Test accuracy after each epoch; mean over repeats with its 95 % interval.
pub fn test_accuracy(sweep: &Sweep, options: &Options) -> Result<Figure> {
    let (labels, panels) = sweep.panels();
    let of_group = |group: Option<&Group>| {
        let of_run = |run: &super::Run| {
            let sample = |e: &crate::results::EpochRecord| Sample {
                at: e.epoch,
                span: 1,
                value: 100.0 * e.test_accuracy,
            };
            run.epochs.iter().map(sample).collect()
        };
        let runs = group.into_iter().flat_map(|group| &group.runs);
        mean_curve(&runs.map(of_run).collect::<Vec<_>>())
    };
    let panel = |Facet { title, groups }: Facet<'_>| Panel {
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
        level: level(sweep, options),
        labels,
        panels: panels.into_iter().map(panel).collect(),
        blocks: vec![],
    }
    .draw()
}

/// Test accuracy after the last epoch, for each point of the sweep.
pub fn final_accuracy(sweep: &Sweep) -> Result<Figure> {
    let cells = sweep.groups.iter().map(|group| {
        let runs = group.runs.iter();
        Cell::of(runs.filter_map(|run| Some(100.0 * run.summary.final_test_accuracy?)).collect())
    });
    DotPlot {
        name: "final-accuracy",
        title: "test accuracy after the last epoch".to_owned(),
        x_label: "test accuracy (%)".to_owned(),
        categories: sweep.labels(),
        series: Series::only(cells),
        from_zero: false,
        most: 100.0,
    }
    .draw()
}

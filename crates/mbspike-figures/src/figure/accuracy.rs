//! Accuracy over training and at its end (thesis Figs. 4.2, 4.4, A.1–A.15).

use mbspike_results::curves::{Sample, mean_curve};
use mbspike_results::{EpochRecord, Facet, Run, RunGroup, RunSet, TargetOptions};

use super::canvas::Figure;
use super::dot_plot::{Cell, DotPlot, Series};
use super::error::{Error, Result};
use super::heat_map::HeatMap;
use super::line_panels::{LinePanels, Panel};
use super::style::Series as Scale;

/// How the lines of a figure of panels are told apart: those of bit widths come in an order, those of one
/// panel of all groups if the groups do.
pub(super) fn scale_of(runs: &RunSet, n_panels: usize) -> Scale {
    if n_panels > 1 || runs.is_ordered() { Scale::Ordered } else { Scale::Kinds }
}

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
        scale: scale_of(runs, panels.len()),
        digits: 2,
        labels,
        panels: panels.into_iter().map(panel).collect(),
        blocks: vec![],
    }
    .draw()
}

/// A quantity after each epoch, for each of the groups.
fn by_epoch(
    groups: &[Option<&RunGroup>],
    of: impl Fn(&EpochRecord) -> f64,
) -> Vec<Vec<(u64, mbspike_results::Measure)>> {
    let of_run = |run: &Run| {
        run.epochs.iter().map(|e| Sample { at: e.epoch, span: 1, value: of(e) }).collect()
    };
    let of_group = |group: Option<&RunGroup>| {
        let runs = group.into_iter().flat_map(|group| &group.runs);
        mean_curve(&runs.map(of_run).collect::<Vec<_>>())
    };
    groups.iter().copied().map(of_group).collect()
}

/// Test accuracy after each epoch; mean over repeats with its 95 % interval.
///
/// # Errors
/// If there are no records for it.
pub fn test_accuracy(runs: &RunSet, options: &TargetOptions) -> Result<Figure> {
    let (labels, panels) = runs.panels();
    let panel = |Facet { title, groups }: Facet<'_, Run>| Panel {
        title,
        lines: by_epoch(&groups, |epoch| 100.0 * epoch.test_accuracy),
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
        scale: scale_of(runs, panels.len()),
        digits: 2,
        labels,
        panels: panels.into_iter().map(panel).collect(),
        blocks: vec![],
    }
    .draw()
}

/// Loss on the training set and on the test set over the epochs; of a grid, a block of panels for each of
/// what is swept besides bits.
///
/// # Errors
/// If there are no records for it.
pub fn loss(runs: &RunSet) -> Result<Figure> {
    let (labels, facets) = runs.panels();
    let scale = scale_of(runs, facets.len());
    let blocks = facets.iter().filter_map(|facet| facet.title.clone()).collect();
    let of_facet = |Facet { groups, .. }: Facet<'_, Run>| {
        let panel = |title: &str, of: fn(&EpochRecord) -> f64| Panel {
            title: Some(title.to_owned()),
            lines: by_epoch(&groups, of),
        };
        [
            panel("training set", |epoch| epoch.train_loss),
            panel("test set", |epoch| epoch.test_loss),
        ]
    };
    LinePanels {
        name: "loss",
        title: "loss over the epochs".to_owned(),
        x_label: "epoch",
        y_label: "loss",
        marks: true,
        from: 0,
        same_range: false,
        most: f64::INFINITY,
        level: None,
        scale,
        digits: 4,
        labels,
        panels: facets.into_iter().flat_map(of_facet).collect(),
        blocks,
    }
    .draw()
}

/// Test accuracy after the last epoch, for each point of the sweep.
///
/// # Errors
/// If there are no records for it.
pub fn final_accuracy(runs: &RunSet) -> Result<Figure> {
    let groups = by_effect(runs);
    let accuracy = |group: &&RunGroup| {
        Cell::of(&group.repeats(|run| Some(100.0 * run.summary.final_test_accuracy?)))
    };
    DotPlot {
        name: "final-accuracy",
        title: "test accuracy after the last epoch".to_owned(),
        x_label: "test accuracy (%)".to_owned(),
        categories: groups.iter().map(|group| group.marked_label()).collect(),
        series: Series::only(groups.iter().map(accuracy)),
        scale: Scale::Ordered,
        reference: reference_among(runs, &groups),
        level: None,
        from_zero: false,
        limits: (0.0, 100.0),
    }
    .draw()
}

fn accuracy_of(group: &RunGroup) -> Option<f64> {
    let accuracy = group.repeats(|run: &Run| Some(100.0 * run.summary.final_test_accuracy?));
    Some(accuracy.measure()?.value)
}

/// The groups in the order that a figure lists them in: theirs where they have one; groups of different
/// kinds by their accuracy, the highest first.
fn by_effect(runs: &RunSet) -> Vec<&RunGroup> {
    let mut groups: Vec<&RunGroup> = runs.groups.iter().collect();
    if !runs.is_ordered() {
        let key = |group: &&RunGroup| accuracy_of(group).unwrap_or(f64::NEG_INFINITY);
        groups.sort_by(|a, b| key(b).total_cmp(&key(a)));
    }
    groups
}

/// Where the reference of all groups stands among them, if there is one.
fn reference_among(runs: &RunSet, groups: &[&RunGroup]) -> Option<usize> {
    let first = runs.reference(groups.first()?);
    let is_of_all = groups.iter().all(|group| std::ptr::eq(runs.reference(group), first));
    groups.iter().position(|group| is_of_all && groups.len() > 1 && std::ptr::eq(*group, first))
}

/// By how many points each group ends above or below its reference, with the interval of the difference.
///
/// # Errors
/// If there is nothing to compare.
pub fn accuracy_difference(runs: &RunSet) -> Result<Figure> {
    let accuracy = |group: &RunGroup| {
        group.repeats(|run: &Run| Some(100.0 * run.summary.final_test_accuracy?))
    };
    let groups = by_effect(runs);
    let compared = groups.into_iter().filter(|group| !std::ptr::eq(*group, runs.reference(group)));
    let compared: Vec<&RunGroup> = compared.collect();
    let cell =
        |group: &&RunGroup| Cell::difference(&accuracy(group), &accuracy(runs.reference(group)));
    let to = runs.reference_label();
    DotPlot {
        name: "accuracy-difference",
        title: format!("test accuracy after the last epoch, difference to {to}"),
        x_label: format!("test accuracy, points above {to}"),
        categories: compared.iter().map(|group| group.marked_label()).collect(),
        series: Series::only(compared.iter().map(cell)),
        scale: Scale::Ordered,
        reference: None,
        level: Some(0.0),
        from_zero: false,
        limits: (-100.0, 100.0),
    }
    .draw()
}

/// Test accuracy after the last epoch by bits and time steps.
///
/// # Errors
/// If the runs are no such grid, or there are no records for it.
pub fn accuracy_grid(runs: &RunSet) -> Result<Figure> {
    const NAME: &str = "accuracy-grid";
    let Some(grid) = runs.grid() else {
        let missing = "the runs do not differ in bits and time steps alone".to_owned();
        return Err(Error::NoData { figure: NAME.to_owned(), missing });
    };
    let cell = |group: Option<&RunGroup>| {
        let accuracy = accuracy_of(group?)?;
        Some((accuracy, format!("{accuracy:.1}")))
    };
    HeatMap {
        name: NAME,
        title: "test accuracy after the last epoch (%) by bits and time steps".to_owned(),
        x_label: "time steps; test accuracy in %".to_owned(),
        y_label: "bits".to_owned(),
        rows: grid.bits.iter().map(u64::to_string).collect(),
        columns: grid.time_steps.iter().map(u64::to_string).collect(),
        cells: grid.rows.iter().map(|row| row.iter().copied().map(cell).collect()).collect(),
    }
    .draw()
}

/// Most classes whose confusion is drawn: of more, no number can be read.
const MAX_CLASSES: usize = 30;

/// Which class the test samples of each class were given, in percent, over all repeats of the group of
/// the highest accuracy.
///
/// # Errors
/// If there are no records for it.
pub fn confusion(runs: &RunSet) -> Result<Figure> {
    const NAME: &str = "confusion";
    let no_data =
        |missing: &str| Error::NoData { figure: NAME.to_owned(), missing: missing.to_owned() };
    let key = |group: &&RunGroup| accuracy_of(group).unwrap_or(f64::NEG_INFINITY);
    let best = runs.groups.iter().max_by(|a, b| key(a).total_cmp(&key(b)));
    let best = best.ok_or_else(|| no_data("there are no runs"))?;
    let of_run = |run: &Run| run.epochs.last().and_then(|epoch| epoch.test_confusion.clone());
    let tables: Vec<Vec<Vec<u64>>> = best.runs.iter().filter_map(of_run).collect();
    let n = tables.first().map_or(0, Vec::len);
    if n == 0 || n > MAX_CLASSES || tables.iter().any(|table| table.len() != n) {
        return Err(no_data("no run has recorded it, or there are too many classes"));
    }
    let names = &best.first().dataset.class_names;
    let name = |class: usize| names.get(class).cloned().unwrap_or_else(|| class.to_string());
    let names: Vec<String> = (0..n).map(name).collect();
    let sum = |label: usize, given: usize| -> u64 {
        tables.iter().filter_map(|table| table.get(label)?.get(given)).sum()
    };
    let row = |label: usize| {
        let of_label: u64 = (0..n).map(|given| sum(label, given)).sum();
        let cell = |given| {
            let percent = 100.0 * sum(label, given) as f64 / of_label as f64;
            let words =
                if sum(label, given) == 0 { "0".to_owned() } else { format!("{percent:.1}") };
            (of_label > 0).then_some((percent, words))
        };
        (0..n).map(cell).collect()
    };
    HeatMap {
        name: NAME,
        title: format!("which class test samples were given, {}, all repeats (%)", best.label),
        x_label: "class given (% of the label's samples)".to_owned(),
        y_label: "label".to_owned(),
        rows: names.clone(),
        columns: names,
        cells: (0..n).map(row).collect(),
    }
    .draw()
}

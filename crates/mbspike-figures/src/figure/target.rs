//! Time to a target accuracy (thesis Figs. 4.3, A.16–A.20).

use mbspike_results::{Bound, Facet, Repeats, Run, RunGroup, RunSet, TargetKind, TargetOptions};

use super::accuracy::scale_of;
use super::canvas::Figure;
use super::dot_plot::{Cell, DotPlot, Series};
use super::error::{Error, Result};
use super::line_panels::{LinePanels, Panel};
use super::style::Series as Scale;

fn no_data(figure: &str, missing: &str) -> Error {
    Error::NoData { figure: figure.to_owned(), missing: missing.to_owned() }
}

/// Iterations or epochs to the target for each point of the sweep. Runs that never reached it count
/// with their length, the label says how many did, and the mark is open: the mean is then a lower
/// bound.
///
/// # Errors
/// If there are no records for it.
pub fn time_to_target(runs: &RunSet, kind: TargetKind, options: &TargetOptions) -> Result<Figure> {
    let name = match kind {
        TargetKind::TrainIterations => "iterations-to-target",
        TargetKind::TestEpochs => "epochs-to-target",
    };
    let target = options.accuracy.or_else(|| runs.target());
    let target = target.ok_or_else(|| no_data(name, "the runs have no target accuracy"))?;
    let times: Vec<Repeats> =
        runs.groups.iter().map(|group| group.times_to_target(kind, options)).collect();
    let (unit, of) = match kind {
        TargetKind::TrainIterations => ("iterations", "training"),
        TargetKind::TestEpochs => ("epochs", "test"),
    };
    let categories = runs.marked_labels().into_iter().zip(&times).map(|(label, times)| {
        match (times.n_censored(), times.0.len()) {
            (0, _) => label,
            (n_censored, n) => format!("{label} ({} of {n} reached it)", n - n_censored),
        }
    });
    DotPlot {
        name,
        title: format!("{unit} to {:.0} % {of} accuracy", 100.0 * target),
        x_label: format!("{unit} to {:.0} % {of} accuracy", 100.0 * target),
        categories: categories.collect(),
        series: Series::only(times.iter().map(Cell::of)),
        scale: Scale::Ordered,
        reference: None,
        level: None,
        from_zero: true,
        limits: (0.0, f64::INFINITY),
    }
    .draw()
}

/// Iterations to the target relative to each point's [reference](mbspike_results::Groups::reference), in
/// percent, with 95 % intervals that have the reference's spread in them (thesis section 5.1.1).
///
/// # Errors
/// If there are no records for it.
pub fn relative_time_to_target(runs: &RunSet, options: &TargetOptions) -> Result<Figure> {
    const NAME: &str = "relative-iterations-to-target";
    let target = options.accuracy.or_else(|| runs.target());
    let target = target.ok_or_else(|| no_data(NAME, "the runs have no target accuracy"))?;
    if runs.groups.len() < 2 {
        return Err(no_data(NAME, "nothing to compare with"));
    }
    let times = |group: &RunGroup| group.times_to_target(TargetKind::TrainIterations, options);
    let cell = |group: &&RunGroup| Cell::ratio(&times(group), &times(runs.reference(group)), 100.0);
    let to = runs.reference_label();
    let groups = runs.groups.iter().filter(|group| !std::ptr::eq(*group, runs.reference(group)));
    let groups: Vec<&RunGroup> = groups.collect();
    let category = |group: &&RunGroup| match (times(group).n_censored(), times(group).0.len()) {
        (0, _) => group.marked_label(),
        (n_censored, n) => {
            format!("{} ({} of {n} reached it)", group.marked_label(), n - n_censored)
        }
    };
    DotPlot {
        name: NAME,
        title: format!("iterations to {:.0} % training accuracy relative to {to}", 100.0 * target),
        x_label: format!("iterations to {:.0} %, in % of those of {to}", 100.0 * target),
        categories: groups.iter().map(category).collect(),
        series: Series::only(groups.iter().map(cell)),
        scale: Scale::Ordered,
        reference: None,
        level: Some(100.0),
        from_zero: true,
        limits: (0.0, f64::INFINITY),
    }
    .draw()
}

/// Iterations relative to each point's [reference](mbspike_results::Groups::reference) over the training
/// accuracy that they lead to, as far as all repeats reach it: whether an advantage depends on the target
/// chosen.
///
/// # Errors
/// If there are no records for it.
pub fn relative_time_by_target(runs: &RunSet, options: &TargetOptions) -> Result<Figure> {
    const NAME: &str = "relative-iterations-by-target";
    if runs.groups.iter().all(|group| std::ptr::eq(group, runs.reference(group))) {
        return Err(no_data(NAME, "nothing to compare with"));
    }
    let to = |percent: u64| TargetOptions { accuracy: Some(percent as f64 / 100.0), ..*options };
    let times = |group: &RunGroup, percent: u64| {
        group.times_to_target(TargetKind::TrainIterations, &to(percent))
    };
    // Accuracies that every run has within the first window say nothing.
    let is_late = |percent: &u64| {
        let mut all = runs.groups.iter().flat_map(|group| times(group, *percent).values());
        all.any(|time| time > options.window as f64)
    };
    let lowest = (1..=100).find(is_late).unwrap_or(100);
    let line = |group: Option<&RunGroup>| {
        let of_target = |percent: u64| {
            // A reference beside itself says nothing.
            let group = group.filter(|group| !std::ptr::eq(*group, runs.reference(group)))?;
            let (own, reference) = (times(group, percent), times(runs.reference(group), percent));
            let ratio = own.ratio_to(&reference)?.scaled(100.0);
            (ratio.bound == Bound::Exact && own.n_censored() == 0).then_some((percent, ratio))
        };
        (lowest..=100).filter_map(of_target).collect()
    };
    let panel = |Facet { title, groups }: Facet<'_, Run>| Panel {
        title,
        lines: groups.into_iter().map(line).collect(),
    };
    let (labels, panels) = runs.panels();
    LinePanels {
        name: NAME,
        title: format!("iterations to a training accuracy relative to {}", runs.reference_label()),
        x_label: "training accuracy to reach (%)",
        y_label: "relative iterations (%)",
        marks: false,
        from: lowest,
        same_range: true,
        most: f64::INFINITY,
        level: Some((100.0, format!("as many as {}", runs.reference_label()))),
        scale: scale_of(runs, panels.len()),
        digits: 1,
        labels,
        panels: panels.into_iter().map(panel).collect(),
        blocks: vec![],
    }
    .draw()
}

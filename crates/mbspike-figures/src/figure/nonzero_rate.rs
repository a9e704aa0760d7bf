//! How many elements are not zero, position by position (thesis Figs. 4.5–4.7, B.1–B.5).

use mbspike_results::{Facet, Run, RunSet, TargetOptions};

use super::accuracy::scale_of;
use super::canvas::Figure;
use super::dot_plot::{Cell, DotPlot, Series};
use super::error::Result;
use super::line_panels::{LinePanels, Panel};
use super::style::Series as Scale;
use super::words;

/// A rate that changes by less than this over training is constant.
const LEAST_CHANGE: f64 = 0.03;

/// Non-zero rate at each position over training, one panel a position; of a grid, a block of panels
/// for each of what is swept besides bits.
///
/// # Errors
/// If there are no records for it.
pub fn nonzero_rate(runs: &RunSet, options: &TargetOptions) -> Result<Figure> {
    let (labels, facets) = runs.panels();
    let blocks = facets.iter().filter_map(|facet| facet.title.clone()).collect();
    let scale = scale_of(runs, facets.len());
    let positions = words::positions(&runs.positions());
    // An encoder's rate is the same at all times: a panel of it would say nothing.
    let is_constant = |i: usize| {
        let windows = runs.groups.iter().flat_map(|group| &group.runs).flat_map(|run| &run.windows);
        let rates = windows.filter_map(|window| window.nonzero_rate.get(i).copied());
        let (low, high) = rates.fold((1.0_f64, 0.0_f64), |(a, b), rate| (a.min(rate), b.max(rate)));
        high - low < LEAST_CHANGE
    };
    let shown = |i: &usize| *i > 0 || !is_constant(0);
    let of_facet = |Facet { groups, .. }: Facet<'_, Run>| {
        let panel = |(i, title): (usize, &String)| Panel {
            title: Some(title.clone()),
            lines: RunSet::smoothed(&groups, options.window, |w| w.nonzero_rate.get(i).copied()),
        };
        let shown = positions.iter().enumerate().filter(|(i, _)| shown(i));
        shown.map(panel).collect::<Vec<_>>()
    };
    LinePanels {
        name: "nonzero-rate",
        title: "share of neurons that fire in a time step, layer by layer, over training"
            .to_owned(),
        x_label: "iteration",
        y_label: "neurons that fire (%)",
        marks: false,
        from: 0,
        same_range: false,
        most: 100.0,
        level: None,
        scale,
        digits: 2,
        labels,
        panels: facets.into_iter().flat_map(of_facet).collect(),
        blocks,
    }
    .draw()
}

/// Non-zero rate at each position on the test set after the last epoch.
///
/// # Errors
/// If there are no records for it.
pub fn final_nonzero_rate(runs: &RunSet) -> Result<Figure> {
    let categories = words::positions(&runs.positions());
    let series = runs.groups.iter().map(|group| {
        let rate = |i: usize| {
            Cell::of(&group.repeats(|run| Some(100.0 * run.summary.final_nonzero_rate.get(i)?)))
        };
        Series { label: group.marked_label(), cells: (0..categories.len()).map(rate).collect() }
    });
    DotPlot {
        name: "final-nonzero-rate",
        title: "share of neurons that fire in a time step, on the test set after the last epoch"
            .to_owned(),
        x_label: "neurons that fire in a time step, test set (%)".to_owned(),
        series: series.collect(),
        categories,
        scale: if runs.is_ordered() { Scale::Ordered } else { Scale::Kinds },
        reference: None,
        level: None,
        from_zero: true,
        limits: (0.0, 100.0),
    }
    .draw()
}

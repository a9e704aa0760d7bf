//! How many elements are not zero, position by position (thesis Figs. 4.5–4.7, B.1–B.5).

use mbspike_results::{Facet, Run, RunSet, TargetOptions};

use super::canvas::Figure;
use super::dot_plot::{Cell, DotPlot, Series};
use super::error::Result;
use super::line_panels::{LinePanels, Panel};

/// `nnz1 (input)`, `nnz2 (lif1)`, …: the thesis's names and ours.
fn titles(runs: &RunSet) -> Vec<String> {
    let positions = runs.positions();
    positions.iter().zip(1..).map(|(name, i)| format!("nnz{i} ({name})")).collect()
}

/// Non-zero rate at each position over training, one panel a position; of a grid, a block of panels
/// for each of what is swept besides bits.
///
/// # Errors
/// If there are no records for it.
pub fn nonzero_rate(runs: &RunSet, options: &TargetOptions) -> Result<Figure> {
    let (labels, facets) = runs.panels();
    let blocks = facets.iter().filter_map(|facet| facet.title.clone()).collect();
    let positions = titles(runs);
    let of_facet = |Facet { groups, .. }: Facet<'_, Run>| {
        let panel = |(i, title): (usize, &String)| Panel {
            title: Some(title.clone()),
            lines: RunSet::smoothed(&groups, options.window, |w| w.nonzero_rate.get(i).copied()),
        };
        positions.iter().enumerate().map(panel).collect::<Vec<_>>()
    };
    LinePanels {
        name: "nonzero-rate",
        title: "non-zero rate at each position over training".to_owned(),
        x_label: "iteration",
        y_label: "non-zero rate (%)",
        marks: false,
        from: 0,
        same_range: false,
        most: 100.0,
        level: None,
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
    let categories = titles(runs);
    let series = runs.groups.iter().map(|group| {
        let rate = |i: usize| {
            Cell::of(&group.repeats(|run| Some(100.0 * run.summary.final_nonzero_rate.get(i)?)))
        };
        Series { label: group.marked_label(), cells: (0..categories.len()).map(rate).collect() }
    });
    DotPlot {
        name: "final-nonzero-rate",
        title: "non-zero rate on the test set after the last epoch".to_owned(),
        x_label: "non-zero rate on the test set (%)".to_owned(),
        series: series.collect(),
        categories,
        from_zero: true,
        most: 100.0,
    }
    .draw()
}

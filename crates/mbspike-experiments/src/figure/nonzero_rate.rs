//! How many elements are not zero, position by position (thesis Figs. 4.5–4.7, B.1–B.5).

use super::dot_plot::{Cell, DotPlot, Series};
use super::line_panels::{LinePanels, Panel};
use super::sweep::{Facet, Sweep};
use super::{Figure, Options, Result};

/// `nnz1 (input)`, `nnz2 (lif1)`, …: the thesis's names and ours.
fn titles(sweep: &Sweep) -> Vec<String> {
    let positions = sweep.positions();
    positions.iter().zip(1..).map(|(name, i)| format!("nnz{i} ({name})")).collect()
}

/// Non-zero rate at each position over training, one panel a position; of a grid, a block of panels
/// for each of what is swept besides bits.
pub fn nonzero_rate(sweep: &Sweep, options: &Options) -> Result<Figure> {
    let (labels, facets) = sweep.panels();
    let blocks = facets.iter().filter_map(|facet| facet.title.clone()).collect();
    let positions = titles(sweep);
    let of_facet = |Facet { groups, .. }: Facet<'_>| {
        let panel = |(i, title): (usize, &String)| Panel {
            title: Some(title.clone()),
            lines: Sweep::smoothed(&groups, options.window, |w| w.nonzero_rate.get(i).copied()),
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
pub fn final_nonzero_rate(sweep: &Sweep) -> Result<Figure> {
    let categories = titles(sweep);
    let series = sweep.groups.iter().map(|group| {
        let cell = |i: usize| {
            let rates = group.runs.iter().map(|run| run.summary.final_nonzero_rate.get(i));
            Cell::of(rates.flatten().map(|rate| 100.0 * rate).collect())
        };
        Series { label: group.label.clone(), cells: (0..categories.len()).map(cell).collect() }
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

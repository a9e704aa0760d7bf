//! Energy of training and inference (thesis Figs. 5.1–5.4, C.1–C.16), and of the models beyond it.

use mbspike_energy::thesis;
use mbspike_results::Repeats;
use mbspike_results::energy::{EnergyGroup, EnergySweep, Model, RunEnergy};

use super::canvas::Figure;
use super::dot_plot::{Cell, DotPlot, Series};
use super::error::{Error, Result};
use super::ranges::Ranges;
use super::scatter::{Looks, Scatter, ScatterPanel};
use super::style::Series as Scale;
use super::words;

/// How groups that are series are told apart.
fn scale(sweep: &EnergySweep) -> Scale {
    if sweep.is_ordered() { Scale::Ordered } else { Scale::Kinds }
}

/// A plot of energies of all groups: rows of one colour.
fn plot(
    name: &'static str,
    title: String,
    x_label: String,
    groups: &[&EnergyGroup],
    cells: impl Iterator<Item = Option<Cell>>,
) -> DotPlot {
    DotPlot {
        name,
        title,
        x_label,
        categories: groups.iter().map(|group| group.marked_label()).collect(),
        series: Series::only(cells),
        scale: Scale::Ordered,
        reference: None,
        level: None,
        from_zero: true,
        limits: (0.0, f64::INFINITY),
    }
}

/// A plot of energies relative to each group's reference, without the references themselves.
fn relative_plot(
    sweep: &EnergySweep,
    name: &'static str,
    what: &str,
    of: impl Fn(&EnergyGroup) -> Repeats,
) -> Result<Figure> {
    let to = sweep.reference_label();
    let groups = sweep.groups.iter().filter(|group| !std::ptr::eq(*group, sweep.reference(group)));
    let groups: Vec<&EnergyGroup> = groups.collect();
    let cells =
        groups.iter().map(|group| Cell::ratio(&of(group), &of(sweep.reference(group)), 1.0));
    let title = format!("{what} relative to {to}");
    let plot = plot(name, title.clone(), title, &groups, cells);
    DotPlot { level: Some(1.0), ..plot }.draw()
}

/// Every figure of the energy of a sweep; [`Error::NoData`] stands for one that the runs do not
/// allow.
pub fn energy_figures(sweep: &EnergySweep) -> Vec<Result<Figure>> {
    vec![
        training_energy(sweep),
        training_energy_normalized(sweep),
        inference_energy_normalized(sweep),
        inference_energy_by_model(sweep),
        inference_time(sweep),
        accuracy_energy(sweep),
        energy_sensitivity(sweep),
    ]
}

/// Eq. 5.1 for each point of the sweep, in units of its constant c (Figs. 5.1a, C.1–C.5). Runs that
/// did not reach the target count with their length, and the mark is open.
///
/// # Errors
/// If the runs do not allow it.
pub fn training_energy(sweep: &EnergySweep) -> Result<Figure> {
    let groups: Vec<&EnergyGroup> = sweep.groups.iter().collect();
    let cells = groups.iter().map(|group| Cell::of(&group.training()));
    let title = "energy of training to the target, as time steps times iterations".to_owned();
    plot("energy-training", title.clone(), title, &groups, cells).draw()
}

/// Cells of a quantity relative to each group's reference.
fn normalized(
    sweep: &EnergySweep,
    of: impl Fn(&EnergyGroup) -> Repeats,
) -> impl Iterator<Item = Option<Cell>> {
    sweep.groups.iter().map(move |group| Cell::ratio(&of(group), &of(sweep.reference(group)), 1.0))
}

/// Eq. 5.1 relative to the fewest bits (Figs. 5.1b, C.1–C.5, C.12, C.15).
///
/// # Errors
/// If the runs do not allow it.
pub fn training_energy_normalized(sweep: &EnergySweep) -> Result<Figure> {
    let what = "energy of training to the target";
    relative_plot(sweep, "energy-training-normalized", what, EnergyGroup::training)
}

/// Eq. 5.3 relative to the fewest bits (Figs. 5.2, 5.3, C.6–C.10, C.13, C.16).
///
/// # Errors
/// If the runs do not allow it.
pub fn inference_energy_normalized(sweep: &EnergySweep) -> Result<Figure> {
    let of = |group: &EnergyGroup| group.repeats(|run| Some(run.inference_mac?.0));
    relative_plot(
        sweep,
        "energy-inference-normalized",
        "energy of an inference by firing rates",
        of,
    )
}

/// The models and hardware that any group has.
fn models(sweep: &EnergySweep) -> Vec<(Model, String)> {
    let mut all: Vec<_> =
        sweep.groups.iter().flat_map(|group| group.energies().into_keys()).collect();
    all.sort();
    all.dedup();
    all
}

/// Inference energy relative to the fewest bits by every model on every hardware.
///
/// # Errors
/// If the runs do not allow it.
pub fn inference_energy_by_model(sweep: &EnergySweep) -> Result<Figure> {
    let models = models(sweep);
    if models.is_empty() {
        let missing = "the operations of no run are counted".to_owned();
        return Err(Error::NoData { figure: "energy-models-normalized".to_owned(), missing });
    }
    let mut columns: Vec<Vec<Option<Cell>>> =
        vec![normalized(sweep, |group| group.repeats(|run| Some(run.inference_ac?.0))).collect()];
    for model in &models {
        let of = |group: &EnergyGroup| group.energies().remove(model).unwrap_or_default();
        columns.push(normalized(sweep, of).collect());
    }
    let names = models.iter().map(|(model, hardware)| words::model(*model, hardware));
    let categories: Vec<String> =
        std::iter::once("by firing rates".to_owned()).chain(names).collect();
    let compared = sweep.groups.iter().enumerate();
    let compared = compared.filter(|(_, group)| !std::ptr::eq(*group, sweep.reference(group)));
    let series = compared.map(|(i, group)| Series {
        label: group.label.clone(),
        cells: columns.iter().map(|cells| cells[i].clone()).collect(),
    });
    DotPlot {
        name: "energy-models-normalized",
        title: format!("inference energy relative to {} by model", sweep.reference_label()),
        x_label: format!("energy relative to {}", sweep.reference_label()),
        series: series.collect(),
        categories,
        scale: scale(sweep),
        reference: None,
        level: Some(1.0),
        from_zero: true,
        limits: (0.0, f64::INFINITY),
    }
    .draw()
}

/// Time of an inference on every hardware that has times.
///
/// # Errors
/// If the runs do not allow it.
pub fn inference_time(sweep: &EnergySweep) -> Result<Figure> {
    let mut hardware: Vec<(Model, String)> =
        sweep.groups.iter().flat_map(|group| group.times().into_keys()).collect();
    hardware.sort();
    hardware.dedup();
    let series = sweep.groups.iter().map(|group| {
        let mut times = group.times();
        let mut cell = |key: &(Model, String)| Cell::of(&times.remove(key)?.scaled(1e-6));
        Series { label: group.label.clone(), cells: hardware.iter().map(&mut cell).collect() }
    });
    DotPlot {
        name: "energy-time",
        title: "time of one inference".to_owned(),
        x_label: "time of one inference (ms)".to_owned(),
        series: series.collect(),
        categories: hardware.iter().map(|(_, name)| words::hardware(name)).collect(),
        scale: scale(sweep),
        reference: None,
        level: None,
        from_zero: true,
        limits: (0.0, f64::INFINITY),
    }
    .draw()
}

/// Test accuracy over the energy of an inference by eq. 5.3, over energy and time on the last
/// hardware that has times (Figs. 5.4, C.11–C.16), and over the cost of the whole training, which is
/// eq. 5.1 with all iterations done; with the Pareto fronts.
pub fn accuracy_energy(sweep: &EnergySweep) -> Result<Figure> {
    Scatter {
        name: "energy-accuracy",
        title: "test accuracy over energy and time of one inference and over the cost of training"
            .to_owned(),
        y_label: "test accuracy (%)",
        most: 100.0,
        labels: sweep.labels(),
        looks: Looks::of(sweep),
        panels: costs(sweep),
    }
    .draw()
}

/// For each panel of [`accuracy_energy`] what it is over, and the labels of the points on its Pareto
/// front, in the order of their cost.
pub fn pareto_fronts(sweep: &EnergySweep) -> Vec<(String, Vec<String>)> {
    let labels = sweep.labels();
    let of_panel = |panel: ScatterPanel| {
        let front = panel.front().into_iter().map(|i| labels[i].clone()).collect();
        (panel.x_label, front)
    };
    costs(sweep).into_iter().map(of_panel).collect()
}

/// What accuracy is paid with.
fn costs(sweep: &EnergySweep) -> Vec<ScatterPanel> {
    let marks = |of: &dyn Fn(&RunEnergy) -> Option<f64>| -> Vec<Vec<(f64, f64)>> {
        let of_run = |run: &RunEnergy| Some((of(run)?, 100.0 * run.summary.final_test_accuracy?));
        sweep.groups.iter().map(|group| group.runs.iter().filter_map(of_run).collect()).collect()
    };
    let mut panels = vec![ScatterPanel {
        x_label: "energy by firing rates (µJ)".to_owned(),
        marks: marks(&|run| Some(1e-6 * run.inference_mac?.0)),
    }];
    let timed = |run: &RunEnergy| {
        let mut all = run.estimates.iter().rev();
        all.find(|estimate| estimate.estimate.time.is_some()).cloned()
    };
    if let Some(chip) = sweep.groups.iter().flat_map(|group| &group.runs).find_map(timed) {
        let name = &chip.hardware;
        let on_chip = |run: &RunEnergy| {
            let mut all = run.estimates.iter();
            all.find(|e| e.model == Model::Chip && e.hardware == *name).cloned()
        };
        panels.push(ScatterPanel {
            x_label: format!("energy on {} (µJ)", words::hardware(name)),
            marks: marks(&|run| Some(1e-6 * on_chip(run)?.estimate.total.0)),
        });
        panels.push(ScatterPanel {
            x_label: format!("time on {} (ms)", words::hardware(name)),
            marks: marks(&|run| Some(1e-6 * on_chip(run)?.estimate.time?.total_ns())),
        });
    }
    panels.push(ScatterPanel {
        x_label: "training, time steps times iterations (10³)".to_owned(),
        marks: marks(&|run| {
            let summary = &run.summary;
            let cost = thesis::training(summary.time_steps as u64, summary.n_iterations);
            Some(1e-3 * cost)
        }),
    });
    panels
}

/// A change below this is not drawn.
const LEAST_PERCENT: f64 = 0.1;

/// What a number is of: its key without section and unit; times and energies of one thing differ by
/// the former's name.
fn quantity(key: &str) -> String {
    let (section, name) = key.split_once('.').unwrap_or(("", key));
    let name = name.rsplit_once('_').map_or(name, |(name, _unit)| name).replace('_', " ");
    if section == "time" { format!("time of {name}") } else { name }
}

/// What each uncertain number of the tables does to the energy of the last group's first run, where
/// it is a tenth of a percent or more.
pub fn energy_sensitivity(sweep: &EnergySweep) -> Result<Figure> {
    let group = sweep.groups.last();
    let run = group.and_then(|group| group.runs.first());
    let estimates = run.into_iter().flat_map(|run| &run.estimates);
    let rows = estimates.flat_map(|estimate| {
        let percent = move |energy: f64| 100.0 * (energy / estimate.estimate.total.0 - 1.0);
        estimate.sensitivity.iter().map(move |swing| {
            let name = format!("{}: {}", words::hardware(&estimate.hardware), quantity(swing.key));
            (name, percent(swing.at_low.0), percent(swing.at_high.0))
        })
    });
    let rows = rows.filter(|(_, low, high)| low.abs().max(high.abs()) >= LEAST_PERCENT);
    let label = group.map_or("", |group| group.label.as_str());
    Ranges {
        name: "energy-sensitivity",
        title: format!("sensitivity of the inference energy of {label}"),
        x_label: "change of energy (%)".to_owned(),
        rows: rows.collect(),
    }
    .draw()
}

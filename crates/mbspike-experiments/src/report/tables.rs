//! Results, energies and the thesis's numbers as tables.

use std::collections::{BTreeMap, BTreeSet};

use super::thesis::{Experiment, Number, Quantity};
use super::{Block, Table};
use crate::curves::{Estimate, TimeToTarget};
use crate::energy::{EnergyGroup, EnergySweep, RunEnergy};
use crate::figure::{
    Group, Options, RelativeTimes, Sweep, TargetKind, relative_times_to_target, times_to_target,
};
use crate::quantize::{Variant, VariantKind};
use crate::results::Summary;

const DASH: &str = "–";
/// Microjoules in a picojoule.
const UJ: f64 = 1e-6;

/// A share as a percentage, without a decimal where it is a whole one.
pub(super) fn percent(share: f64) -> String {
    format!("{} %", (1e4 * share).round() / 100.0)
}

/// Mean ± half the 95 % interval, or the mean of a single value.
fn with_interval(values: &[f64], digits: usize) -> String {
    match Estimate::of(values) {
        None => DASH.to_owned(),
        Some(e) => with_spread(e.mean, e.half_width(), digits),
    }
}

/// Mean ± standard deviation, or the mean of a single value.
fn with_sd(values: &[f64], digits: usize) -> String {
    match Estimate::of(values) {
        None => DASH.to_owned(),
        Some(e) => with_spread(e.mean, e.sd, digits),
    }
}

fn with_spread(mean: f64, spread: Option<f64>, digits: usize) -> String {
    match spread {
        Some(spread) => format!("{mean:.digits$} ± {spread:.digits$}"),
        None => format!("{mean:.digits$}"),
    }
}

fn values(group: &Group, of: impl Fn(&Summary) -> Option<f64>) -> Vec<f64> {
    group.runs.iter().filter_map(|run| of(&run.summary)).collect()
}

/// Times to the target: a mean with its interval, or a lower bound with how many reached it.
fn time(times: &TimeToTarget, digits: usize) -> String {
    let Some(estimate) = times.estimate() else { return DASH.to_owned() };
    if times.is_complete() {
        return with_spread(estimate.mean, estimate.half_width(), digits);
    }
    let (n_reached, n) = (times.reached.len(), times.reached.len() + times.censored.len());
    format!("≥ {:.digits$}, {n_reached} of {n} reached it", estimate.mean)
}

/// Mean ± standard deviation in percent, or a lower bound.
fn relative_time(times: Option<&RelativeTimes>) -> String {
    let Some(RelativeTimes { values, is_bound }) = times else { return DASH.to_owned() };
    let percent: Vec<f64> = values.iter().map(|value| 100.0 * value).collect();
    match Estimate::of(&percent) {
        Some(estimate) if *is_bound => format!("≥ {:.2} %", estimate.mean),
        _ => format!("{} %", with_sd(&percent, 2)),
    }
}

/// Accuracies, times to the target and firing rates of each point.
pub(super) fn results(sweep: &Sweep, options: &Options) -> Vec<Block> {
    if sweep.groups.is_empty() {
        return vec![];
    }
    let mut tables = vec![accuracies(sweep, options)];
    tables.extend(relative_times(sweep, options));
    tables.push(nonzero_rates(sweep));
    tables.into_iter().map(Block::Table).collect()
}

fn accuracies(sweep: &Sweep, options: &Options) -> Table {
    let mut head: Vec<String> =
        ["", "repeats", "test accuracy (%)", "best test accuracy (%)", "training accuracy (%)"]
            .map(str::to_owned)
            .to_vec();
    let target = options.target.or_else(|| sweep.target()).map(percent).unwrap_or_default();
    let iterations = times_to_target(sweep, TargetKind::TrainIterations, options);
    let epochs = times_to_target(sweep, TargetKind::TestEpochs, options);
    if iterations.is_some() {
        head.push(format!("iterations to {target} training accuracy"));
        head.push(format!("epochs to {target} test accuracy"));
    }
    head.push("ms a step".to_owned());
    let row = |(i, group): (usize, &Group)| {
        let percent = |of: fn(&Summary) -> Option<f64>| {
            with_interval(&values(group, |s| Some(100.0 * of(s)?)), 2)
        };
        let mut row = vec![
            group.label.clone(),
            group.runs.len().to_string(),
            percent(|s| s.final_test_accuracy),
            percent(|s| s.best_test_accuracy),
            percent(|s| s.final_train_accuracy),
        ];
        row.extend(iterations.iter().map(|times| time(&times[i], 0)));
        row.extend(epochs.iter().map(|times| time(&times[i], 1)));
        row.push(with_interval(&values(group, |s| Some(1e3 * s.median_step_time_s?)), 1));
        row
    };
    Table {
        caption: format!(
            "Means over repeats ± half their 95 % intervals (Student's t). The training accuracy that \
             has to reach the target is the mean of the last {} iterations; repeats that never reach \
             it count with their length.",
            options.window
        ),
        head,
        rows: sweep.groups.iter().enumerate().map(row).collect(),
        is_numeric: true,
    }
}

fn relative_times(sweep: &Sweep, options: &Options) -> Option<Table> {
    if sweep.groups.len() < 2 {
        return None;
    }
    let iterations = relative_times_to_target(sweep, TargetKind::TrainIterations, options)?;
    let epochs = relative_times_to_target(sweep, TargetKind::TestEpochs, options)?;
    let rows = sweep.groups.iter().zip(iterations.iter().zip(&epochs));
    let row = |(group, (iterations, epochs)): (&Group, (&Option<_>, &Option<_>))| {
        vec![
            group.label.clone(),
            sweep.reference(group).label.clone(),
            relative_time(iterations.as_ref()),
            relative_time(epochs.as_ref()),
        ]
    };
    Some(Table {
        caption:
            "Time to the target relative to the mean of the fewest bits: means over repeats ± \
                  standard deviations."
                .to_owned(),
        head: ["", "relative to", "iterations", "epochs"].map(str::to_owned).to_vec(),
        rows: rows.map(row).collect(),
        is_numeric: true,
    })
}

fn nonzero_rates(sweep: &Sweep) -> Table {
    let positions = sweep.positions();
    let row = |group: &Group| {
        let rate = |i: usize| {
            with_interval(&values(group, |s| Some(100.0 * s.final_nonzero_rate.get(i)?)), 2)
        };
        std::iter::once(group.label.clone()).chain((0..positions.len()).map(rate)).collect()
    };
    let names = positions.iter().map(|position| format!("{position} (%)"));
    Table {
        caption:
            "Share of non-zero elements at each position on the test set after the last epoch: \
                  means ± half their 95 % intervals."
                .to_owned(),
        head: std::iter::once(String::new()).chain(names).collect(),
        rows: sweep.groups.iter().map(row).collect(),
        is_numeric: true,
    }
}

/// Accuracies as trained and in other arithmetics, of the runs that were converted; `None` if none
/// was. `variants` are by the runs' names.
pub(super) fn converted(sweep: &Sweep, variants: &BTreeMap<String, Vec<Variant>>) -> Option<Table> {
    let kinds: BTreeSet<VariantKind> = variants.values().flatten().map(|v| v.kind).collect();
    let row = |group: &Group| {
        let of_group: Vec<&Vec<Variant>> =
            group.runs.iter().filter_map(|run| variants.get(&run.summary.id)).collect();
        let accuracy = |kind: &VariantKind| {
            let variants = of_group.iter().copied().flatten().filter(|v| v.kind == *kind);
            with_interval(&variants.map(|v| 100.0 * v.test_accuracy).collect::<Vec<_>>(), 2)
        };
        let head = [group.label.clone(), of_group.len().to_string()];
        head.into_iter().chain(kinds.iter().map(accuracy)).collect()
    };
    let names = kinds.iter().map(|kind| format!("{} (%)", kind.name()));
    (!kinds.is_empty()).then(|| Table {
        caption: "Test accuracy as trained and after conversion (mbspike quantize): means over \
                  converted repeats ± half their 95 % intervals."
            .to_owned(),
        head: [String::new(), "converted".to_owned()].into_iter().chain(names).collect(),
        rows: sweep.groups.iter().map(row).collect(),
        is_numeric: true,
    })
}

/// What the runs say of a group, by its place and itself.
type Here<'a> = Box<dyn Fn(usize, &Group) -> Option<String> + 'a>;

/// The thesis's numbers, each with what the runs say; `None` if it is on nothing that was run.
pub(super) fn thesis_numbers<'a>(
    numbers: impl Iterator<Item = &'a Number>,
    sweep: &Sweep,
    options: &Options,
) -> Option<Table> {
    let target = options.target.or_else(|| sweep.target()).map(percent).unwrap_or_default();
    let iterations = relative_times_to_target(sweep, TargetKind::TrainIterations, options);
    let relative_epochs = relative_times_to_target(sweep, TargetKind::TestEpochs, options);
    let epochs = times_to_target(sweep, TargetKind::TestEpochs, options);
    let mut rows = Vec::new();
    for number in numbers {
        let (what, here): (String, Here<'_>) = match number.quantity {
            Quantity::RelativeIterationsToTarget => (
                format!("iterations to {target} training accuracy, relative to 1 bit"),
                Box::new(|i, _| Some(relative_time(iterations.as_ref()?[i].as_ref()))),
            ),
            Quantity::RelativeEpochsToTarget => (
                format!("epochs to {target} test accuracy, relative to 1 bit"),
                Box::new(|i, _| Some(relative_time(relative_epochs.as_ref()?[i].as_ref()))),
            ),
            Quantity::RelativeTrainingEnergy => (
                "energy of training, eq. 5.1, relative to 1 bit".to_owned(),
                Box::new(|i, group| {
                    let times = iterations.as_ref()?[i].as_ref();
                    let energy = times.map(|t| training_energy(t, group, sweep.reference(group)));
                    Some(relative_time(energy.as_ref()))
                }),
            ),
            Quantity::EpochsToTarget => (
                format!("epochs to {target} test accuracy"),
                Box::new(|i, _| Some(time(&epochs.as_ref()?[i], 1))),
            ),
            Quantity::InputNonzeroRate => (
                "non-zero share of the input on the test set".to_owned(),
                Box::new(|_, group| {
                    let rates = values(group, |s| Some(100.0 * s.final_nonzero_rate.first()?));
                    Some(format!("{} %", with_interval(&rates, 2)))
                }),
            ),
        };
        let bits = |group: &Group| group.runs[0].summary.bits;
        let is_meant = |group: &Group| {
            number.bits.is_empty()
                || number.bits.contains(&bits(group)) && bits(sweep.reference(group)) == 1
        };
        let meant = sweep.groups.iter().enumerate().filter(|(_, group)| is_meant(group));
        let cells: Vec<String> = meant
            .filter_map(|(i, group)| Some(format!("{}: {}", group.label, here(i, group)?)))
            .collect();
        if !cells.is_empty() {
            let here = cells.join("\n");
            rows.push(vec![
                what,
                number.of_bits(),
                number.printed.clone(),
                here,
                number.source.clone(),
            ]);
        }
    }
    let head = ["", "of", "thesis", "here", "where the thesis says so"];
    (!rows.is_empty()).then(|| Table {
        caption: "The thesis's numbers for this dataset, its target being 80 %. Relative times are means ± \
                  standard deviations over repeats, other numbers means ± half their 95 % intervals."
            .to_owned(),
        head: head.map(str::to_owned).to_vec(),
        rows,
        is_numeric: false,
    })
}

/// Eq. 5.1 relative to the reference's: iterations and time steps.
fn training_energy(times: &RelativeTimes, group: &Group, reference: &Group) -> RelativeTimes {
    let time_steps = |group: &Group| group.runs[0].summary.time_steps as f64;
    let ratio = time_steps(group) / time_steps(reference);
    let values = times.values.iter().map(|value| value * ratio);
    RelativeTimes { values: values.collect(), is_bound: times.is_bound }
}

/// How the thesis launched the experiment, and how it was launched here.
pub(super) fn thesis_settings(experiment: &Experiment, sweep: &Sweep, lr: Option<f64>) -> Table {
    let runs = || sweep.groups.iter().flat_map(|group| &group.runs).map(|run| &run.summary);
    let all = |of: fn(&Summary) -> u64| {
        let mut values: Vec<u64> = runs().map(of).collect();
        values.sort_unstable();
        values.dedup();
        values.iter().map(u64::to_string).collect::<Vec<_>>().join(", ")
    };
    let mut repeats: Vec<usize> = sweep.groups.iter().map(|group| group.runs.len()).collect();
    repeats.sort_unstable();
    repeats.dedup();
    let repeats = repeats.iter().map(usize::to_string).collect::<Vec<_>>().join(", ");
    let row = |name: &str, thesis: Option<String>, here: String| {
        vec![name.to_owned(), thesis.unwrap_or_else(|| "not said".to_owned()), here]
    };
    let rows = vec![
        row("bits", Some(experiment.bits.clone()), all(|s| s.bits.into())),
        row("repeats of a point", Some(experiment.repeats.to_string()), repeats),
        row("time steps", experiment.time_steps.clone(), all(|s| s.time_steps as u64)),
        row("epochs", experiment.epochs.map(|n| n.to_string()), all(|s| s.n_epochs)),
        row(
            "learning rate",
            experiment.lr.map(|lr| lr.to_string()),
            lr.map_or_else(|| DASH.to_owned(), |lr| lr.to_string()),
        ),
    ];
    Table {
        caption: format!("The thesis's experiment ({}) and this one.", experiment.source),
        head: ["", "thesis", "here"].map(str::to_owned).to_vec(),
        rows,
        is_numeric: false,
    }
}

/// Energy of training and of the inference of one sample.
pub(super) fn energy(sweep: &EnergySweep) -> Table {
    let mut head = vec![
        String::new(),
        "training, eq. 5.1 (c)".to_owned(),
        "relative (%)".to_owned(),
        "inference, eq. 5.2 (µJ)".to_owned(),
        "inference, eq. 5.3 (µJ)".to_owned(),
        "relative (%)".to_owned(),
    ];
    let of_training = |run: &RunEnergy| Some(run.training?.energy_c);
    let relative_training = sweep.normalized(|group| group.values(of_training));
    let relative_inference =
        sweep.normalized(|group| group.values(|run| Some(run.inference_mac.0)));
    let models: BTreeSet<_> =
        sweep.groups.iter().flat_map(|group| group.energies().into_keys()).collect();
    head.extend(models.iter().map(|(model, on)| format!("{}, {on} (µJ)", model.name())));
    let relative = |values: &Option<Vec<f64>>| {
        let percent = values.iter().flatten().map(|value| 100.0 * value);
        with_interval(&percent.collect::<Vec<_>>(), 1)
    };
    let row = |(i, group): (usize, &EnergyGroup)| {
        let microjoules = |of: &dyn Fn(&RunEnergy) -> Option<f64>| {
            with_interval(&group.values(|run| Some(UJ * of(run)?)), 3)
        };
        let is_bound = group.runs.iter().any(|run| run.training.is_some_and(|t| !t.reached));
        let training = with_interval(&group.values(of_training), 0);
        let mut row = vec![
            group.label.clone(),
            if is_bound { format!("≥ {training}") } else { training },
            relative(&relative_training[i]),
            microjoules(&|run| Some(run.inference_ac.0)),
            microjoules(&|run| Some(run.inference_mac.0)),
            relative(&relative_inference[i]),
        ];
        let energies = group.energies();
        row.extend(models.iter().map(|model| {
            let values = energies.get(model).into_iter().flatten().map(|pj| UJ * pj);
            with_interval(&values.collect::<Vec<_>>(), 3)
        }));
        row
    };
    let missing = if models.is_empty() {
        " Operations are not counted yet; mbspike energy counts them and adds models of hardware."
    } else {
        ""
    };
    Table {
        caption: format!(
            "Energy of training in units of c and of the inference of one sample: means over repeats \
             ± half their 95 % intervals; relative to {}. ≥: the target was not reached by every \
             repeat.{missing}",
            sweep.reference_label()
        ),
        head,
        rows: sweep.groups.iter().enumerate().map(row).collect(),
        is_numeric: true,
    }
}

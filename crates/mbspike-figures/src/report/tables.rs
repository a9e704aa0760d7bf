//! Results, energies and reference values as tables.

use std::collections::{BTreeMap, BTreeSet};

use mbspike_results::conversion::{VariantAccuracy, VariantKind};
use mbspike_results::energy::{EnergyGroup, EnergySweep, RunEnergy};
use mbspike_results::reference::{Experiment, Number, Quantity, Reference};
use mbspike_results::{Measure, Repeats, RunGroup, RunSet, Summary, TargetKind, TargetOptions};

use super::page::{Block, Table};
use crate::figure::words;

const DASH: &str = "–";
/// Microjoules in a picojoule.
const UJ: f64 = 1e-6;

/// A share as a percentage, without a decimal where it is a whole one.
pub(super) fn percent(share: f64) -> String {
    format!("{} %", (1e4 * share).round() / 100.0)
}

/// A measure as text, with how many repeats reached what is counted if some did not.
fn text(measure: Option<Measure>, digits: usize) -> String {
    measure.map_or_else(|| DASH.to_owned(), |measure| measure.text_of_reached(digits))
}

/// Mean ± half the 95 % interval, or the mean of a single value.
fn mean(repeats: &Repeats, digits: usize) -> String {
    text(repeats.measure(), digits)
}

/// The ratio to a reference in percent.
fn ratio(repeats: &Repeats, reference: &Repeats, digits: usize) -> String {
    text(repeats.ratio_to(reference).map(|ratio| ratio.scaled(100.0)), digits)
}

fn values(group: &RunGroup, of: impl Fn(&Summary) -> Option<f64>) -> Repeats {
    group.repeats(|run| of(&run.summary))
}

/// What "±" means, wherever it stands.
const SPREAD: &str =
    "±: half the width of the 95 % interval of the mean over repeats (Student's t)";

/// Accuracies, times to the target and firing rates of each point.
pub(super) fn results(runs: &RunSet, options: &TargetOptions) -> Vec<Block> {
    if runs.groups.is_empty() && runs.lost.is_empty() {
        return vec![];
    }
    let mut tables = vec![accuracies(runs, options)];
    tables.extend(comparisons(runs, options));
    if !runs.groups.is_empty() {
        tables.push(nonzero_rates(runs));
    }
    tables.into_iter().map(Block::Table).collect()
}

fn accuracies(runs: &RunSet, options: &TargetOptions) -> Table {
    let mut head: Vec<String> =
        ["", "repeats", "test accuracy (%)", "best test accuracy (%)", "training accuracy (%)"]
            .map(str::to_owned)
            .to_vec();
    let target = options.accuracy.or_else(|| runs.target());
    if let Some(target) = target {
        let target = percent(target);
        head.push(format!("iterations to {target} training accuracy"));
        head.push(format!("epochs to {target} test accuracy"));
    }
    head.push("ms a step".to_owned());
    let n_columns = head.len();
    let row = |group: &RunGroup| {
        let percent =
            |of: fn(&Summary) -> Option<f64>| mean(&values(group, |s| Some(100.0 * of(s)?)), 2);
        let time = |kind, digits| mean(&group.times_to_target(kind, options), digits);
        let mut row = vec![
            group.marked_label(),
            group.runs.len().to_string(),
            percent(|s| s.final_test_accuracy),
            percent(|s| s.best_test_accuracy),
            percent(|s| s.final_train_accuracy),
        ];
        if target.is_some() {
            row.push(time(TargetKind::TrainIterations, 0));
            row.push(time(TargetKind::TestEpochs, 1));
        }
        row.push(mean(&values(group, |s| Some(1e3 * s.median_step_time_s?)), 1));
        row
    };
    let lost = |group: &RunGroup| {
        let mut row = vec![group.marked_label(), "0".to_owned()];
        row.resize(n_columns, DASH.to_owned());
        row
    };
    Table {
        caption: format!(
            "Means over repeats. {SPREAD}. The training accuracy that has to reach the target is the mean \
             of the last {} iterations; repeats that never reach it count with their length, which makes \
             a lower bound (≥). Runs that diverged are in no mean.",
            options.window
        ),
        head,
        rows: runs.groups.iter().map(row).chain(runs.lost.iter().map(lost)).collect(),
        is_numeric: true,
    }
}

/// Each point beside its reference.
fn comparisons(runs: &RunSet, options: &TargetOptions) -> Option<Table> {
    if runs.groups.len() < 2 {
        return None;
    }
    let has_target = options.accuracy.or_else(|| runs.target()).is_some();
    let accuracy = |group: &RunGroup| values(group, |s| Some(100.0 * s.final_test_accuracy?));
    let row = |group: &RunGroup| {
        let reference = runs.reference(group);
        let is_itself = std::ptr::eq(group, reference);
        let difference = accuracy(group).difference_to(&accuracy(reference));
        let time = |kind| {
            let of = |group: &RunGroup| group.times_to_target(kind, options);
            if is_itself { "100".to_owned() } else { ratio(&of(group), &of(reference), 2) }
        };
        let mut row = vec![
            group.label.clone(),
            reference.label.clone(),
            if is_itself { "0".to_owned() } else { text(difference, 2) },
        ];
        if has_target {
            row.push(time(TargetKind::TrainIterations));
            row.push(time(TargetKind::TestEpochs));
        }
        row
    };
    let mut head = ["", "relative to", "test accuracy (points)"].map(str::to_owned).to_vec();
    if has_target {
        head.extend(
            ["iterations to the target (%)", "epochs to the target (%)"].map(str::to_owned),
        );
    }
    Some(Table {
        caption: "Each point beside its reference: differences and ratios of means, paired by seed where \
                  seeds are shared. ±: half the width of their 95 % intervals (Student's t), which have \
                  the reference's spread in them. ≥, ≤: a bound, as not every repeat reached the target."
            .to_owned(),
        head,
        rows: runs.groups.iter().map(row).collect(),
        is_numeric: true,
    })
}

fn nonzero_rates(runs: &RunSet) -> Table {
    let positions = runs.positions();
    let row = |group: &RunGroup| {
        let rate =
            |i: usize| mean(&values(group, |s| Some(100.0 * s.final_nonzero_rate.get(i)?)), 2);
        std::iter::once(group.label.clone()).chain((0..positions.len()).map(rate)).collect()
    };
    let names = positions.iter().map(|position| format!("{position} (%)"));
    Table {
        caption: format!(
            "Share of non-zero elements at each position on the test set after the last epoch. {SPREAD}."
        ),
        head: std::iter::once(String::new()).chain(names).collect(),
        rows: runs.groups.iter().map(row).collect(),
        is_numeric: true,
    }
}

/// Accuracies as trained and in other arithmetics, of the runs that were converted; `None` if none
/// was. `variants` are by the runs' names.
pub(super) fn converted(
    runs: &RunSet,
    variants: &BTreeMap<String, Vec<VariantAccuracy>>,
) -> Option<Table> {
    let kinds: BTreeSet<VariantKind> = variants.values().flatten().map(|v| v.kind).collect();
    let row = |group: &RunGroup| {
        let of_run = |run: &Summary| variants.get(&run.id);
        let n = group.runs.iter().filter(|run| of_run(&run.summary).is_some()).count();
        let accuracy = |kind: &VariantKind| {
            let of_kind = |summary: &Summary| {
                let variant = of_run(summary)?.iter().find(|variant| variant.kind == *kind)?;
                Some(100.0 * variant.test_accuracy)
            };
            mean(&values(group, of_kind), 2)
        };
        let head = [group.label.clone(), n.to_string()];
        head.into_iter().chain(kinds.iter().map(accuracy)).collect()
    };
    let names = kinds.iter().map(|kind| format!("{} (%)", kind.name()));
    (!kinds.is_empty()).then(|| Table {
        caption: format!(
            "Test accuracy as trained and after conversion (mbspike quantize) of the converted repeats. \
             {SPREAD}."
        ),
        head: [String::new(), "converted".to_owned()].into_iter().chain(names).collect(),
        rows: runs.groups.iter().map(row).collect(),
        is_numeric: true,
    })
}

/// The numbers of a publication, each with what the runs say; `None` if it is on nothing that was run.
pub(super) fn reference_numbers<'a>(
    publication: &Reference,
    numbers: impl Iterator<Item = &'a Number>,
    runs: &RunSet,
    options: &TargetOptions,
) -> Option<Table> {
    let target = options.accuracy.or_else(|| runs.target());
    let target = target.map(percent).unwrap_or_default();
    let mut rows = Vec::new();
    for number in numbers {
        let times = |group: &RunGroup, kind| group.times_to_target(kind, options);
        let relative = |group: &RunGroup, kind| {
            let (own, reference) = (times(group, kind), times(runs.reference(group), kind));
            (!own.is_empty()).then(|| format!("{} %", ratio(&own, &reference, 2)))
        };
        let energy = |group: &RunGroup| {
            let time_steps = group.first().time_steps as f64;
            times(group, TargetKind::TrainIterations).scaled(time_steps)
        };
        let here = |group: &RunGroup| match number.quantity {
            Quantity::RelativeIterationsToTarget => relative(group, TargetKind::TrainIterations),
            Quantity::RelativeEpochsToTarget => relative(group, TargetKind::TestEpochs),
            Quantity::RelativeTrainingEnergy => {
                let (own, reference) = (energy(group), energy(runs.reference(group)));
                (!own.is_empty()).then(|| format!("{} %", ratio(&own, &reference, 2)))
            }
            Quantity::EpochsToTarget => {
                let times = times(group, TargetKind::TestEpochs);
                (!times.is_empty()).then(|| mean(&times, 1))
            }
            Quantity::InputNonzeroRate => {
                let rates = values(group, |s| Some(100.0 * s.final_nonzero_rate.first()?));
                Some(format!("{} %", mean(&rates, 2)))
            }
        };
        let what = match number.quantity {
            Quantity::RelativeIterationsToTarget => {
                format!("iterations to {target} training accuracy, relative to 1 bit")
            }
            Quantity::RelativeEpochsToTarget => {
                format!("epochs to {target} test accuracy, relative to 1 bit")
            }
            Quantity::RelativeTrainingEnergy => {
                "energy of training, eq. 5.1, relative to 1 bit".to_owned()
            }
            Quantity::EpochsToTarget => format!("epochs to {target} test accuracy"),
            Quantity::InputNonzeroRate => "non-zero share of the input on the test set".to_owned(),
        };
        let is_meant = |group: &&RunGroup| {
            number.bits.is_empty()
                || number.bits.contains(&group.bits()) && runs.reference(group).bits() == 1
        };
        let meant = runs.groups.iter().filter(is_meant);
        let cells: Vec<String> =
            meant.filter_map(|group| Some(format!("{}: {}", group.label, here(group)?))).collect();
        if !cells.is_empty() {
            rows.push(vec![
                what,
                number.of_bits(),
                number.printed.clone(),
                cells.join("\n"),
                number.source.clone(),
            ]);
        }
    }
    let name = &publication.name;
    let head = ["", "of", name, "here", "source"];
    (!rows.is_empty()).then(|| Table {
        caption: format!(
            "The numbers of {name} for this dataset{}. Here, {SPREAD}.",
            publication.note
        ),
        head: head.map(str::to_owned).to_vec(),
        rows,
        is_numeric: false,
    })
}

/// How the experiment was launched there, and how it was launched here.
pub(super) fn reference_settings(
    publication: &Reference,
    experiment: &Experiment,
    sweep: &RunSet,
    lr: Option<f64>,
) -> Table {
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
    let row = |name: &str, there: Option<String>, here: String| {
        vec![name.to_owned(), there.unwrap_or_else(|| "not said".to_owned()), here]
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
        caption: format!(
            "The experiment of {} ({}) and this one.",
            publication.name, experiment.source
        ),
        head: ["", &publication.name, "here"].map(str::to_owned).to_vec(),
        rows,
        is_numeric: false,
    }
}

/// Energy of training and of the inference of one sample.
pub(super) fn energy(sweep: &EnergySweep) -> Table {
    let mut head = vec![
        String::new(),
        "training, time steps × iterations".to_owned(),
        "relative (%)".to_owned(),
        "inference, additions by firing rates (µJ)".to_owned(),
        "inference, multiply-adds by firing rates (µJ)".to_owned(),
        "relative (%)".to_owned(),
    ];
    let models: BTreeSet<_> =
        sweep.groups.iter().flat_map(|group| group.energies().into_keys()).collect();
    head.extend(models.iter().map(|(model, on)| format!("{} (µJ)", words::model(*model, on))));
    let row = |group: &EnergyGroup| {
        let reference = sweep.reference(group);
        let microjoules = |of: &dyn Fn(&RunEnergy) -> Option<f64>| {
            mean(&group.repeats(|run| Some(UJ * of(run)?)), 3)
        };
        let mac = |group: &EnergyGroup| group.repeats(|run| Some(run.inference_mac?.0));
        let mut row = vec![
            group.marked_label(),
            mean(&group.training(), 0),
            ratio(&group.training(), &reference.training(), 1),
            microjoules(&|run| Some(run.inference_ac?.0)),
            microjoules(&|run| Some(run.inference_mac?.0)),
            ratio(&mac(group), &mac(reference), 1),
        ];
        let energies = group.energies();
        row.extend(models.iter().map(|model| {
            energies.get(model).map_or_else(|| DASH.to_owned(), |pj| mean(&pj.scaled(UJ), 3))
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
            "Energy of training (eq. 5.1 of the thesis, in units of its constant) and of the inference of one sample (eqs. 5.2 and 5.3, and models of hardware); relative to {}. {SPREAD}; \
             that of a ratio has the reference's spread in it. ≥, ≤: a bound, as not every repeat reached \
             the target.{missing}",
            sweep.reference_label()
        ),
        head,
        rows: sweep.groups.iter().map(row).collect(),
        is_numeric: true,
    }
}

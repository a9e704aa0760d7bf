use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::ExitCode;

use mbspike_energy::Picojoules;
use mbspike_experiments::energy::{self, Options};
use mbspike_figures::figure::draw_energy;
use mbspike_results::energy::{EnergyGroup, EnergySweep, RunEnergy, save};
use mbspike_results::{Bound, Measure, Repeats};
use serde_json::json;

use super::{print_json, print_table};
use crate::cli::EnergyArgs;
use crate::progress::Progress;
use crate::stop;

pub fn energy(args: &EnergyArgs, quiet: bool) -> anyhow::Result<ExitCode> {
    let stop = stop::on_ctrl_c()?;
    let options = Options { hardware: args.hardware.clone(), n_samples: args.samples };
    let progress = Progress::new(quiet);
    let Some(runs) = energy::estimate(&args.runs, &options, &progress, &stop)? else {
        return Ok(ExitCode::FAILURE);
    };
    let out = args.out.as_ref().unwrap_or(&args.runs[0]);
    let mut files = save(out, &runs)?.to_vec();
    let sweep = EnergySweep::of(runs);
    if !args.no_figures {
        files.extend(draw_energy(out, &sweep)?);
    }
    if args.json {
        let groups = sweep.groups.iter().map(|g| json!({"label": g.label, "runs": g.runs}));
        print_json(&json!({"groups": groups.collect::<Vec<_>>(), "files": files}))?;
        return Ok(ExitCode::SUCCESS);
    }
    print_groups(&sweep)?;
    print_notes(&sweep, &files)?;
    Ok(ExitCode::SUCCESS)
}

/// A column for each group; energies and times are those of the inference of one sample, in brackets
/// relative to the 1-bit group.
fn print_groups(sweep: &EnergySweep) -> anyhow::Result<()> {
    let mut rows = vec![std::iter::once(String::new()).chain(sweep.marked_labels()).collect()];
    let mut row = |name: &str, cell: &dyn Fn(&EnergyGroup) -> String| {
        let cells = sweep.groups.iter().map(cell);
        rows.push(std::iter::once(name.to_owned()).chain(cells).collect::<Vec<_>>());
    };
    let relative = |group: &EnergyGroup, of: &dyn Fn(&EnergyGroup) -> Repeats| {
        let ratio = of(group).ratio_to(&of(sweep.reference(group)))?;
        Some(format!(" ({})", Measure { half_width: None, ..ratio }.text(2)))
    };
    let shown = |group: &EnergyGroup,
                 of: &dyn Fn(&EnergyGroup) -> Repeats,
                 text: &dyn Fn(f64) -> String| {
        let Some(mean) = of(group).measure() else { return "–".to_owned() };
        let sign = if mean.bound == Bound::AtLeast { "≥ " } else { "" };
        format!("{sign}{}{}", text(mean.value), relative(group, of).unwrap_or_default())
    };
    let joules = |pj: f64| Picojoules(pj).to_string();

    row("runs", &|group| group.runs.len().to_string());
    row("test accuracy", &|group| {
        let accuracy = group.repeats(|run| run.summary.final_test_accuracy).measure();
        accuracy.map_or_else(|| "–".to_owned(), |accuracy| accuracy.text(4))
    });
    row("training, eq. 5.1 (c)", &|group| {
        shown(group, &EnergyGroup::training, &|c| format!("{c:.0}"))
    });
    let count = |of: fn(&mbspike_energy::LayerCounts) -> u64| {
        move |group: &EnergyGroup| group.repeats(|run: &RunEnergy| Some(run.counts.per_sample(of)))
    };
    let counts = [
        ("synaptic events", count(|l| l.synaptic_events)),
        ("spikes sent", count(|l| l.sent_spikes)),
        ("payload bits sent", count(mbspike_energy::LayerCounts::sent_payload_bits)),
        ("membrane updates", count(|l| l.neuron_updates)),
    ];
    for (name, of) in counts {
        row(name, &|group| shown(group, &of, &|n| format!("{n:.0}")));
    }
    row("eq. 5.2, addition", &|group| {
        shown(group, &|g| g.repeats(|run| Some(run.inference_ac?.0)), &joules)
    });
    row("eq. 5.3, multiply-add", &|group| {
        shown(group, &|g| g.repeats(|run| Some(run.inference_mac?.0)), &joules)
    });
    let models: BTreeSet<_> = sweep.groups.iter().flat_map(|g| g.energies().into_keys()).collect();
    for key in &models {
        let of = |group: &EnergyGroup| group.energies().remove(key).unwrap_or_default();
        let name = format!("{}, {}", key.0.name(), key.1);
        row(&name, &|group| shown(group, &of, &joules));
    }
    let timed: BTreeSet<_> = sweep.groups.iter().flat_map(|g| g.times().into_keys()).collect();
    for key in &timed {
        let of = |group: &EnergyGroup| group.times().remove(key).unwrap_or_default();
        let name = format!("time, {}", key.1);
        row(&name, &|group| shown(group, &of, &|ns| format!("{:.3} ms", 1e-6 * ns)));
    }
    print_table(&rows)
}

/// What the estimates stand on, and where everything is.
fn print_notes(sweep: &EnergySweep, files: &[PathBuf]) -> anyhow::Result<()> {
    let mut notes = BTreeSet::new();
    let runs = sweep.groups.iter().flat_map(|group| &group.runs);
    for estimate in runs.flat_map(|run| &run.estimates) {
        let (model, hardware) = (estimate.model.name(), &estimate.hardware);
        if !estimate.estimate.fallbacks.is_empty() {
            let from: BTreeSet<&str> = estimate
                .estimate
                .fallbacks
                .iter()
                .filter_map(|fallback| fallback.rsplit(' ').next())
                .collect();
            let from = from.into_iter().collect::<Vec<_>>().join(", ");
            let n = estimate.estimate.fallbacks.len();
            notes.insert(format!("{model}, {hardware}: {n} numbers are those of {from}"));
        }
        if !estimate.estimate.left_out.is_empty() {
            let keys = &estimate.estimate.left_out;
            let (some, rest) = keys.split_at(keys.len().min(3));
            let more =
                if rest.is_empty() { String::new() } else { format!(" and {} more", rest.len()) };
            notes.insert(format!("{model}, {hardware}: without {}{more}", some.join(", ")));
        }
    }
    let mut lines = vec![vec![String::new()]];
    let reference = sweep.reference_label();
    lines.push(vec![format!("inference: of one sample; in brackets: relative to {reference}")]);
    lines.push(vec![
        "≥, ≤: a bound, as not every run reached the target; ±: half the 95 % interval of the mean"
            .to_owned(),
    ]);
    lines.extend(notes.into_iter().map(|note| vec![note]));
    lines.extend(files.iter().map(|path| vec![path.display().to_string()]));
    print_table(&lines)
}

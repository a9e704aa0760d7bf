use std::path::PathBuf;
use std::process::ExitCode;

use mbspike_experiments::machine::Machine;
use mbspike_experiments::neuron;
use mbspike_experiments::run::{Options, Report, run_sweep};
use mbspike_experiments::sweep::Sweep;
use mbspike_figures::figure::draw_all;
use mbspike_results::{Run, RunGroup, RunSet, Summary, TargetKind, TargetOptions, value_text};
use serde_json::json;

use super::{COMMIT, print_json, print_table, text_of};
use crate::cli::RunArgs;
use crate::printer;
use crate::progress::Progress;
use crate::stop;

pub fn run(args: &RunArgs, quiet: bool) -> anyhow::Result<ExitCode> {
    let machine = Machine::here(args.device, args.jobs);
    let sweep = Sweep::read_for(&args.config, &args.settings, &machine)?;
    let options = Options {
        out: args.out.clone(),
        resume: args.resume,
        jobs: args.jobs,
        shard: args.shard,
        device: args.device,
        commit: COMMIT,
    };
    let stop = stop::on_signal()?;
    let report = run_sweep(&sweep, &options, &Progress::new(quiet), &stop)?;
    let figures = if args.no_figures || report.summaries.is_empty() {
        vec![]
    } else {
        draw_all(&report.folder, &TargetOptions::default(), Some(&neuron::curves()?))?
    };
    if args.json {
        print_report_json(&report, &figures)?;
    } else {
        print_report(&report, &figures)?;
    }
    complain(&report);
    let is_done =
        report.failed.is_empty() && report.stopped.is_empty() && report.diverged().next().is_none();
    Ok(if is_done { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// What the step time of a run's last hundred iterations and that of its first may differ by without
/// a word.
const MOST_CHANGE: f64 = 1.5;

/// Names on stderr what did not end well, and runs that did not go on as fast or slow as they began.
fn complain(report: &Report) {
    for (id, error) in &report.failed {
        printer::complain(format_args!("error: {id} failed: {error}"));
    }
    for summary in &report.summaries {
        if let Some(cause) = &summary.cause {
            printer::complain(format_args!("error: {} diverged: {cause}", summary.id));
        }
    }
    for summary in &report.summaries {
        if let (Some(first), Some(last)) =
            (summary.first_steps_median_s, summary.last_steps_median_s)
            && (last > first * MOST_CHANGE || first > last * MOST_CHANGE)
        {
            let (id, first, last) = (&summary.id, 1e3 * first, 1e3 * last);
            let message = format!(
                "warning: {id}: an iteration took {first:.1} ms in the first hundred and {last:.1} ms \
                 in the last hundred (median); either something else ran on this machine, or the \
                 time of a step depends on the weights"
            );
            printer::complain(message);
        }
    }
    if !report.stopped.is_empty() {
        let n = report.stopped.len();
        let message =
            format!("stopped with {n} runs to go; the same command with --resume goes on");
        printer::complain(message);
    }
}

fn print_report_json(report: &Report, figures: &[PathBuf]) -> anyhow::Result<()> {
    let failed = report.failed.iter();
    print_json(&json!({
        "folder": text_of(&report.folder),
        "runs": report.summaries,
        "failed": failed.map(|(id, e)| json!({"id": id, "error": e.to_string()})).collect::<Vec<_>>(),
        "stopped": report.stopped,
        "figures": figures.iter().map(text_of).collect::<Vec<_>>(),
    }))
}

fn print_report(report: &Report, figures: &[PathBuf]) -> anyhow::Result<()> {
    let head = [
        "",
        "runs",
        "test accuracy",
        "best",
        "train accuracy",
        "iterations to target",
        "ms a step",
        "% of it waiting for data",
    ];
    let mut rows = vec![head.map(str::to_owned).to_vec()];
    // What is said here of a time to the target is the run's own record, which needs no curves.
    let run = |summary: &Summary| Run { summary: summary.clone(), windows: vec![], epochs: vec![] };
    let runs = RunSet::of(report.summaries.iter().map(run).collect());
    let row = |group: &RunGroup| {
        let over = |get: &dyn Fn(&Summary) -> Option<f64>, scale: f64, digits: usize| {
            let measure = group.repeats(|run| Some(scale * get(&run.summary)?)).measure();
            measure.map_or_else(|| DASH.to_owned(), |measure| measure.text(digits))
        };
        let times = group.times_to_target(TargetKind::TrainIterations, &TargetOptions::default());
        vec![
            name(group),
            group.runs.len().to_string(),
            over(&|run| run.final_test_accuracy, 1.0, 4),
            over(&|run| run.best_test_accuracy, 1.0, 4),
            over(&|run| run.final_train_accuracy, 1.0, 4),
            times.measure().map_or_else(|| DASH.to_owned(), |time| time.text_of_reached(0)),
            over(&|run| run.median_step_time_s, 1e3, 1),
            over(&|run| run.loader_share, 100.0, 1),
        ]
    };
    rows.extend(runs.groups.iter().map(row));
    rows.extend(runs.lost.iter().map(|group| {
        let mut row = vec![name(group), "0".to_owned()];
        row.resize(head.len(), DASH.to_owned());
        row
    }));
    print_table(&rows)?;
    let has = |sign: char| rows.iter().flatten().any(|cell| cell.contains(sign));
    let mut lines = vec![];
    if has('±') {
        lines.push("±: half the width of the 95 % interval of the mean over runs (Student's t)");
    }
    if has('≥') {
        lines.push("≥: some runs never reached the target and count with their length");
    }
    if runs.diverged().next().is_some() {
        lines.push("runs that diverged are in no mean");
    }
    let mut lines: Vec<Vec<String>> = lines.into_iter().map(|line| vec![line.to_owned()]).collect();
    lines.push(vec![format!("\nresults  {}", report.folder.display())]);
    lines.extend(figures.iter().map(|path| vec![format!("figure   {}", path.display())]));
    print_table(&lines)
}

/// A group by what was swept, as a config says it, and how many of its runs diverged.
fn name(group: &RunGroup) -> String {
    let summary = group.described();
    // The repeats of a group differ in their seeds.
    let values = summary.values.iter().filter(|(key, _)| *key != "seed");
    let values: Vec<String> =
        values.map(|(key, value)| format!("{key}={}", value_text(value))).collect();
    let name = if values.is_empty() { summary.name.clone() } else { values.join(" ") };
    match group.diverged.len() {
        0 => name,
        n => format!("{name} ({n} of {} diverged)", n + group.runs.len()),
    }
}

/// What is said of what is not there.
const DASH: &str = "–";

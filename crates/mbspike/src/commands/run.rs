use std::path::PathBuf;
use std::process::ExitCode;

use mbspike_experiments::machine::Machine;
use mbspike_experiments::neuron;
use mbspike_experiments::run::{Options, Report, run_sweep};
use mbspike_experiments::sweep::Sweep;
use mbspike_figures::figure::draw_all;
use mbspike_figures::report::{HTML_FILE, Report as Page};
use mbspike_results::files::FIGURES_FOLDER;
use mbspike_results::table::CSV_FILE;
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
    let drawn = if args.no_figures || report.summaries.is_empty() {
        Drawn::default()
    } else {
        Drawn::of(&report)?
    };
    if args.json {
        print_report_json(&report, &drawn)?;
    } else {
        print_report(&report, &drawn)?;
    }
    complain(&report);
    let is_done =
        report.failed.is_empty() && report.stopped.is_empty() && report.diverged().next().is_none();
    Ok(if is_done { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// What was drawn of the results.
#[derive(Default)]
struct Drawn {
    figures: Vec<PathBuf>,
    report: Option<PathBuf>,
}

impl Drawn {
    fn of(report: &Report) -> anyhow::Result<Self> {
        let neuron = neuron::curves()?;
        let figures = draw_all(&report.folder, &TargetOptions::default(), Some(&neuron))?;
        let page = report.folder.join(HTML_FILE);
        Page::read(&report.folder, None, Some(&neuron))?.write_html(&page)?;
        Ok(Self { figures, report: Some(page) })
    }
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

/// The share of a step from which on waiting for data is worth a word.
const MUCH_WAITING: f64 = 0.2;

fn print_report_json(report: &Report, drawn: &Drawn) -> anyhow::Result<()> {
    let failed = report.failed.iter();
    print_json(&json!({
        "folder": text_of(&report.folder),
        "runs": report.summaries,
        "failed": failed.map(|(id, e)| json!({"id": id, "error": e.to_string()})).collect::<Vec<_>>(),
        "stopped": report.stopped,
        "figures": drawn.figures.iter().map(text_of).collect::<Vec<_>>(),
        "report": drawn.report.as_ref().map(text_of),
    }))
}

/// The conclusion, a table with a row for each point of the sweep, and where the rest is.
fn print_report(report: &Report, drawn: &Drawn) -> anyhow::Result<()> {
    // What is said here of a time to the target is the run's own record, which needs no curves.
    let run = |summary: &Summary| Run { summary: summary.clone(), windows: vec![], epochs: vec![] };
    let runs = RunSet::of(report.summaries.iter().map(run).collect());
    let options = TargetOptions::default();
    if let Some(conclusion) = runs.conclusion(&options) {
        printer::paragraph(&conclusion)?;
        printer::line("")?;
    }
    let target = runs.target().map_or_else(|| "target".to_owned(), |target| percent(target, 0));
    let head = [String::new(), "runs".into(), "test acc. %".into(), "train acc. %".into()];
    let head = head.into_iter().chain([format!("steps to {target}"), "ms a step".to_owned()]);
    let mut rows = vec![head.collect::<Vec<String>>()];
    let n_columns = rows[0].len();
    let row = |group: &RunGroup| {
        let over = |get: &dyn Fn(&Summary) -> Option<f64>, scale: f64, digits: usize| {
            let measure = group.repeats(|run| Some(scale * get(&run.summary)?)).measure();
            measure.map_or_else(|| DASH.to_owned(), |measure| measure.text(digits))
        };
        let times = group.times_to_target(TargetKind::TrainIterations, &options);
        vec![
            name(group),
            group.runs.len().to_string(),
            over(&|run| run.final_test_accuracy, 100.0, 2),
            over(&|run| run.final_train_accuracy, 100.0, 2),
            times.measure().map_or_else(|| DASH.to_owned(), |time| time.text_of_reached(0)),
            over(&|run| run.median_step_time_s, 1e3, 1),
        ]
    };
    rows.extend(runs.groups.iter().map(row));
    rows.extend(runs.lost.iter().map(|group| {
        let mut row = vec![name(group), "0".to_owned()];
        row.resize(n_columns, DASH.to_owned());
        row
    }));
    print_table(&rows)?;
    let has = |sign: char| rows.iter().flatten().any(|cell| cell.contains(sign));
    if has('±') {
        printer::line(
            "±: half the width of the 95 % interval of the mean over runs (Student's t)",
        )?;
    }
    if has('≥') {
        printer::line("≥: some runs never reached the target and count with their length")?;
    }
    if runs.diverged().next().is_some() {
        printer::line("runs that diverged are in no mean")?;
    }
    let waiting = report.summaries.iter().filter_map(|summary| summary.loader_share);
    let waiting = waiting.fold(0.0, f64::max);
    if waiting >= MUCH_WAITING {
        let share = percent(waiting, 0);
        printer::line(format_args!("up to {share} of a step was waiting for data (docs/data.md)"))?;
    }
    printer::line("")?;
    match &drawn.report {
        Some(page) => printer::line(format_args!(
            "report {}; {FIGURES_FOLDER} and {CSV_FILE} beside it",
            page.display()
        )),
        None => printer::line(format_args!("results {}", report.folder.join(CSV_FILE).display())),
    }
}

fn percent(share: f64, digits: usize) -> String {
    format!("{:.digits$} %", 100.0 * share)
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

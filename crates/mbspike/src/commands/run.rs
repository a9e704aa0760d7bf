use std::path::PathBuf;
use std::process::ExitCode;

use mbspike_experiments::curves::Estimate;
use mbspike_experiments::figure;
use mbspike_experiments::machine::Machine;
use mbspike_experiments::results::Summary;
use mbspike_experiments::run::{Options, Report, run_sweep};
use mbspike_experiments::sweep::Sweep;
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
        figure::draw_all(&report.folder, &figure::Options::default())?
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

/// Names on stderr what did not end well.
fn complain(report: &Report) {
    for (id, error) in &report.failed {
        printer::complain(format_args!("error: {id} failed: {error}"));
    }
    for summary in &report.summaries {
        if let Some(cause) = &summary.cause {
            printer::complain(format_args!("error: {} diverged: {cause}", summary.id));
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
    for (label, runs) in groups(&report.summaries) {
        let over = |get: &dyn Fn(&Summary) -> Option<f64>, scale: f64, digits: usize| {
            let values: Vec<f64> =
                runs.iter().filter_map(|run| get(run)).map(|x| x * scale).collect();
            spread(Estimate::of(&values), digits)
        };
        rows.push(vec![
            label,
            runs.len().to_string(),
            over(&|run| run.final_test_accuracy, 1.0, 4),
            over(&|run| run.best_test_accuracy, 1.0, 4),
            over(&|run| run.final_train_accuracy, 1.0, 4),
            over(&|run| run.iterations_to_target.map(|n| n as f64), 1.0, 0),
            over(&|run| run.median_step_time_s, 1e3, 1),
            over(&|run| run.loader_share, 100.0, 1),
        ]);
    }
    print_table(&rows)?;
    let mut lines = vec![vec![format!("\nresults  {}", report.folder.display())]];
    if rows.iter().flatten().any(|cell| cell.contains('±')) {
        lines.insert(0, vec!["±: one standard deviation over runs".to_owned()]);
    }
    lines.extend(figures.iter().map(|path| vec![format!("figure   {}", path.display())]));
    print_table(&lines)
}

/// Mean, and standard deviation where there is one.
fn spread(estimate: Option<Estimate>, digits: usize) -> String {
    match estimate {
        None => "–".to_owned(),
        Some(Estimate { mean, sd: None, .. }) => format!("{mean:.digits$}"),
        Some(Estimate { mean, sd: Some(sd), .. }) => format!("{mean:.digits$} ± {sd:.digits$}"),
    }
}

/// The repeats of each point of a sweep, in the sweep's order.
fn groups(summaries: &[Summary]) -> Vec<(String, Vec<&Summary>)> {
    let mut groups: Vec<(String, Vec<&Summary>)> = Vec::new();
    for summary in summaries {
        let values = summary.values.iter().map(|(key, value)| format!("{key}={value}"));
        let values: Vec<String> = values.collect();
        let label = if values.is_empty() { summary.name.clone() } else { values.join(" ") };
        match groups.iter_mut().find(|(other, _)| *other == label) {
            Some((_, runs)) => runs.push(summary),
            None => groups.push((label, vec![summary])),
        }
    }
    groups
}

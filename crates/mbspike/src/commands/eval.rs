use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::AtomicBool;

use mbspike_data::printable;
use mbspike_experiments::evaluate::EvaluationReport;
use mbspike_experiments::loihi::evaluate_loihi;
use mbspike_experiments::quantize::evaluate_quantized;
use mbspike_experiments::run::evaluate_run;
use mbspike_results::files::{CHECKPOINT_FILE, CONFIG_FILE, sub_folders};

use super::{print_json, print_table};
use crate::cli::EvalArgs;
use crate::progress::Progress;
use crate::stop;

pub fn eval(args: &EvalArgs, quiet: bool) -> anyhow::Result<ExitCode> {
    let stop = stop::on_signal()?;
    let runs = runs_below(&args.run)?;
    if !runs.is_empty() {
        return all(args, &runs, quiet, &stop);
    }
    if args.quantized {
        return quantized(args, quiet, &stop);
    }
    if args.loihi {
        return loihi(args, quiet, &stop);
    }
    let Some(report) =
        evaluate_run(&args.run, &args.settings, args.device, &Progress::new(quiet), &stop)?
    else {
        return Ok(ExitCode::FAILURE);
    };
    if args.json {
        print_json(&report)?;
        return Ok(ExitCode::SUCCESS);
    }
    print_evaluation(&report)
}

/// The runs in the folder of a sweep that have a checkpoint; none if it is the folder of a run.
fn runs_below(folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    if folder.join(CONFIG_FILE).is_file() || !folder.is_dir() {
        return Ok(vec![]);
    }
    let runs = sub_folders(folder)?.into_iter();
    Ok(runs.filter(|run| run.join(CHECKPOINT_FILE).is_file()).collect())
}

/// Evaluates every run of a sweep, a row for each.
fn all(
    args: &EvalArgs,
    runs: &[PathBuf],
    quiet: bool,
    stop: &AtomicBool,
) -> anyhow::Result<ExitCode> {
    for (is_given, flag) in [(args.quantized, "--quantized"), (args.loihi, "--loihi")] {
        anyhow::ensure!(
            !is_given,
            "{}: {flag} takes the folder of one run, such as {}",
            args.run.display(),
            runs[0].display()
        );
    }
    let progress = Progress::new(quiet);
    let head = ["run", "test accuracy", "test loss", "samples"];
    let (mut rows, mut reports) = (vec![head.map(str::to_owned).to_vec()], vec![]);
    for run in runs {
        let Some(report) = evaluate_run(run, &args.settings, args.device, &progress, stop)? else {
            return Ok(ExitCode::FAILURE);
        };
        rows.push(vec![
            run.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned()),
            format!("{:.4}", report.test_accuracy),
            format!("{:.4}", report.test_loss),
            report.n_samples.to_string(),
        ]);
        reports.push(report);
    }
    if args.json {
        print_json(&reports)?;
    } else {
        print_table(&rows)?;
    }
    Ok(ExitCode::SUCCESS)
}

fn print_evaluation(report: &EvaluationReport) -> anyhow::Result<ExitCode> {
    let mut rows = vec![
        vec!["test accuracy".to_owned(), format!("{:.4}", report.test_accuracy)],
        vec!["test loss".to_owned(), format!("{:.4}", report.test_loss)],
        vec!["samples".to_owned(), report.n_samples.to_string()],
    ];
    for (position, (rate, spike)) in
        report.positions.iter().zip(report.nonzero_rate.iter().zip(&report.mean_spike))
    {
        rows.push(vec![
            position.clone(),
            format!("non-zero {:.2} %", 100.0 * rate),
            format!("mean spike {spike:.4}"),
        ]);
    }
    print_table(&rows)?;
    print_table(&[vec![]])?;
    print_table(&confusion_rows(&report.confusion, &report.class_names))?;
    Ok(ExitCode::SUCCESS)
}

/// A row for each label: how many samples were given which class, and the share given the right one.
pub(super) fn confusion_rows(confusion: &[Vec<u64>], class_names: &[String]) -> Vec<Vec<String>> {
    let classes: Vec<String> = class_names.iter().map(|name| printable(name)).collect();
    let mut head = vec!["label \\ given".to_owned()];
    head.extend(classes.iter().cloned());
    head.push("recall".to_owned());
    let row = |(label, counts): (usize, &Vec<u64>)| {
        let n: u64 = counts.iter().sum();
        let recall = if n == 0 {
            "–".to_owned()
        } else {
            format!("{:.3}", counts[label] as f64 / n as f64)
        };
        let counts = counts.iter().map(u64::to_string);
        std::iter::once(classes[label].clone()).chain(counts).chain([recall]).collect()
    };
    std::iter::once(head).chain(confusion.iter().enumerate().map(row)).collect()
}

fn quantized(args: &EvalArgs, quiet: bool, stop: &AtomicBool) -> anyhow::Result<ExitCode> {
    let progress = Progress::new(quiet);
    let Some(report) = evaluate_quantized(&args.run, &args.settings, &progress, stop)? else {
        return Ok(ExitCode::FAILURE);
    };
    if args.json {
        print_json(&report)?;
        return Ok(ExitCode::SUCCESS);
    }
    print_evaluation(&report)
}

fn loihi(args: &EvalArgs, quiet: bool, stop: &AtomicBool) -> anyhow::Result<ExitCode> {
    let progress = Progress::new(quiet);
    let (settings, delay) = (&args.settings, args.synaptic_delay);
    let Some(report) = evaluate_loihi(&args.run, settings, delay, &progress, stop)? else {
        return Ok(ExitCode::FAILURE);
    };
    if args.json {
        print_json(&report)?;
        return Ok(ExitCode::SUCCESS);
    }
    let head = ["layer", "neurons", "safe on any input", "can reach", "reached", "overflows"];
    let mut rows = vec![head.map(str::to_owned).to_vec()];
    rows.extend(report.layers.iter().map(|layer| {
        let share = |of_limit: f64| format!("{:.1} %", 100.0 * of_limit);
        vec![
            layer.layer.name.clone(),
            layer.n_neurons.to_string(),
            layer.n_safe.to_string(),
            share(layer.worst),
            share(layer.reached),
            layer.overflows.total().to_string(),
        ]
    }));
    print_table(&rows)?;
    print_table(&[vec![]])?;
    let trained = format!("{:.4}", report.trained_accuracy);
    print_table(&[vec!["accuracy as trained".to_owned(), trained]])?;
    print_evaluation(&report.evaluation)
}

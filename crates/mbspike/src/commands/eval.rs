use std::process::ExitCode;
use std::sync::atomic::AtomicBool;

use mbspike_data::printable;
use mbspike_experiments::quantize::evaluate_quantized;
use mbspike_experiments::run::evaluate_run;

use super::{print_json, print_table};
use crate::cli::EvalArgs;
use crate::progress::Progress;
use crate::stop;

pub fn eval(args: &EvalArgs, quiet: bool) -> anyhow::Result<ExitCode> {
    let stop = stop::on_ctrl_c()?;
    if args.quantized {
        return quantized(args, quiet, &stop);
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
fn confusion_rows(confusion: &[Vec<u64>], class_names: &[String]) -> Vec<Vec<String>> {
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
    print_table(&[
        vec!["test accuracy".to_owned(), format!("{:.4}", report.test_accuracy)],
        vec!["samples".to_owned(), report.n_samples.to_string()],
    ])?;
    Ok(ExitCode::SUCCESS)
}

use std::process::ExitCode;

use mbspike_experiments::quantize::quantize_run;

use super::eval::confusion_rows;
use super::{print_json, print_table};
use crate::cli::QuantizeArgs;
use crate::progress::Progress;
use crate::stop;

pub fn quantize(args: &QuantizeArgs, quiet: bool) -> anyhow::Result<ExitCode> {
    let stop = stop::on_signal()?;
    let progress = Progress::new(quiet);
    let Some(report) = quantize_run(&args.run, &args.settings, &progress, &stop)? else {
        return Ok(ExitCode::FAILURE);
    };
    for layer in &report.silent {
        progress.say(&format!(
            "warning: {} fell silent: {:.2} % of its spikes are not zero after quantization, {:.2} % before",
            layer.position,
            100.0 * layer.after,
            100.0 * layer.before
        ));
    }
    if args.json {
        print_json(&report)?;
        return Ok(ExitCode::SUCCESS);
    }
    let Some(trained) = report.variants.first() else { return Ok(ExitCode::SUCCESS) };
    let mut rows = vec![["", "test accuracy", "change", "test loss"].map(str::to_owned).to_vec()];
    rows.extend(report.variants.iter().enumerate().map(|(i, variant)| {
        let change = variant.test_accuracy - trained.test_accuracy;
        vec![
            variant.kind.name().to_owned(),
            format!("{:.4}", variant.test_accuracy),
            if i == 0 { String::new() } else { format!("{change:+.4}") },
            format!("{:.4}", variant.test_loss),
        ]
    }));
    print_table(&rows)?;

    // The rates of each layer, a column for each arithmetic.
    let mut rows = vec![vec!["non-zero (%)".to_owned()]];
    rows[0].extend(report.variants.iter().map(|variant| variant.kind.name().to_owned()));
    for (i, position) in report.positions.iter().enumerate() {
        let rates = report.variants.iter().map(|variant| variant.nonzero_rate.get(i));
        let rates =
            rates.map(|rate| rate.map_or_else(String::new, |r| format!("{:.2}", 100.0 * r)));
        rows.push(std::iter::once(position.clone()).chain(rates).collect());
    }
    print_table(&[vec![]])?;
    print_table(&rows)?;
    if let Some(whole) = report.variants.last() {
        print_table(&[vec![]])?;
        print_table(&confusion_rows(&whole.confusion, &report.class_names))?;
    }
    Ok(ExitCode::SUCCESS)
}

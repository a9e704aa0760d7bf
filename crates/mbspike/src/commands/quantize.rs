use std::process::ExitCode;

use mbspike_experiments::quantize::quantize_run;

use super::{print_json, print_table};
use crate::cli::QuantizeArgs;
use crate::progress::Progress;
use crate::stop;

pub fn quantize(args: &QuantizeArgs, quiet: bool) -> anyhow::Result<ExitCode> {
    let stop = stop::on_signal()?;
    let Some(report) = quantize_run(&args.run, &args.settings, &Progress::new(quiet), &stop)?
    else {
        return Ok(ExitCode::FAILURE);
    };
    if args.json {
        print_json(&report)?;
        return Ok(ExitCode::SUCCESS);
    }
    let as_trained = report.variants.first().map_or(f64::NAN, |variant| variant.test_accuracy);
    let mut rows = vec![vec![String::new(), "test accuracy".to_owned(), "change".to_owned()]];
    rows.extend(report.variants.iter().enumerate().map(|(i, variant)| {
        let change = variant.test_accuracy - as_trained;
        vec![
            variant.kind.name().to_owned(),
            format!("{:.4}", variant.test_accuracy),
            if i == 0 { String::new() } else { format!("{change:+.4}") },
        ]
    }));
    print_table(&rows)?;
    Ok(ExitCode::SUCCESS)
}

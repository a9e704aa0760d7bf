use std::process::ExitCode;

use mbspike_experiments::machine::Machine;
use mbspike_experiments::memory;
use mbspike_experiments::sweep::Sweep;
use serde_json::json;

use super::print_json;
use crate::cli::CheckArgs;
use crate::printer;

pub fn check(args: &CheckArgs) -> anyhow::Result<ExitCode> {
    let machine = Machine::here(args.device, args.jobs);
    let sweep = Sweep::read_for(&args.config, &args.settings, &machine)?;
    let mut peak_bytes = 0;
    for point in sweep.points.iter().filter(|point| point.repeat == 1) {
        peak_bytes = memory::estimate(&point.config, &point.config.dataset.describe()?, &machine)?
            .peak_bytes
            .max(peak_bytes);
    }
    let n_runs = sweep.points.len();
    if args.json {
        print_json(&json!({"name": sweep.name, "runs": n_runs, "peak_bytes": peak_bytes}))?;
    } else {
        let runs = if n_runs == 1 { "1 run".to_owned() } else { format!("{n_runs} runs") };
        let megabytes = peak_bytes as f64 / 1e6;
        printer::line(format_args!("{}: {runs}, at most {megabytes:.0} MB each", sweep.name))?;
    }
    Ok(ExitCode::SUCCESS)
}

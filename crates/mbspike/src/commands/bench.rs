use std::process::ExitCode;

use mbspike_experiments::bench::bench_step;
use mbspike_experiments::sweep::Sweep;

use super::{print_json, print_table};
use crate::cli::{BenchCommand, BenchStepArgs};

pub fn bench(command: &BenchCommand) -> anyhow::Result<ExitCode> {
    match command {
        BenchCommand::Step(args) => step(args),
    }
}

fn step(args: &BenchStepArgs) -> anyhow::Result<ExitCode> {
    let sweep = Sweep::read(&args.config, &args.settings)?;
    let times = bench_step(&sweep.points[0].config, args.steps)?;
    if args.json {
        print_json(&times)?;
        return Ok(ExitCode::SUCCESS);
    }
    let row = |name: &str, value: String| vec![name.to_owned(), value];
    let ms = |seconds: f64| format!("{:.2} ms", 1e3 * seconds);
    print_table(&[
        row("step", ms(times.median_s)),
        row("forward", ms(times.forward_s)),
        row("backward", ms(times.backward_s)),
        row("samples a second", format!("{:.0}", times.samples_per_s)),
        row("peak memory", format!("{:.0} MB", times.peak_rss_bytes as f64 / 1e6)),
    ])?;
    Ok(ExitCode::SUCCESS)
}

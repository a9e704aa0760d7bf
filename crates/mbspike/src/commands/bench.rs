use std::process::ExitCode;

use anyhow::bail;
use mbspike_experiments::bench::{KernelBench, Times, Warmth, bench_step};
use mbspike_experiments::machine::Machine;
use mbspike_experiments::sweep::Sweep;

use super::{print_json, print_table};
use crate::cli::{BenchCommand, BenchKernelArgs, BenchStepArgs};

pub fn bench(command: &BenchCommand) -> anyhow::Result<ExitCode> {
    match command {
        BenchCommand::Step(args) => step(args),
        BenchCommand::Kernel(args) => kernel(args),
    }
}

fn step(args: &BenchStepArgs) -> anyhow::Result<ExitCode> {
    let machine = Machine::here(args.device, 1);
    let sweep = Sweep::read_for(&args.config, &args.settings, &machine)?;
    let warmth = match &args.checkpoint {
        Some(file) => Warmth::Checkpoint(file.clone()),
        None => Warmth::Iterations(args.warm_up),
    };
    let bench = bench_step(&sweep.points[0].config, args.steps, &warmth, args.device)?;
    if args.json {
        print_json(&bench)?;
        return Ok(ExitCode::SUCCESS);
    }
    let networks: Vec<&Times> = bench.trained.iter().chain([&bench.fresh]).collect();
    let row = |name: &str, value: &dyn Fn(&Times) -> String| {
        let values = networks.iter().map(|times| value(times));
        [name.to_owned()].into_iter().chain(values).collect::<Vec<_>>()
    };
    let ms = |seconds: f64| format!("{:.2} ms", 1e3 * seconds);
    let trained = match (&warmth, &bench.trained) {
        (_, None) => None,
        (Warmth::Checkpoint(_), _) => Some("trained".to_owned()),
        (Warmth::Iterations(n), _) => Some(format!("after {n} iterations")),
    };
    let head = [String::new()].into_iter().chain(trained).chain(["fresh".to_owned()]).collect();
    let memory = format!("{:.0} MB", bench.peak_rss_bytes as f64 / 1e6);
    print_table(&[
        head,
        row("step", &|times| ms(times.median_s)),
        row("forward", &|times| ms(times.forward_s)),
        row("backward", &|times| ms(times.backward_s)),
        row("samples a second", &|times| format!("{:.0}", times.samples_per_s)),
        row("subnormal numbers", &|times| met(times.met_subnormals).to_owned()),
        vec!["peak memory".to_owned(), memory],
    ])?;
    Ok(ExitCode::SUCCESS)
}

/// Whether subnormal numbers were met, in a word.
fn met(subnormals: Option<bool>) -> &'static str {
    match subnormals {
        Some(true) => "met",
        Some(false) => "none",
        None => "unknown",
    }
}

fn kernel(args: &BenchKernelArgs) -> anyhow::Result<ExitCode> {
    let bench = KernelBench::new(&args.filter)?;
    let machine = *bench.machine();
    let times: Vec<_> = bench.collect();
    if times.is_empty() {
        bail!("no kernel's name contains \"{}\"", args.filter);
    }
    if args.json {
        print_json(&serde_json::json!({ "machine": machine, "kernels": times }))?;
        return Ok(ExitCode::SUCCESS);
    }
    print_table(&[vec![format!(
        "{} threads, vectors of {} f32: {:.0} GFLOP/s multiply-add peak, {:.1} GB/s copy in memory",
        machine.threads,
        machine.f32_lanes,
        machine.peak_flops / 1e9,
        machine.copy_bytes / 1e9
    )]])?;
    let titles = ["kernel", "shape", "time (µs)", "GFLOP/s", "of peak", "GB/s", "of copy"];
    let mut rows = vec![titles.map(str::to_owned).to_vec()];
    for t in times {
        let rate = |amount: f64| {
            if amount > 0.0 { format!("{:.1}", amount / t.min_s / 1e9) } else { String::new() }
        };
        let share = |amount: f64, share: f64| {
            if amount > 0.0 { format!("{:.0} %", 100.0 * share) } else { String::new() }
        };
        rows.push(vec![
            t.kernel.to_owned(),
            t.shape.clone(),
            format!("{:.1}", 1e6 * t.min_s),
            rate(t.flops),
            share(t.flops, t.share_of_peak),
            rate(t.bytes),
            share(t.bytes, t.share_of_bandwidth),
        ]);
    }
    print_table(&rows)?;
    Ok(ExitCode::SUCCESS)
}

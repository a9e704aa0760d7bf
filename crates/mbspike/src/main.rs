//! The program `mbspike`: reads arguments, calls the libraries, prints.
//!
//! Results go to stdout, everything else to stderr. Exit codes: 0 done, 1 failed, 2 bad usage or
//! config.
#![expect(clippy::print_stderr, reason = "a program prints")]

mod cli;
mod commands;
mod progress;
mod stop;

use std::process::ExitCode;

use clap::Parser;
use mbspike_experiments::{energy, run, sweep};

use cli::{Cli, Command};

// Tensors of a training step come and go at every iteration; mimalloc keeps their memory, where
// glibc's allocator gives it back to the system and faults it in again.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let cli = Cli::parse();
    match dispatch(cli) {
        Ok(code) => code,
        Err(error) if is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            if is_usage(&error) { ExitCode::from(2) } else { ExitCode::FAILURE }
        }
    }
}

fn dispatch(cli: Cli) -> anyhow::Result<ExitCode> {
    let quiet = cli.quiet;
    match cli.command {
        Command::Run(args) => commands::run::run(&args, quiet),
        Command::Plot(args) => commands::plot::plot(&args),
        Command::Report(args) => commands::report::report(&args),
        Command::Eval(args) => commands::eval::eval(&args, quiet),
        Command::Migrate(args) => commands::migrate::migrate(&args),
        Command::Quantize(args) => commands::quantize::quantize(&args, quiet),
        Command::Energy(args) => commands::energy::energy(&args, quiet),
        Command::Data(command) => commands::data::data(&command, quiet),
        Command::Bench(command) => commands::bench::bench(&command),
        Command::Info(args) => commands::info::info(&args),
    }
}

/// Whether an error is a matter of what was typed or configured.
fn is_usage(error: &anyhow::Error) -> bool {
    let is_usage_of_data =
        |error: &mbspike_data::Error| matches!(error, mbspike_data::Error::Config { .. });
    let is_usage_of_results = |error: &mbspike_results::Error| {
        matches!(error, mbspike_results::Error::NoEstimate(_) | mbspike_results::Error::Energy(_))
    };
    match error.downcast_ref::<energy::Error>() {
        Some(energy::Error::Table(_) | energy::Error::Energy(_)) => return true,
        Some(energy::Error::Results(error)) => return is_usage_of_results(error),
        _ => {}
    }
    match error.downcast_ref::<run::Error>() {
        Some(
            run::Error::Config(_) | run::Error::OtherConfig { .. } | run::Error::Interrupted(_),
        ) => true,
        Some(run::Error::Data(error)) => is_usage_of_data(error),
        Some(_) => false,
        None => {
            error.is::<sweep::Error>()
                || error.downcast_ref::<mbspike_data::Error>().is_some_and(is_usage_of_data)
        }
    }
}

/// Whether the reader of our output has gone, as `head` does; that is no failure.
fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error
        .downcast_ref::<std::io::Error>()
        .is_some_and(|error| error.kind() == std::io::ErrorKind::BrokenPipe)
}

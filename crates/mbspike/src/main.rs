//! The program `mbspike`: reads arguments, calls the libraries, prints.
//!
//! Results go to stdout, everything else to stderr. Exit codes: 0 done, 1 failed, 2 bad usage or
//! config.
mod cli;
mod commands;
mod help;
mod printer;
mod progress;
mod stop;

use std::process::ExitCode;

use anyhow::Context;
use clap::FromArgMatches;
use mbspike_experiments::{energy, exchange, machine, run, sweep};
use mbspike_nir::network as nir;

use cli::{Cli, Command};

// Tensors of a training step come and go at every iteration; mimalloc keeps their memory, where
// glibc's allocator gives it back to the system and faults it in again.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let typed = help::command().get_matches();
    let cli = match Cli::from_arg_matches(&typed) {
        Ok(cli) => cli,
        Err(error) => error.exit(),
    };
    match start(&cli.command).and_then(|()| dispatch(cli)) {
        Ok(code) => code,
        Err(error) => {
            printer::complain(format_args!("error: {error:#}"));
            if is_usage(&error) { ExitCode::from(2) } else { ExitCode::FAILURE }
        }
    }
}

/// Starts the threads that all work is shared by, so that a limit on them is an error at the start and
/// not a panic later. Before, signals are held back from them where the command takes those itself.
fn start(command: &Command) -> anyhow::Result<()> {
    if command.stops_on_signals() {
        stop::hold()?;
    }
    let n = machine::n_threads();
    machine::start_threads().with_context(|| {
        format!(
            "cannot start {n} threads; RAYON_NUM_THREADS=1 asks for fewer, `ulimit` and the machine limit them"
        )
    })
}

fn dispatch(cli: Cli) -> anyhow::Result<ExitCode> {
    let quiet = cli.quiet;
    match cli.command {
        Command::Run(args) => commands::run::run(&args, quiet),
        Command::Check(args) => commands::check::check(&args),
        Command::Config(command) => commands::config::config(&command),
        Command::Plot(args) => commands::plot::plot(&args),
        Command::Report(args) => commands::report::report(&args),
        Command::Eval(args) => commands::eval::eval(&args, quiet),
        Command::Migrate(args) => commands::migrate::migrate(&args),
        Command::Quantize(args) => commands::quantize::quantize(&args, quiet),
        Command::Energy(args) => commands::energy::energy(&args, quiet),
        Command::Export(args) => commands::export::export(&args, quiet),
        Command::Import(args) => commands::import::import(&args, quiet),
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
    let is_lossy = |error: &nir::Error| matches!(error, nir::Error::Lossy { .. });
    if error.downcast_ref::<nir::Error>().is_some_and(is_lossy)
        || matches!(
            error.downcast_ref(),
            Some(exchange::Error::Config(_) | exchange::Error::Several { .. })
        )
    {
        return true;
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

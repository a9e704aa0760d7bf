use std::process::ExitCode;
use std::sync::OnceLock;

use mbspike_data::catalog::DatasetName;
use mbspike_data::simulate::{
    GestureSimulation, NmnistSimulation, Plan, Simulated, simulate_dvs_gesture, simulate_nmnist,
};
use mbspike_data::{DatasetConfig, Result};

use super::{print_json, print_table};
use crate::cli::{SimulateArgs, SimulateCommand};
use crate::progress;

pub fn simulate(command: &SimulateCommand, quiet: bool) -> anyhow::Result<ExitCode> {
    let bar = OnceLock::new();
    let on_progress = |n_done: usize, n: usize| {
        let bar = bar.get_or_init(|| {
            let bar = progress::counter("simulating", n, quiet);
            bar.set_position(n_done as u64);
            bar.reset_eta();
            bar
        });
        bar.set_position(n_done as u64);
    };
    let (args, simulated) = match command {
        SimulateCommand::Nmnist { args, train, test, mnist } => {
            let config = match &args.config {
                Some(file) => NmnistSimulation::read(file)?,
                None => NmnistSimulation::default(),
            };
            let digits =
                DatasetConfig { path: mnist.clone(), ..DatasetConfig::new(DatasetName::Mnist) };
            let digits = mbspike_data::load(&digits)?;
            (args, simulate_nmnist(&config, &plan(args, *train, *test), &digits, &on_progress))
        }
        SimulateCommand::DvsGesture { args, train, test } => {
            let config = match &args.config {
                Some(file) => GestureSimulation::read(file)?,
                None => GestureSimulation::default(),
            };
            (args, simulate_dvs_gesture(&config, &plan(args, *train, *test), &on_progress))
        }
    };
    if let Some(bar) = bar.get() {
        bar.finish_and_clear();
    }
    report(simulated, args)
}

fn plan(args: &SimulateArgs, n_train: usize, n_test: usize) -> Plan {
    Plan { out: args.out.clone(), seed: args.seed, n_train, n_test }
}

fn report(simulated: Result<Simulated>, args: &SimulateArgs) -> anyhow::Result<ExitCode> {
    let simulated = simulated?;
    if args.json {
        print_json(&simulated)?;
    } else {
        let Simulated { folder, n_files, n_found } = simulated;
        let n_new = n_files - n_found;
        let found = if n_found > 0 { format!(", {n_found} were there") } else { String::new() };
        print_table(&[vec![format!("{}: {n_new} recordings simulated{found}", folder.display())]])?;
    }
    Ok(ExitCode::SUCCESS)
}

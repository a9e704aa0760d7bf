//! What can be typed after `bench`.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use mbspike_core::DeviceName;

use super::values::positive;

#[derive(Debug, Subcommand)]
pub enum BenchCommand {
    /// Time whole training steps of a config's network.
    Step(BenchStepArgs),
    /// Time each kernel against the machine's measured memory bandwidth and multiply-add peak.
    Kernel(BenchKernelArgs),
}

#[derive(Debug, Args)]
pub struct BenchStepArgs {
    /// The config, as for `run`; of a sweep, the first point.
    #[arg(long)]
    pub config: PathBuf,
    /// Set a key of the config, as for `run`.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub settings: Vec<String>,
    /// Steps to time, of a fresh network and of a trained one.
    #[arg(long, value_name = "N", default_value_t = 30, value_parser = positive)]
    pub steps: usize,
    /// Iterations on the config's data that the trained network has behind it; 0 times the fresh
    /// one alone.
    #[arg(long, value_name = "N", default_value_t = 300)]
    pub warm_up: u64,
    /// Take the trained network from this checkpoint.safetensors instead.
    #[arg(long, value_name = "FILE", conflicts_with = "warm_up")]
    pub checkpoint: Option<PathBuf>,
    /// What to compute on: cpu, cuda (the first GPU) or cuda:N.
    #[arg(long, value_name = "DEVICE", default_value = "cpu")]
    pub device: DeviceName,
    /// Print the times as JSON.
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args)]
pub struct BenchKernelArgs {
    /// Time only the kernels whose name contains this.
    #[arg(default_value = "")]
    pub filter: String,
    /// Print the times as JSON.
    #[arg(long)]
    pub json: bool,
}

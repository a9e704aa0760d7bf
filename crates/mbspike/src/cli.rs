//! What can be typed.

mod bench;
mod data;
mod exchange;
mod values;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use mbspike_core::DeviceName;
use mbspike_experiments::sweep::Shard;

pub use bench::{BenchCommand, BenchKernelArgs, BenchStepArgs};
pub use data::{
    DataCommand, FramesArgs, InspectArgs, OriginName, SimulateArgs, SimulateCommand, SplitName,
};
pub use exchange::{ExportArgs, ExportFormat, ImportArgs, MapBy};

use values::positive;

/// Multi-bit spike trains in spiking neural networks: trains, sweeps and draws what a TOML file
/// describes.
#[derive(Debug, Parser)]
#[command(version, arg_required_else_help = true, disable_help_subcommand = true)]
pub struct Cli {
    /// Say nothing but errors and results.
    #[arg(long, short, global = true)]
    pub quiet: bool,
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Train what a config describes, one run or a sweep, and draw its figures.
    Run(RunArgs),
    /// Say whether a config can be run here, and with how much memory, without running it.
    Check(CheckArgs),
    /// Show configs: as resolved, or a new one with every key.
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Draw the figures of a folder of runs from its saved results.
    Plot(PlotArgs),
    /// Put the results of a folder of runs on one page, from its saved results.
    Report(ReportArgs),
    /// Bring runs of a version before 0.2 to the form of this one: checksums, and records in full.
    Migrate(MigrateArgs),
    /// Evaluate a trained run on its test set.
    Eval(EvalArgs),
    /// Convert a trained run to 8-bit weights and whole numbers, and compare accuracies.
    Quantize(QuantizeArgs),
    /// Estimate the energy of trained runs and draw it.
    Energy(EnergyArgs),
    /// Write a trained run for other programs: its network as a NIR file, or its weights.
    Export(ExportArgs),
    /// Make a run of a network or of weights from other programs, and evaluate it.
    Import(ImportArgs),
    /// Look after datasets.
    #[command(subcommand)]
    Data(DataCommand),
    /// Measure speed.
    #[command(subcommand)]
    Bench(BenchCommand),
    /// Show the version, the machine and the named networks.
    Info(InfoArgs),
}

impl Command {
    /// Whether the command ends with what it has done so far when a signal asks for it.
    pub fn stops_on_signals(&self) -> bool {
        matches!(
            self,
            Self::Run(_) | Self::Eval(_) | Self::Quantize(_) | Self::Energy(_) | Self::Import(_)
        )
    }
}

#[derive(Debug, Args)]
pub struct RunArgs {
    /// The config, a TOML file; with a table `[sweep]` it is a sweep.
    pub config: PathBuf,
    /// Set a key of the config: a dotted key and a TOML value, where a bare word is a string.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub settings: Vec<String>,
    /// The folder that holds the folders of runs.
    #[arg(long, value_name = "DIR", default_value = "runs")]
    pub out: PathBuf,
    /// Go on with interrupted runs from their last checkpoints.
    #[arg(long)]
    pub resume: bool,
    /// Runs of a sweep that go on at once, sharing the cores.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = positive)]
    pub jobs: usize,
    /// Run only the I-th of N parts of a sweep, as in 2/4.
    #[arg(long, value_name = "I/N", default_value = "1/1")]
    pub shard: Shard,
    /// What to compute on: cpu, cuda (the first GPU) or cuda:N.
    #[arg(long, value_name = "DEVICE", default_value = "cpu")]
    pub device: DeviceName,
    /// Draw no figures at the end.
    #[arg(long)]
    pub no_figures: bool,
    /// Print the results as JSON.
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Subcommand)]
pub enum ConfigCommand {
    /// Print the config of each run, with its defaults filled in and its names resolved.
    Show {
        /// The config, as for `run`.
        config: PathBuf,
        /// Set a key of the config, as for `run`.
        #[arg(long = "set", value_name = "KEY=VALUE")]
        settings: Vec<String>,
        /// Print a list of runs as JSON.
        #[arg(long)]
        json: bool,
    },
    /// Print a config to start from, with every key and what it means.
    New {
        /// Print the keys as a page of Markdown.
        #[arg(long)]
        markdown: bool,
    },
    /// Print a JSON Schema of configs, with which editors complete and check them.
    Schema,
}

#[derive(Debug, Args)]
pub struct CheckArgs {
    /// The config, as for `run`.
    pub config: PathBuf,
    /// Set a key of the config, as for `run`.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub settings: Vec<String>,
    /// Runs that would go on at once, sharing the memory.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = positive)]
    pub jobs: usize,
    /// What to compute on: cpu, cuda (the first GPU) or cuda:N.
    #[arg(long, value_name = "DEVICE", default_value = "cpu")]
    pub device: DeviceName,
    /// Print what was found as JSON.
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args)]
pub struct PlotArgs {
    /// A folder of runs, as `run` writes it.
    pub folder: PathBuf,
    /// Print the figures' paths as JSON.
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args)]
pub struct ReportArgs {
    /// A folder of runs, as `run` writes it, or a folder of such folders.
    pub folder: PathBuf,
    /// Write Markdown with figures in a folder beside it, instead of one HTML page.
    #[arg(long)]
    pub markdown: bool,
    /// The file to write; report.html or report.md in the folder without it.
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
    /// Numbers of a publication to set beside, a TOML file such as configs/reference/thesis.toml.
    #[arg(long, value_name = "FILE")]
    pub reference: Option<PathBuf>,
    /// Print the paths of what was written as JSON.
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args)]
pub struct MigrateArgs {
    /// The folder of one run, or a folder of runs.
    pub folder: PathBuf,
    /// Print the paths of what was written as JSON.
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag")]
pub struct EvalArgs {
    /// The folder of one run.
    pub run: PathBuf,
    /// Set a key of the run's config, as for `run`.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub settings: Vec<String>,
    /// What to compute on: cpu, cuda (the first GPU) or cuda:N.
    #[arg(long, value_name = "DEVICE", default_value = "cpu", conflicts_with_all = ["quantized", "loihi"])]
    pub device: DeviceName,
    /// Evaluate the network of whole numbers that `quantize` has saved.
    #[arg(long)]
    pub quantized: bool,
    /// Convert the network to Loihi 2's numbers and evaluate it in the chip's arithmetic, beside the
    /// network as trained; says what did not fit 24 bits.
    #[arg(long, conflicts_with = "quantized")]
    pub loihi: bool,
    /// With --loihi: each synapse takes a step, as on the chip.
    #[arg(long, requires = "loihi")]
    pub synaptic_delay: bool,
    /// Print the results as JSON.
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args)]
pub struct QuantizeArgs {
    /// The folder of one run; `quantized.safetensors` is written there.
    pub run: PathBuf,
    /// Set a key of the run's config, as for `run`.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub settings: Vec<String>,
    /// Print the results as JSON.
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args)]
pub struct EnergyArgs {
    /// Folders of runs, or of folders of runs, as `run` writes them.
    #[arg(required = true)]
    pub runs: Vec<PathBuf>,
    /// A table of hardware: cmos-45nm, loihi1, loihi2, truenorth, or a TOML file. May be repeated;
    /// all built-in tables without it.
    #[arg(long, value_name = "NAME|FILE")]
    pub hardware: Vec<String>,
    /// Count the operations of this many test samples; of all without it.
    #[arg(long, value_name = "N", value_parser = positive)]
    pub samples: Option<usize>,
    /// The folder to write tables and figures to; the first of the given ones without it.
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// Draw no figures.
    #[arg(long)]
    pub no_figures: bool,
    /// Print everything as JSON.
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args)]
pub struct InfoArgs {
    /// Estimate the peak memory of the runs of this config instead.
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Set a key of the config, as for `run`.
    #[arg(long = "set", value_name = "KEY=VALUE", requires = "config")]
    pub settings: Vec<String>,
    /// What to compute on: cpu, cuda (the first GPU) or cuda:N.
    #[arg(long, value_name = "DEVICE", default_value = "cpu")]
    pub device: DeviceName,
    /// Print it as JSON.
    #[arg(long)]
    pub json: bool,
}

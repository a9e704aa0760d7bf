//! What can be typed after `export` and `import`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::values::positive_seconds;

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
    /// The file to write; network.nir, weights.safetensors, or loihi.net or loihi.safetensors in the run's
    /// folder without it.
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
    /// The network in Loihi 2's numbers: lava-dl's .net for 1 bit and a hard reset to 0, else tensors
    /// with a Lava process model beside them.
    Loihi,
}

impl ExportFormat {
    pub fn file_name(self) -> &'static str {
        match self {
            Self::Nir => "network.nir",
            Self::Safetensors => "weights.safetensors",
            Self::Loihi => "loihi.net",
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

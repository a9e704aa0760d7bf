//! The architecture notation: `28x28-8c5-2a-16c5-2a-10o`.
//!
//! Layers are separated by `-`, the input comes first, time is not mentioned.
//!
//! | part | means |
//! |---|---|
//! | `28x28`, `34x34x2` | the input: height × width, one channel; height × width × channels |
//! | `8c5`, `8c5v` | convolution to 8 channels, kernel 5×5, stride 1, padding that keeps the size; `v`: no padding. LIF follows |
//! | `bn` | batch normalization of the convolution before it, before its LIF |
//! | `2a`, `2m` | average, max pooling over 2×2, stride 2 |
//! | `512` | dense layer of 512 neurons. LIF follows |
//! | `dp0.5` | dropout with probability 0.5 |
//! | `10o` | the output layer, dense, of 10 neurons. LIF follows |
//! | `vote10` | each group of 10 outputs is averaged to the score of one class |
//!
//! A pooling size must divide the map: there is no silent cropping of the last rows, and where a
//! published network relies on it, a valid convolution before it says the same openly.
//!
//! ```
//! use mbspike_lif::{Arch, Shape};
//!
//! let arch: Arch = "28x28-8c5-2a-16c5-2a-10o".parse()?;
//! assert_eq!(arch.n_classes(), 10);
//! assert_eq!(arch.shapes()?[3], Shape { channels: 16, height: 7, width: 7 });
//!
//! let error = "28x28-8c5-3a-10o".parse::<Arch>().unwrap_err();
//! assert_eq!(
//!     error.to_string(),
//!     "architecture, byte 10: found `3a` on a map of 28x28x8, \
//!      expected a pooling size that divides 28 and 28\n  \
//!      28x28-8c5-3a-10o\n            ^^"
//! );
//! # Ok::<(), mbspike_lif::ArchError>(())
//! ```

mod error;
mod parse;
mod presets;
mod shapes;

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

pub use error::ArchError;
pub use mbspike_core::pool::PoolKind;

/// The size of a feature map at one time step; a layer of `n` neurons without a map is `1x1xn`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Shape {
    /// Channels C.
    pub channels: usize,
    /// Rows H.
    pub height: usize,
    /// Columns W.
    pub width: usize,
}

impl Shape {
    /// `C · H · W`.
    pub fn n_elements(self) -> usize {
        self.channels * self.height * self.width
    }
}

/// `34x34x2`: height, width, channels, as in the notation.
impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}x{}x{}", self.height, self.width, self.channels)
    }
}

/// One layer of the notation.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Layer {
    /// `8c5`, `8c5v`: a convolution with stride 1, followed by LIF.
    Conv {
        /// Output channels.
        channels: usize,
        /// Height and width of the kernel.
        kernel: usize,
        /// Whether there is no padding; otherwise `kernel / 2` zeros on each side keep the size.
        valid: bool,
    },
    /// `bn`: batch normalization of the convolution before it, before its LIF.
    BatchNorm,
    /// `2a`, `2m`: pooling with stride equal to the window.
    Pool {
        /// Average or maximum.
        kind: PoolKind,
        /// Height and width of the window.
        size: usize,
    },
    /// `512`: a dense layer, followed by LIF.
    Dense {
        /// Its neurons.
        neurons: usize,
    },
    /// `dp0.5`: dropout.
    Dropout {
        /// The probability, in `0..1`, that an element is dropped.
        p: f64,
    },
    /// `10o`: the dense output layer, followed by LIF.
    Output {
        /// Its neurons.
        neurons: usize,
    },
    /// `vote10`: the mean of each group of outputs.
    Vote {
        /// Outputs in a group.
        group: usize,
    },
}

impl Layer {
    /// Whether neurons follow.
    pub fn is_spiking(&self) -> bool {
        matches!(self, Self::Conv { .. } | Self::Dense { .. } | Self::Output { .. })
    }
}

impl fmt::Display for Layer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Conv { channels, kernel, valid } => {
                write!(f, "{channels}c{kernel}{}", if valid { "v" } else { "" })
            }
            Self::BatchNorm => f.write_str("bn"),
            Self::Pool { kind: PoolKind::Average, size } => write!(f, "{size}a"),
            Self::Pool { kind: PoolKind::Max, size } => write!(f, "{size}m"),
            Self::Pool { kind: PoolKind::Sum, size } => write!(f, "{size}s"),
            Self::Dense { neurons } => write!(f, "{neurons}"),
            Self::Dropout { p } => write!(f, "dp{p}"),
            Self::Output { neurons } => write!(f, "{neurons}o"),
            Self::Vote { group } => write!(f, "vote{group}"),
        }
    }
}

/// A network architecture; the notation is described in the [module](self) text.
///
/// One that was parsed fits: [`Arch::shapes`] cannot fail on it. In serialized form it is its
/// notation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Arch {
    /// Size of the input.
    pub input: Shape,
    /// The layers, from the input on.
    pub layers: Vec<Layer>,
}

impl Arch {
    /// The named architectures and their notation; sources in the file `arch/presets.rs`.
    ///
    /// Names without a suffix are trainable on two cores. `…-slayer` and `…-plif` are the published
    /// networks of Shrestha and Orchard (2018) and of Fang et al. (2021).
    pub const PRESETS: &[(&str, &str)] = presets::PRESETS;

    /// The architecture of that name among [`Arch::PRESETS`].
    pub fn preset(name: &str) -> Option<Self> {
        let (_, notation) = Self::PRESETS.iter().find(|(preset, _)| *preset == name)?;
        notation.parse().ok()
    }

    /// Classes that the network tells apart: its outputs, or its groups of outputs where it votes.
    ///
    /// 0 for a hand-made architecture without an output layer.
    pub fn n_classes(&self) -> usize {
        self.layers.iter().fold(0, |n_classes, layer| match *layer {
            Layer::Output { neurons } => neurons,
            Layer::Vote { group } => n_classes.checked_div(group).unwrap_or(0),
            _ => n_classes,
        })
    }

    /// Layers that neurons follow.
    pub fn n_spiking(&self) -> usize {
        self.layers.iter().filter(|layer| layer.is_spiking()).count()
    }

    /// The output shape of each layer, in the order of [`Arch::layers`].
    ///
    /// # Errors
    /// If a layer does not fit what comes before it.
    pub fn shapes(&self) -> Result<Vec<Shape>, ArchError> {
        let (text, spans) = self.notation();
        shapes::check(&text, self, &spans)
    }

    /// The number of trainable weights of each layer, in the order of [`Arch::layers`]; `bias` says
    /// whether convolutions and dense layers have one. Learnable time constants are not counted.
    ///
    /// # Errors
    /// If a layer does not fit what comes before it.
    pub fn parameter_counts(&self, bias: bool) -> Result<Vec<usize>, ArchError> {
        let shapes = self.shapes()?;
        let inputs = std::iter::once(&self.input).chain(&shapes);
        Ok(inputs
            .zip(&self.layers)
            .map(|(input, layer)| {
                let (weights, outputs) = match *layer {
                    Layer::Conv { channels, kernel, .. } => {
                        (channels * input.channels * kernel * kernel, channels)
                    }
                    Layer::Dense { neurons } | Layer::Output { neurons } => {
                        (neurons * input.n_elements(), neurons)
                    }
                    Layer::BatchNorm => (2 * input.channels, 0),
                    Layer::Pool { .. } | Layer::Dropout { .. } | Layer::Vote { .. } => (0, 0),
                };
                weights + if bias { outputs } else { 0 }
            })
            .collect())
    }

    /// The canonical notation and where each part, the input first, stands in it.
    fn notation(&self) -> (String, Vec<parse::Span>) {
        let mut text = match self.input.channels {
            1 => format!("{}x{}", self.input.height, self.input.width),
            _ => self.input.to_string(),
        };
        let mut spans = Vec::with_capacity(self.layers.len() + 1);
        spans.push(0..text.len());
        for layer in &self.layers {
            text.push('-');
            let start = text.len();
            text.push_str(&layer.to_string());
            spans.push(start..text.len());
        }
        (text, spans)
    }
}

/// The canonical notation; parsing it gives the same architecture.
impl fmt::Display for Arch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.notation().0)
    }
}

impl FromStr for Arch {
    type Err = ArchError;

    fn from_str(text: &str) -> Result<Self, ArchError> {
        let (arch, spans) = parse::parse(text)?;
        shapes::check(text, &arch, &spans)?;
        Ok(arch)
    }
}

impl TryFrom<String> for Arch {
    type Error = ArchError;

    fn try_from(text: String) -> Result<Self, ArchError> {
        text.parse()
    }
}

impl From<Arch> for String {
    fn from(arch: Arch) -> Self {
        arch.to_string()
    }
}

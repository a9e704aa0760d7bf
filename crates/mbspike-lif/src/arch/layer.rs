//! The layers of the notation.

use std::fmt;

use super::table::LayerTable;
use mbspike_core::pool::PoolKind;

/// A convolution of the notation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConvLayer {
    /// Output channels; `None` for a depthwise convolution, which keeps the number.
    pub channels: Option<usize>,
    /// Height and width of the kernel.
    pub kernel: usize,
    /// Steps between outputs.
    pub stride: usize,
    /// Steps between the kernel's taps.
    pub dilation: usize,
    /// Groups of channels; not used for a depthwise convolution.
    pub groups: usize,
    /// Whether there is no padding; otherwise `dilation · (kernel − 1) / 2` zeros on each side keep the
    /// size (at stride 1).
    pub valid: bool,
    /// Whether neurons follow.
    pub spiking: bool,
}

impl ConvLayer {
    /// `8c5`.
    pub fn new(channels: usize, kernel: usize) -> Self {
        Self {
            channels: Some(channels),
            kernel,
            stride: 1,
            dilation: 1,
            groups: 1,
            valid: false,
            spiking: true,
        }
    }

    /// `8c5v`.
    pub fn valid(channels: usize, kernel: usize) -> Self {
        Self { valid: true, ..Self::new(channels, kernel) }
    }
}

/// What a residual block adds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Join {
    /// Spikes to spikes, as SEW-ResNet.
    Spikes,
    /// Currents, before the neurons.
    Currents,
}

/// One layer of the notation, or of a table.
#[derive(Debug, Clone, PartialEq)]
pub enum Layer {
    /// `8c5`, `8c5v`, `8c3s2`, `dw3`: a convolution, followed by neurons.
    Conv(ConvLayer),
    /// `bn`: batch normalization of the layer before it, before its neurons.
    BatchNorm,
    /// `2a`, `2m`, `2s`: pooling with stride equal to the window.
    Pool {
        /// Average, maximum or sum.
        kind: PoolKind,
        /// Height and width of the window.
        size: usize,
    },
    /// `512`, `128r`, `512l`: a dense layer, followed by neurons.
    Dense {
        /// Its neurons.
        neurons: usize,
        /// Whether its neurons hear each other a step later.
        recurrent: bool,
        /// Whether neurons follow.
        spiking: bool,
    },
    /// `lif`: neurons.
    Neurons,
    /// `res(…)`, `resc(…)`: a block whose input is added to what it makes of it.
    Residual {
        /// What is added.
        join: Join,
        /// The layers inside.
        body: Vec<Layer>,
        /// The layers of the shortcut; none where the input itself is added.
        shortcut: Vec<Layer>,
    },
    /// `dp0.5`: dropout.
    Dropout {
        /// The probability, in `0..1`, that an element is dropped.
        p: f64,
    },
    /// `10o`: the dense output layer, followed by neurons.
    Output {
        /// Its neurons.
        neurons: usize,
    },
    /// `vote10`: the mean of each group of outputs.
    Vote {
        /// Outputs in a group.
        group: usize,
    },
    /// A layer of a table, `[[network.layer]]`; the notation has no such part.
    Table(Box<LayerTable>),
}

impl Layer {
    /// `512`.
    pub fn dense(neurons: usize) -> Self {
        Self::Dense { neurons, recurrent: false, spiking: true }
    }
}

fn join(layers: &[Layer]) -> String {
    layers.iter().map(ToString::to_string).collect::<Vec<_>>().join("-")
}

impl fmt::Display for Layer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Conv(conv) => {
                match conv.channels {
                    Some(channels) => write!(f, "{channels}c{}", conv.kernel)?,
                    None => write!(f, "dw{}", conv.kernel)?,
                }
                for (letter, n) in [('s', conv.stride), ('d', conv.dilation), ('g', conv.groups)] {
                    if n != 1 {
                        write!(f, "{letter}{n}")?;
                    }
                }
                f.write_str(if conv.valid { "v" } else { "" })?;
                f.write_str(if conv.spiking { "" } else { "l" })
            }
            Self::BatchNorm => f.write_str("bn"),
            Self::Pool { kind: PoolKind::Average, size } => write!(f, "{size}a"),
            Self::Pool { kind: PoolKind::Max, size } => write!(f, "{size}m"),
            Self::Pool { kind: PoolKind::Sum, size } => write!(f, "{size}s"),
            Self::Dense { neurons, recurrent, spiking } => {
                let recurrent = if *recurrent { "r" } else { "" };
                write!(f, "{neurons}{recurrent}{}", if *spiking { "" } else { "l" })
            }
            Self::Neurons => f.write_str("lif"),
            Self::Residual { join: kind, body, shortcut } => {
                let name = match kind {
                    Join::Spikes => "res",
                    Join::Currents => "resc",
                };
                write!(f, "{name}({}", join(body))?;
                if !shortcut.is_empty() {
                    write!(f, "|{}", join(shortcut))?;
                }
                f.write_str(")")
            }
            Self::Dropout { p } => write!(f, "dp{p}"),
            Self::Output { neurons } => write!(f, "{neurons}o"),
            Self::Vote { group } => write!(f, "vote{group}"),
            Self::Table(table) => write!(f, "<{}>", table.title()),
        }
    }
}

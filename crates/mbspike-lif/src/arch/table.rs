//! Layers at length: `[[network.layer]]` in a config.

use mbspike_core::pool::PoolKind;
use serde::{Deserialize, Serialize};

use crate::neuron::NeuronTable;

/// What a table's layer is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LayerKind {
    /// A convolution: `channels`, `kernel`, `stride`, `padding`, `dilation`, `groups`, `bias`; then
    /// `norm`, and neurons unless `spiking = false`.
    Conv,
    /// A dense layer: `neurons`, `bias`; then `norm`, and neurons (`recurrent`) unless `spiking =
    /// false`.
    Dense,
    /// Batch normalization by itself, of a layer without neurons.
    Norm,
    /// Neurons by themselves: `neuron`, `recurrent`.
    Neurons,
    /// Pooling: `take`, `size`.
    Pool,
    /// A map becomes a row.
    Flatten,
    /// Dropout: `p`.
    Dropout,
    /// The sum of the layers in `input`, two or more.
    Add,
    /// The output layer: `neurons`, `bias`.
    Output,
    /// The readout by itself, of the neurons before it.
    Readout,
    /// The mean of groups of outputs: `group`.
    Vote,
}

impl LayerKind {
    fn name(self) -> &'static str {
        match self {
            Self::Conv => "conv",
            Self::Dense => "dense",
            Self::Norm => "norm",
            Self::Neurons => "neurons",
            Self::Pool => "pool",
            Self::Flatten => "flatten",
            Self::Dropout => "dropout",
            Self::Add => "add",
            Self::Output => "output",
            Self::Readout => "readout",
            Self::Vote => "vote",
        }
    }

    /// The keys that it takes, besides `kind`, `name` and `input`.
    fn keys(self) -> &'static [&'static str] {
        match self {
            Self::Conv => &[
                "channels", "kernel", "stride", "padding", "dilation", "groups", "bias", "norm",
                "spiking", "neuron",
            ],
            Self::Dense => &["neurons", "bias", "norm", "recurrent", "spiking", "neuron"],
            Self::Neurons => &["recurrent", "neuron"],
            Self::Pool => &["take", "size"],
            Self::Norm | Self::Flatten | Self::Add | Self::Readout => &[],
            Self::Dropout => &["p"],
            Self::Output => &["neurons", "bias", "neuron"],
            Self::Vote => &["group"],
        }
    }
}

/// What a layer reads: one layer by name, or several.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Reads {
    /// One layer.
    One(String),
    /// Several.
    Many(Vec<String>),
}

/// Zeros around the input of a convolution.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum TablePadding {
    /// So many on each side.
    By(usize),
    /// A name.
    Named(NamedPadding),
}

/// Padding by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum NamedPadding {
    /// What keeps the size at stride 1; needs an odd kernel.
    Same,
    /// None.
    Valid,
}

/// One layer of `[[network.layer]]`. A layer reads the one before it unless `input` says otherwise;
/// `"input"` is the network's.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LayerTable {
    /// What it is.
    pub kind: LayerKind,
    /// What it is called, in checkpoints too; its kind and number where left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// What it reads.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub input: Option<Reads>,
    /// Channels out of a convolution.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub channels: Option<usize>,
    /// Side of the kernel.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kernel: Option<usize>,
    /// Steps between outputs; 1 where left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stride: Option<usize>,
    /// `"same"` where left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub padding: Option<TablePadding>,
    /// Steps between taps; 1 where left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dilation: Option<usize>,
    /// Groups of channels; 1 where left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub groups: Option<usize>,
    /// Neurons of a dense or output layer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub neurons: Option<usize>,
    /// Whether there is a bias; as the network says where left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bias: Option<bool>,
    /// Whether batch normalization comes before the neurons.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub norm: Option<bool>,
    /// Whether the neurons hear each other a step later.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub recurrent: Option<bool>,
    /// Whether neurons follow; true where left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub spiking: Option<bool>,
    /// What is different about the neurons.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub neuron: Option<NeuronTable>,
    /// What is taken of a window.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub take: Option<PoolKind>,
    /// Side of a window.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size: Option<usize>,
    /// Probability of dropout.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub p: Option<f64>,
    /// Outputs in a group.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group: Option<usize>,
}

impl LayerTable {
    /// A layer of that kind, to be filled in.
    pub fn new(kind: LayerKind) -> Self {
        Self {
            kind,
            name: None,
            input: None,
            channels: None,
            kernel: None,
            stride: None,
            padding: None,
            dilation: None,
            groups: None,
            neurons: None,
            bias: None,
            norm: None,
            recurrent: None,
            spiking: None,
            neuron: None,
            take: None,
            size: None,
            p: None,
            group: None,
        }
    }

    /// Its name, or its kind.
    pub fn title(&self) -> &str {
        self.name.as_deref().unwrap_or(self.kind.name())
    }

    /// Refuses keys that do not belong to its kind.
    pub(super) fn check_keys(&self) -> Result<(), String> {
        let Self {
            kind,
            name: _,
            input: _,
            channels,
            kernel,
            stride,
            padding,
            dilation,
            groups,
            neurons,
            bias,
            norm,
            recurrent,
            spiking,
            neuron,
            take,
            size,
            p,
            group,
        } = self;
        let given = [
            ("channels", channels.is_some()),
            ("kernel", kernel.is_some()),
            ("stride", stride.is_some()),
            ("padding", padding.is_some()),
            ("dilation", dilation.is_some()),
            ("groups", groups.is_some()),
            ("neurons", neurons.is_some()),
            ("bias", bias.is_some()),
            ("norm", norm.is_some()),
            ("recurrent", recurrent.is_some()),
            ("spiking", spiking.is_some()),
            ("neuron", neuron.is_some()),
            ("take", take.is_some()),
            ("size", size.is_some()),
            ("p", p.is_some()),
            ("group", group.is_some()),
        ];
        let stray = given.iter().find(|(key, given)| *given && !kind.keys().contains(key));
        match stray {
            None => Ok(()),
            Some((key, _)) => Err(format!(
                "`{key}` does not belong to a layer of kind \"{}\", which takes {}",
                kind.name(),
                match kind.keys() {
                    [] => "no key of its own".to_owned(),
                    keys => format!("`{}`", keys.join("`, `")),
                }
            )),
        }
    }
}

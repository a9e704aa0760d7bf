use serde::{Deserialize, Serialize};

use super::lif::IntegerLif;
use crate::{Arch, PoolKind, PositionActivity, Readout, Shape};

/// An integer network without its weights: what is said of it in a file's header.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IntegerConfig {
    /// The layers; batch normalization is part of the weights.
    pub arch: Arch,
    /// How the output becomes scores.
    pub readout: Readout,
    /// What one code of the input stands for; codes are `round(x / input_step)`, ties to even,
    /// clamped to `±127`.
    pub input_step: f32,
    /// The longest sequence whose membranes are sure to fit.
    pub max_steps: usize,
    /// The neurons of each weight layer, from the input on.
    pub neurons: Vec<IntegerLif>,
}

/// The numbers of a weight layer.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct IntegerWeights {
    /// `[out, in, ky, kx]` or `[out, in]`, in `−127..=127`.
    pub weight: Vec<i8>,
    /// What a weight of 1 stands for, `[out]`; not used in computing.
    pub scale: Vec<f32>,
    /// Added to each current, `[out]`, in the membrane's format.
    pub bias: Vec<i32>,
    /// M, `[out]`, not negative.
    pub multiplier: Vec<i32>,
    /// S, `[out]`, at most 62.
    pub shift: Vec<u8>,
}

/// A weight layer: a convolution, or a dense layer as a convolution with a kernel of the size of
/// its map.
#[derive(Debug, Clone)]
pub(super) struct Spiking {
    pub(super) name: String,
    pub(super) input: Shape,
    pub(super) output: Shape,
    /// Height and width.
    pub(super) kernel: [usize; 2],
    pub(super) padding: usize,
    pub(super) is_dense: bool,
    pub(super) weights: IntegerWeights,
    /// The weights as `[in, ky, kx, out]`.
    pub(super) by_input: Vec<i8>,
    pub(super) lif: IntegerLif,
}

#[derive(Debug, Clone)]
pub(super) enum Stage {
    Spiking(Box<Spiking>),
    /// The sum or the largest of a window.
    Pool {
        kind: PoolKind,
        size: usize,
        input: Shape,
        output: Shape,
    },
}

/// A network of whole numbers, see the [module](crate::integer) text.
#[derive(Debug, Clone)]
pub struct IntegerNetwork {
    pub(super) config: IntegerConfig,
    pub(super) stages: Vec<Stage>,
    pub(super) n_outputs: usize,
    pub(super) group: usize,
}

impl IntegerNetwork {
    /// Nothing, at each position.
    pub(super) fn nothing_seen(&self) -> Vec<PositionActivity> {
        vec![PositionActivity::default(); 1 + self.config.neurons.len()]
    }
}

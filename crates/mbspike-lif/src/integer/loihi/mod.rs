//! A trained network as Loihi 2 computes it: whole numbers of the chip's widths, in the arithmetic of
//! Lava's published Python models (`lava/proc/lif/models.py`, `dense/models.py`, `conv/models.py` of
//! lava-nc 0.10), bit for bit.
//!
//! A layer's weights are even numbers in `−256..=254` (8 bits with a mixed sign), spikes are payloads
//! `0..=L`. The sum `a = Σ w k` goes into [`LoihiCell`], whose states have 24 bits; sums of convolutions
//! wrap there, as do currents, and membranes are cut off. Nothing of that is silent: each is counted, and
//! [`LoihiNetwork::headroom`] says beforehand how far each neuron can get.
//!
//! One level of the membrane is `T = (θ/L) / scale` sums, where one scale a layer takes weights to
//! whole numbers. It is a whole number itself, which is why the scale is not the largest that fits but
//! that of the largest whole `T`. Average and sum pooling, for which the chip has nothing, are part
//! of the layer after them: `conv(k, padding p)` after pooling over `s` is `conv(sk, stride s, padding sp)`
//! with each weight repeated `s × s` times (over `s²` for the average).
//!
//! On the chip a synapse hands on in the next step what it got. With [`LoihiConfig::synaptic_delay`]
//! the network does that, and runs as many steps longer as it has layers.

mod cell;
mod convert;
mod forward;
mod headroom;
mod network;
mod refusal;

use candle_core::{DType, Device, Tensor};
use rayon::prelude::*;

pub use self::cell::{
    DECAY_UNITY, LARGEST_STATE, LARGEST_THRESHOLD, LoihiCell, LoihiFire, Overflows, STATE_BITS,
    STATE_SHIFT,
};
use self::forward::Workspace;
pub use self::headroom::Headroom;
pub use self::network::{
    LARGEST_BIAS, LARGEST_WEIGHT, LEAST_WEIGHT, LoihiConfig, LoihiLayer, LoihiNetwork, LoihiTrace,
    LoihiWeights,
};
use crate::integer::codes::codes_of;
use crate::{Activity, Readout, Result};

/// What [`LoihiNetwork::predict`] finds.
#[derive(Debug, Clone)]
pub struct LoihiPrediction {
    /// For each class the sum of its payloads over time and group, or of its membranes where the
    /// readout takes them, i64 `[B, n_classes]`.
    pub scores: Tensor,
    /// Activity of the input and of each layer of neurons.
    pub activity: Activity,
    /// What did not fit 24 bits, by layer.
    pub overflows: Vec<Overflows>,
    /// The largest absolute membrane before it was cut off to 24 bits, by layer.
    pub largest: Vec<i64>,
}

impl LoihiNetwork {
    /// Scores of a batch `[T, B, C, H, W]`.
    ///
    /// # Errors
    /// If the input has another shape or a NaN.
    pub fn predict(&self, x_seq: &Tensor) -> Result<LoihiPrediction> {
        let (codes, [n_steps, batch_size]) =
            codes_of("network of Loihi 2", x_seq, self.input_shape(), self.config.input_step)?;
        let n_classes =
            self.config.layers.last().map_or(0, LoihiLayer::n_neurons) / self.config.group;
        let mut scores = vec![0_i64; batch_size * n_classes];
        let n = self.input_shape().n_elements();
        let seen = scores.par_chunks_mut(n_classes).enumerate().map_init(
            || Workspace::new(self),
            |workspace, (sample, scores)| {
                let steps = (0..n_steps).map(|t| &codes[(t * batch_size + sample) * n..][..n]);
                let outputs = workspace.run(self, steps);
                for (score, group) in scores.iter_mut().zip(outputs.chunks(self.config.group)) {
                    *score = group.iter().sum();
                }
                workspace.take_seen()
            },
        );
        // In the order of the samples, whatever thread had them.
        let seen: Vec<forward::Seen> = seen.collect();
        let n_layers = self.config.layers.len();
        let mut activity = Activity::default();
        let (mut overflows, mut largest) =
            (vec![Overflows::default(); n_layers], vec![0; n_layers]);
        for of_sample in seen {
            activity.merge(&Activity { positions: of_sample.positions });
            for (sum, more) in overflows.iter_mut().zip(&of_sample.overflows) {
                sum.merge(more);
            }
            for (most, more) in largest.iter_mut().zip(&of_sample.largest) {
                *most = i64::max(*most, *more);
            }
        }
        let scores = Tensor::from_vec(scores, (batch_size, n_classes), &Device::Cpu)?;
        Ok(LoihiPrediction { scores, activity, overflows, largest })
    }

    /// What each layer does in each step of one sample, whose codes are `[C, H, W]` a step.
    ///
    /// # Panics
    /// If a step has another length than the input.
    pub fn trace(&self, steps: &[Vec<i32>]) -> Vec<Vec<LoihiTrace>> {
        let mut workspace = Workspace::new(self);
        let mut traces = vec![];
        workspace.run_with(self, steps.iter().map(Vec::as_slice), |workspace| {
            traces.push(workspace.trace(self));
        });
        traces
    }

    /// Class scores as those of the network that it was converted from, f64: `scores` are of
    /// [`predict`](Self::predict) over `n_steps` steps.
    ///
    /// # Errors
    /// If `scores` cannot be scaled as numbers.
    pub fn logits(&self, scores: &Tensor, n_steps: usize) -> Result<Tensor> {
        let unit = self.config.layers.last().map_or(1.0, |last| match self.config.readout {
            Readout::MeanSpike => 1.0 / n_steps as f64 / f64::from(last.cell.levels().max(1)),
            Readout::LastMembrane | Readout::MaxMembrane => last.unit,
        });
        Ok((scores.to_dtype(DType::F64)? * (unit / self.config.group as f64))?)
    }
}

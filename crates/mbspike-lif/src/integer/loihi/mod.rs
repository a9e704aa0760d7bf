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

use candle_core::{DType, Device, Tensor};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

pub use self::cell::{
    DECAY_UNITY, LARGEST_STATE, LARGEST_THRESHOLD, LoihiCell, LoihiFire, Overflows, STATE_BITS,
    STATE_SHIFT,
};
use self::forward::Workspace;
pub use self::headroom::Headroom;
use crate::quantization::code_of;
use crate::{Activity, Error, PositionActivity, Readout, Result, Shape};

/// The most negative weight.
pub const LEAST_WEIGHT: i16 = -256;
/// The largest weight.
pub const LARGEST_WEIGHT: i16 = 254;
/// The largest mantissa of a bias, and its negative the least.
pub const LARGEST_BIAS: i32 = (1 << 12) - 1;

/// A layer of weights and the neurons behind it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LoihiLayer {
    /// Its name, `conv1`, `fc1`, …
    pub name: String,
    /// What it reads, `[C, H, W]`.
    pub input: [usize; 3],
    /// Its neurons, `[C, H, W]`.
    pub output: [usize; 3],
    /// Height and width of the kernel; those of the map for a dense layer.
    pub kernel: [usize; 2],
    /// Steps between outputs.
    pub stride: usize,
    /// Zeros around the input.
    pub padding: usize,
    /// Whether it is a dense layer, whose sums do not wrap.
    pub is_dense: bool,
    /// Its neurons.
    pub cell: LoihiCell,
    /// What a membrane of 1 stands for; not used in computing.
    pub unit: f64,
}

impl LoihiLayer {
    /// Weights of one output.
    pub fn fan_in(&self) -> usize {
        self.input[0] * self.kernel[0] * self.kernel[1]
    }

    /// Its neurons' number.
    pub fn n_neurons(&self) -> usize {
        self.output.iter().product()
    }
}

/// The numbers of a layer.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LoihiWeights {
    /// `[out, in, ky, kx]`, even, in `−256..=254`.
    pub weight: Vec<i16>,
    /// Mantissas of the biases, `[out]`, in `−4095..=4095`.
    pub bias: Vec<i32>,
}

/// A network without its weights: what is said of it in a file's header.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LoihiConfig {
    /// The layers.
    pub layers: Vec<LoihiLayer>,
    /// How the output becomes scores.
    pub readout: Readout,
    /// Outputs that are averaged to one score.
    pub group: usize,
    /// What one code of the input stands for; codes are `round(x / input_step)`, ties to even,
    /// clamped to `±127`.
    pub input_step: f32,
    /// The largest code of the input.
    pub largest_input: i32,
    /// Whether each synapse hands on what it gets in the next step.
    pub synaptic_delay: bool,
}

/// A network of the chip's numbers; see the [module](self) text.
#[derive(Debug, Clone)]
pub struct LoihiNetwork {
    config: LoihiConfig,
    weights: Vec<LoihiWeights>,
    /// Weights as `[in, ky, kx, out]`.
    by_input: Vec<Vec<i16>>,
}

/// What a layer did in one step of one sample.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoihiTrace {
    /// Payloads `[C, H, W]`.
    pub spikes: Vec<i32>,
    /// Membranes after firing, `[C, H, W]`.
    pub membranes: Vec<i32>,
}

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

fn fail<T>(layer: &str, reason: impl Into<String>) -> Result<T> {
    Err(Error::CannotCompute { node: layer.to_owned(), engine: "Loihi 2", reason: reason.into() })
}

impl LoihiNetwork {
    /// Puts a network together, from a conversion or from a file.
    ///
    /// # Errors
    /// If a number is beyond the chip's widths or the parts do not fit each other; the message names
    /// the layer.
    pub fn new(config: LoihiConfig, weights: Vec<LoihiWeights>) -> Result<Self> {
        if config.layers.is_empty() || config.layers.len() != weights.len() {
            return fail(
                "network",
                format!("{} layers and {} of weights", config.layers.len(), weights.len()),
            );
        }
        if config.group == 0 || !(config.input_step > 0.0 && config.input_step.is_finite()) {
            return fail("network", "groups and the input's step must be above 0");
        }
        let mut by_input = vec![];
        for (i, (layer, numbers)) in config.layers.iter().zip(&weights).enumerate() {
            layer.cell.validate(&layer.name)?;
            let is_last = i + 1 == config.layers.len();
            if layer.cell.fire == (LoihiFire::Membrane {})
                && !(is_last && config.readout.reads_membrane())
            {
                return fail(&layer.name, "only the output's membranes are read");
            }
            let before = i.checked_sub(1).map(|i| config.layers[i].output);
            if before.is_some_and(|before| before != layer.input) {
                return fail(&layer.name, "it reads another map than the layer before it sends");
            }
            layer.check(numbers)?;
            let (n_in, n_out) = (layer.fan_in(), layer.output[0]);
            let mut ordered = vec![0; n_in * n_out];
            for (channel, row) in numbers.weight.chunks_exact(n_in).enumerate() {
                for (i, w) in row.iter().enumerate() {
                    ordered[i * n_out + channel] = *w;
                }
            }
            by_input.push(ordered);
        }
        let outputs = config.layers.last().map_or(0, LoihiLayer::n_neurons);
        if !outputs.is_multiple_of(config.group) {
            return fail("network", format!("groups of {} of {outputs} outputs", config.group));
        }
        Ok(Self { config, weights, by_input })
    }

    /// What is said of it in a file's header.
    pub fn config(&self) -> &LoihiConfig {
        &self.config
    }

    /// The numbers of its layers.
    pub fn weights(&self) -> &[LoihiWeights] {
        &self.weights
    }

    fn input_shape(&self) -> Shape {
        let [channels, height, width] = self.config.layers[0].input;
        Shape { channels, height, width }
    }

    /// Scores of a batch `[T, B, C, H, W]`.
    ///
    /// # Errors
    /// If the input has another shape or a NaN.
    pub fn predict(&self, x_seq: &Tensor) -> Result<LoihiPrediction> {
        let (codes, [n_steps, batch_size]) = self.codes(x_seq)?;
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

    fn codes(&self, x_seq: &Tensor) -> Result<(Vec<i32>, [usize; 2])> {
        let Shape { channels, height, width } = self.input_shape();
        let mismatch = |what: &str, got: String, expected: String| Error::Mismatch {
            op: "network of Loihi 2",
            what: what.into(),
            got,
            expected,
        };
        let sizes = match *x_seq.dims() {
            [t, b, c, h, w] if t > 0 && b > 0 && [c, h, w] == [channels, height, width] => [t, b],
            ref dims => {
                let expected = format!("[T, B, {channels}, {height}, {width}] with T, B > 0");
                return Err(mismatch("the input", format!("{dims:?}"), expected));
            }
        };
        let x_seq = x_seq.to_dtype(DType::F32)?.to_device(&Device::Cpu)?.contiguous()?;
        let mut n_nan = 0_usize;
        let step = self.config.input_step;
        let codes = mbspike_core::read::<f32, _>(&x_seq, |x| {
            n_nan = x.iter().filter(|x| x.is_nan()).count();
            Ok(x.iter().map(|x| code_of(*x, step) as i32).collect())
        })?;
        if n_nan > 0 {
            return Err(mismatch("the input", format!("NaN in {n_nan} places"), "numbers".into()));
        }
        Ok((codes, sizes))
    }

    fn nothing_seen(&self) -> Vec<PositionActivity> {
        vec![PositionActivity::default(); 1 + self.config.layers.len()]
    }
}

impl LoihiLayer {
    /// Refuses numbers that are beyond the chip's widths, or of another layer.
    fn check(&self, numbers: &LoihiWeights) -> Result<()> {
        let n_out = self.output[0];
        let lengths = [numbers.weight.len(), numbers.bias.len()];
        if lengths != [n_out * self.fan_in(), n_out] {
            let expected = [n_out * self.fan_in(), n_out];
            return fail(
                &self.name,
                format!("weights and biases are {lengths:?} numbers, not {expected:?}"),
            );
        }
        for axis in [1, 2] {
            let padded = self.input[axis] + 2 * self.padding;
            let fits = self.stride > 0
                && self.kernel[axis - 1] > 0
                && padded >= self.kernel[axis - 1]
                && (padded - self.kernel[axis - 1]) / self.stride + 1 == self.output[axis];
            if !fits {
                return fail(&self.name, "its map does not follow from what it reads");
            }
        }
        let range = LEAST_WEIGHT..=LARGEST_WEIGHT;
        if let Some(w) = numbers.weight.iter().find(|w| !range.contains(w) || **w % 2 != 0) {
            return fail(&self.name, format!("the weight {w} is not even and in −256..=254"));
        }
        if let Some(bias) = numbers.bias.iter().find(|b| b.abs() > LARGEST_BIAS) {
            return fail(&self.name, format!("the bias {bias} is not in −4095..=4095"));
        }
        Ok(())
    }
}

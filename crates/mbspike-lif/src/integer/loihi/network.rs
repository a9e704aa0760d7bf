//! A network of the chip's numbers.

use serde::{Deserialize, Serialize};

use super::cell::{LoihiCell, LoihiFire};
use super::refusal::fail;
use crate::{PositionActivity, Readout, Result, Shape};

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

/// A network of the chip's numbers; see the [module](super) text.
#[derive(Debug, Clone)]
pub struct LoihiNetwork {
    pub(super) config: LoihiConfig,
    pub(super) weights: Vec<LoihiWeights>,
    /// Weights as `[in, ky, kx, out]`.
    pub(super) by_input: Vec<Vec<i16>>,
}

/// What a layer did in one step of one sample.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoihiTrace {
    /// Payloads `[C, H, W]`.
    pub spikes: Vec<i32>,
    /// Membranes after firing, `[C, H, W]`.
    pub membranes: Vec<i32>,
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

    pub(super) fn input_shape(&self) -> Shape {
        let [channels, height, width] = self.config.layers[0].input;
        Shape { channels, height, width }
    }

    pub(super) fn nothing_seen(&self) -> Vec<PositionActivity> {
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

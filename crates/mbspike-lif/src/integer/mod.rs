//! A trained network in whole numbers: int8 weights, level codes as operands, `i32` sums and
//! membranes, no floating point between the input's codes and the scores.
//!
//! With `q` the int8 weights of an output channel, `a` the codes of its input (levels `0..=L` of the
//! layer before, or sums of levels where those are average-pooled, or the input's codes) and `M/2^S`
//! the fixed-point factor that takes a sum to the membrane's format:
//!
//! ```text
//! sum = Σ q a                                i32, exact
//! x   = ⌊(sum M + 2^(S−1)) / 2^S⌋ + bias     the current, i32, in levels with F bits after the point
//! ```
//!
//! `M/2^S = scale · unit · g · L/θ · 2^F`, where `scale` is that of the weights, `unit` what one code
//! of the input stands for (`1/L` of a spike, `1/(L size²)` after average pooling, the step of the
//! input's codes) and `g` the neuron's gain. The neuron is [`IntegerLif`]. Scores are sums of the
//! output's level codes, or its membranes where the readout takes those.
//!
//! [`IntegerNetwork::from_network`] converts; sums and membranes that could leave `i32` on any input
//! are an error there, so none overflows later. [`reference::predict`] is the same plainly.

mod convert;
mod forward;
mod lif;
pub mod reference;

use candle_core::{DType, Device, Tensor};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use self::forward::Workspace;
use crate::quantization::code_of;
use crate::{Arch, Error, Layer, MAX_CODE, PoolKind, Readout, Result, Shape};

pub use lif::{BETA_BITS, IntegerLif, IntegerReset, MAX_FRACTION_BITS, MIN_FRACTION_BITS};

/// The largest shift S of a fixed-point factor.
const MAX_SHIFT: u8 = 62;

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
struct Spiking {
    name: String,
    input: Shape,
    output: Shape,
    /// Height and width.
    kernel: [usize; 2],
    padding: usize,
    weights: IntegerWeights,
    /// The weights as `[in, ky, kx, out]`.
    by_input: Vec<i8>,
    lif: IntegerLif,
}

#[derive(Debug, Clone)]
enum Stage {
    Spiking(Box<Spiking>),
    /// The sum or the largest of a window.
    Pool {
        kind: PoolKind,
        size: usize,
        input: Shape,
        output: Shape,
    },
}

/// A network of whole numbers, see the [module](self) text.
#[derive(Debug, Clone)]
pub struct IntegerNetwork {
    config: IntegerConfig,
    stages: Vec<Stage>,
    n_outputs: usize,
    group: usize,
}

impl IntegerNetwork {
    /// Puts a network together, from a conversion or from a file.
    ///
    /// # Errors
    /// If the parts do not fit each other, or a sum or membrane could leave `i32`; the message names
    /// the layer.
    pub fn new(config: IntegerConfig, weights: Vec<IntegerWeights>) -> Result<Self> {
        let step = config.input_step;
        if !(step > 0.0 && step.is_finite()) {
            return Err(Error::InvalidParameter {
                name: "input_step",
                expected: "a number above 0",
                got: step.to_string(),
            });
        }
        let shapes = config.arch.shapes()?;
        let names = weight_names(&config.arch);
        if names.len() != weights.len() || names.len() != config.neurons.len() {
            return Err(Error::Mismatch {
                op: "integer network",
                what: "the layers".into(),
                got: format!("{} weights, {} neurons", weights.len(), config.neurons.len()),
                expected: format!("{} of each", names.len()),
            });
        }
        let mut parts = names.into_iter().zip(weights).zip(&config.neurons);
        let (mut stages, mut n_outputs, mut group) = (vec![], 0, 1);
        let mut largest_code = i64::from(MAX_CODE);
        let inputs = std::iter::once(&config.arch.input).chain(&shapes);
        for ((layer, input), output) in config.arch.layers.iter().zip(inputs).zip(&shapes) {
            let (input, output) = (*input, *output);
            match *layer {
                Layer::Conv { .. } | Layer::Dense { .. } | Layer::Output { .. } => {
                    let Some(((name, weights), lif)) = parts.next() else {
                        unreachable!("their number was checked")
                    };
                    let (kernel, padding) = match *layer {
                        Layer::Conv { kernel, valid, .. } => {
                            ([kernel; 2], if valid { 0 } else { kernel / 2 })
                        }
                        _ => ([input.height, input.width], 0),
                    };
                    let by_input = vec![];
                    let mut stage = Spiking {
                        name,
                        input,
                        output,
                        kernel,
                        padding,
                        weights,
                        by_input,
                        lif: *lif,
                    };
                    stage.check(largest_code, config.max_steps)?;
                    stage.pack();
                    largest_code = lif.n_levels().into();
                    n_outputs = output.channels;
                    stages.push(Stage::Spiking(Box::new(stage)));
                }
                Layer::Pool { kind, size } => {
                    if kind != PoolKind::Max {
                        largest_code = largest_code.saturating_mul((size * size) as i64);
                    }
                    stages.push(Stage::Pool { kind, size, input, output });
                }
                Layer::Vote { group: n } => group = n,
                Layer::BatchNorm | Layer::Dropout { .. } => {}
            }
        }
        Ok(Self { config, stages, n_outputs, group })
    }

    /// What is said of it in a file's header.
    pub fn config(&self) -> &IntegerConfig {
        &self.config
    }

    /// Its weight layers, from the input on: name (`conv1`, `fc1`, …), shape of the weights as in
    /// `PyTorch`, numbers.
    pub fn layers(&self) -> impl Iterator<Item = (&str, Vec<usize>, &IntegerWeights)> {
        self.stages.iter().filter_map(|stage| match stage {
            Stage::Spiking(layer) => {
                let shape = if layer.name.starts_with("fc") {
                    vec![layer.output.channels, layer.input.n_elements()]
                } else {
                    let [height, width] = layer.kernel;
                    vec![layer.output.channels, layer.input.channels, height, width]
                };
                Some((layer.name.as_str(), shape, &layer.weights))
            }
            Stage::Pool { .. } => None,
        })
    }

    /// Scores `[B, n_classes]`, i64, of a batch `[T, B, C, H, W]`: for each class the sum of its
    /// level codes over time and group, or of its membranes where the readout takes them.
    ///
    /// # Errors
    /// If the input has another shape, more steps than [`IntegerConfig::max_steps`], or a NaN.
    pub fn predict(&self, x_seq: &Tensor) -> Result<Tensor> {
        let (codes, [n_steps, batch_size]) = self.codes(x_seq)?;
        let n_classes = self.n_outputs / self.group;
        let mut scores = vec![0_i64; batch_size * n_classes];
        scores.par_chunks_mut(n_classes).enumerate().for_each_init(
            || Workspace::new(self),
            |workspace, (sample, scores)| {
                let n = self.config.arch.input.n_elements();
                let steps = (0..n_steps).map(|t| &codes[(t * batch_size + sample) * n..][..n]);
                let outputs = workspace.run(self, steps);
                for (score, group) in scores.iter_mut().zip(outputs.chunks(self.group)) {
                    *score = group.iter().sum();
                }
            },
        );
        Ok(Tensor::from_vec(scores, (batch_size, n_classes), &Device::Cpu)?)
    }

    /// The codes of an input, with its steps and batch size.
    fn codes(&self, x_seq: &Tensor) -> Result<(Vec<i32>, [usize; 2])> {
        let Shape { channels, height, width } = self.config.arch.input;
        let max_steps = self.config.max_steps;
        let fail = |what: &str, got: String, expected: String| Error::Mismatch {
            op: "integer network",
            what: what.into(),
            got,
            expected,
        };
        let (n_steps, batch_size) = match *x_seq.dims() {
            [t, b, c, h, w] if t > 0 && b > 0 && [c, h, w] == [channels, height, width] => (t, b),
            ref dims => {
                let expected = format!("[T, B, {channels}, {height}, {width}] with T, B > 0");
                return Err(fail("the input", format!("{dims:?}"), expected));
            }
        };
        if n_steps > max_steps {
            let expected = format!("at most {max_steps}, for which it was converted");
            return Err(fail("the number of steps", n_steps.to_string(), expected));
        }
        let x_seq = x_seq.to_dtype(DType::F32)?.to_device(&Device::Cpu)?.contiguous()?;
        let mut n_nan = 0_usize;
        let step = self.config.input_step;
        let codes = mbspike_core::read::<f32, _>(&x_seq, |x| {
            n_nan = x.iter().filter(|x| x.is_nan()).count();
            Ok(x.iter().map(|x| code_of(*x, step) as i32).collect())
        })?;
        if n_nan > 0 {
            return Err(fail("the input", format!("NaN in {n_nan} places"), "numbers".into()));
        }
        Ok((codes, [n_steps, batch_size]))
    }
}

impl Spiking {
    /// Refuses numbers that do not fit the layer, or could leave `i32` for inputs of at most
    /// `largest_code` over `max_steps` steps.
    fn check(&self, largest_code: i64, max_steps: usize) -> Result<()> {
        self.lif.validate(&self.name)?;
        let w = &self.weights;
        let n_out = self.output.channels;
        let n = n_out * self.input.channels * self.kernel[0] * self.kernel[1];
        let lengths =
            [w.weight.len(), w.scale.len(), w.bias.len(), w.multiplier.len(), w.shift.len()];
        if lengths != [n, n_out, n_out, n_out, n_out] {
            let reason = format!(
                "weight, scale, bias, multiplier and shift have {lengths:?} elements, not {n} and \
                 {n_out} each"
            );
            return Err(Error::NotInteger { layer: self.name.clone(), reason });
        }
        w.check_range(&self.name, &self.lif, largest_code, max_steps)
    }

    /// Orders the weights for [`forward`].
    fn pack(&mut self) {
        let n_out = self.output.channels;
        let n_in = self.input.channels * self.kernel[0] * self.kernel[1];
        self.by_input = vec![0; n_in * n_out];
        for (channel, row) in self.weights.weight.chunks_exact(n_in).enumerate() {
            for (i, q) in row.iter().enumerate() {
                self.by_input[i * n_out + channel] = *q;
            }
        }
    }
}

impl IntegerWeights {
    /// Refuses numbers that could leave `i32` for inputs of at most `largest_code` over `max_steps`
    /// steps.
    fn check_range(
        &self,
        layer: &str,
        lif: &IntegerLif,
        largest_code: i64,
        max_steps: usize,
    ) -> Result<()> {
        let fail = |reason| Err(Error::NotInteger { layer: layer.to_owned(), reason });
        let n_out = self.scale.len();
        for (channel, q) in self.weight.chunks_exact(self.weight.len() / n_out).enumerate() {
            let (multiplier, shift) = (self.multiplier[channel], self.shift[channel]);
            if multiplier < 0 || shift > MAX_SHIFT {
                return fail(format!("channel {channel} has no valid factor"));
            }
            let sum: i64 = q.iter().map(|q| i64::from(*q).abs()).sum();
            let sum = sum.saturating_mul(largest_code);
            if sum > i64::from(i32::MAX) {
                return fail(format!(
                    "sums of channel {channel} can reach {sum}, beyond 32 bits, with inputs of up \
                     to {largest_code}"
                ));
            }
            // Rounding can add a unit.
            let current = ((sum * i64::from(multiplier)) >> shift) + 1;
            let current = current + i64::from(self.bias[channel]).abs();
            if lif.largest_membrane(current, max_steps) > i64::from(i32::MAX) {
                return fail(format!(
                    "membranes of channel {channel} can leave 32 bits within {max_steps} steps, \
                     with {} bits after the point",
                    lif.fraction_bits
                ));
            }
        }
        Ok(())
    }
}

/// Names of the weight layers of an architecture, from the input on: `conv1`, …, `fc1`, …
pub fn weight_names(arch: &Arch) -> Vec<String> {
    let (mut n_conv, mut n_dense) = (0, 0);
    let name = |layer: &Layer| match layer {
        Layer::Conv { .. } => {
            n_conv += 1;
            Some(format!("conv{n_conv}"))
        }
        Layer::Dense { .. } | Layer::Output { .. } => {
            n_dense += 1;
            Some(format!("fc{n_dense}"))
        }
        _ => None,
    };
    arch.layers.iter().filter_map(name).collect()
}

//! From a trained network to one of whole numbers.

use candle_core::DType;
use mbspike_core::lif::levels_of;
use mbspike_core::{Decay, LifParams, Reset};

use super::{
    BETA_BITS, IntegerConfig, IntegerLif, IntegerNetwork, IntegerReset, IntegerWeights,
    MAX_FRACTION_BITS, MAX_SHIFT, MIN_FRACTION_BITS, check_graph, weight_names,
};
use crate::graph::{NodeId, Op, Pooling, Role};
use crate::layered::NORM_EPSILON;
use crate::quantization::{code_of, scale_of};
use crate::{Error, InputRange, MAX_CODE, Network, Parameter, PoolKind, Result};

impl IntegerNetwork {
    /// Converts a trained network for inputs of a range and at most `max_steps` steps. Running
    /// statistics of batch normalization become part of scales and biases.
    ///
    /// # Errors
    /// If nothing but zeros was seen of the input, a weight is not finite, or a layer's sums or
    /// membranes could leave `i32`; the message names the layer.
    pub fn from_network(network: &Network, input: InputRange, max_steps: usize) -> Result<Self> {
        let input_step = input.step().filter(|step| step.is_finite());
        let input_step = input_step.ok_or_else(|| Error::InvalidParameter {
            name: "the input's range",
            expected: "of finite numbers that are not all zero",
            got: input.largest.to_string(),
        })?;
        let arch = network.config().arch.clone();
        let mut names = weight_names(&arch).into_iter();
        let (mut neurons, mut weights) = (vec![], vec![]);
        let mut codes = Codes { unit: f64::from(input_step), largest: MAX_CODE.into() };
        let mut convert = |layer: &FloatLayer, codes: &mut Codes| -> Result<()> {
            let Some(name) = names.next() else {
                unreachable!("the notation and the network have the same layers")
            };
            let (lif, numbers) = layer.convert(&name, *codes, max_steps)?;
            *codes =
                Codes { unit: 1.0 / f64::from(lif.n_levels()), largest: lif.n_levels().into() };
            neurons.push(lif);
            weights.push(numbers);
            Ok(())
        };
        let graph = network.graph();
        check_graph(graph)?;
        for (id, node) in graph.nodes().iter().enumerate() {
            match &node.op {
                Op::Conv(_) | Op::Dense(_) => {
                    convert(&FloatLayer::read(network, id)?, &mut codes)?;
                }
                Op::Pool(Pooling { kind, size }) if *kind != PoolKind::Max => {
                    if *kind == PoolKind::Average {
                        codes.unit /= (size * size) as f64;
                    }
                    codes.largest = codes.largest.saturating_mul((size * size) as i64);
                }
                Op::Input(_)
                | Op::Norm(_)
                | Op::Neurons(_)
                | Op::Pool(_)
                | Op::Flatten(_)
                | Op::Dropout(_)
                | Op::Add(_)
                | Op::Output(_)
                | Op::Vote(_) => {}
            }
        }
        let readout = network.config().readout;
        let config = IntegerConfig { arch, readout, input_step, max_steps, neurons };
        Self::new(config, weights)
    }
}

/// What a layer's inputs are.
#[derive(Debug, Clone, Copy)]
struct Codes {
    /// What one code stands for.
    unit: f64,
    /// The largest there can be.
    largest: i64,
}

/// A weight layer as it was trained, batch normalization folded.
pub(super) struct FloatLayer {
    pub(super) weight: Vec<f32>,
    /// By output channel: what batch normalization multiplies the weights by.
    pub(super) factor: Vec<f64>,
    pub(super) bias: Vec<f64>,
    pub(super) lif: LifParams,
}

fn values(parameter: &Parameter) -> Result<Vec<f32>> {
    Ok(parameter.var.flatten_all()?.to_dtype(DType::F32)?.to_vec1()?)
}

impl FloatLayer {
    /// The layer of weights `id` with the batch normalization and the neurons after it.
    pub(super) fn read(network: &Network, id: NodeId) -> Result<Self> {
        let (graph, variables) = (network.graph(), network.variables());
        let of = |id, role| variables.get(id, role).map(values).transpose();
        let needed = |id, role| -> Result<Vec<f32>> { Ok(of(id, role)?.unwrap_or_default()) };
        let mut next =
            graph.only_consumer(id).filter(|next| matches!(graph.node(*next).op, Op::Norm(_)));
        let norm = next;
        next = graph.only_consumer(norm.unwrap_or(id));
        let (Some(cells), Some(weight)) = (next, of(id, Role::Weight)?) else {
            unreachable!("the graph was checked")
        };
        let Op::Neurons(neurons) = &graph.node(cells).op else {
            unreachable!("the graph was checked")
        };
        let n_out = graph.node(id).shape().channels;
        let mut layer = Self {
            weight,
            factor: vec![1.0; n_out],
            bias: vec![0.0; n_out],
            lif: neurons.params.lif,
        };
        if let Some(bias) = of(id, Role::Bias)? {
            layer.bias = bias.into_iter().map(f64::from).collect();
        }
        if let Some(norm) = norm {
            let (scale, shift) = (needed(norm, Role::Weight)?, needed(norm, Role::Bias)?);
            let mean = needed(norm, Role::RunningMean)?;
            let variance = needed(norm, Role::RunningVariance)?;
            for channel in 0..n_out {
                let deviation = (f64::from(variance[channel]) + NORM_EPSILON).sqrt();
                let factor = f64::from(scale[channel]) / deviation;
                layer.factor[channel] = factor;
                let centred = layer.bias[channel] - f64::from(mean[channel]);
                layer.bias[channel] = centred * factor + f64::from(shift[channel]);
            }
        }
        if let Some(tau) = of(cells, Role::Tau)? {
            let tau = tau.first().copied().map_or(f64::NAN, f64::from);
            // As the neurons read it: below 1 counts as 1.
            layer.lif.decay = Decay::Tau(if tau < 1.0 { 1.0 } else { tau });
            layer.lif.validate()?;
        }
        Ok(layer)
    }

    /// The layer in the widest membrane format in which nothing can leave `i32`.
    fn convert(
        &self,
        name: &str,
        codes: Codes,
        max_steps: usize,
    ) -> Result<(IntegerLif, IntegerWeights)> {
        let numbers = self.weight.iter().map(|w| f64::from(*w));
        let numbers = numbers.chain(self.factor.iter().copied()).chain(self.bias.iter().copied());
        if let Some(bad) = numbers.into_iter().find(|x| !x.is_finite()) {
            let reason = format!("one of its weights is {bad}");
            return Err(Error::NotInteger { layer: name.into(), reason });
        }
        if self.lif.levels != levels_of(self.lif.bits()) {
            let levels = self.lif.levels;
            let reason = format!("its spikes have {levels} levels, which is not 2^bits − 1");
            return Err(Error::NotInteger { layer: name.into(), reason });
        }
        let mut fraction_bits = MAX_FRACTION_BITS;
        loop {
            let converted = self.in_format(name, codes.unit, fraction_bits).and_then(|converted| {
                let (lif, weights) = &converted;
                weights.check_range(name, lif, codes.largest, max_steps)?;
                Ok(converted)
            });
            if converted.is_ok() || fraction_bits == MIN_FRACTION_BITS {
                return converted;
            }
            fraction_bits -= 1;
        }
    }

    fn in_format(
        &self,
        name: &str,
        unit: f64,
        fraction_bits: u32,
    ) -> Result<(IntegerLif, IntegerWeights)> {
        let out_of_range = |what: &str, value: f64| Error::NotInteger {
            layer: name.into(),
            reason: format!(
                "{what} {value:e} is beyond 32 bits with {fraction_bits} after the point"
            ),
        };
        let params = &self.lif;
        // Units of the membrane's format in a membrane of 1.
        let units = f64::from(params.n_levels()) / params.v_threshold * exp2(fraction_bits);
        let in_units = |what: &str, value: f64| {
            let units = (value * units).round();
            let fits = units.abs() <= f64::from(i32::MAX);
            if fits { Ok(units as i32) } else { Err(out_of_range(what, value)) }
        };
        let beta = params.beta();
        let (reset, leak) = match params.reset {
            Reset::Soft {} => (IntegerReset::Soft {}, 0),
            Reset::Hard { v_reset } => {
                let leak = in_units("the leak", (1.0 - beta) * v_reset)?;
                (IntegerReset::Hard { v_reset: in_units("v_reset", v_reset)? }, leak)
            }
            Reset::None {} => (IntegerReset::None {}, 0),
        };
        let beta = (beta * exp2(BETA_BITS)).round() as i32;
        let lif = IntegerLif { bits: params.bits(), fraction_bits, beta, leak, reset };

        let mut numbers = IntegerWeights::default();
        let n_in = self.weight.len() / self.factor.len();
        for (channel, weight) in self.weight.chunks_exact(n_in).enumerate() {
            let (scale, factor) = (scale_of(weight), self.factor[channel]);
            let sign = if factor < 0.0 { -1.0 } else { 1.0 };
            let codes = weight.iter().map(|w| (sign * code_of(*w, scale)) as i8);
            numbers.weight.extend(codes);
            let scale = f64::from(scale) * factor.abs();
            numbers.scale.push(scale as f32);
            let real = scale * unit * params.gain() * units;
            let (multiplier, shift) =
                fixed_point(real).ok_or_else(|| out_of_range("the factor", real))?;
            numbers.multiplier.push(multiplier);
            numbers.shift.push(shift);
            numbers.bias.push(in_units("the bias", self.bias[channel] * params.gain())?);
        }
        Ok((lif, numbers))
    }
}

fn exp2(bits: u32) -> f64 {
    f64::from(1_u32 << bits)
}

/// `M` and `S` with `M / 2^S` next to a number that is not negative: `M` has 31 bits, or fewer where
/// `S` would be above 62. `None` from `2^31` on.
fn fixed_point(real: f64) -> Option<(i32, u8)> {
    if real == 0.0 {
        return Some((0, 0));
    }
    // `real` is in 2^exponent..2^(exponent + 1).
    let mut exponent = real.log2().floor() as i32;
    if (real * 2_f64.powi(30 - exponent)).round() >= 2_f64.powi(31) {
        exponent += 1;
    }
    let shift = u8::try_from(30 - exponent).ok()?.min(MAX_SHIFT);
    let multiplier = (real * 2_f64.powi(shift.into())).round();
    (multiplier <= f64::from(i32::MAX)).then_some((multiplier as i32, shift))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fixed_point_factor_is_within_a_part_in_2_to_the_30() {
        for real in [1.0, 0.5, 1161.07, 3e-7, 0.999_999_999_99, 2_147_483_646.9, 1e-9] {
            let (multiplier, shift) = fixed_point(real).unwrap();
            let off = (f64::from(multiplier) / 2_f64.powi(shift.into()) - real).abs() / real;
            assert!(off <= 2_f64.powi(-30), "{real}: {multiplier} / 2^{shift}, off by {off:e}");
        }
        assert_eq!(fixed_point(1e-30), Some((0, 62)));
        assert_eq!(fixed_point(3e9), None);
        assert_eq!(fixed_point(0.0), Some((0, 0)));
    }
}

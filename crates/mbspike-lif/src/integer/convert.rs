//! From a trained network to one of whole numbers.

use candle_core::DType;
use mbspike_core::lif::levels_of;
use mbspike_core::{LifParams, Reset};

use super::{
    BETA_BITS, IntegerConfig, IntegerLif, IntegerNetwork, IntegerReset, IntegerWeights,
    MAX_FRACTION_BITS, MAX_SHIFT, MIN_FRACTION_BITS, weight_names,
};
use crate::layered::NORM_EPSILON;
use crate::network::{Built, BuiltLif, Norm};
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
        for layer in &network.layers {
            match layer {
                Built::Conv { weight, bias, norm, lif, .. } => {
                    let layer = FloatLayer::read(network, *weight, *bias, *norm, lif)?;
                    convert(&layer, &mut codes)?;
                }
                Built::Dense { weight, bias, lif } => {
                    let layer = FloatLayer::read(network, *weight, *bias, None, lif)?;
                    convert(&layer, &mut codes)?;
                }
                Built::Pool { kind: kind @ (PoolKind::Average | PoolKind::Sum), size } => {
                    if *kind == PoolKind::Average {
                        codes.unit /= (size * size) as f64;
                    }
                    codes.largest = codes.largest.saturating_mul((size * size) as i64);
                }
                Built::Pool { kind: PoolKind::Max, .. }
                | Built::Dropout { .. }
                | Built::Vote { .. } => {}
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
struct FloatLayer {
    weight: Vec<f32>,
    /// By output channel: what batch normalization multiplies the weights by.
    factor: Vec<f64>,
    bias: Vec<f64>,
    lif: LifParams,
}

fn values(parameter: &Parameter) -> Result<Vec<f32>> {
    Ok(parameter.var.flatten_all()?.to_dtype(DType::F32)?.to_vec1()?)
}

impl FloatLayer {
    fn read(
        network: &Network,
        weight: usize,
        bias: Option<usize>,
        norm: Option<Norm>,
        lif: &BuiltLif,
    ) -> Result<Self> {
        let parameter = |i: usize| values(&network.parameters[i]);
        let buffer = |i: usize| values(&network.buffers[i]);
        let n_out = network.parameters[weight].var.dim(0)?;
        let weight = parameter(weight)?;
        let mut layer = Self {
            weight,
            factor: vec![1.0; n_out],
            bias: vec![0.0; n_out],
            lif: lif.params_now(network)?,
        };
        if let Some(bias) = bias {
            layer.bias = parameter(bias)?.into_iter().map(f64::from).collect();
        }
        if let Some(norm) = norm {
            let (scale, shift) = (parameter(norm.weight)?, parameter(norm.bias)?);
            let (mean, variance) = (buffer(norm.mean)?, buffer(norm.variance)?);
            for channel in 0..n_out {
                let deviation = (f64::from(variance[channel]) + NORM_EPSILON).sqrt();
                let factor = f64::from(scale[channel]) / deviation;
                layer.factor[channel] = factor;
                let centred = layer.bias[channel] - f64::from(mean[channel]);
                layer.bias[channel] = centred * factor + f64::from(shift[channel]);
            }
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

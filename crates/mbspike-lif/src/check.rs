//! Whether a configuration can be a network: from sizes and settings alone, without weights or data.
//!
//! [`Network::new`](crate::Network::new) asks the same question in the same words, so that what passes
//! here can be built.

use mbspike_core::conv::MAX_KERNEL;
use mbspike_core::{DeviceName, LifParams, Reset, Surrogate};

use crate::{Arch, Error, Execution, Layer, NetworkConfig, NeuronConfig, Precision, Result};

/// What a number must be that the kernels of `precision` round to their type.
const SINGLE: &str = "a number that single precision holds: 0, or of 1.2e-38 to 3.4e38";

/// Refuses a configuration that cannot be built on `device`.
///
/// # Errors
/// [`Error::InvalidParameter`], [`Error::CannotFuse`] and [`Error::Mismatch`] name the setting;
/// [`Error::Arch`] points at the part of the architecture.
pub fn check(config: &NetworkConfig, device: DeviceName) -> Result<()> {
    execution(config, device).map(|_| ())
}

/// Which code computes a configuration on `device`: [`Execution::Fused`] or [`Execution::Layered`].
///
/// # Errors
/// As [`check`].
pub fn execution(config: &NetworkConfig, device: DeviceName) -> Result<Execution> {
    let invalid = |name, expected, got: &str| {
        Err(Error::InvalidParameter { name, expected, got: got.to_owned() })
    };
    config.arch.shapes()?;
    check_neurons(&config.neuron, config.arch.n_spiking(), config.precision)?;
    if config.neuron.learnable_tau && config.readout.reads_membrane() {
        let got = format!("{:?}", config.readout);
        return invalid("readout", "mean-spike where time constants are learnable", &got);
    }
    let is_f64 = config.precision == Precision::F64;
    if !config.quantization.is_none() && is_f64 {
        return invalid("quantization", "none where the precision is f64", "int8");
    }
    if device != DeviceName::Cpu {
        if is_f64 {
            return invalid("precision", "f32 or bf16 on a GPU", "f64");
        }
        if !config.quantization.is_none() {
            return invalid("quantization", "none on a GPU", "int8");
        }
    }
    if config.checkpoint_steps == Some(0) {
        return invalid("checkpoint_steps", "at least 1", "0");
    }
    let why_not = why_not_fused(config, device);
    match (config.execution, why_not) {
        (Execution::Fused, Some(reason)) => Err(Error::CannotFuse { setting: "execution", reason }),
        (Execution::Layered, _) if config.checkpoint_steps.is_some() => Err(Error::CannotFuse {
            setting: "checkpoint_steps",
            reason: "the execution is \"layered\"".into(),
        }),
        (_, Some(reason)) if config.checkpoint_steps.is_some() => {
            Err(Error::CannotFuse { setting: "checkpoint_steps", reason })
        }
        (Execution::Layered, _) | (_, Some(_)) => Ok(Execution::Layered),
        (_, None) => Ok(Execution::Fused),
    }
}

/// Refuses batches in which batch normalization would be over a single value: of `batch_size` samples,
/// the fewest of any batch, of `n_steps` steps each.
///
/// # Errors
/// [`Error::InvalidParameter`] about `arch`.
pub fn check_batch(arch: &Arch, n_steps: usize, batch_size: usize) -> Result<()> {
    for (layer, shape) in arch.layers.iter().zip(arch.shapes()?) {
        let n_samples = n_steps.saturating_mul(batch_size);
        let n_values = n_samples.saturating_mul(shape.height * shape.width);
        if *layer == Layer::BatchNorm && n_values < 2 {
            return Err(Error::InvalidParameter {
                name: "arch",
                expected: "without batch normalization over a single value, whose variance is 0 (more \
                           time steps, larger batches or larger maps have more)",
                got: arch.to_string(),
            });
        }
    }
    Ok(())
}

/// Why the network cannot be computed one sample at a time; `None` if it can.
fn why_not_fused(config: &NetworkConfig, device: DeviceName) -> Option<String> {
    if device != DeviceName::Cpu {
        return Some("it runs on the CPU only".into());
    }
    if config.precision == Precision::F64 {
        return Some("it computes in f32 or bf16, not in f64".into());
    }
    if config.neuron.learnable_tau {
        return Some("learnable time constants are computed layer by layer".into());
    }
    config.arch.layers.iter().find_map(|layer| match *layer {
        Layer::BatchNorm => Some("batch normalization needs the whole batch at once".into()),
        Layer::Conv { kernel, .. } if kernel > MAX_KERNEL => {
            Some(format!("kernels are at most {MAX_KERNEL} wide, not {kernel}"))
        }
        _ => None,
    })
}

/// Refuses neurons whose parameters are out of range, or are other numbers in the kernels' precision.
fn check_neurons(neuron: &NeuronConfig, n_layers: usize, precision: Precision) -> Result<()> {
    // Also where each layer has bits of its own.
    NeuronConfig { layer_bits: None, ..neuron.clone() }.params(0, n_layers)?;
    for layer in 0..n_layers {
        let params = neuron.params(layer, n_layers)?;
        if params.gain() == 0.0 {
            let expected = "so small that it leaves something of the input, which is decayed by it";
            let got = format!("{:e}", neuron.tau);
            return Err(Error::InvalidParameter { name: "tau", expected, got });
        }
        if precision != Precision::F64 {
            check_single(&params, neuron.tau)?;
        }
    }
    Ok(())
}

/// Whether a number stays itself in single precision: neither infinite nor lost among the subnormal
/// numbers, which are 0 to many kernels.
pub fn is_single(value: f64) -> bool {
    value == 0.0 || (value as f32).is_normal()
}

fn check_single(params: &LifParams, tau: f64) -> Result<()> {
    let levels = f64::from(params.n_levels());
    let theta = params.v_threshold;
    let must = |name, value: f64, holds: bool, expected| {
        let got = format!("{value:e}");
        if holds { Ok(()) } else { Err(Error::InvalidParameter { name, expected, got }) }
    };
    must("tau", tau, is_single(tau), SINGLE)?;
    must("v_threshold", theta, is_single(theta), SINGLE)?;
    let scale = "so that single precision holds (2^bits − 1)/v_threshold";
    must("v_threshold", theta, is_single(levels / theta), scale)?;
    if let Reset::Hard { v_reset } = params.reset {
        must("reset.v_reset", v_reset, is_single(v_reset), SINGLE)?;
        must("reset.v_reset", v_reset, is_single((1.0 - params.beta()) * v_reset), SINGLE)?;
    }
    let shift = params.shift_value();
    must("shift", shift, is_single(shift), SINGLE)?;
    if let Some(alpha) = params.surrogate.alpha() {
        let is_staircase = matches!(params.surrogate, Surrogate::Staircase { .. });
        let steepest = if is_staircase { alpha * levels } else { alpha };
        let exponent = std::f64::consts::PI * steepest;
        let offset = exponent * (theta - shift).abs().max(theta);
        let holds = is_single(alpha) && is_single(exponent) && (offset as f32).is_finite();
        must("surrogate.alpha", alpha, holds, SINGLE)?;
    }
    Ok(())
}

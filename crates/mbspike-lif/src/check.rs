//! Whether a configuration can be a network: from sizes and settings alone, without weights or data.
//!
//! [`Network::new`](crate::Network::new) asks the same question in the same words, so that what passes
//! here can be built.

use mbspike_core::conv::MAX_KERNEL;
use mbspike_core::{Decay, DeviceName, LifParams, Reset, Shift, Surrogate};

use crate::graph::{Graph, Neurons, Node, NodeId, Op};
use crate::neuron::LearnedBy;
use crate::{Arch, Error, Execution, NetworkConfig, NeuronConfig, Precision, Readout, Result};

/// What a number must be that the kernels of `precision` round to their type.
const SINGLE: &str = "a number that single precision holds: 0, or of 1.2e-38 to 3.4e38";

/// Weights of a dense layer from which the batch engine is chosen: 2 MB, which a second-level cache
/// does not keep from sample to sample.
const WIDE_WEIGHTS: usize = 512 * 1024;

/// Refuses a configuration that cannot be built on `device`.
///
/// # Errors
/// [`Error::InvalidParameter`], [`Error::CannotFuse`] and [`Error::Mismatch`] name the setting;
/// [`Error::Arch`] points at the part of the architecture.
pub fn check(config: &NetworkConfig, device: DeviceName) -> Result<()> {
    execution(config, device).map(|_| ())
}

/// Which code computes a configuration on `device`; never [`Execution::Auto`].
///
/// # Errors
/// As [`check`].
pub fn execution(config: &NetworkConfig, device: DeviceName) -> Result<Execution> {
    execution_of(&config.graph()?, config, device)
}

/// [`execution`] of the graph that the configuration makes.
pub(crate) fn execution_of(
    graph: &Graph,
    config: &NetworkConfig,
    device: DeviceName,
) -> Result<Execution> {
    let invalid = |name, expected, got: &str| {
        Err(Error::InvalidParameter { name, expected, got: got.to_owned() })
    };
    for (id, neurons) in graph.neurons() {
        check_neurons(neurons, config.precision)?;
        if device != DeviceName::Cpu
            && let Some(reason) = why_not_on_gpu(neurons)
        {
            let node = graph.node(id).name.clone();
            return Err(Error::CannotCompute { node, engine: "a GPU", reason: reason.to_owned() });
        }
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
    let why_not_fused = why_not(graph, config, device, Engine::Fused);
    let why_not_batch = why_not(graph, config, device, Engine::Batch);
    let cannot_checkpoint = |reason| Error::CannotFuse { setting: "checkpoint_steps", reason };
    match (config.execution, why_not_fused) {
        (Execution::Fused, Some(reason)) => Err(Error::CannotFuse { setting: "execution", reason }),
        (Execution::Layered, _) if config.checkpoint_steps.is_some() => {
            Err(cannot_checkpoint("the execution is \"layered\"".into()))
        }
        (Execution::Batch, _) if config.checkpoint_steps.is_some() => {
            Err(cannot_checkpoint("the execution is \"batch\"".into()))
        }
        (_, Some(reason)) if config.checkpoint_steps.is_some() => Err(cannot_checkpoint(reason)),
        (Execution::Batch, _) => match why_not_batch {
            Some(reason) => Err(Error::CannotBatch { reason }),
            None => Ok(Execution::Batch),
        },
        (Execution::Fused, None) => Ok(Execution::Fused),
        (Execution::Auto, None)
            if config.checkpoint_steps.is_some() || why_not_batch.is_some() || !is_wide(graph) =>
        {
            Ok(Execution::Fused)
        }
        (Execution::Auto, _) if why_not_batch.is_none() => Ok(Execution::Batch),
        (Execution::Auto | Execution::Layered, _) => Ok(Execution::Layered),
    }
}

/// Whether dense layers decide about the time of a step: they have most of the multiply-accumulates,
/// or one has so many weights that reading them for every sample costs more than what the fused
/// execution saves.
fn is_wide(graph: &Graph) -> bool {
    let (mut of_dense, mut of_conv, mut widest) = (0_usize, 0_usize, 0);
    for node in graph.nodes() {
        match &node.op {
            Op::Dense(dense) => {
                let n_inputs = graph.node(node.inputs[0]).shape().n_elements();
                let n_weights = n_inputs.saturating_mul(dense.neurons);
                of_dense = of_dense.saturating_add(n_weights);
                widest = n_weights.max(widest);
            }
            Op::Conv(conv) => {
                let channels = graph.node(node.inputs[0]).shape().channels;
                let taps = channels.saturating_mul(conv.kernel * conv.kernel);
                of_conv = of_conv.saturating_add(node.shape().n_elements().saturating_mul(taps));
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
    widest >= WIDE_WEIGHTS || of_dense > of_conv
}

/// What hand-written passes are asked about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Engine {
    Fused,
    Batch,
}

/// Refuses batches in which batch normalization would be over a single value: of `batch_size` samples,
/// the fewest of any batch, of `n_steps` steps each.
///
/// # Errors
/// [`Error::InvalidParameter`] about `arch`.
pub fn check_batch(arch: &Arch, n_steps: usize, batch_size: usize) -> Result<()> {
    let graph = arch.graph(&NeuronConfig::new(1), false, Readout::default())?;
    for node in graph.nodes() {
        let shape = node.shape();
        let n_samples = n_steps.saturating_mul(batch_size);
        let n_values = n_samples.saturating_mul(shape.height * shape.width);
        if matches!(node.op, Op::Norm(_)) && n_values < 2 {
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

/// Why the engine cannot compute the network; `None` if it can.
fn why_not(
    graph: &Graph,
    config: &NetworkConfig,
    device: DeviceName,
    engine: Engine,
) -> Option<String> {
    if device != DeviceName::Cpu {
        return Some("it runs on the CPU only".into());
    }
    if config.precision == Precision::F64 {
        return Some("it computes in f32 or bf16, not in f64".into());
    }
    graph.nodes().iter().enumerate().find_map(|(id, node)| {
        let reason = why_not_node(graph, id, node, engine)?;
        Some(format!("`{}`: {reason}", node.name))
    })
}

/// Why the engine cannot compute a node.
fn why_not_node(graph: &Graph, id: NodeId, node: &Node, engine: Engine) -> Option<String> {
    let is_read_once = || {
        let n_readers = graph.consumers(id).count();
        let reason = match engine {
            _ if n_readers == 1 || id + 1 == graph.nodes().len() => return None,
            _ if n_readers == 0 => "nothing reads what it sends",
            Engine::Batch => return None,
            Engine::Fused => "what it sends is read by several layers",
        };
        Some(reason.to_owned())
    };
    let is_spiking = || {
        let after = |id| graph.only_consumer(id).map(|next| (next, &graph.node(next).op));
        let is_conv = matches!(node.op, Op::Conv(_));
        let reason = match after(id) {
            Some((_, Op::Neurons(_))) => return None,
            Some((norm, Op::Norm(_))) if engine == Engine::Batch && is_conv => match after(norm) {
                Some((_, Op::Neurons(_))) => return None,
                _ => "there are no neurons right after its batch normalization",
            },
            Some((_, Op::Norm(_))) if engine == Engine::Batch => {
                "batch normalization of a dense layer is computed layer by layer"
            }
            Some((_, Op::Norm(_))) => "batch normalization needs the whole batch at once",
            _ => "there are no neurons right after it",
        };
        Some(reason.to_owned())
    };
    match &node.op {
        Op::Input(_) | Op::Pool(_) | Op::Flatten(_) | Op::Dropout(_) => is_read_once(),
        Op::Conv(conv) => {
            if conv.kernel > MAX_KERNEL {
                return Some(format!("kernels are at most {MAX_KERNEL} wide, not {}", conv.kernel));
            }
            let is_batch = engine == Engine::Batch;
            let plain = [
                ("a stride", conv.stride == 1 || is_batch),
                ("a dilation", conv.dilation == 1),
                ("groups", conv.groups == 1),
                ("padding as wide as the kernel", conv.padding < conv.kernel || is_batch),
            ];
            match plain.iter().find(|(_, holds)| !holds) {
                Some((what, _)) => {
                    Some(format!("convolutions with {what} are computed layer by layer"))
                }
                None => is_spiking(),
            }
        }
        Op::Dense(_) => is_spiking(),
        Op::Norm(_) if engine == Engine::Batch => {
            let before = &graph.node(node.inputs[0]).op;
            let follows = matches!(before, Op::Conv(_));
            (!follows).then(|| "batch normalization is not right after a convolution".to_owned())
        }
        Op::Norm(_) => Some("batch normalization needs the whole batch at once".into()),
        Op::Neurons(neurons) => {
            let before = &graph.node(node.inputs[0]).op;
            let is_normed = engine == Engine::Batch && matches!(before, Op::Norm(_));
            if !is_normed && !matches!(before, Op::Conv(_) | Op::Dense(_)) {
                return Some("there are no weights right before these neurons".into());
            }
            let takes_edge = engine == Engine::Batch && matches!(before, Op::Dense(_));
            why_not_neurons(neurons, engine, takes_edge).or_else(is_read_once)
        }
        Op::Add(_) if engine == Engine::Batch => is_read_once(),
        Op::Add(_) => Some("layers that are not in a row are computed layer by layer".into()),
        Op::Output(_) => {
            let neurons = node.inputs[0];
            let is_last = graph.only_consumer(neurons) == Some(id)
                && !graph.nodes()[neurons + 1..].iter().any(|node| !is_readout(&node.op));
            (!is_last).then(|| "there are layers after the neurons that it reads".to_owned())
        }
        Op::Vote(_) => None,
    }
}

/// Whether a node is a part of how scores are read.
fn is_readout(op: &Op) -> bool {
    matches!(op, Op::Output(_) | Op::Vote(_))
}

fn why_not_neurons(neurons: &Neurons, engine: Engine, takes_edge: bool) -> Option<String> {
    let Neurons { params, learned_tau, learned_threshold, recurrent, sends_membrane } = neurons;
    let takes_tau = engine == Engine::Batch && *learned_tau == Some(LearnedBy::Layer);
    let reason = if learned_tau.is_some() && !takes_tau {
        "learnable time constants"
    } else if learned_threshold.is_some() {
        "learnable thresholds"
    } else if *recurrent && (!takes_edge || learned_tau.is_some() || *sends_membrane) {
        "recurrent edges"
    } else {
        params.not_plain()?
    };
    Some(format!("neurons with {reason} are computed layer by layer"))
}

/// What neurons need that there is no kernel on a GPU for.
fn why_not_on_gpu(neurons: &Neurons) -> Option<&'static str> {
    if neurons.learned_threshold.is_some() {
        return Some("learnable thresholds are computed on the CPU only");
    }
    if neurons.learned_tau == Some(LearnedBy::Channel) {
        return Some("time constants by channel are computed on the CPU only");
    }
    neurons.params.not_plain().map(|_| "this neuron is computed on the CPU only")
}

/// Refuses neurons whose parameters are other numbers in the kernels' precision.
fn check_neurons(neurons: &Neurons, precision: Precision) -> Result<()> {
    let params = &neurons.params.lif;
    let tau = match params.decay {
        Decay::Tau(tau) => tau,
        Decay::Beta(_) => 1.0,
    };
    if params.gain() == 0.0 {
        let expected = "so small that it leaves something of the input, which is decayed by it";
        return Err(Error::InvalidParameter { name: "tau", expected, got: format!("{tau:e}") });
    }
    if precision == Precision::F64 { Ok(()) } else { check_single(params, tau) }
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
        must("surrogate.alpha", alpha, is_single(alpha) && is_single(exponent), SINGLE)?;
        let holds = (offset as f32).is_finite();
        let expected =
            "so near 0 that single precision holds its product with the surrogate's slope";
        match params.shift {
            Shift::By(shift) if shift.abs() > theta => must("shift", shift, holds, expected)?,
            _ => must("v_threshold", theta, holds, expected)?,
        }
    }
    Ok(())
}

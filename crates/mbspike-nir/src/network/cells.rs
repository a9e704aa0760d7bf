//! Neurons of a network as nodes.

use mbspike_core::lif::{Decay, Reset};
use mbspike_lif::graph::Neurons;
use mbspike_lif::layer::NeuronParams;

use super::{Error, ExportOptions, Fate, METADATA, Mode, exact, unsupported};
use crate::{Array, CubaLi, CubaLif, I, If, Kind, Metadata, Node, Value};

/// Neurons as a node, and what was done to them.
pub(super) struct Written {
    pub(super) node: Node,
    pub(super) notes: Vec<(Fate, String)>,
}

impl From<Kind> for Written {
    fn from(kind: Kind) -> Self {
        Self { node: kind.into(), notes: vec![] }
    }
}

/// The node for the neurons `name`; `learned` are the time constant and the threshold where they are.
pub(super) fn node(
    name: &str,
    neurons: &Neurons,
    [tau, threshold]: [Option<f64>; 2],
    shape: &[usize],
    options: &ExportOptions,
) -> Result<Written, Error> {
    let params = neurons.params;
    let plain = NeuronParams { tau_syn: params.tau_syn, ..params.lif.into() };
    if params != plain {
        return unsupported(
            name,
            "signed spikes, rounding to the nearest, counts and rising thresholds are not exported",
        );
    }
    let in_node = |error: crate::Error| Error::from(error.in_node(name));
    let lif = params.lif;
    // As the neurons read it: below 1 counts as 1.
    let decay = tau.map_or(lif.decay, |tau| Decay::Tau(if tau < 1.0 { 1.0 } else { tau }));
    let reset = match lif.reset {
        _ if neurons.sends_membrane => exact::Reset::None,
        Reset::Soft {} => exact::Reset::Soft,
        Reset::Hard { v_reset } => exact::Reset::Hard { v_reset },
        Reset::None {} => exact::Reset::None,
    };
    let neuron = exact::Neuron {
        levels: lif.n_levels(),
        tau: match decay {
            Decay::Tau(tau) => tau,
            Decay::Beta(beta) => 1.0 / (1.0 - beta),
        },
        decay_input: lif.decay_input,
        v_threshold: threshold.unwrap_or(lif.v_threshold),
        reset,
    };
    if neuron.tau.is_infinite() {
        return without_leak(name, neuron, neurons.sends_membrane, shape, options.dt);
    }
    if let Some(tau_syn) = params.tau_syn {
        return with_current(name, neuron, tau_syn, neurons.sends_membrane, shape, options.dt);
    }
    let dt = options.dt;
    if neurons.sends_membrane {
        let kind = neuron.li(shape, dt).map_err(in_node)?.into();
        return Ok(Node { kind, metadata: mark(&neuron, dt) }.into());
    }
    let losses = losses(&neuron);
    if losses.is_empty() {
        let kind = neuron.lif(shape, dt).map_err(in_node)?.into();
        return Ok(Node { kind, metadata: mark(&neuron, dt) }.into());
    }
    if options.mode == Mode::Exact && !matches!(neuron.reset, exact::Reset::Hard { .. }) {
        let graph = neuron.graph(shape, dt).map_err(in_node)?;
        let text = format!(
            "{}: a graph of {} thresholds that computes the same",
            losses.join(" and "),
            neuron.levels
        );
        let node = Kind::from(graph).into();
        return Ok(Written { node, notes: vec![(Fate::Converted, text)] });
    }
    let v_reset = match neuron.reset {
        exact::Reset::Hard { v_reset } => v_reset,
        exact::Reset::Soft | exact::Reset::None => 0.0,
    };
    let lost =
        |loss| (Fate::Lost, format!("{loss}; in its place a spike of 1 and a reset to {v_reset}"));
    let nearest = exact::Neuron { levels: 1, reset: exact::Reset::Hard { v_reset }, ..neuron };
    let kind = Kind::Lif(nearest.lif(shape, dt).map_err(in_node)?);
    let node = Node { kind, metadata: mark(&neuron, dt) };
    Ok(Written { node, notes: losses.into_iter().map(lost).collect() })
}

impl From<Node> for Written {
    fn from(node: Node) -> Self {
        Self { node, notes: vec![] }
    }
}

/// Integrate and fire: IF, or I for a membrane that is read.
fn without_leak(
    name: &str,
    neuron: exact::Neuron,
    sends_membrane: bool,
    shape: &[usize],
    dt: f64,
) -> Result<Written, Error> {
    if neuron.decay_input {
        return unsupported(name, "without a leak and with `decay_input` nothing reaches it");
    }
    let r = Array::full(shape, (1.0 / dt) as f32);
    if sends_membrane {
        return Ok(Kind::from(I { r }).into());
    }
    let (1, exact::Reset::Hard { v_reset }) = (neuron.levels, neuron.reset) else {
        return unsupported(
            name,
            "graded spikes and soft resets without a leak are not exported; 1 bit and a hard reset are",
        );
    };
    let threshold = threshold(name, neuron)?;
    Ok(Kind::from(If {
        r,
        v_threshold: Array::full(shape, threshold),
        v_reset: Array::full(shape, v_reset as f32),
    })
    .into())
}

/// The threshold for 1 bit and `>`.
fn threshold(name: &str, neuron: exact::Neuron) -> Result<f32, Error> {
    // The leak is not asked for.
    let neuron = exact::Neuron { tau: 1.0, ..neuron };
    let thresholds = neuron.thresholds().map_err(|error| error.in_node(name))?;
    Ok(thresholds[0])
}

/// Neurons behind a synaptic current: `CubaLIF`, or `CubaLI` for a membrane that is read.
fn with_current(
    name: &str,
    neuron: exact::Neuron,
    tau_syn: f64,
    sends_membrane: bool,
    shape: &[usize],
    dt: f64,
) -> Result<Written, Error> {
    let full = |value: f64| Array::full(shape, value as f32);
    let (tau_mem, r) = (neuron.tau, if neuron.decay_input { 1.0 } else { neuron.tau });
    if sends_membrane {
        return Ok(Kind::from(CubaLi {
            tau_syn: full(tau_syn * dt),
            tau_mem: full(tau_mem * dt),
            r: full(r),
            v_leak: full(0.0),
            w_in: full(tau_syn),
        })
        .into());
    }
    let (1, exact::Reset::Hard { v_reset }) = (neuron.levels, neuron.reset) else {
        return unsupported(
            name,
            "graded spikes and soft resets behind a synaptic current are not exported; 1 bit and a \
             hard reset are",
        );
    };
    Ok(Kind::from(CubaLif {
        tau_syn: full(tau_syn * dt),
        tau_mem: full(tau_mem * dt),
        r: full(r),
        v_leak: full(v_reset),
        v_threshold: Array::full(shape, threshold(name, neuron)?),
        v_reset: full(v_reset),
        w_in: full(tau_syn),
    })
    .into())
}

/// What an LIF node cannot say of a neuron.
fn losses(neuron: &exact::Neuron) -> Vec<String> {
    let mut losses = vec![];
    if neuron.levels > 1 {
        losses.push(format!("graded spikes of {} levels ({} bits)", neuron.levels, neuron.bits()));
    }
    match neuron.reset {
        exact::Reset::Soft => losses.push("soft reset".into()),
        exact::Reset::None => losses.push("spikes without reset".into()),
        exact::Reset::Hard { .. } => {}
    }
    losses
}

/// Metadata of a node that say which neuron it is or stands for.
fn mark(neuron: &exact::Neuron, dt: f64) -> Metadata {
    Metadata::from([(METADATA.into(), Value::Map(neuron.metadata(dt)))])
}

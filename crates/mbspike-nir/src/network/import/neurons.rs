//! Neuron nodes as the neurons of networks.

use mbspike_core::{Decay, LifParams, Reset};
use mbspike_lif::layer::NeuronParams;

use super::super::{Error, ImportOptions, METADATA, exact, unsupported};
use crate::{Array, CubaLi, CubaLif, I, If, Kind, Li, Lif, Metadata, Node};

/// What neurons a node is.
pub(super) struct Neuron {
    pub(super) params: NeuronParams,
    /// What its input is multiplied by in the weights before it.
    pub(super) gain: f64,
    /// Whether it sends its membrane.
    pub(super) sends_membrane: bool,
    pub(super) note: Option<String>,
}

impl Neuron {
    fn new(params: impl Into<NeuronParams>, gain: f64) -> Self {
        let params = params.into();
        Self { params, gain, sends_membrane: false, note: None }
    }

    fn membrane(params: impl Into<NeuronParams>, gain: f64) -> Self {
        Self { sends_membrane: true, ..Self::new(params, gain) }
    }
}

/// The neurons that a node is; `None` if it is none.
pub(super) fn neuron(
    name: &str,
    node: &Node,
    dt: f64,
    options: &ImportOptions,
) -> Result<Option<Neuron>, Error> {
    let reader = Reader { name, dt, threshold_fires: options.threshold_fires };
    Ok(Some(match &node.kind {
        Kind::Lif(lif) => reader.lif(lif, &node.metadata)?,
        Kind::If(node) => reader.integrate(node)?,
        Kind::CubaLif(node) => reader.cuba(node)?,
        Kind::Li(li) => reader.li(li, &node.metadata)?,
        Kind::I(I { r }) => {
            let lif = LifParams { decay: Decay::Beta(1.0), ..LifParams::new(1) };
            Neuron::membrane(lif, gain_of(uniform("r", r)? * dt))
        }
        Kind::CubaLi(node) => reader.cuba_membrane(node)?,
        Kind::Graph(graph) => match exact::Neuron::of_graph(graph, dt) {
            Some(neuron) => Neuron::new(params_of(neuron), 1.0),
            None => return Ok(None),
        },
        _ => return Ok(None),
    }))
}

struct Reader<'a> {
    name: &'a str,
    dt: f64,
    threshold_fires: bool,
}

impl Reader<'_> {
    /// The neuron that our own metadata say a node is.
    fn marked(&self, metadata: &Metadata) -> Option<exact::Neuron> {
        let (neuron, dt) = exact::Neuron::of_metadata(metadata.get(METADATA)?.as_map()?)?;
        (dt == self.dt).then_some(neuron)
    }

    fn lif(&self, lif: &Lif, metadata: &Metadata) -> Result<Neuron, Error> {
        if let Some(neuron) = self.marked(metadata) {
            // What the node stands for, if it still is the one that was written for it.
            let v_reset = match neuron.reset {
                exact::Reset::Hard { v_reset } => v_reset,
                exact::Reset::Soft | exact::Reset::None => 0.0,
            };
            let written =
                exact::Neuron { levels: 1, reset: exact::Reset::Hard { v_reset }, ..neuron };
            if written.lif(lif.tau.shape(), self.dt).is_ok_and(|written| written == *lif) {
                let note = (written != neuron)
                    .then(|| "the graded neuron that its metadata describe".to_owned());
                return Ok(Neuron { note, ..Neuron::new(params_of(neuron), 1.0) });
            }
        }
        let reset = self.hard_reset(&lif.v_leak, &lif.v_reset)?;
        let (decay, decay_input, gain) = self.leak(&lif.tau, &lif.r)?;
        let v_threshold = self.threshold(&lif.v_threshold)?;
        let lif = LifParams { decay, decay_input, v_threshold, reset, ..LifParams::new(1) };
        Ok(Neuron::new(lif, gain))
    }

    /// Without a leak, which a potential to leak to is nothing to.
    fn integrate(&self, node: &If) -> Result<Neuron, Error> {
        let lif = LifParams {
            decay: Decay::Beta(1.0),
            v_threshold: self.threshold(&node.v_threshold)?,
            reset: Reset::Hard { v_reset: uniform("v_reset", &node.v_reset)? },
            ..LifParams::new(1)
        };
        Ok(Neuron::new(lif, gain_of(uniform("r", &node.r)? * self.dt)))
    }

    fn cuba(&self, node: &CubaLif) -> Result<Neuron, Error> {
        let reset = self.hard_reset(&node.v_leak, &node.v_reset)?;
        let (decay, decay_input, gain) = self.leak(&node.tau_mem, &node.r)?;
        let (tau_syn, gain_syn) = self.current(&node.tau_syn, &node.w_in)?;
        let v_threshold = self.threshold(&node.v_threshold)?;
        let lif = LifParams { decay, decay_input, v_threshold, reset, ..LifParams::new(1) };
        Ok(Neuron::new(NeuronParams { tau_syn, ..lif.into() }, gain * gain_syn))
    }

    fn li(&self, li: &Li, metadata: &Metadata) -> Result<Neuron, Error> {
        let is_written = |neuron: &exact::Neuron| {
            neuron.li(li.tau.shape(), self.dt).is_ok_and(|written| written == *li)
        };
        if let Some(neuron) = self.marked(metadata).filter(is_written) {
            return Ok(Neuron::membrane(params_of(neuron), 1.0));
        }
        self.leaks_to_zero(&li.v_leak)?;
        let (decay, decay_input, gain) = self.leak(&li.tau, &li.r)?;
        Ok(Neuron::membrane(LifParams { decay, decay_input, ..LifParams::new(1) }, gain))
    }

    fn cuba_membrane(&self, node: &CubaLi) -> Result<Neuron, Error> {
        self.leaks_to_zero(&node.v_leak)?;
        let (decay, decay_input, gain) = self.leak(&node.tau_mem, &node.r)?;
        let (tau_syn, gain_syn) = self.current(&node.tau_syn, &node.w_in)?;
        let lif = LifParams { decay, decay_input, ..LifParams::new(1) };
        Ok(Neuron::membrane(NeuronParams { tau_syn, ..lif.into() }, gain * gain_syn))
    }

    fn leaks_to_zero(&self, v_leak: &Array) -> Result<(), Error> {
        if uniform("v_leak", v_leak)? == 0.0 {
            return Ok(());
        }
        unsupported(self.name, "its `v_leak` is not 0, which a readout's is")
    }

    fn hard_reset(&self, v_leak: &Array, v_reset: &Array) -> Result<Reset, Error> {
        let v_reset = uniform("v_reset", v_reset)?;
        let v_leak = uniform("v_leak", v_leak)?;
        if v_leak != v_reset {
            return unsupported(
                self.name,
                format!(
                    "it leaks to {v_leak} and resets to {v_reset}; neurons of networks leak to \
                     where they reset"
                ),
            );
        }
        Ok(Reset::Hard { v_reset })
    }

    fn threshold(&self, array: &Array) -> Result<f64, Error> {
        let threshold = uniform("v_threshold", array)? as f32;
        // `v > θ` is `v ≥` the next number.
        let threshold = if self.threshold_fires { threshold } else { threshold.next_up() };
        Ok(shortest(threshold))
    }

    fn steps(&self, name: &str, tau: &Array) -> Result<f64, Error> {
        let steps = shortest((uniform(name, tau)? / self.dt) as f32);
        if steps >= 1.0 && steps.is_finite() {
            return Ok(steps);
        }
        Err(crate::Error::expected(
            format!("a time constant of at least one step of {} s", self.dt),
            format!("one of {steps} steps; with another `--dt` it may be longer"),
        )
        .in_attribute(name)
        .into())
    }

    /// The leak, whether the input is multiplied by `1/τ`, and what else it is multiplied by.
    fn leak(&self, tau: &Array, r: &Array) -> Result<(Decay, bool, f64), Error> {
        let steps = self.steps("tau", tau)?;
        let r = uniform("r", r)?;
        Ok(if is_near(r, steps) {
            (Decay::Tau(steps), false, 1.0)
        } else if is_near(r, 1.0) {
            (Decay::Tau(steps), true, 1.0)
        } else {
            (Decay::Tau(steps), false, r / steps)
        })
    }

    /// The synaptic time constant, and what the current is multiplied by.
    fn current(&self, tau_syn: &Array, w_in: &Array) -> Result<(Option<f64>, f64), Error> {
        let steps = self.steps("tau_syn", tau_syn)?;
        Ok((Some(steps), gain_of(uniform("w_in", w_in)? / steps)))
    }
}

/// A neuron of the construction as one of a network.
fn params_of(neuron: exact::Neuron) -> LifParams {
    LifParams {
        levels: neuron.levels,
        decay: Decay::Tau(neuron.tau),
        decay_input: neuron.decay_input,
        v_threshold: neuron.v_threshold,
        reset: match neuron.reset {
            exact::Reset::Soft => Reset::Soft {},
            exact::Reset::Hard { v_reset } => Reset::Hard { v_reset },
            exact::Reset::None => Reset::None {},
        },
        ..LifParams::new(1)
    }
}

fn uniform(name: &str, array: &Array) -> Result<f64, Error> {
    array.uniform().ok_or_else(|| {
        crate::Error::expected("one value for all neurons of a layer", "several")
            .in_attribute(name)
            .into()
    })
}

fn is_near(value: f64, expected: f64) -> bool {
    (value - expected).abs() <= 1e-6 * expected.abs()
}

/// A gain, 1 where it is 1 up to rounding.
fn gain_of(gain: f64) -> f64 {
    if is_near(gain, 1.0) { 1.0 } else { gain }
}

/// The shortest decimal that is this number in single precision: what was meant by it.
fn shortest(value: f32) -> f64 {
    value.to_string().parse().unwrap_or(f64::from(value))
}

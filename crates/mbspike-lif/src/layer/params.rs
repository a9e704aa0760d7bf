use mbspike_core::spike::{Rounding, SpikeFunction, SpikeOutput};
use mbspike_core::{Decay, LifParams, Reset, Surrogate};

use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// A threshold that rises with the neuron's own spikes (Bellec et al. 2018): `θ[t] = θ + strength ·
/// a[t−1]`, `a[t] = ρ a[t−1] + (1 − ρ) s[t]` with `ρ = 1 − 1/tau`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Adaptation {
    /// Time constant of `a` in steps, at least 1.
    pub tau: f64,
    /// How far the threshold rises under full spikes, at least 0.
    pub strength: f64,
}

/// What a learned quantity is one for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Extent {
    /// The whole layer.
    Layer,
    /// Each of so many channels (or neurons, where there is no map).
    Channels(usize),
}

impl Extent {
    pub(super) fn len(self) -> usize {
        match self {
            Self::Layer => 1,
            Self::Channels(n) => n,
        }
    }
}

/// A neuron of the family that `docs/lif.md` describes: the multi-bit LIF neuron and its relatives.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct NeuronParams {
    /// Leak, threshold, levels, reset and surrogate.
    pub lif: LifParams,
    /// Whether there are spikes below zero too: `k` in `−L..=L`, the staircase mirrored at 0.
    pub signed: bool,
    /// How a membrane between two levels is rounded.
    pub rounding: Rounding,
    /// What a spike of level `k` is sent as.
    pub output: SpikeOutput,
    /// Time constant in steps, at least 1, of a synaptic current that charges the membrane in place of
    /// the input: `i[t] = (1 − 1/tau_syn) i[t−1] + x[t]`.
    pub tau_syn: Option<f64>,
    /// A threshold that rises with the neuron's spikes.
    pub adaptation: Option<Adaptation>,
    /// Whether the surrogate's primitive stands in for the staircase: smooth neurons, whose gradients
    /// finite differences can check.
    pub smooth: bool,
}

impl From<LifParams> for NeuronParams {
    fn from(lif: LifParams) -> Self {
        Self {
            lif,
            signed: false,
            rounding: Rounding::default(),
            output: SpikeOutput::default(),
            tau_syn: None,
            adaptation: None,
            smooth: false,
        }
    }
}

impl NeuronParams {
    /// The thesis's neuron with spikes of `bits` bits.
    pub fn new(bits: u32) -> Self {
        LifParams::new(bits).into()
    }

    /// Integrate and fire, without leak.
    #[must_use]
    pub fn without_leak(bits: u32) -> Self {
        LifParams { decay: Decay::Beta(1.0), ..LifParams::new(bits) }.into()
    }

    /// The integer neuron of `SpikeYOLO` (Luo et al. 2024) with counts up to `levels`: β = 1/4, a
    /// threshold of 1 a level, rounding to the nearest, the spike detached in the reset, gradient 1
    /// within the staircase.
    pub fn integer(levels: u32) -> Self {
        let lif = LifParams {
            levels,
            decay: Decay::Tau(4.0 / 3.0),
            v_threshold: levels.into(),
            detach_reset: true,
            surrogate: Surrogate::Rectangle {},
            ..LifParams::new(1)
        };
        let (rounding, output) = (Rounding::NearestEven, SpikeOutput::Count);
        Self { rounding, output, ..lif.into() }
    }

    /// Spikes of −1, 0 and 1.
    pub fn ternary() -> Self {
        Self { signed: true, ..Self::new(1) }
    }

    /// Whether it is the neuron that the fused kernels compute.
    pub fn is_plain(&self) -> bool {
        let Self { lif: _, signed, rounding, output, tau_syn, adaptation, smooth } = *self;
        !signed
            && rounding == Rounding::Floor
            && output == SpikeOutput::Unit
            && tau_syn.is_none()
            && adaptation.is_none()
            && !smooth
    }

    /// Why the fused kernels do not compute it, `None` where they do.
    pub fn not_plain(&self) -> Option<&'static str> {
        let Self { lif: _, signed, rounding, output, tau_syn, adaptation, smooth } = *self;
        if signed {
            Some("signed spikes")
        } else if rounding != Rounding::Floor {
            Some("rounding to the nearest level")
        } else if output != SpikeOutput::Unit {
            Some("spikes sent as counts")
        } else if tau_syn.is_some() {
            Some("a synaptic current")
        } else if adaptation.is_some() {
            Some("an adaptive threshold")
        } else {
            smooth.then_some("a smooth spike function")
        }
    }

    /// The largest value that it sends.
    pub fn largest_output(&self) -> f64 {
        match self.output {
            SpikeOutput::Unit => 1.0,
            SpikeOutput::Count => self.lif.levels.into(),
        }
    }

    /// What one level is in what it sends.
    pub fn level_output(&self) -> f64 {
        self.largest_output() / f64::from(self.lif.levels)
    }

    pub(super) fn spike_function(&self) -> SpikeFunction {
        SpikeFunction {
            levels: self.lif.levels,
            rounding: self.rounding,
            output: self.output,
            surrogate: self.lif.surrogate,
            shift: self.lif.shift,
            smooth: self.smooth,
        }
    }

    /// Refuses parameters outside their range.
    ///
    /// # Errors
    /// The error names the parameter, its range and its value.
    pub fn validate(&self) -> Result<()> {
        self.lif.validate()?;
        let fail = |name, expected, got: f64| {
            Err(Error::InvalidParameter { name, expected, got: got.to_string() })
        };
        let is_tau = |tau: f64| tau >= 1.0 && tau.is_finite();
        match self.tau_syn {
            Some(tau) if !is_tau(tau) => {
                return fail("tau_syn", "a number of steps, at least 1", tau);
            }
            _ => {}
        }
        if let Some(Adaptation { tau, strength }) = self.adaptation {
            if !is_tau(tau) {
                return fail("adaptation.tau", "a number of steps, at least 1", tau);
            }
            if !(strength >= 0.0 && strength.is_finite()) {
                return fail("adaptation.strength", "a number of at least 0", strength);
            }
        }
        match self.lif.reset {
            Reset::Hard { v_reset } if self.signed && v_reset.abs() >= self.lif.v_threshold => {
                fail("reset.v_reset", "between the two thresholds of signed spikes", v_reset)
            }
            _ => Ok(()),
        }
    }
}

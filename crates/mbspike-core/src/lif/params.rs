use serde::{Deserialize, Serialize};

use crate::{Error, Real, Result, Shift, Surrogate};

/// The widest spike, in bits.
pub const MAX_BITS: u32 = 16;

/// What a spike does to the membrane.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Reset {
    /// `v = h − θ s` (reset by subtraction).
    Soft {},
    /// `v = h − s (h − v_reset)`: the usual hard reset when spikes are binary, a partial one for a
    /// graded spike. The leak pulls towards `v_reset`.
    Hard {
        /// The potential after a full spike.
        #[serde(default)]
        v_reset: f64,
    },
    /// `v = h`: the neuron fires and keeps its membrane.
    None {},
}

impl Default for Reset {
    /// The thesis's soft reset.
    fn default() -> Self {
        Self::Soft {}
    }
}

/// The levels above 0 that `bits` bits can say, `2^bits − 1`; 0 for 0 bits, and for more than 31 the
/// largest number there is.
pub const fn levels_of(bits: u32) -> u32 {
    match 1_u32.checked_shl(bits) {
        Some(codes) => codes - 1,
        None => u32::MAX,
    }
}

/// How fast the membrane leaks.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Decay {
    /// Time constant in steps, at least 1; the membrane keeps `β = 1 − 1/τ` a step.
    Tau(f64),
    /// The share β in `0..=1` that the membrane keeps a step. The input is not decayed, or by
    /// `1 − β`.
    Beta(f64),
}

/// A multi-bit leaky integrate-and-fire neuron; equations in the [module](crate::lif) text.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct LifParams {
    /// Levels L above 0 of a spike, `1..=65535`: `2^bits − 1` ([`levels_of`]) where all codes of a
    /// number of bits are used, any whole number otherwise.
    pub levels: u32,
    /// Leak of the membrane.
    pub decay: Decay,
    /// Whether the input current is multiplied by `1 − β` (`g = 1/τ`) instead of 1.
    pub decay_input: bool,
    /// Threshold θ of a full spike, above 0.
    pub v_threshold: f64,
    /// What a spike does to the membrane.
    pub reset: Reset,
    /// Whether the backward pass leaves out the path through the reset.
    pub detach_reset: bool,
    /// Derivative used in the backward pass.
    pub surrogate: Surrogate,
    /// Where that is centred.
    pub shift: Shift,
}

impl LifParams {
    /// The thesis's neuron with `bits` bits (`L = 2^bits − 1` levels): τ = 2, θ = 1, soft reset, centred sigmoid with α = 4.
    pub fn new(bits: u32) -> Self {
        Self {
            levels: levels_of(bits),
            decay: Decay::Tau(2.0),
            decay_input: false,
            v_threshold: 1.0,
            reset: Reset::default(),
            detach_reset: false,
            surrogate: Surrogate::default(),
            shift: Shift::default(),
        }
    }

    /// Number of levels above zero, L.
    pub fn n_levels(&self) -> u32 {
        self.levels
    }

    /// Bits that a spike's level code takes: the smallest `n` with `L < 2^n`.
    pub fn bits(&self) -> u32 {
        u32::BITS - self.levels.leading_zeros()
    }

    /// The share of the membrane that is left after a step.
    pub fn beta(&self) -> f64 {
        match self.decay {
            Decay::Tau(tau) => 1.0 - 1.0 / tau,
            Decay::Beta(beta) => beta,
        }
    }

    /// The factor of the input current.
    pub fn gain(&self) -> f64 {
        if self.decay_input { 1.0 - self.beta() } else { 1.0 }
    }

    /// The surrogate's shift in units of the membrane.
    pub fn shift_value(&self) -> f64 {
        match self.shift {
            Shift::Centred => self.shift.per_threshold(self.levels) * self.v_threshold,
            Shift::Unshifted => 0.0,
            Shift::By(shift) => shift,
        }
    }

    /// Refuses parameters outside their range.
    ///
    /// # Errors
    /// [`Error::InvalidParameter`] names the parameter, its range and its value.
    pub fn validate(&self) -> Result<()> {
        let fail =
            |name, expected, got: String| Err(Error::InvalidParameter { name, expected, got });
        if !(1..=levels_of(MAX_BITS)).contains(&self.levels) {
            return fail("levels", "in 1..=65535", self.levels.to_string());
        }
        match self.decay {
            Decay::Tau(tau) if !(tau >= 1.0 && tau.is_finite()) => {
                return fail("tau", "a number of steps, at least 1", tau.to_string());
            }
            Decay::Beta(beta) if !(0.0..=1.0).contains(&beta) => {
                return fail("beta", "in 0..=1", beta.to_string());
            }
            _ => {}
        }
        if !(self.v_threshold > 0.0 && self.v_threshold.is_finite()) {
            return fail("v_threshold", "a positive number", self.v_threshold.to_string());
        }
        if let Reset::Hard { v_reset } = self.reset
            && !v_reset.is_finite()
        {
            return fail("reset.v_reset", "a finite number", v_reset.to_string());
        }
        if let Shift::By(shift) = self.shift
            && !shift.is_finite()
        {
            return fail("shift", "a finite number", shift.to_string());
        }
        self.surrogate.validate()
    }

    /// The constants of one step in the kernel's type.
    pub(crate) fn constants<T: Real>(&self) -> StepConstants<T> {
        let levels = f64::from(self.n_levels());
        let v_reset = if let Reset::Hard { v_reset } = self.reset { v_reset } else { 0.0 };
        StepConstants {
            beta: T::of(self.beta()),
            gain: T::of(self.gain()),
            leak: T::of((1.0 - self.beta()) * v_reset),
            levels: T::of(levels),
            inv_levels: T::of(1.0 / levels),
            scale: T::of(levels / self.v_threshold),
            theta: T::of(self.v_threshold),
            v_reset: T::of(v_reset),
        }
    }

    /// Whether θ is a power of two, so that multiplying by `L/θ` is exact up to the one rounding
    /// that `h·L/θ` has anyway.
    pub(crate) fn threshold_is_power_of_two(&self) -> bool {
        self.v_threshold.to_bits().trailing_zeros() >= f64::MANTISSA_DIGITS - 1
    }
}

/// [`LifParams`] as the kernels use them.
#[derive(Debug, Clone, Copy)]
pub(crate) struct StepConstants<T> {
    pub(crate) beta: T,
    pub(crate) gain: T,
    /// `(1 − β) v_reset`, 0 unless the reset is hard.
    pub(crate) leak: T,
    pub(crate) levels: T,
    pub(crate) inv_levels: T,
    /// `L/θ`.
    pub(crate) scale: T,
    pub(crate) theta: T,
    pub(crate) v_reset: T,
}

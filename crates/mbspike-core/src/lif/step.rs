//! One step of one neuron: the definition that every loop of this module runs.
//!
//! Nothing here uses fused multiply-add, so that a membrane, and with it the decision to fire, is
//! the same bit for bit on every instruction set and on a GPU compiled with `--fmad=false`.

use super::params::StepConstants;
use crate::Real;

/// Reset kinds as constants, so that loops are compiled for each.
pub(crate) const SOFT: u8 = 0;
pub(crate) const HARD: u8 = 1;
pub(crate) const NONE: u8 = 2;

/// Charge: `h = β v + g x`, plus `(1 − β) v_reset` with a hard reset.
#[inline(always)]
pub(crate) fn charge<T: Real, const RESET: u8>(x: T, v: T, c: &StepConstants<T>) -> T {
    let h = c.beta * v + c.gain * x;
    if RESET == HARD { h + c.leak } else { h }
}

/// Fire: `s = k/L` with `k = clamp(floor(h L/θ), 0, L)`, in closed form, so that its cost does not
/// depend on the number of levels. Equality fires. A NaN membrane gives a NaN spike: both
/// comparisons are false, and the value passes.
#[inline(always)]
pub(crate) fn fire<T: Real, const POWER_OF_TWO: bool, const FMA: bool>(
    h: T,
    c: &StepConstants<T>,
) -> T {
    let q = if POWER_OF_TWO { h * c.scale } else { h * c.levels / c.theta };
    let q = if q < T::zero() { T::zero() } else { q };
    let q = if q > c.levels { c.levels } else { q };
    T::divide_small_integers::<FMA>(q.floor(), c.levels, c.inv_levels)
}

/// Reset: the membrane after a spike, [carried](Real::carried) to the next step: without input it
/// decays to 0 and not through all subnormal numbers.
#[inline(always)]
pub(crate) fn reset<T: Real, const RESET: u8>(h: T, s: T, c: &StepConstants<T>) -> T {
    let v = match RESET {
        SOFT => h - c.theta * s,
        HARD => h - s * (h - c.v_reset),
        _ => h,
    };
    v.carried()
}

/// `∂v/∂h`, the factor of the gradient that comes back through the membrane.
#[inline(always)]
pub(crate) fn reset_gradient<T: Real, const RESET: u8, const DETACH: bool>(
    h: T,
    s: T,
    ds: T,
    c: &StepConstants<T>,
) -> T {
    match (RESET, DETACH) {
        (SOFT, false) => T::one() - c.theta * ds,
        (HARD, false) => T::one() - s - (h - c.v_reset) * ds,
        (HARD, true) => T::one() - s,
        _ => T::one(),
    }
}

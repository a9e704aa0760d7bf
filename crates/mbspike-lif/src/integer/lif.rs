//! The neuron in whole numbers.

use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// Bits after the point of β.
pub const BETA_BITS: u32 = 16;
/// The widest membrane format: bits after the point of a membrane counted in levels.
pub const MAX_FRACTION_BITS: u32 = 16;
/// The narrowest membrane format that is accepted: a sixteenth of a level.
pub const MIN_FRACTION_BITS: u32 = 4;

/// What a spike does to a membrane of whole numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum IntegerReset {
    /// `v = h − k 2^F`.
    Soft {},
    /// `v = h − k (h − v_reset) / L`, the quotient rounded to the nearest, halves up.
    Hard {
        /// The potential after a full spike.
        v_reset: i32,
    },
    /// `v = h`.
    None {},
}

/// A multi-bit LIF neuron whose membrane is an `i32` in Q format: it counts levels `θ/L`, with
/// `F = fraction_bits` bits after the point, so that one level is `2^F` and firing is a shift.
///
/// | phase | equation |
/// |---|---|
/// | charge | `h = ⌊(beta v + 2^15) / 2^16⌋ + x + leak` |
/// | fire | `k = clamp(⌊h / 2^F⌋, 0, L)`: `h` at or above `j 2^F` fires level `j` |
/// | reset | see [`IntegerReset`] |
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IntegerLif {
    /// Bits a spike, `1..=16`; `L = 2^bits − 1`.
    pub bits: u32,
    /// F, `4..=16`.
    pub fraction_bits: u32,
    /// The share of the membrane that is left after a step, in units of `2^−16`: `0..=65536`.
    pub beta: i32,
    /// What is added in each step: `(1 − β) v_reset` of a hard reset, else 0.
    pub leak: i32,
    /// What a spike does to the membrane.
    pub reset: IntegerReset,
}

impl IntegerLif {
    /// `L = 2^bits − 1`.
    pub fn n_levels(&self) -> i32 {
        (1 << self.bits) - 1
    }

    /// The membrane after charge, from the current `x` and the membrane `v` before.
    #[inline]
    pub fn charge(&self, x: i32, v: i32) -> i32 {
        let left = (i64::from(v) * i64::from(self.beta) + (1 << (BETA_BITS - 1))) >> BETA_BITS;
        left as i32 + x + self.leak
    }

    /// The level code of a membrane.
    #[inline]
    pub fn fire(&self, h: i32) -> i32 {
        (h >> self.fraction_bits).clamp(0, self.n_levels())
    }

    /// The membrane after a spike of level `k`.
    #[inline]
    pub fn reset(&self, h: i32, k: i32) -> i32 {
        match self.reset {
            IntegerReset::Soft {} => h - (k << self.fraction_bits),
            IntegerReset::Hard { v_reset } => {
                let n_levels = i64::from(self.n_levels());
                let pull = i64::from(k) * (i64::from(h) - i64::from(v_reset));
                let pull = (2 * pull + n_levels).div_euclid(2 * n_levels);
                (i64::from(h) - pull) as i32
            }
            IntegerReset::None {} => h,
        }
    }

    /// The largest absolute value a membrane can have in `n_steps` steps of currents of at most
    /// `current`: no reset takes it farther from 0 than it or `v_reset` is.
    pub(super) fn largest_membrane(&self, current: i64, n_steps: usize) -> i64 {
        let charge = current.saturating_add(i64::from(self.leak).abs());
        let floor = match self.reset {
            IntegerReset::Hard { v_reset } => i64::from(v_reset).abs(),
            IntegerReset::Soft {} | IntegerReset::None {} => 0,
        };
        let mut largest = 0_i64;
        for _ in 0..n_steps {
            let left = (largest * i64::from(self.beta)).div_euclid(1 << BETA_BITS) + 1;
            let next = left.saturating_add(charge).max(floor);
            // Beyond i32 all is said; and once it no longer grows, it never will.
            if next <= largest || next > i64::from(i32::MAX) {
                return largest.max(next);
            }
            largest = next;
        }
        largest
    }

    pub(super) fn validate(&self, layer: &str) -> Result<()> {
        let must = |holds: bool, what: &str| {
            let fail = || Error::NotInteger { layer: layer.into(), reason: what.into() };
            if holds { Ok(()) } else { Err(fail()) }
        };
        must((1..=16).contains(&self.bits), "bits must be in 1..=16")?;
        let range = MIN_FRACTION_BITS..=MAX_FRACTION_BITS;
        must(range.contains(&self.fraction_bits), "fraction_bits must be in 4..=16")?;
        must((0..=1 << BETA_BITS).contains(&self.beta), "beta must be in 0..=65536")
    }
}

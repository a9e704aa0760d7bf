//! The neuron in the chip's arithmetic.

use serde::{Deserialize, Serialize};

use super::refusal::fail;
use crate::Result;

/// States of neurons are whole numbers of 24 bits, sign included.
pub const STATE_BITS: u32 = 24;
/// The largest membrane: beyond it membranes are cut off, on both sides.
pub const LARGEST_STATE: i32 = (1 << (STATE_BITS - 1)) - 1;
/// What thresholds are shifted by, and sums of weights where the neuron is the chip's own.
pub const STATE_SHIFT: u32 = 6;
/// Decays are multiples of 1/4096.
pub const DECAY_UNITY: i32 = 1 << 12;
/// The largest mantissa of a threshold.
pub const LARGEST_THRESHOLD: i32 = (1 << 17) - 1;

/// When neurons fire and what that does to them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum LoihiFire {
    /// The chip's own neuron: 1 where `v > vth · 2⁶`, and then `v = 0`.
    Binary {
        /// Mantissa of the threshold, 17 bits.
        vth: i32,
    },
    /// A neuron programmed in microcode: `k = clamp(⌊v / (level · 2^s)⌋, 0, levels)`, sent as a graded
    /// spike; with `soft`, `v −= k · level · 2^s`. `s` is [`LoihiCell::shift`].
    Staircase {
        /// One level, in sums of weights.
        level: i32,
        /// Levels.
        levels: i32,
        /// Whether what is fired is taken off.
        soft: bool,
    },
    /// No spikes: membranes are read.
    Membrane {},
}

/// Neurons of a layer: current `u`, membrane `v`, both of 24 bits.
///
/// ```text
/// u = wrap₂₄(sgn(u) ⌊|u| (4096 − (du + 1)) / 2¹²⌋ + a 2^s)
/// v = clip(sgn(v) ⌊|v| (4096 − dv) / 2¹²⌋ + u + bias 2^exp)
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LoihiCell {
    /// Decay of the current, `0..=4095`; 4095 leaves nothing of it.
    pub du: i32,
    /// Decay of the membrane, `0..=4095`.
    pub dv: i32,
    /// s: 6 of the chip's own neuron; a neuron in microcode may take less of a large sum.
    pub shift: u32,
    /// The exponent of biases, `0..=7`.
    pub bias_exp: u32,
    /// When it fires.
    pub fire: LoihiFire,
}

/// What did not fit 24 bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Overflows {
    /// Sums of convolutions that wrapped.
    pub sums: u64,
    /// Currents that wrapped.
    pub currents: u64,
    /// Membranes that were cut off.
    pub membranes: u64,
}

impl Overflows {
    /// Their number.
    pub fn total(&self) -> u64 {
        self.sums + self.currents + self.membranes
    }

    /// Adds those of elsewhere.
    pub fn merge(&mut self, other: &Self) {
        self.sums += other.sums;
        self.currents += other.currents;
        self.membranes += other.membranes;
    }
}

/// `sgn(x) ⌊|x| (4096 − decay) / 2¹²⌋`.
#[inline]
fn decayed(x: i32, decay: i32) -> i64 {
    let product = i64::from(x) * i64::from(DECAY_UNITY - decay);
    product.signum() * (product.abs() >> 12)
}

/// What Lava's model makes of a current beyond its limits: once around, and 2²³ itself stays.
#[inline]
fn wrapped(u: i64) -> i64 {
    const LIMIT: i64 = 1 << (STATE_BITS - 1);
    let once = if u > LIMIT { u - 2 * LIMIT } else { u };
    if once <= -LIMIT { u + 2 * LIMIT } else { once }
}

/// A sum of 24 bits, as convolutions keep it.
#[inline]
pub(super) fn signed_24(sum: i64) -> i64 {
    let half = 1 << (STATE_BITS - 1);
    (sum + half).rem_euclid(2 * half) - half
}

impl LoihiCell {
    /// Levels of a spike.
    pub fn levels(&self) -> i32 {
        match self.fire {
            LoihiFire::Binary { .. } => 1,
            LoihiFire::Staircase { levels, .. } => levels,
            LoihiFire::Membrane {} => 0,
        }
    }

    /// One step: the spike for a sum `a` of weights and a bias in units of the membrane, and how far from
    /// 0 the membrane wanted to get.
    #[inline]
    pub fn step(
        &self,
        a: i64,
        bias: i32,
        u: &mut i32,
        v: &mut i32,
        over: &mut Overflows,
    ) -> (i32, i64) {
        let current = decayed(*u, self.du + 1) + (a << self.shift);
        let kept = wrapped(current);
        over.currents += u64::from(kept != current);
        *u = kept as i32;
        let membrane = decayed(*v, self.dv) + kept + i64::from(bias);
        let limit = i64::from(LARGEST_STATE);
        let cut = membrane.clamp(-limit, limit);
        over.membranes += u64::from(cut != membrane);
        *v = cut as i32;
        (self.fire(v), membrane.abs())
    }

    #[inline]
    fn fire(&self, v: &mut i32) -> i32 {
        match self.fire {
            LoihiFire::Binary { vth } => {
                let fires = *v > vth << STATE_SHIFT;
                if fires {
                    *v = 0;
                }
                i32::from(fires)
            }
            LoihiFire::Staircase { level, levels, soft } => {
                let level = level << self.shift;
                let k = v.div_euclid(level).clamp(0, levels);
                if soft {
                    *v -= k * level;
                }
                k
            }
            LoihiFire::Membrane {} => 0,
        }
    }

    pub(super) fn validate(&self, layer: &str) -> Result<()> {
        let must = |holds: bool, what: &str| if holds { Ok(()) } else { fail(layer, what) };
        must((0..DECAY_UNITY).contains(&self.du), "du must be in 0..=4095")?;
        must((0..DECAY_UNITY).contains(&self.dv), "dv must be in 0..=4095")?;
        must(self.bias_exp <= 7, "bias_exp must be in 0..=7")?;
        match self.fire {
            LoihiFire::Binary { vth } => {
                must(self.shift == STATE_SHIFT, "the chip's own neuron shifts sums by 6")?;
                must((0..=LARGEST_THRESHOLD).contains(&vth), "vth must be in 0..=131071")
            }
            LoihiFire::Staircase { level, levels, .. } => {
                must(self.shift <= STATE_SHIFT, "sums are shifted by at most 6")?;
                must(level > 0 && levels > 0, "a staircase has levels above 0")?;
                let top =
                    i64::from(level).checked_mul(i64::from(levels)).map(|top| top << self.shift);
                must(
                    top.is_some_and(|top| top <= i64::from(LARGEST_STATE)),
                    "the highest level is beyond 24 bits",
                )
            }
            LoihiFire::Membrane {} => {
                must(self.shift <= STATE_SHIFT, "sums are shifted by at most 6")
            }
        }
    }
}

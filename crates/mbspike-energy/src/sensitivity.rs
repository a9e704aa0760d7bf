use serde::Serialize;

use crate::{Estimate, Hardware, Picojoules, Result};

/// What one number's uncertainty does to a result.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Swing {
    /// The number's dotted key.
    pub key: &'static str,
    /// The energy with the number at its low.
    pub at_low: Picojoules,
    /// The energy with the number at its high.
    pub at_high: Picojoules,
}

impl Swing {
    /// How far the two are apart.
    pub fn width(&self) -> f64 {
        (self.at_high.0 - self.at_low.0).abs()
    }
}

/// The energy with each number that has a range at its low and at its high, one at a time, the
/// widest first. Numbers that change nothing are left out.
///
/// # Errors
/// As the model's.
pub fn sensitivity(
    hardware: &Hardware,
    model: impl Fn(&Hardware) -> Result<Estimate>,
) -> Result<Vec<Swing>> {
    let mut swings = Vec::new();
    for (key, origin) in &hardware.numbers {
        let Some((low, high)) = origin.number.range() else { continue };
        let at = |value| model(&hardware.clone().with(key, value));
        let swing = Swing { key, at_low: at(low)?.total, at_high: at(high)?.total };
        if swing.width() > 0.0 {
            swings.push(swing);
        }
    }
    swings.sort_by(|a, b| b.width().total_cmp(&a.width()));
    Ok(swings)
}

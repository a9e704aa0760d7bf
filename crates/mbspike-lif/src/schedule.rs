//! Learning-rate schedules: pure functions from the position in training to a learning rate.
//!
//! Definitions are those of `PyTorch`'s schedulers in closed form, put together as torchvision's
//! training script does: a warm-up, then the main schedule counted from its end.

use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// How the learning rate changes over training.
///
/// Positions count from 0, in epochs or in iterations; lengths are in the same unit.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Schedule {
    /// The base rate throughout.
    None {
        /// What comes before.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        warm_up: Option<WarmUp>,
    },
    /// Half a cosine from the base rate to `min_lr` over what the warm-up leaves of training:
    /// `min_lr + (lr − min_lr) (1 + cos(π i / n)) / 2` (`CosineAnnealingLR`).
    Cosine {
        /// The rate at the end.
        #[serde(default)]
        min_lr: f64,
        /// What comes before.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        warm_up: Option<WarmUp>,
    },
    /// `lr γ^⌊i / step_size⌋` (`StepLR`).
    Step {
        /// Epochs at one rate.
        step_size: usize,
        /// `γ`.
        #[serde(default = "default_gamma")]
        gamma: f64,
        /// What comes before.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        warm_up: Option<WarmUp>,
    },
    /// `lr γ^i` (`ExponentialLR`).
    Exponential {
        /// `γ`.
        gamma: f64,
        /// What comes before.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        warm_up: Option<WarmUp>,
    },
}

impl Default for Schedule {
    fn default() -> Self {
        Self::None { warm_up: None }
    }
}

/// Lower rates at the start of training.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WarmUp {
    /// The form.
    #[serde(default)]
    pub kind: WarmUpKind,
    /// Its length.
    pub epochs: usize,
    /// The share of the base rate that it starts from, `f`; torchvision's default is 0.01.
    #[serde(default = "default_factor")]
    pub factor: f64,
}

/// The form of a warm-up of `n` epochs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum WarmUpKind {
    /// `lr (f + (1 − f) i / n)` (`LinearLR`).
    #[default]
    Linear,
    /// `lr f` (`ConstantLR`).
    Constant,
}

fn default_gamma() -> f64 {
    0.1
}

fn default_factor() -> f64 {
    0.01
}

impl Schedule {
    /// The learning rate at `position`, counted from 0, of a training of `length`, with the base
    /// rate `base_lr`.
    ///
    /// ```
    /// use mbspike_lif::schedule::Schedule;
    ///
    /// let cosine = Schedule::Cosine { min_lr: 0.0, warm_up: None };
    /// assert_eq!(cosine.lr(0.1, 0, 20), 0.1);
    /// assert!((cosine.lr(0.1, 10, 20) - 0.05).abs() < 1e-15);
    /// ```
    pub fn lr(&self, base_lr: f64, position: usize, length: usize) -> f64 {
        let n_warm_up = self.warm_up().map_or(0, |warm_up| warm_up.epochs);
        if let Some(warm_up) = self.warm_up()
            && position < n_warm_up
        {
            return base_lr * warm_up.share(position);
        }
        let i = (position - n_warm_up) as f64;
        match *self {
            Self::None { .. } => base_lr,
            Self::Cosine { min_lr, .. } => {
                let n = length.saturating_sub(n_warm_up).max(1) as f64;
                let cos = (std::f64::consts::PI * (i / n).min(1.0)).cos();
                min_lr + (base_lr - min_lr) * (1.0 + cos) / 2.0
            }
            Self::Step { step_size, gamma, .. } => {
                base_lr * gamma.powf((i / step_size.max(1) as f64).floor())
            }
            Self::Exponential { gamma, .. } => base_lr * gamma.powf(i),
        }
    }

    /// The warm-up, if there is one.
    pub fn warm_up(&self) -> Option<WarmUp> {
        match *self {
            Self::None { warm_up }
            | Self::Cosine { warm_up, .. }
            | Self::Step { warm_up, .. }
            | Self::Exponential { warm_up, .. } => warm_up,
        }
    }

    /// Refuses settings that give no learning rate.
    pub fn validate(&self) -> Result<()> {
        let check = |name, value: f64, valid: bool, expected| {
            if valid {
                Ok(())
            } else {
                Err(Error::InvalidParameter { name, expected, got: value.to_string() })
            }
        };
        let gamma_is_valid = |gamma: f64| {
            check("scheduler.gamma", gamma, gamma > 0.0 && gamma.is_finite(), "finite and above 0")
        };
        if let Some(WarmUp { factor, epochs, .. }) = self.warm_up() {
            check("scheduler.warm_up.epochs", epochs as f64, epochs > 0, "at least 1")?;
            let valid = (0.0..=1.0).contains(&factor);
            check("scheduler.warm_up.factor", factor, valid, "in 0..=1")?;
        }
        match *self {
            Self::None { .. } => Ok(()),
            Self::Cosine { min_lr, .. } => check(
                "scheduler.min_lr",
                min_lr,
                min_lr >= 0.0 && min_lr.is_finite(),
                "finite and at least 0",
            ),
            Self::Step { step_size, gamma, .. } => {
                check("scheduler.step_size", step_size as f64, step_size > 0, "at least 1")?;
                gamma_is_valid(gamma)
            }
            Self::Exponential { gamma, .. } => gamma_is_valid(gamma),
        }
    }
}

impl WarmUp {
    fn share(self, position: usize) -> f64 {
        match self.kind {
            WarmUpKind::Linear => {
                self.factor + (1.0 - self.factor) * position as f64 / self.epochs as f64
            }
            WarmUpKind::Constant => self.factor,
        }
    }
}

use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// Which optimizer, and its settings. `lr` is the base rate that a schedule starts from; all other
/// defaults are `PyTorch`'s.
///
/// With `g` the gradient, `p` the parameter, `t` the step from 1 and `λ` the weight decay; in all
/// but `AdamW`, `g` stands for `g + λ p`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase", deny_unknown_fields)]
pub enum OptimizerConfig {
    /// Kingma and Ba (2015): `m ← m + (1 − β₁)(g − m)`, `v ← β₂ v + (1 − β₂) g²`,
    /// `p ← p − lr/(1 − β₁ᵗ) · m / (√v / √(1 − β₂ᵗ) + ε)`.
    Adam {
        /// Learning rate.
        lr: f64,
        /// `β₁` and `β₂`.
        #[serde(default = "default_betas")]
        betas: (f64, f64),
        /// `ε`.
        #[serde(default = "default_eps")]
        eps: f64,
        /// `λ`, added to the gradient.
        #[serde(default)]
        weight_decay: f64,
    },
    /// Loshchilov and Hutter (2019): Adam after `p ← (1 − lr λ) p`.
    AdamW {
        /// Learning rate.
        lr: f64,
        /// `β₁` and `β₂`.
        #[serde(default = "default_betas")]
        betas: (f64, f64),
        /// `ε`.
        #[serde(default = "default_eps")]
        eps: f64,
        /// `λ`.
        #[serde(default = "default_decoupled_weight_decay")]
        weight_decay: f64,
    },
    /// Stochastic gradient descent: `b ← μ b + g`, then `p ← p − lr b`, or with Nesterov's momentum
    /// `p ← p − lr (g + μ b)`.
    Sgd {
        /// Learning rate.
        lr: f64,
        /// `μ`.
        #[serde(default)]
        momentum: f64,
        /// `λ`, added to the gradient.
        #[serde(default)]
        weight_decay: f64,
        /// Whether the momentum is Nesterov's.
        #[serde(default)]
        nesterov: bool,
    },
    /// Hinton's `RMSprop`: `v ← α v + (1 − α) g²`, `b ← μ b + g / (√v + ε)`, `p ← p − lr b`.
    RmsProp {
        /// Learning rate.
        lr: f64,
        /// `α`.
        #[serde(default = "default_alpha")]
        alpha: f64,
        /// `ε`.
        #[serde(default = "default_eps")]
        eps: f64,
        /// `λ`, added to the gradient.
        #[serde(default)]
        weight_decay: f64,
        /// `μ`.
        #[serde(default)]
        momentum: f64,
    },
}

fn default_betas() -> (f64, f64) {
    (0.9, 0.999)
}

fn default_eps() -> f64 {
    1e-8
}

fn default_alpha() -> f64 {
    0.99
}

fn default_decoupled_weight_decay() -> f64 {
    1e-2
}

impl OptimizerConfig {
    /// Adam with its defaults.
    pub fn adam(lr: f64) -> Self {
        Self::Adam { lr, betas: default_betas(), eps: default_eps(), weight_decay: 0.0 }
    }

    /// Plain gradient descent.
    pub fn sgd(lr: f64) -> Self {
        Self::Sgd { lr, momentum: 0.0, weight_decay: 0.0, nesterov: false }
    }

    /// The base learning rate.
    pub fn lr(&self) -> f64 {
        match *self {
            Self::Adam { lr, .. }
            | Self::AdamW { lr, .. }
            | Self::Sgd { lr, .. }
            | Self::RmsProp { lr, .. } => lr,
        }
    }

    /// Refuses settings outside the ranges of `PyTorch`'s optimizers, and factors of 1 and more on what is
    /// kept from step to step, with which it would grow without bound.
    pub fn validate(&self) -> Result<()> {
        let check = |name, value: f64, valid: bool, expected| {
            if valid {
                Ok(())
            } else {
                Err(Error::InvalidParameter { name, expected, got: value.to_string() })
            }
        };
        let at_least_0 = |name, value: f64| {
            check(name, value, value.is_finite() && value >= 0.0, "finite and at least 0")
        };
        let below_1 = |name, value: f64| check(name, value, (0.0..1.0).contains(&value), "in 0..1");
        at_least_0("optimizer.lr", self.lr())?;
        match *self {
            Self::Adam { betas, eps, weight_decay, .. }
            | Self::AdamW { betas, eps, weight_decay, .. } => {
                below_1("optimizer.betas", betas.0)?;
                below_1("optimizer.betas", betas.1)?;
                at_least_0("optimizer.eps", eps)?;
                at_least_0("optimizer.weight_decay", weight_decay)
            }
            Self::Sgd { momentum, weight_decay, nesterov, .. } => {
                below_1("optimizer.momentum", momentum)?;
                check(
                    "optimizer.momentum",
                    momentum,
                    !nesterov || momentum > 0.0,
                    "above 0 where nesterov is true",
                )?;
                at_least_0("optimizer.weight_decay", weight_decay)
            }
            Self::RmsProp { alpha, eps, weight_decay, momentum, .. } => {
                below_1("optimizer.alpha", alpha)?;
                at_least_0("optimizer.eps", eps)?;
                at_least_0("optimizer.weight_decay", weight_decay)?;
                below_1("optimizer.momentum", momentum)
            }
        }
    }

    /// Numbers that are kept for each parameter.
    pub fn n_slots(&self) -> usize {
        self.slots().len()
    }

    /// What is kept for each parameter, by `PyTorch`'s names.
    pub(super) fn slots(&self) -> &'static [&'static str] {
        match *self {
            Self::Adam { .. } | Self::AdamW { .. } => &["exp_avg", "exp_avg_sq"],
            Self::Sgd { momentum: 0.0, .. } => &[],
            Self::Sgd { .. } => &["momentum_buffer"],
            Self::RmsProp { momentum: 0.0, .. } => &["square_avg"],
            Self::RmsProp { .. } => &["square_avg", "momentum_buffer"],
        }
    }
}

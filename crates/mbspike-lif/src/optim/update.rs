use super::OptimizerConfig;

/// The formula of one step with its coefficients, which are the same for all elements.
///
/// Coefficients are computed in `f64` and rounded to the parameter's type where they meet it, as
/// in `PyTorch`. Where there is no weight decay it is 0, which adds nothing.
#[derive(Debug, Clone, Copy)]
pub(super) enum Update {
    Adam(Adam),
    Sgd { lr: f64, weight_decay: f64, momentum: f64, nesterov: bool },
    RmsProp { lr: f64, weight_decay: f64, alpha: f64, eps: f64, momentum: f64 },
}

/// Adam and `AdamW`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Adam {
    /// Factor on the parameter: `1 − lr λ` for `AdamW`, 1 for Adam.
    pub keep: f64,
    /// `λ` of Adam, 0 for `AdamW`.
    pub weight_decay: f64,
    pub beta1: f64,
    pub beta2: f64,
    pub eps: f64,
    /// `lr / (1 − β₁ᵗ)`.
    pub step_size: f64,
    /// `√(1 − β₂ᵗ)`.
    pub correction: f64,
}

impl Update {
    /// Step `t`, counted from 1, of `config` with the learning rate `lr`.
    pub fn new(config: &OptimizerConfig, lr: f64, t: u64) -> Self {
        let adam = |(beta1, beta2): (f64, f64), eps, keep, weight_decay| {
            Self::Adam(Adam {
                keep,
                weight_decay,
                beta1,
                beta2,
                eps,
                step_size: lr / (1.0 - beta1.powf(t as f64)),
                correction: (1.0 - beta2.powf(t as f64)).sqrt(),
            })
        };
        match *config {
            OptimizerConfig::Adam { betas, eps, weight_decay, .. } => {
                adam(betas, eps, 1.0, weight_decay)
            }
            OptimizerConfig::AdamW { betas, eps, weight_decay, .. } => {
                adam(betas, eps, 1.0 - lr * weight_decay, 0.0)
            }
            OptimizerConfig::Sgd { momentum, weight_decay, nesterov, .. } => {
                Self::Sgd { lr, weight_decay, momentum, nesterov }
            }
            OptimizerConfig::RmsProp { alpha, eps, weight_decay, momentum, .. } => {
                Self::RmsProp { lr, weight_decay, alpha, eps, momentum }
            }
        }
    }
}

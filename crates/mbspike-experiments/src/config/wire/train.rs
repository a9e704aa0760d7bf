use mbspike_lif::optim::OptimizerConfig;
use mbspike_lif::schedule::{Schedule, WarmUp};
use mbspike_lif::{LossKind, Precision, Quantization};
use serde::Deserialize;

use super::only::only;
use crate::config::document::Node;
use crate::config::origin::ConfigError;
use crate::config::settings::{LOG_EVERY, TrainConfig};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Train {
    epochs: u32,
    batch_size: usize,
    #[serde(default)]
    precision: Precision,
    #[serde(default)]
    quantization: Quantization,
    #[serde(default)]
    loss: LossKind,
    #[serde(default)]
    label_smoothing: f32,
    #[serde(default)]
    mixup_alpha: f64,
    #[serde(default)]
    cutmix_alpha: f64,
    #[serde(default)]
    random_erasing: f32,
    #[serde(default)]
    random_crop: usize,
    #[serde(default)]
    horizontal_flip: f32,
    clip_grad_norm: Option<f64>,
    ema: Option<f64>,
    log_every: Option<u64>,
    #[serde(default)]
    tensorboard: bool,
    checkpoint_every: Option<u64>,
    checkpoint_every_s: Option<f64>,
    memory_limit_mib: Option<u64>,
    optimizer: OptimizerTable,
    scheduler: Option<SchedulerTable>,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum OptimizerKind {
    Adam,
    AdamW,
    Sgd,
    RmsProp,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct OptimizerTable {
    kind: OptimizerKind,
    lr: f64,
    betas: Option<(f64, f64)>,
    eps: Option<f64>,
    weight_decay: Option<f64>,
    momentum: Option<f64>,
    nesterov: Option<bool>,
    alpha: Option<f64>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
enum SchedulerKind {
    None,
    Cosine,
    Step,
    Exponential,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SchedulerTable {
    kind: SchedulerKind,
    warm_up: Option<WarmUp>,
    min_lr: Option<f64>,
    step_size: Option<usize>,
    gamma: Option<f64>,
}

impl Train {
    pub(super) fn resolve(self, root: &Node) -> Result<TrainConfig, ConfigError> {
        Ok(TrainConfig {
            epochs: self.epochs,
            batch_size: self.batch_size,
            precision: self.precision,
            quantization: self.quantization,
            loss: self.loss,
            label_smoothing: self.label_smoothing,
            mixup_alpha: self.mixup_alpha,
            cutmix_alpha: self.cutmix_alpha,
            random_erasing: self.random_erasing,
            random_crop: self.random_crop,
            horizontal_flip: self.horizontal_flip,
            clip_grad_norm: self.clip_grad_norm,
            ema: self.ema,
            log_every: self.log_every.unwrap_or(LOG_EVERY),
            tensorboard: self.tensorboard,
            checkpoint_every: self.checkpoint_every,
            checkpoint_every_s: self.checkpoint_every_s,
            memory_limit_mib: self.memory_limit_mib,
            optimizer: self.optimizer.resolve(root)?,
            scheduler: self
                .scheduler
                .map_or(Ok(Schedule::default()), |table| table.resolve(root))?,
        })
    }
}

impl OptimizerTable {
    fn resolve(self, root: &Node) -> Result<OptimizerConfig, ConfigError> {
        let given = [
            ("betas", self.betas.is_some()),
            ("eps", self.eps.is_some()),
            ("weight_decay", self.weight_decay.is_some()),
            ("momentum", self.momentum.is_some()),
            ("nesterov", self.nesterov.is_some()),
            ("alpha", self.alpha.is_some()),
        ];
        let only = |kind, allowed| only(root, "train.optimizer", kind, &given, allowed);
        let lr = self.lr;
        // Defaults are PyTorch's, as `OptimizerConfig` documents them.
        let (betas, eps) = (self.betas.unwrap_or((0.9, 0.999)), self.eps.unwrap_or(1e-8));
        let weight_decay = self.weight_decay.unwrap_or(0.0);
        let momentum = self.momentum.unwrap_or(0.0);
        Ok(match self.kind {
            OptimizerKind::Adam => {
                only("adam", &["betas", "eps", "weight_decay"])?;
                OptimizerConfig::Adam { lr, betas, eps, weight_decay }
            }
            OptimizerKind::AdamW => {
                only("adamw", &["betas", "eps", "weight_decay"])?;
                let weight_decay = self.weight_decay.unwrap_or(1e-2);
                OptimizerConfig::AdamW { lr, betas, eps, weight_decay }
            }
            OptimizerKind::Sgd => {
                only("sgd", &["momentum", "weight_decay", "nesterov"])?;
                let nesterov = self.nesterov.unwrap_or(false);
                OptimizerConfig::Sgd { lr, momentum, weight_decay, nesterov }
            }
            OptimizerKind::RmsProp => {
                only("rmsprop", &["alpha", "eps", "weight_decay", "momentum"])?;
                let alpha = self.alpha.unwrap_or(0.99);
                OptimizerConfig::RmsProp { lr, alpha, eps, weight_decay, momentum }
            }
        })
    }
}

impl SchedulerTable {
    fn resolve(self, root: &Node) -> Result<Schedule, ConfigError> {
        let given = [
            ("min_lr", self.min_lr.is_some()),
            ("step_size", self.step_size.is_some()),
            ("gamma", self.gamma.is_some()),
        ];
        let only = |kind, allowed| only(root, "train.scheduler", kind, &given, allowed);
        let missing = |key: &str| {
            let origin = root.origin_of("train.scheduler").clone();
            ConfigError::new(origin, format!("the key `train.scheduler.{key}` is missing"))
        };
        let warm_up = self.warm_up;
        Ok(match self.kind {
            SchedulerKind::None => {
                only("none", &[])?;
                Schedule::None { warm_up }
            }
            SchedulerKind::Cosine => {
                only("cosine", &["min_lr"])?;
                Schedule::Cosine { min_lr: self.min_lr.unwrap_or(0.0), warm_up }
            }
            SchedulerKind::Step => {
                only("step", &["step_size", "gamma"])?;
                let step_size = self.step_size.ok_or_else(|| missing("step_size"))?;
                Schedule::Step { step_size, gamma: self.gamma.unwrap_or(0.1), warm_up }
            }
            SchedulerKind::Exponential => {
                only("exponential", &["gamma"])?;
                let gamma = self.gamma.ok_or_else(|| missing("gamma"))?;
                Schedule::Exponential { gamma, warm_up }
            }
        })
    }
}

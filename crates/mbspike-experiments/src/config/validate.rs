//! Values out of range, keys without effect, and parts of a config that do not fit each other: all that
//! a run would refuse, before anything is created.

use std::fmt::Display;

use mbspike_core::{Reset, Shift, Surrogate};
use mbspike_data::FrameCachePlace;
use mbspike_lif::Precision;
use mbspike_lif::check::{check, check_batch, is_single};
use mbspike_lif::optim::OptimizerConfig;
use mbspike_lif::schedule::Schedule;

use super::document::Node;
use super::origin::ConfigError;
use super::settings::Config;
use crate::machine::Machine;
use crate::memory;

/// Refuses a config that cannot be run on `machine`, before any file is touched.
pub(super) fn validate(config: &Config, root: &Node, machine: &Machine) -> Result<(), ConfigError> {
    let place = Place { root };
    must(
        &place,
        "name",
        is_file_name(&config.name),
        "usable as a folder's name",
        &quoted(&config.name),
    )?;
    must(&place, "seed", i64::try_from(config.seed).is_ok(), "below 2^63", &config.seed)?;
    data(config, &place)?;
    network(config, &place, machine)?;
    train(config, &place)?;
    single_precision(config, &place)?;
    if let Some(target) = config.target {
        let valid = target.accuracy > 0.0 && target.accuracy <= 1.0;
        must(&place, "target.accuracy", valid, "above 0 and at most 1", &target.accuracy)?;
    }
    fits_machine(config, &place, machine)
}

/// Where errors are.
struct Place<'a> {
    root: &'a Node,
}

impl Place<'_> {
    fn error(&self, key: &str, message: impl Display) -> ConfigError {
        ConfigError::new(self.root.origin_of(key).clone(), format!("{key}: {message}"))
    }

    /// The key of the network's layers that is in the text.
    fn arch(&self) -> &'static str {
        let keys = ["network.preset", "network.layer"].into_iter();
        let mut given = keys.filter(|key| self.root.get(key).is_some());
        given.next().unwrap_or("network.arch")
    }

    fn data(
        &self,
        result: mbspike_data::Result<()>,
        instead_of: &str,
        prefix: &str,
    ) -> Result<(), ConfigError> {
        match result {
            Ok(()) => Ok(()),
            Err(mbspike_data::Error::Config { key, message }) => {
                Err(self.error(&key.replacen(instead_of, prefix, 1), message))
            }
            Err(error) => Err(self.error(prefix, error)),
        }
    }

    /// The config's name of a setting that the network's crate names in its own way.
    fn lif(&self, result: mbspike_lif::Result<()>, prefix: &str) -> Result<(), ConfigError> {
        use mbspike_lif::Error;
        let key = |name: &str| match name {
            "arch" => self.arch().to_owned(),
            "readout" | "execution" | "checkpoint_steps" => format!("network.{name}"),
            "precision" | "quantization" => format!("train.{name}"),
            name => format!("{prefix}.{name}"),
        };
        match result {
            Ok(()) => Ok(()),
            Err(
                Error::InvalidParameter { name, expected, got }
                | Error::Kernel(mbspike_core::Error::InvalidParameter { name, expected, got }),
            ) => Err(self.error(&key(name), format!("must be {expected}, not {got}"))),
            Err(Error::Mismatch { what, got, expected, .. }) => {
                Err(self.error(&key(&what), format!("must be {expected}, not {got}")))
            }
            Err(Error::CannotFuse { setting, reason }) => {
                let message = format!("asks for the fused execution, but {reason}");
                Err(self.error(&key(setting), message))
            }
            Err(Error::CannotBatch { reason }) => {
                let message = format!("asks for the batch engine, but {reason}");
                Err(self.error("network.execution", message))
            }
            Err(error @ (Error::Layer { .. } | Error::Graph(_))) => {
                Err(self.error("network.layer", error))
            }
            Err(error) => Err(self.error(prefix, error)),
        }
    }
}

fn must(
    place: &Place<'_>,
    key: &str,
    holds: bool,
    expected: &str,
    got: &dyn Display,
) -> Result<(), ConfigError> {
    if holds { Ok(()) } else { Err(place.error(key, format!("must be {expected}, not {got}"))) }
}

/// Dataset, encoder and augmentation, and what they give the network.
fn data(config: &Config, place: &Place<'_>) -> Result<(), ConfigError> {
    let (dataset, encoder) = (&config.dataset, &config.encoder);
    place.data(dataset.validate(), "dataset", "dataset")?;
    let info = match dataset.describe() {
        Ok(info) => info,
        Err(error) => return place.data(Err(error), "dataset", "dataset"),
    };
    place.data(encoder.fits_samples(info.kind, info.shape), "encoder", "encoder")?;

    let arch = &config.network.arch;
    let [channels, height, width] = encoder.output_shape(info.shape);
    let shape = mbspike_lif::Shape { channels, height, width };
    if arch.input != shape {
        let message = format!(
            "the network {arch} takes samples of {}, but those of {}, as encoded, are {shape}",
            arch.input, dataset.name
        );
        return Err(place.error(place.arch(), message));
    }
    let (n_outputs, n_classes) = (arch.n_classes(), info.class_names.len());
    if n_outputs != n_classes {
        let message = format!(
            "the network {arch} tells {n_outputs} classes apart, but {} has {n_classes}",
            dataset.name
        );
        return Err(place.error(place.arch(), message));
    }

    must(place, "train.batch_size", config.train.batch_size > 0, "at least 1", &0)?;
    let n_train = dataset.train_size.unwrap_or(info.n_train);
    let batch_size = config.train.batch_size.min(n_train);
    let augment = config.augment();
    place.data(augment.validate(), "augment", "train")?;
    place.data(augment.fits([height, width], batch_size), "augment", "train")?;
    if let FrameCachePlace::User = dataset.frame_cache {
        place.data(dataset.frame_cache.folder().map(|_| ()), "dataset", "dataset")?;
    }
    // The last batch of an epoch has what is left.
    let smallest = match n_train % batch_size {
        0 => batch_size,
        rest => rest,
    };
    place.lif(check_batch(arch, encoder.time_steps, smallest), "network")
}

/// The network, its neurons, and settings of theirs without effect.
fn network(config: &Config, place: &Place<'_>, machine: &Machine) -> Result<(), ConfigError> {
    place.lif(check(&config.network_config(), machine.device), "neuron")?;
    let neuron = &config.neuron;
    let nothing_reset = neuron.detach_reset && matches!(neuron.reset, Reset::None {});
    let message = "is of no use where `neuron.reset` is \"none\"";
    effect(place, "neuron.detach_reset", !nothing_reset, message)?;
    let is_staircase = matches!(neuron.surrogate, Surrogate::Staircase { .. });
    let has_shift = neuron.shift != Shift::default();
    let message = "is of no use to the surrogate \"staircase\", which follows the levels";
    effect(place, "neuron.shift", !(is_staircase && has_shift), message)
}

fn effect(place: &Place<'_>, key: &str, has: bool, message: &str) -> Result<(), ConfigError> {
    if has { Ok(()) } else { Err(place.error(key, message)) }
}

/// How to train.
fn train(config: &Config, place: &Place<'_>) -> Result<(), ConfigError> {
    let train = &config.train;
    let must = |key: &str, holds: bool, expected: &str, got: &dyn Display| {
        must(place, key, holds, expected, got)
    };
    must("train.epochs", train.epochs > 0, "at least 1", &train.epochs)?;
    let lr = train.optimizer.lr();
    must("train.optimizer.lr", lr > 0.0 && lr.is_finite(), "a number above 0", &lr)?;
    place.lif(train.optimizer.validate(), "train")?;
    place.lif(train.scheduler.validate(), "train")?;
    if let Schedule::Cosine { min_lr, .. } = train.scheduler {
        let expected = format!("at most the learning rate {lr}, where it starts");
        must("train.scheduler.min_lr", min_lr <= lr, &expected, &min_lr)?;
    }
    if let Some(norm) = train.clip_grad_norm {
        let valid = norm > 0.0 && norm.is_finite();
        must("train.clip_grad_norm", valid, "a number above 0", &norm)?;
    }
    if let Some(decay) = train.ema {
        must("train.ema", decay > 0.0 && decay < 1.0, "above 0 and below 1", &decay)?;
    }
    must("train.log_every", train.log_every > 0, "at least 1", &train.log_every)?;
    must("train.checkpoint_every", train.checkpoint_every != Some(0), "at least 1", &0)?;
    if let Some(seconds) = train.checkpoint_every_s {
        let valid = seconds > 0.0 && seconds.is_finite();
        must("train.checkpoint_every_s", valid, "a number above 0", &seconds)?;
    }
    must("train.memory_limit_mib", train.memory_limit_mib != Some(0), "at least 1", &0)
}

/// Numbers that training in single precision would turn into others.
fn single_precision(config: &Config, place: &Place<'_>) -> Result<(), ConfigError> {
    let train = &config.train;
    if train.precision == Precision::F64 {
        return Ok(());
    }
    let lr = train.optimizer.lr();
    let mut numbers = vec![("optimizer.lr", lr)];
    // What is kept from step to step, as a share below 1.
    let mut shares = vec![];
    match train.optimizer {
        OptimizerConfig::Adam { betas, eps, weight_decay, .. }
        | OptimizerConfig::AdamW { betas, eps, weight_decay, .. } => {
            shares.extend([("optimizer.betas", betas.0), ("optimizer.betas", betas.1)]);
            numbers.extend([("optimizer.eps", eps), ("optimizer.weight_decay", weight_decay)]);
        }
        OptimizerConfig::Sgd { momentum, weight_decay, .. } => {
            shares.push(("optimizer.momentum", momentum));
            numbers.push(("optimizer.weight_decay", weight_decay));
        }
        OptimizerConfig::RmsProp { alpha, eps, weight_decay, momentum, .. } => {
            shares.extend([("optimizer.alpha", alpha), ("optimizer.momentum", momentum)]);
            numbers.extend([("optimizer.eps", eps), ("optimizer.weight_decay", weight_decay)]);
        }
    }
    numbers.extend(train.clip_grad_norm.map(|norm| ("clip_grad_norm", norm)));
    shares.extend(train.ema.map(|decay| ("ema", decay)));
    match train.scheduler {
        Schedule::Cosine { min_lr, .. } => numbers.push(("scheduler.min_lr", min_lr)),
        Schedule::Step { gamma, .. } | Schedule::Exponential { gamma, .. } => {
            numbers.push(("scheduler.gamma", gamma));
            let n_epochs = train.epochs as usize;
            let last = train.scheduler.lr(lr, n_epochs.saturating_sub(1), n_epochs);
            let holds = (last as f32).is_finite();
            let expected = "so small that the learning rate stays finite to the last epoch";
            must(place, "train.scheduler.gamma", holds, expected, &gamma)?;
        }
        Schedule::None { .. } => {}
    }
    for (key, number) in numbers {
        let expected = "a number that single precision holds (or train.precision = \"f64\")";
        must(place, &format!("train.{key}"), is_single(number), expected, &format!("{number:e}"))?;
    }
    for (key, share) in shares {
        let expected = "below 1 in single precision, too";
        must(place, &format!("train.{key}"), (share as f32) < 1.0, expected, &share)?;
    }
    Ok(())
}

/// Refuses a run that needs more memory than there is, at the key that would have to change.
fn fits_machine(config: &Config, place: &Place<'_>, machine: &Machine) -> Result<(), ConfigError> {
    let limit = match config.train.memory_limit_mib {
        Some(mib) => mib.saturating_mul(1 << 20),
        None => machine.limit(),
    };
    let described = match config.dataset.describe() {
        Ok(described) => described,
        Err(error) => return place.data(Err(error), "dataset", "dataset"),
    };
    let peak = |config: &Config| {
        memory::estimate(config, &described, machine).map(|memory| memory.peak_bytes)
    };
    let needed = match peak(config) {
        Ok(needed) if needed <= limit => return Ok(()),
        Ok(needed) => needed,
        Err(error) => return place.lif(Err(error), "network"),
    };
    let mut one_step = config.clone();
    one_step.encoder.time_steps = 1;
    let mut one_sample = config.clone();
    one_sample.train.batch_size = 1;
    let fits = |config: &Config| peak(config).is_ok_and(|needed| needed <= limit);
    let key = if fits(&one_step) {
        "encoder.time_steps"
    } else if fits(&one_sample) {
        "train.batch_size"
    } else {
        place.arch()
    };
    let has = match config.train.memory_limit_mib {
        Some(_) => "train.memory_limit_mib allows",
        None => "there are",
    };
    let message = format!(
        "the run needs about {} of memory, but {has} {}; `train.memory_limit_mib` overrides this",
        in_words(needed),
        in_words(limit)
    );
    Err(place.error(key, message))
}

/// A number of bytes, for people.
fn in_words(bytes: u64) -> String {
    let units = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];
    let mut value = bytes as f64;
    let mut unit = 0;
    while value >= 1024.0 && unit + 1 < units.len() {
        value /= 1024.0;
        unit += 1;
    }
    format!("{value:.1} {}", units[unit])
}

fn quoted(text: &str) -> String {
    format!("{text:?}")
}

/// Whether a name is a folder of its own below another: no separators, no `.` and `..`.
fn is_file_name(name: &str) -> bool {
    !name.is_empty()
        && name.trim() == name
        && !name.starts_with('.')
        && name.len() <= 200
        && !name.contains(['/', '\\', ':', '*', '?', '"', '<', '>', '|'])
        && !name.chars().any(char::is_control)
}

//! Values out of range, and parts of a config that do not fit each other.

use mbspike_data::Description;
use mbspike_lif::{Layer, Precision};

use super::Config;
use super::document::Node;
use super::origin::ConfigError;

/// Refuses a config that cannot be run, before any file is touched.
pub(super) fn validate(config: &Config, root: &Node) -> Result<(), ConfigError> {
    let fail = |key: &str, message: String| {
        Err(ConfigError::new(root.origin_of(key).clone(), format!("{key}: {message}")))
    };
    let must = |key: &str, holds: bool, expected: &str, got: &dyn std::fmt::Display| {
        if holds { Ok(()) } else { fail(key, format!("must be {expected}, not {got}")) }
    };
    let data = |result: mbspike_data::Result<()>, instead_of: &str, prefix: &str| match result {
        Ok(()) => Ok(()),
        Err(mbspike_data::Error::Config { key, message }) => {
            fail(&key.replacen(instead_of, prefix, 1), message)
        }
        Err(error) => fail(prefix, error.to_string()),
    };
    let lif = |result: mbspike_lif::Result<()>, prefix: &str| match result {
        Ok(()) => Ok(()),
        Err(
            mbspike_lif::Error::InvalidParameter { name, expected, got }
            | mbspike_lif::Error::Kernel(mbspike_core::Error::InvalidParameter {
                name,
                expected,
                got,
            }),
        ) => fail(&format!("{prefix}.{name}"), format!("must be {expected}, not {got}")),
        Err(mbspike_lif::Error::Mismatch { what, got, expected, .. }) => {
            fail(&format!("{prefix}.{what}"), format!("must be {expected}, not {got}"))
        }
        Err(error) => fail(prefix, error.to_string()),
    };

    must("name", is_file_name(&config.name), "usable as a folder's name", &quoted(&config.name))?;
    must("seed", i64::try_from(config.seed).is_ok(), "below 2^63", &config.seed)?;
    data(config.dataset.validate(), "dataset", "dataset")?;
    let described = match config.dataset.describe() {
        Ok(described) => described,
        Err(error) => return data(Err(error), "dataset", "dataset"),
    };
    data(config.encoder.fits_samples(described.kind, described.shape), "encoder", "encoder")?;
    fits_dataset(config, &described, root)?;

    let is_spiking = |layer: &&Layer| {
        matches!(layer, Layer::Conv { .. } | Layer::Dense { .. } | Layer::Output { .. })
    };
    let n_spiking = config.network.arch.layers.iter().filter(is_spiking).count();
    for layer in 0..n_spiking {
        lif(config.neuron.params(layer, n_spiking).map(|_| ()), "neuron")?;
    }
    let steps = config.network.checkpoint_steps;
    must("network.checkpoint_steps", steps != Some(0), "at least 1", &0)?;

    let train = &config.train;
    must("train.epochs", train.epochs > 0, "at least 1", &train.epochs)?;
    must("train.batch_size", train.batch_size > 0, "at least 1", &train.batch_size)?;
    let lr = train.optimizer.lr();
    must("train.optimizer.lr", lr > 0.0 && lr.is_finite(), "a number above 0", &lr)?;
    lif(train.optimizer.validate(), "train")?;
    lif(train.scheduler.validate(), "train")?;
    data(config.augment().validate(), "augment", "train")?;
    let is_f64 = train.precision == Precision::F64;
    let valid = train.quantization.is_none() || !is_f64;
    must("train.quantization", valid, "\"none\" where the precision is \"f64\"", &"\"int8\"")?;
    if let Some(norm) = train.clip_grad_norm {
        let valid = norm > 0.0 && norm.is_finite();
        must("train.clip_grad_norm", valid, "a number above 0", &norm)?;
    }
    if let Some(decay) = train.ema {
        must("train.ema", (0.0..1.0).contains(&decay), "in 0..1", &decay)?;
    }
    must("train.log_every", train.log_every > 0, "at least 1", &train.log_every)?;
    must("train.checkpoint_every", train.checkpoint_every != Some(0), "at least 1", &0)?;
    if let Some(seconds) = train.checkpoint_every_s {
        let valid = seconds > 0.0 && seconds.is_finite();
        must("train.checkpoint_every_s", valid, "a number above 0", &seconds)?;
    }
    if let Some(target) = config.target {
        let valid = target.accuracy > 0.0 && target.accuracy <= 1.0;
        must("target.accuracy", valid, "above 0 and at most 1", &target.accuracy)?;
    }
    Ok(())
}

/// The network's input and classes must be the dataset's.
fn fits_dataset(config: &Config, described: &Description, root: &Node) -> Result<(), ConfigError> {
    let fail = |message: String| {
        let key =
            if root.get("network.preset").is_some() { "network.preset" } else { "network.arch" };
        Err(ConfigError::new(root.origin_of(key).clone(), format!("{key}: {message}")))
    };
    let (arch, dataset) = (&config.network.arch, config.dataset.name);
    let [channels, height, width] = config.encoder.output_shape(described.shape);
    let shape = mbspike_lif::Shape { channels, height, width };
    if arch.input != shape {
        return fail(format!(
            "the network {arch} takes samples of {}, but those of {dataset}, as encoded, are {shape}",
            arch.input
        ));
    }
    let (n_outputs, n_classes) = (arch.n_classes(), described.class_names.len());
    if n_outputs != n_classes {
        return fail(format!(
            "the network {arch} tells {n_outputs} classes apart, but {dataset} has {n_classes}"
        ));
    }
    Ok(())
}

fn quoted(text: &str) -> String {
    format!("{text:?}")
}

/// Whether a name is a folder of its own below another: no separators, no `.` and `..`.
fn is_file_name(name: &str) -> bool {
    !name.is_empty()
        && !name.starts_with('.')
        && name.len() <= 200
        && !name.contains(['/', '\\', ':', '*', '?', '"', '<', '>', '|'])
        && !name.chars().any(char::is_control)
}

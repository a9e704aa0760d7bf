//! Networks of whole numbers from trained runs: conversion, the file `quantized.safetensors`, and
//! their accuracies.
//!
//! The file has, for each weight layer, `conv1.weight` (I8), `conv1.scale` (F32), `conv1.bias`,
//! `conv1.multiplier` (I32) and `conv1.shift` (U8), and in its metadata, as JSON under `network`, an
//! [`IntegerConfig`]: architecture, readout, the input's codes, and for each layer the neuron with
//! its bits and membrane format. What they mean is said in [`mbspike_lif::integer`].

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use candle_core::Device;
use mbspike_data::Loader;
use mbspike_files::seal;
use mbspike_lif::integer::{IntegerConfig, IntegerNetwork, IntegerWeights};
use mbspike_lif::{InputRange, Network, Precision, Quantization};
use mbspike_results::{Lock, write_json};
use rayon::ThreadPool;
use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};
use serde::{Deserialize, Serialize};

use crate::checkpoint::{self, CHECKPOINT_FILE, Error as FileError};
use crate::config::Config;
use crate::error::Error;
use crate::evaluate::{self, EPOCH, Evaluation, EvaluationReport, evaluate};
use crate::folder::read_point;
use crate::observer::Observer;
use crate::pool::thread_pool;
use crate::sweep::Point;

/// The network of whole numbers, in the folder of its run.
pub const QUANTIZED_FILE: &str = "quantized.safetensors";
pub use mbspike_results::conversion::{VARIANTS_FILE, VariantKind};

/// The metadata entries.
const FORMAT: (&str, &str) = ("format", "mbspike-int8");
const NETWORK: &str = "network";

/// What [`quantize_run`] finds.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct QuantizationReport {
    /// The run's folder.
    #[serde(serialize_with = "mbspike_files::serialize_path")]
    pub folder: PathBuf,
    /// The file that was written.
    #[serde(serialize_with = "mbspike_files::serialize_path")]
    pub file: PathBuf,
    /// Test samples.
    pub n_samples: usize,
    /// What the network of whole numbers is, but for its weights.
    pub network: IntegerConfig,
    /// Names of the classes, in the order of the labels.
    pub class_names: Vec<String>,
    /// Where activity is measured: `input`, `lif1`, ….
    pub positions: Vec<String>,
    /// The network as it was trained first, that of whole numbers last.
    pub variants: Vec<Variant>,
    /// Layers that are silent in the last of them and were not in the first.
    pub silent: Vec<SilentLayer>,
}

/// What [`VARIANTS_FILE`] holds.
#[derive(Serialize)]
struct Saved<'a> {
    variants: &'a [Variant],
}

/// A network's accuracy in one arithmetic.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Variant {
    /// The arithmetic.
    pub kind: VariantKind,
    /// Element types of its computation; none where all is whole.
    pub precision: Option<Precision>,
    /// Share of test samples classified as their label, in `0..=1`.
    pub test_accuracy: f64,
    /// Mean loss of a test sample.
    pub test_loss: f64,
    /// Test samples by their label (rows) and the class they were given (columns).
    pub confusion: Vec<Vec<u64>>,
    /// Share of non-zero elements at each of [`QuantizationReport::positions`], in `0..=1`.
    pub nonzero_rate: Vec<f64>,
    /// Mean spike value at each position, in `0..=1`.
    pub mean_spike: Vec<f64>,
}

impl Variant {
    fn new(kind: VariantKind, precision: Option<Precision>, evaluation: Evaluation) -> Self {
        Self {
            kind,
            precision,
            test_accuracy: evaluation.accuracy,
            test_loss: evaluation.loss,
            nonzero_rate: evaluation.activity.nonzero_rate(),
            mean_spike: evaluation.activity.mean_value(),
            confusion: evaluation.confusion,
        }
    }
}

/// A layer that spikes less than this share of what it did before is silent.
const SILENT_SHARE: f64 = 0.1;

/// A layer that quantization made silent.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SilentLayer {
    /// Its position.
    pub position: String,
    /// Its share of non-zero spikes before.
    pub before: f64,
    /// And after.
    pub after: f64,
}

/// The layers whose share of non-zero spikes fell below a tenth of what it was.
fn silent_layers(positions: &[String], before: &[f64], after: &[f64]) -> Vec<SilentLayer> {
    let layers = positions.iter().zip(before.iter().zip(after));
    layers
        .filter(|(_, (before, after))| **after < SILENT_SHARE * **before)
        .map(|(position, (before, after))| SilentLayer {
            position: position.clone(),
            before: *before,
            after: *after,
        })
        .collect()
}

/// Converts the checkpoint of the run in `folder` to a network of whole numbers, saves it there as
/// [`QUANTIZED_FILE`], and evaluates it beside its originals; `None` if `stop` was set on the way.
/// `settings` change the run's config, as `--set` does.
///
/// The range of the input is what was observed in training where the run was trained with
/// quantization, else that of all training samples, without augmentation.
///
/// # Errors
/// If there is no config or checkpoint in the folder, they do not fit each other, data are missing,
/// or the network's numbers do not fit; the message names the layer.
pub fn quantize_run(
    folder: &Path,
    settings: &[String],
    observer: &dyn Observer,
    stop: &AtomicBool,
) -> Result<Option<QuantizationReport>, Error> {
    let point = &read_point(folder, settings)?;
    let config = &point.config;
    if config.train.precision == Precision::F64 {
        return Err(mbspike_lif::Error::InvalidParameter {
            name: "train.precision",
            expected: "f32 or bf16 for a run that is to be converted",
            got: "f64".to_owned(),
        }
        .into());
    }
    let trained = load(folder, config)?;
    let _lock = Lock::try_lock(folder)?;
    let dataset = mbspike_data::load(&config.dataset)?;
    let pool = thread_pool()?;
    let test = evaluate::loader(config, dataset.test)?.with_pool(Arc::clone(&pool));
    let setting = Setting { point, observer, stop, pool: &pool };

    let observed = trained.input_range()?.filter(|range| range.step().is_some());
    let range = if let Some(range) = observed {
        range
    } else {
        let train = evaluate::loader(config, dataset.train)?.with_pool(Arc::clone(&pool));
        let Some(range) = setting.calibrate(&train)? else { return Ok(None) };
        range
    };
    let integer = IntegerNetwork::from_network(&trained, range, config.encoder.time_steps)?;

    let mut variants = vec![];
    let positions = trained.positions().to_vec();
    let is_plain = config.train.quantization.is_none();
    let as_trained = config.train.precision;
    let mut networks = vec![(VariantKind::AsTrained, as_trained, trained)];
    for (kind, precision) in [
        (VariantKind::F32, Precision::F32),
        (VariantKind::Bf16, Precision::Bf16),
        (VariantKind::Int8Weights, Precision::F32),
    ] {
        if kind != VariantKind::Int8Weights && is_plain && precision == as_trained {
            continue;
        }
        let mut config = config.clone();
        config.train.precision = precision;
        config.train.quantization = Quantization::None;
        let network = load(folder, &config)?;
        if kind == VariantKind::Int8Weights {
            network.quantize_weights()?;
        }
        networks.push((kind, precision, network));
    }
    for (kind, precision, mut network) in networks {
        let name = serde_json::to_string(&kind).map_err(std::io::Error::from)?;
        let mut on_batch =
            |n| observer.on_quantization(point, name.trim_matches('"'), n, test.n_batches());
        let loss = config.loss();
        let Some(evaluation) = evaluate(&mut network, &test, loss, &pool, stop, &mut on_batch)?
        else {
            return Ok(None);
        };
        if !evaluation.loss.is_finite() {
            let path = folder.join(CHECKPOINT_FILE);
            return Err(Error::NotFinite { path, what: "the test loss", value: evaluation.loss });
        }
        variants.push(Variant::new(kind, Some(precision), evaluation));
    }
    let Some(evaluation) = setting.evaluate(&integer, &test)? else { return Ok(None) };
    variants.push(Variant::new(VariantKind::Integer, None, evaluation));
    let silent = match &variants[..] {
        [trained, .., whole] => {
            silent_layers(&positions, &trained.nonzero_rate, &whole.nonzero_rate)
        }
        _ => vec![],
    };

    let file = folder.join(QUANTIZED_FILE);
    save(&file, &integer)?;
    write_json(&folder.join(VARIANTS_FILE), &Saved { variants: &variants })?;
    Ok(Some(QuantizationReport {
        folder: folder.to_owned(),
        file,
        n_samples: test.set().len(),
        network: integer.config().clone(),
        class_names: dataset.class_names,
        positions,
        variants,
        silent,
    }))
}

/// Evaluates the network that [`quantize_run`] saved in `folder` on the run's test set; `None` if
/// `stop` was set on the way. `settings` change the run's config, as `--set` does.
///
/// # Errors
/// If there is no config or network in the folder, the file is damaged, or data are missing.
pub fn evaluate_quantized(
    folder: &Path,
    settings: &[String],
    observer: &dyn Observer,
    stop: &AtomicBool,
) -> Result<Option<EvaluationReport>, Error> {
    let point = &read_point(folder, settings)?;
    let file = folder.join(QUANTIZED_FILE);
    let integer = read(&file)?;
    let arch = &point.config.network.arch;
    if integer.config().arch != *arch {
        let message = format!("it has the layers {}, but the run {arch}", integer.config().arch);
        return Err(FileError::Content { path: file, message }.into());
    }
    let dataset = mbspike_data::load(&point.config.dataset)?;
    let pool = thread_pool()?;
    let test = evaluate::loader(&point.config, dataset.test)?.with_pool(Arc::clone(&pool));
    let setting = Setting { point, observer, stop, pool: &pool };
    Ok(setting.evaluate(&integer, &test)?.map(|evaluation| {
        evaluation.report(folder, test.set().len(), dataset.class_names, positions_of(&integer))
    }))
}

/// `input`, `lif1`, …
fn positions_of(network: &IntegerNetwork) -> Vec<String> {
    let neurons = (1..=network.config().neurons.len()).map(|i| format!("lif{i}"));
    std::iter::once("input".to_owned()).chain(neurons).collect()
}

pub(crate) fn load(folder: &Path, config: &Config) -> Result<Network, Error> {
    let network = Network::new(&config.network_config(), config.seed, &Device::Cpu)?;
    checkpoint::load_weights(&folder.join(CHECKPOINT_FILE), &network)?;
    Ok(network)
}

/// What a conversion is made and evaluated in.
pub(crate) struct Setting<'a> {
    pub(crate) point: &'a Point,
    pub(crate) observer: &'a dyn Observer,
    pub(crate) stop: &'a AtomicBool,
    pub(crate) pool: &'a Arc<ThreadPool>,
}

impl Setting<'_> {
    /// The range of all inputs that `loader` makes.
    pub(crate) fn calibrate(&self, loader: &Loader) -> Result<Option<InputRange>, Error> {
        let mut range = InputRange::of(self.point.config.encoder.code());
        for (index, batch) in loader.epoch(EPOCH, 0).enumerate() {
            if self.stop.load(Ordering::Relaxed) {
                return Ok(None);
            }
            range.observe(&batch?.x_seq);
            self.observer.on_quantization(self.point, "calibration", index + 1, loader.n_batches());
        }
        Ok(Some(range))
    }

    /// What a network of whole numbers does.
    fn evaluate(
        &self,
        network: &IntegerNetwork,
        loader: &Loader,
    ) -> Result<Option<Evaluation>, Error> {
        let config = &self.point.config;
        let mut tally = evaluate::Tally::new(config.network.arch.n_classes());
        for (index, batch) in loader.epoch(EPOCH, 0).enumerate() {
            if self.stop.load(Ordering::Relaxed) {
                return Ok(None);
            }
            let (x_seq, targets) = batch?.into_tensors(&Device::Cpu)?;
            let (scores, activity) = self.pool.install(|| network.predict_with_activity(&x_seq))?;
            let logits = network.logits(&scores, x_seq.dim(0)?, config.neuron.v_threshold)?;
            let targets = targets.to_dtype(logits.dtype())?;
            let loss = config.loss().forward_tensor(&logits, &targets)?;
            tally.add(&scores, &targets, &loss, &activity)?;
            self.observer.on_quantization(self.point, "integer", index + 1, loader.n_batches());
        }
        Ok(Some(tally.evaluation()))
    }
}

/// Writes a network of whole numbers to `file`.
fn save(file: &Path, network: &IntegerNetwork) -> Result<(), FileError> {
    let bytes_of = |values: &[i32]| values.iter().flat_map(|v| v.to_le_bytes()).collect::<Vec<_>>();
    let mut entries = vec![];
    for (name, shape, numbers) in network.layers() {
        let n_out = vec![numbers.scale.len()];
        let weight = numbers.weight.iter().flat_map(|q| q.to_le_bytes()).collect();
        let scale = numbers.scale.iter().flat_map(|scale| scale.to_le_bytes()).collect();
        for (part, dtype, shape, bytes) in [
            ("weight", Dtype::I8, shape, weight),
            ("scale", Dtype::F32, n_out.clone(), scale),
            ("bias", Dtype::I32, n_out.clone(), bytes_of(&numbers.bias)),
            ("multiplier", Dtype::I32, n_out.clone(), bytes_of(&numbers.multiplier)),
            ("shift", Dtype::U8, n_out, numbers.shift.clone()),
        ] {
            entries.push((format!("{name}.{part}"), dtype, shape, bytes));
        }
    }
    let fail = |error: safetensors::SafeTensorError| FileError::Content {
        path: file.to_owned(),
        message: error.to_string(),
    };
    let views = entries
        .iter()
        .map(|(name, dtype, shape, bytes)| {
            Ok((name, TensorView::new(*dtype, shape.clone(), bytes)?))
        })
        .collect::<Result<Vec<_>, _>>()
        .map_err(fail)?;
    let config = serde_json::to_string(network.config()).map_err(std::io::Error::from)?;
    let metadata =
        HashMap::from([(FORMAT.0.to_owned(), FORMAT.1.to_owned()), (NETWORK.to_owned(), config)]);
    let bytes = safetensors::serialize(views, Some(metadata)).map_err(fail)?;
    let (bytes, _) = seal::seal_safetensors(&bytes).map_err(|error| FileError::Content {
        path: file.to_owned(),
        message: error.to_string(),
    })?;
    mbspike_files::write(file, |file| file.write_all(&bytes))?;
    Ok(())
}

/// Reads what [`save`] wrote.
fn read(file: &Path) -> Result<IntegerNetwork, Error> {
    let bytes = fs_err::read(file)?;
    let fail = |message: String| FileError::Content { path: file.to_owned(), message };
    let damaged = |error| fail(format!("not a whole safetensors file: {error}"));
    seal::check_safetensors(&bytes)
        .map_err(|error| fail(format!("{error}; convert the run again: mbspike quantize")))?;
    let (_, header) = SafeTensors::read_metadata(&bytes).map_err(damaged)?;
    let tensors = SafeTensors::deserialize(&bytes).map_err(damaged)?;
    let metadata = header.metadata().clone().unwrap_or_default();
    let Some(text) = metadata.get(NETWORK) else {
        return Err(fail(format!("its metadata have no entry `{NETWORK}`")).into());
    };
    let config: IntegerConfig = serde_json::from_str(text)
        .map_err(|error| fail(format!("its metadata entry `{NETWORK}` is damaged: {error}")))?;

    let read = |name: String, dtype: Dtype| -> Result<&[u8], FileError> {
        let tensor =
            tensors.tensor(&name).map_err(|_| fail(format!("there is no `{name}` in it")))?;
        if tensor.dtype() != dtype {
            return Err(fail(format!("`{name}` is {:?} in it, not {dtype:?}", tensor.dtype())));
        }
        Ok(tensor.data())
    };
    let words = |bytes: &[u8]| -> Vec<[u8; 4]> { bytes.as_chunks::<4>().0.to_vec() };
    let weights = mbspike_lif::integer::weight_names(&config.arch).into_iter().map(|name| {
        let part = |part: &str, dtype| read(format!("{name}.{part}"), dtype);
        let integers = |bytes| words(bytes).into_iter().map(i32::from_le_bytes).collect();
        Ok(IntegerWeights {
            weight: part("weight", Dtype::I8)?.iter().map(|q| i8::from_le_bytes([*q])).collect(),
            scale: words(part("scale", Dtype::F32)?).into_iter().map(f32::from_le_bytes).collect(),
            bias: integers(part("bias", Dtype::I32)?),
            multiplier: integers(part("multiplier", Dtype::I32)?),
            shift: part("shift", Dtype::U8)?.to_vec(),
        })
    });
    let weights = weights.collect::<Result<Vec<_>, FileError>>()?;
    let network = IntegerNetwork::new(config, weights);
    Ok(network.map_err(|error| fail(error.to_string()))?)
}

#[cfg(test)]
mod tests {
    use super::{SilentLayer, silent_layers};

    #[test]
    fn a_layer_that_lost_nine_tenths_of_its_spikes_is_silent() {
        let positions = ["input", "lif1", "lif2", "lif3"].map(str::to_owned);
        let (before, after) = ([0.4, 0.2, 0.0, 0.1], [0.4, 0.019, 0.0, 0.011]);
        let silent = silent_layers(&positions, &before, &after);
        let lif1 = SilentLayer { position: "lif1".to_owned(), before: 0.2, after: 0.019 };
        assert_eq!(silent, [lif1]);
    }
}

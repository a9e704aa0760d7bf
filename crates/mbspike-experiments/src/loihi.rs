//! Trained runs in the arithmetic of Loihi 2: conversion, accuracy, and what did not fit 24 bits.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use candle_core::Device;
use mbspike_data::SampleSet;
use mbspike_lif::Network;
use mbspike_lif::integer::loihi::{LARGEST_STATE, LoihiLayer, LoihiNetwork, Overflows};
use serde::Serialize;

use crate::error::Error;
use crate::evaluate::{self, EPOCH, EvaluationReport, Tally, evaluate};
use crate::folder::read_point;
use crate::observer::Observer;
use crate::pool::thread_pool;
use crate::quantize::{Setting, load};

/// A layer on the chip.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct LayerReport {
    /// Its shape and its neurons.
    pub layer: LoihiLayer,
    /// The number of its neurons.
    pub n_neurons: usize,
    /// Those of which no state can leave 24 bits, whatever they are fed.
    pub n_safe: usize,
    /// The largest absolute membrane that any of them can reach, in membranes that fit.
    pub worst: f64,
    /// The largest absolute membrane that there was, in membranes that fit.
    pub reached: f64,
    /// What did not fit.
    pub overflows: Overflows,
}

/// What [`evaluate_loihi`] finds.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct LoihiEvaluation {
    /// Of the network on the chip.
    #[serde(flatten)]
    pub evaluation: EvaluationReport,
    /// Whether each synapse took a step.
    pub synaptic_delay: bool,
    /// Share of samples that the network as trained classifies as their label, in `0..=1`.
    pub trained_accuracy: f64,
    /// The layers.
    pub layers: Vec<LayerReport>,
}

/// The checkpoint of the run in `folder` as a network of the chip's numbers; `None` if `stop` was set
/// on the way. The range of the input is that of all training samples, as of
/// [`quantize_run`](crate::quantize::quantize_run()).
///
/// # Errors
/// If there is no config or checkpoint in the folder, data are missing, or the chip has nothing for a
/// layer; the message names it.
pub fn convert_loihi(
    folder: &Path,
    settings: &[String],
    synaptic_delay: bool,
    observer: &dyn Observer,
    stop: &AtomicBool,
) -> Result<Option<LoihiNetwork>, Error> {
    let point = &read_point(folder, settings)?;
    let trained = load(folder, &point.config)?;
    let setting = Setting { point, observer, stop, pool: &thread_pool()? };
    let train = || Ok(mbspike_data::load(&point.config.dataset)?.train);
    convert(&setting, &trained, synaptic_delay, train)
}

/// [`convert_loihi`] of a trained network; `train` are the samples that it was trained on, asked for
/// where the range of its inputs was not observed then.
fn convert(
    setting: &Setting<'_>,
    trained: &Network,
    synaptic_delay: bool,
    train: impl FnOnce() -> Result<SampleSet, Error>,
) -> Result<Option<LoihiNetwork>, Error> {
    let config = &setting.point.config;
    let observed = trained.input_range()?.filter(|range| range.step().is_some());
    let range = if let Some(range) = observed {
        range
    } else {
        let train = evaluate::loader(config, train()?)?.with_pool(Arc::clone(setting.pool));
        let Some(range) = setting.calibrate(&train)? else { return Ok(None) };
        range
    };
    let n_steps = config.encoder.time_steps;
    Ok(Some(LoihiNetwork::from_network(trained, range, n_steps, synaptic_delay)?))
}

/// Converts the run in `folder`, and evaluates it as trained and in the chip's arithmetic on its test
/// set; `None` if `stop` was set on the way. `settings` change the run's config, as `--set` does.
///
/// # Errors
/// As [`convert_loihi`].
pub fn evaluate_loihi(
    folder: &Path,
    settings: &[String],
    synaptic_delay: bool,
    observer: &dyn Observer,
    stop: &AtomicBool,
) -> Result<Option<LoihiEvaluation>, Error> {
    let point = &read_point(folder, settings)?;
    let config = &point.config;
    let dataset = mbspike_data::load(&config.dataset)?;
    let pool = thread_pool()?;
    let mut trained = load(folder, config)?;
    let setting = Setting { point, observer, stop, pool: &pool };
    let Some(network) = convert(&setting, &trained, synaptic_delay, || Ok(dataset.train))? else {
        return Ok(None);
    };
    let test = evaluate::loader(config, dataset.test)?.with_pool(Arc::clone(&pool));
    let n_batches = test.n_batches();
    let mut on_batch = |n| observer.on_quantization(point, "as-trained", n, n_batches);
    let Some(as_trained) =
        evaluate(&mut trained, &test, config.loss(), &pool, stop, &mut on_batch)?
    else {
        return Ok(None);
    };
    let layers = &network.config().layers;
    let mut tally = Tally::new(config.network.arch.n_classes());
    let (mut overflows, mut largest) =
        (vec![Overflows::default(); layers.len()], vec![0_i64; layers.len()]);
    for (index, batch) in test.epoch(EPOCH, 0).enumerate() {
        if stop.load(Ordering::Relaxed) {
            return Ok(None);
        }
        let (x_seq, targets) = batch?.into_tensors(&Device::Cpu)?;
        let prediction = pool.install(|| network.predict(&x_seq))?;
        let logits = network.logits(&prediction.scores, x_seq.dim(0)?)?;
        let targets = targets.to_dtype(logits.dtype())?;
        let loss = config.loss().forward_tensor(&logits, &targets)?;
        tally.add(&prediction.scores, &targets, &loss, &prediction.activity)?;
        for (i, (sum, most)) in overflows.iter_mut().zip(&mut largest).enumerate() {
            sum.merge(&prediction.overflows[i]);
            *most = (*most).max(prediction.largest[i]);
        }
        observer.on_quantization(point, "loihi", index + 1, n_batches);
    }
    let evaluation = tally.evaluation();
    let headroom = network.headroom(config.encoder.time_steps);
    let reports = layers.iter().zip(headroom).enumerate().map(|(i, (layer, room))| LayerReport {
        layer: layer.clone(),
        n_neurons: room.n_neurons,
        n_safe: room.n_safe,
        worst: room.worst,
        reached: largest[i] as f64 / f64::from(LARGEST_STATE),
        overflows: overflows[i],
    });
    let names = layers.iter().map(|layer| format!("after {}", layer.name));
    let positions = std::iter::once("input".to_owned()).chain(names).collect();
    Ok(Some(LoihiEvaluation {
        evaluation: evaluation.report(folder, test.set().len(), dataset.class_names, positions),
        synaptic_delay,
        trained_accuracy: as_trained.accuracy,
        layers: reports.collect(),
    }))
}

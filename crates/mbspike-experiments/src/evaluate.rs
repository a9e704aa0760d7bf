//! Accuracy, loss and activity of a network on a test set.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use candle_core::{D, DType, Tensor};
use mbspike_data::{AugmentConfig, Loader, LoaderConfig, SampleSet};
use mbspike_lif::{Activity, Loss, Network};
use rayon::ThreadPool;
use serde::Serialize;

use crate::config::Config;
use crate::error::Error;
use crate::observer::Observer;
use crate::sweep::Point;

/// The epoch whose spikes samples are evaluated with: always the same, so that an accuracy is a
/// function of weights and seed alone.
pub(crate) const EPOCH: u32 = 0;

/// What a network does on a test set.
#[derive(Debug, Clone, PartialEq)]
pub struct Evaluation {
    /// Mean loss of a sample.
    pub loss: f64,
    /// Share of samples classified as their label, in `0..=1`.
    pub accuracy: f64,
    /// Samples by their label (rows) and the class they were given (columns).
    pub confusion: Vec<Vec<u64>>,
    /// Activity over all samples.
    pub activity: Activity,
}

/// What an evaluation of a run's network finds, in whatever arithmetic.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct EvaluationReport {
    /// The run's folder.
    #[serde(serialize_with = "mbspike_files::serialize_path")]
    pub folder: PathBuf,
    /// Test samples.
    pub n_samples: usize,
    /// Share of them classified as their label, in `0..=1`.
    pub test_accuracy: f64,
    /// Mean loss of a sample.
    pub test_loss: f64,
    /// Samples by their label (rows) and the class they were given (columns).
    pub confusion: Vec<Vec<u64>>,
    /// Names of the classes, in the order of the labels.
    pub class_names: Vec<String>,
    /// Where activity is measured: `input`, then the neurons of each layer.
    pub positions: Vec<String>,
    /// Share of non-zero elements at each position, in `0..=1`.
    pub nonzero_rate: Vec<f64>,
    /// Mean spike value at each position, in `0..=1`.
    pub mean_spike: Vec<f64>,
}

impl Evaluation {
    /// This, of the run in `folder`.
    pub(crate) fn report(
        self,
        folder: &Path,
        n_samples: usize,
        class_names: Vec<String>,
        positions: Vec<String>,
    ) -> EvaluationReport {
        EvaluationReport {
            folder: folder.to_owned(),
            n_samples,
            test_accuracy: self.accuracy,
            test_loss: self.loss,
            confusion: self.confusion,
            class_names,
            positions,
            nonzero_rate: self.activity.nonzero_rate(),
            mean_spike: self.activity.mean_value(),
        }
    }
}

/// The loader that evaluates `set` under `config`.
pub fn loader(config: &Config, set: SampleSet) -> Result<Loader, Error> {
    let config = LoaderConfig {
        encoder: config.encoder.clone(),
        augment: AugmentConfig::default(),
        batch_size: config.train.batch_size,
        n_classes: config.network.arch.n_classes(),
        seed: config.seed,
        shuffle: false,
    };
    Ok(Loader::new(set, config)?)
}

/// `loader`, computing in `pool` and reading event frames from the cache that the config names.
pub fn prepared(
    loader: Loader,
    point: &Point,
    pool: &Arc<ThreadPool>,
    observer: &dyn Observer,
) -> Result<Loader, Error> {
    let loader = loader.with_pool(Arc::clone(pool));
    let Some(folder) = point.config.dataset.frame_cache.folder()? else { return Ok(loader) };
    let mut on_progress = |n_done, n| observer.on_frames(point, n_done, n);
    Ok(pool.install(|| loader.with_frame_cache(&folder, &mut on_progress))?)
}

/// Evaluates `network` on all samples of `loader`; `None` if `stop` was set on the way.
///
/// `on_batch` hears the number of batches done after each.
pub fn evaluate(
    network: &mut Network,
    loader: &Loader,
    loss: Loss,
    pool: &ThreadPool,
    stop: &AtomicBool,
    on_batch: &mut dyn FnMut(usize),
) -> Result<Option<Evaluation>, Error> {
    // What is not read before the end does not wait for the device.
    let mut unread = Vec::new();
    for (index, batch) in loader.epoch(EPOCH, 0).enumerate() {
        if stop.load(Ordering::Relaxed) {
            return Ok(None);
        }
        let batch = batch?;
        let (x_seq, targets) = batch.into_tensors(network.device())?;
        let prediction = pool.install(|| network.predict_deferred(&x_seq))?;
        let logits = &prediction.logits;
        let classes = (first_largest(&targets)?, first_largest(logits)?);
        let targets = targets.to_dtype(logits.dtype())?;
        let loss = loss.forward_tensor(logits, &targets)?.to_dtype(DType::F64)?;
        unread.push((classes, loss, prediction.activity));
        on_batch(index + 1);
    }
    let mut tally = Tally::new(network.config().arch.n_classes());
    for (classes, loss, counts) in unread {
        tally.add_classes(&classes, &loss, &Activity::read(&counts)?)?;
    }
    Ok(Some(tally.evaluation()))
}

/// Sums over samples that were evaluated.
pub(crate) struct Tally {
    n_samples: usize,
    loss: f64,
    confusion: Vec<Vec<u64>>,
    activity: Activity,
}

impl Tally {
    pub(crate) fn new(n_classes: usize) -> Self {
        let confusion = vec![vec![0; n_classes]; n_classes];
        Self { n_samples: 0, loss: 0.0, confusion, activity: Activity::default() }
    }

    /// A batch's scores and targets, both `[B, n_classes]`, its mean loss and activity.
    pub(crate) fn add(
        &mut self,
        scores: &Tensor,
        targets: &Tensor,
        loss: &Tensor,
        activity: &Activity,
    ) -> Result<(), Error> {
        self.add_classes(&(first_largest(targets)?, first_largest(scores)?), loss, activity)
    }

    /// A batch's labels and the classes it was given, both `[B]`.
    fn add_classes(
        &mut self,
        (labels, given): &(Tensor, Tensor),
        loss: &Tensor,
        activity: &Activity,
    ) -> Result<(), Error> {
        let labels = labels.to_vec1::<u32>()?;
        self.n_samples += labels.len();
        self.loss += loss.to_dtype(DType::F64)?.to_scalar::<f64>()? * labels.len() as f64;
        for (label, given) in labels.into_iter().zip(given.to_vec1::<u32>()?) {
            self.confusion[label as usize][given as usize] += 1;
        }
        self.activity.merge(activity);
        Ok(())
    }

    pub(crate) fn evaluation(self) -> Evaluation {
        let n = self.n_samples.max(1) as f64;
        let right = self.confusion.iter().enumerate().map(|(class, row)| row[class]);
        let accuracy = right.sum::<u64>() as f64 / n;
        let Self { loss, confusion, activity, .. } = self;
        Evaluation { loss: loss / n, accuracy, confusion, activity }
    }
}

/// Number of samples whose largest logit is at the most probable class of their target, a scalar on
/// the device of the two, both `[B, n_classes]`.
pub(crate) fn n_correct_of(logits: &Tensor, targets: &Tensor) -> Result<Tensor, Error> {
    let is_correct = first_largest(logits)?.eq(&first_largest(targets)?)?;
    Ok(is_correct.to_dtype(DType::U32)?.sum_all()?)
}

/// The index of the first largest score of each row: mean spikes tie all the time, and of several
/// largest values `argmax` gives one or another, depending on the device.
fn first_largest(scores: &Tensor) -> Result<Tensor, Error> {
    let n_classes = scores.dim(D::Minus1)?;
    let ranks: Vec<f32> = (0..n_classes).rev().map(|rank| 1.0 + rank as f32).collect();
    let ranks = Tensor::from_vec(ranks, n_classes, scores.device())?;
    let is_largest = scores.broadcast_eq(&scores.max_keepdim(D::Minus1)?)?.to_dtype(DType::F32)?;
    Ok(is_largest.broadcast_mul(&ranks)?.argmax(D::Minus1)?)
}

#[cfg(test)]
mod tests {
    use candle_core::{Device, Tensor};

    use super::{first_largest, n_correct_of};

    #[test]
    fn of_equal_scores_the_first_counts() {
        let scores = [[0.5_f32, 1.0, 1.0, 0.0], [0.0, 0.0, 0.0, 0.0], [-2.0, -3.0, -2.0, -1.0]];
        let scores = Tensor::new(&scores, &Device::Cpu).unwrap();
        assert_eq!(first_largest(&scores).unwrap().to_vec1::<u32>().unwrap(), [1, 0, 3]);
        let targets = [[0.0_f32, 0.5, 0.5, 0.0], [0.0, 1.0, 0.0, 0.0], [0.0, 0.0, 0.0, 1.0]];
        let targets = Tensor::new(&targets, &Device::Cpu).unwrap();
        assert_eq!(n_correct_of(&scores, &targets).unwrap().to_scalar::<u32>().unwrap(), 2);
    }
}

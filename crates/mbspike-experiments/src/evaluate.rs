//! Accuracy, loss and activity of a network on a test set.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use candle_core::{D, DType, Tensor};
use mbspike_data::{AugmentConfig, Loader, LoaderConfig, SampleSet};
use mbspike_lif::{Activity, Loss, Network};
use rayon::ThreadPool;

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
        let n = batch.len();
        let (x_seq, targets) = batch.into_tensors(network.device())?;
        let prediction = pool.install(|| network.predict_deferred(&x_seq))?;
        let logits = &prediction.logits;
        let classes = (first_largest(&targets)?, first_largest(logits)?);
        let targets = targets.to_dtype(logits.dtype())?;
        let loss = loss.forward_tensor(logits, &targets)?.to_dtype(DType::F64)?;
        unread.push((n, classes, loss, prediction.activity));
        on_batch(index + 1);
    }
    let n_classes = network.config().arch.n_classes();
    let mut confusion = vec![vec![0; n_classes]; n_classes];
    let (mut n_samples, mut loss_sum) = (0, 0.0);
    let mut activity = Activity::default();
    for (n, (labels, predicted), loss, counts) in unread {
        n_samples += n;
        let predicted = predicted.to_vec1::<u32>()?;
        for (label, predicted) in labels.to_vec1::<u32>()?.into_iter().zip(predicted) {
            confusion[label as usize][predicted as usize] += 1;
        }
        loss_sum += loss.to_scalar::<f64>()? * n as f64;
        activity.merge(&Activity::read(&counts)?);
    }
    let n = n_samples.max(1) as f64;
    let n_correct: u64 = confusion.iter().enumerate().map(|(class, row)| row[class]).sum();
    let accuracy = n_correct as f64 / n;
    Ok(Some(Evaluation { loss: loss_sum / n, accuracy, confusion, activity }))
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

//! From the output layer to a loss: readouts, and losses against class probabilities.
//!
//! Targets are probabilities `[B, n_classes]`, so that labels, label smoothing, mixup and cutmix
//! are one thing. Every function exists twice: for one sample on slices, with its gradient written
//! out, and for a batch on tensors under candle's autograd. Definitions are those of `PyTorch`'s
//! `cross_entropy` and `mse_loss` with their default reduction to the mean.

use candle_core::{D, DType, Device, Tensor};
use mbspike_core::Real;
use serde::{Deserialize, Serialize};

use crate::layer::{objective, readout};
use crate::{Error, Result};

/// How the output layer's activity over time becomes one score a class.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Readout {
    /// The mean spike over time.
    #[default]
    MeanSpike,
    /// The membrane at the last step.
    LastMembrane,
    /// The largest membrane over time; its gradient goes to the first step that reaches it.
    MaxMembrane,
}

impl Readout {
    /// Whether the scores are read from membranes rather than from spikes.
    pub fn reads_membrane(self) -> bool {
        match self {
            Self::MeanSpike => false,
            Self::LastMembrane | Self::MaxMembrane => true,
        }
    }

    /// Scores of one sample: `seq` `[T, n]`, spikes or membranes, to `logits` `[n]`.
    ///
    /// # Panics
    /// If `logits` is empty or `seq` is not a positive number of steps of it.
    pub fn forward<T: Real>(self, logits: &mut [T], seq: &[T]) {
        let n_steps = check_steps(logits.len(), seq.len());
        match self {
            Self::MeanSpike => {
                logits.fill(T::zero());
                for step in seq.chunks_exact(logits.len()) {
                    for (logit, s) in logits.iter_mut().zip(step) {
                        *logit += *s;
                    }
                }
                let n_steps = T::of(n_steps as f64);
                for logit in logits {
                    *logit /= n_steps;
                }
            }
            Self::LastMembrane => logits.copy_from_slice(&seq[seq.len() - logits.len()..]),
            Self::MaxMembrane => {
                for (i, logit) in logits.iter_mut().enumerate() {
                    *logit = seq[first_largest(seq, i, n_steps)];
                }
            }
        }
    }

    /// The gradient of one sample: `grad_logits` `[n]` and the `seq` `[T, n]` of
    /// [`Readout::forward`] to `grad_seq` `[T, n]`.
    ///
    /// # Panics
    /// If the lengths do not fit each other.
    pub fn backward<T: Real>(self, grad_seq: &mut [T], grad_logits: &[T], seq: &[T]) {
        let n = grad_logits.len();
        let n_steps = check_steps(n, grad_seq.len());
        assert_eq!(grad_seq.len(), seq.len(), "grad_seq and seq differ in length");
        match self {
            Self::MeanSpike => {
                let n_steps = T::of(n_steps as f64);
                for step in grad_seq.chunks_exact_mut(n) {
                    for (grad, grad_logit) in step.iter_mut().zip(grad_logits) {
                        *grad = *grad_logit / n_steps;
                    }
                }
            }
            Self::LastMembrane => {
                let (earlier, last) = grad_seq.split_at_mut(seq.len() - n);
                earlier.fill(T::zero());
                last.copy_from_slice(grad_logits);
            }
            Self::MaxMembrane => {
                grad_seq.fill(T::zero());
                for (i, grad_logit) in grad_logits.iter().enumerate() {
                    grad_seq[first_largest(seq, i, n_steps)] = *grad_logit;
                }
            }
        }
    }

    /// Scores of a batch: `seq` `[T, B, n]`, spikes or membranes, to `[B, n]`.
    pub fn forward_tensor(self, seq: &Tensor) -> Result<Tensor> {
        Ok(match self {
            Self::MeanSpike => readout::mean_over_time(seq)?,
            Self::LastMembrane => readout::last_step(seq)?,
            Self::MaxMembrane => readout::max_over_time(seq)?,
        })
    }
}

fn check_steps(n: usize, len: usize) -> usize {
    assert!(n > 0 && len >= n && len.is_multiple_of(n), "{len} values are not steps of {n}");
    len / n
}

/// The position in `seq` `[T, n]` of the first largest value of column `i`; a NaN wins, so that it
/// is not lost.
fn first_largest<T: Real>(seq: &[T], i: usize, n_steps: usize) -> usize {
    let n = seq.len() / n_steps;
    let mut largest = i;
    for candidate in (i..seq.len()).step_by(n).skip(1) {
        if seq[candidate] > seq[largest] || (seq[candidate].is_nan() && !seq[largest].is_nan()) {
            largest = candidate;
        }
    }
    largest
}

/// What is minimized.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LossKind {
    /// `−Σ_i p_i log softmax(x)_i`.
    #[default]
    CrossEntropy,
    /// `(1/n) Σ_i (x_i − p_i)²`.
    Mse,
}

/// The loss of logits `x` against class probabilities `p`; the loss of a batch is the mean of its
/// samples' losses.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Loss {
    /// What is minimized.
    #[serde(default)]
    pub kind: LossKind,
    /// The share `ε` in `0..=1` of each target that is spread over all classes:
    /// `p' = (1 − ε) p + ε / n_classes`, `PyTorch`'s definition.
    #[serde(default)]
    pub label_smoothing: f64,
}

impl Loss {
    /// Refuses a label smoothing outside `0..=1`.
    pub fn validate(&self) -> Result<()> {
        if (0.0..=1.0).contains(&self.label_smoothing) {
            Ok(())
        } else {
            Err(Error::InvalidParameter {
                name: "label_smoothing",
                expected: "in 0..=1",
                got: self.label_smoothing.to_string(),
            })
        }
    }

    /// The loss of one sample, and its gradient with respect to `logits` in `grad_logits`; all
    /// slices are `[n_classes]`.
    ///
    /// # Panics
    /// If the slices differ in length.
    pub fn forward<T: Real>(&self, grad_logits: &mut [T], logits: &[T], target: &[T]) -> T {
        let smooth = smoothing::<T>(self.label_smoothing, target.len());
        match self.kind {
            LossKind::CrossEntropy => cross_entropy_of(grad_logits, logits, target, smooth),
            LossKind::Mse => mse_of(grad_logits, logits, target, smooth),
        }
    }

    /// The mean loss of a batch, a scalar: `logits` and `targets` `[B, n_classes]`.
    pub fn forward_tensor(&self, logits: &Tensor, targets: &Tensor) -> Result<Tensor> {
        let targets = smooth_targets(targets, self.label_smoothing)?;
        Ok(match self.kind {
            LossKind::CrossEntropy => objective::cross_entropy(logits, &targets)?,
            LossKind::Mse => objective::mse(logits, &targets)?,
        })
    }
}

/// Cross-entropy `−Σ_i p_i log softmax(x)_i` of one sample and its gradient
/// `softmax(x) Σ_j p_j − p`; all slices are `[n_classes]`.
///
/// # Panics
/// If the slices differ in length.
pub fn cross_entropy<T: Real>(grad_logits: &mut [T], logits: &[T], target: &[T]) -> T {
    cross_entropy_of(grad_logits, logits, target, |p| p)
}

/// Mean squared error `(1/n) Σ_i (x_i − p_i)²` of one sample and its gradient `(2/n) (x − p)`; all
/// slices are `[n_classes]`.
///
/// # Panics
/// If the slices differ in length.
pub fn mse<T: Real>(grad_logits: &mut [T], logits: &[T], target: &[T]) -> T {
    mse_of(grad_logits, logits, target, |p| p)
}

fn cross_entropy_of<T: Real>(
    grad_logits: &mut [T],
    logits: &[T],
    target: &[T],
    smooth: impl Fn(T) -> T,
) -> T {
    check_lengths(grad_logits, logits, target);
    // A NaN is never the largest; the exponentials bring it back into the loss.
    let largest = logits.iter().fold(T::neg_infinity(), |a, x| if *x > a { *x } else { a });
    let smallest = T::SMALLEST.ln();
    let mut sum = T::zero();
    for (grad, x) in grad_logits.iter_mut().zip(logits) {
        let below = *x - largest;
        // As `carried`, without making what it would not carry.
        *grad = if below < smallest { T::zero() } else { below.exp() };
        sum += *grad;
    }
    let log_sum = sum.ln();
    let mass: T = target.iter().map(|p| smooth(*p)).sum();
    let scale = mass / sum;
    let mut loss = T::zero();
    for ((grad, x), p) in grad_logits.iter_mut().zip(logits).zip(target) {
        let p = smooth(*p);
        // 0 · (−∞) counts as 0, as a class without probability has no part in the loss.
        if p != T::zero() {
            loss += p * (log_sum - (*x - largest));
        }
        *grad = *grad * scale - p;
    }
    loss
}

fn mse_of<T: Real>(
    grad_logits: &mut [T],
    logits: &[T],
    target: &[T],
    smooth: impl Fn(T) -> T,
) -> T {
    check_lengths(grad_logits, logits, target);
    let n = T::of(logits.len() as f64);
    let mut sum = T::zero();
    for ((grad, x), p) in grad_logits.iter_mut().zip(logits).zip(target) {
        let difference = *x - smooth(*p);
        sum += difference * difference;
        *grad = (difference + difference) / n;
    }
    sum / n
}

fn check_lengths<T>(grad_logits: &[T], logits: &[T], target: &[T]) {
    assert_eq!(grad_logits.len(), logits.len(), "grad_logits and logits differ in length");
    assert_eq!(target.len(), logits.len(), "target and logits differ in length");
}

/// `p ↦ (1 − ε) p + ε / n_classes`.
fn smoothing<T: Real>(label_smoothing: f64, n_classes: usize) -> impl Fn(T) -> T {
    let keep = T::of(1.0 - label_smoothing);
    let spread = T::of(label_smoothing / n_classes as f64);
    move |p| p * keep + spread
}

/// Label smoothing of class probabilities `[B, n_classes]`: `(1 − ε) p + ε / n_classes`, as in
/// `PyTorch`'s `CrossEntropyLoss(label_smoothing=ε)`.
pub fn smooth_targets(targets: &Tensor, label_smoothing: f64) -> Result<Tensor> {
    let n_classes = targets.dim(D::Minus1)?;
    Ok(targets.affine(1.0 - label_smoothing, label_smoothing / n_classes as f64)?)
}

/// Class probabilities `[B, n_classes]` of labels: 1 for the label, 0 elsewhere.
///
/// # Errors
/// If a label is not below `n_classes`.
pub fn one_hot(labels: &[u8], n_classes: usize, dtype: DType, device: &Device) -> Result<Tensor> {
    let mut probabilities = vec![0.0_f32; labels.len() * n_classes];
    for (i, label) in labels.iter().enumerate() {
        if usize::from(*label) >= n_classes {
            return Err(Error::Mismatch {
                op: "one_hot",
                what: format!("label {i}"),
                got: label.to_string(),
                expected: format!("below {n_classes}"),
            });
        }
        probabilities[i * n_classes + usize::from(*label)] = 1.0;
    }
    Ok(Tensor::from_vec(probabilities, (labels.len(), n_classes), device)?.to_dtype(dtype)?)
}

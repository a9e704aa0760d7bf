//! Losses of scores `[B, n_classes]` against class probabilities of the same shape, each a scalar, the
//! mean over the batch.

use candle_core::{D, DType, Result, Tensor};
use mbspike_core::Real;

use crate::Error;

fn check(op: &'static str, logits: &Tensor, targets: &Tensor) -> Result<()> {
    if logits.rank() == 2 && logits.dims() == targets.dims() {
        return Ok(());
    }
    Err(Error::Mismatch {
        op,
        what: "the target".into(),
        got: format!("{:?}", targets.dims()),
        expected: format!("[B, n_classes] as the logits, {:?}", logits.dims()),
    }
    .into())
}

/// `−Σ_i p_i log softmax(x)_i`.
///
/// # Errors
/// If the shapes differ.
pub fn cross_entropy(logits: &Tensor, targets: &Tensor) -> Result<Tensor> {
    check("cross_entropy", logits, targets)?;
    let log_probabilities = log_softmax(logits)?;
    (targets * log_probabilities)?.sum(D::Minus1)?.mean_all()?.neg()
}

/// Logarithms of the probabilities of `[B, n_classes]`. An exponential that is not
/// [carried](Real::carried) on, in a sum that is at least 1, is 0, and so is its gradient.
fn log_softmax(logits: &Tensor) -> Result<Tensor> {
    let smallest = if logits.dtype() == DType::F64 { f64::SMALLEST } else { f32::SMALLEST.into() };
    let below_largest = logits.broadcast_sub(&logits.max_keepdim(D::Minus1)?)?;
    let minus_infinity = below_largest.zeros_like()?.affine(0.0, f64::NEG_INFINITY)?;
    let felt = below_largest.lt(smallest.ln())?.where_cond(&minus_infinity, &below_largest)?;
    let sum = felt.exp()?.sum_keepdim(D::Minus1)?;
    below_largest.broadcast_sub(&sum.log()?)
}

/// `(1/n) Σ_i (x_i − p_i)²`.
///
/// # Errors
/// If the shapes differ.
pub fn mse(logits: &Tensor, targets: &Tensor) -> Result<Tensor> {
    check("mse", logits, targets)?;
    (logits - targets)?.sqr()?.mean_all()
}

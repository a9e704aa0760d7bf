//! Losses of scores `[B, n_classes]` against class probabilities of the same shape, each a scalar, the
//! mean over the batch.

use candle_core::{D, Result, Tensor};

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
    let log_probabilities = candle_nn::ops::log_softmax(logits, D::Minus1)?;
    (targets * log_probabilities)?.sum(D::Minus1)?.mean_all()?.neg()
}

/// `(1/n) Σ_i (x_i − p_i)²`.
///
/// # Errors
/// If the shapes differ.
pub fn mse(logits: &Tensor, targets: &Tensor) -> Result<Tensor> {
    check("mse", logits, targets)?;
    (logits - targets)?.sqr()?.mean_all()
}

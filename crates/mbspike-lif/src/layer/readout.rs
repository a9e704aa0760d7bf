//! From the output layer's sequence `[T, B, N]` to scores `[B, N]`.

use candle_core::{Result, Tensor};

use crate::Error;

fn check(op: &'static str, seq: &Tensor) -> Result<()> {
    if seq.rank() >= 2 && seq.dims()[0] > 0 {
        return Ok(());
    }
    let got = format!("{:?}", seq.dims());
    let expected = "[T, B, …] with T > 0".into();
    Err(Error::Mismatch { op, what: "the sequence".into(), got, expected }.into())
}

/// The mean over time.
///
/// # Errors
/// If there are no steps.
pub fn mean_over_time(seq: &Tensor) -> Result<Tensor> {
    check("mean_over_time", seq)?;
    seq.mean(0)
}

/// The last step.
///
/// # Errors
/// If there are no steps.
pub fn last_step(seq: &Tensor) -> Result<Tensor> {
    check("last_step", seq)?;
    seq.get(seq.dim(0)? - 1)
}

/// The largest value over time; the gradient goes to the first step that reaches it.
///
/// # Errors
/// If there are no steps.
pub fn max_over_time(seq: &Tensor) -> Result<Tensor> {
    check("max_over_time", seq)?;
    let step = seq.detach().argmax_keepdim(0)?;
    seq.contiguous()?.gather(&step, 0)?.squeeze(0)
}

/// The mean of each group of `group` scores `[B, N]`: `[B, N / group]`.
///
/// # Errors
/// If `group` does not divide the number of scores.
pub fn vote(scores: &Tensor, group: usize) -> Result<Tensor> {
    match *scores.dims() {
        [batch_size, n] if group > 0 && n % group == 0 => {
            scores.reshape((batch_size, n / group, group))?.mean(2)
        }
        ref dims => {
            let got = format!("{dims:?}");
            let expected = format!("[B, N] with N a multiple of the group, {group}");
            Err(Error::Mismatch { op: "vote", what: "the scores".into(), got, expected }.into())
        }
    }
}

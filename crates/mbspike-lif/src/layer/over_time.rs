use candle_core::{Result, Tensor};
use candle_nn::{Module, ModuleT};

use crate::Error;

/// Any layer without time (`Conv2d`, `Linear`, a closure, …) on a sequence: time is folded into the
/// batch, `[T, B, …]` to `[T·B, …]` and back.
///
/// candle's products add in an order that depends on the number of rows, so that a sequence and the same
/// sequence step by step may differ in the last bits; with [`EachStep`] they do not.
#[derive(Debug, Clone)]
pub struct OverTime<M>(
    /// The layer.
    pub M,
);

/// [`OverTime`] for layers that differ between training and evaluation, such as `BatchNorm`, whose
/// statistics are then over steps and samples.
#[derive(Debug, Clone)]
pub struct OverTimeT<M>(
    /// The layer.
    pub M,
);

/// A layer without time on each step of a sequence by itself, `[T, B, …]`: slower than [`OverTime`], and a
/// sequence fed in parts gives the bits of the whole.
#[derive(Debug, Clone)]
pub struct EachStep<M>(
    /// The layer.
    pub M,
);

fn folded(x_seq: &Tensor, forward: impl FnOnce(&Tensor) -> Result<Tensor>) -> Result<Tensor> {
    let [n_steps, batch_size, ..] = *x_seq.dims() else {
        return Err(Error::Mismatch {
            op: "over time",
            what: "x_seq".into(),
            got: format!("{:?}", x_seq.dims()),
            expected: "[T, B, …]".into(),
        }
        .into());
    };
    let y = forward(&x_seq.flatten(0, 1)?)?;
    if y.rank() == 0 || y.dims()[0] != n_steps * batch_size {
        return Err(Error::Mismatch {
            op: "over time",
            what: "what the layer gave".into(),
            got: format!("{:?}", y.dims()),
            expected: format!("[{}, …]", n_steps * batch_size),
        }
        .into());
    }
    let mut dims = vec![n_steps, batch_size];
    dims.extend_from_slice(&y.dims()[1..]);
    y.reshape(dims)
}

impl<M: Module> Module for OverTime<M> {
    fn forward(&self, x_seq: &Tensor) -> Result<Tensor> {
        folded(x_seq, |x| self.0.forward(x))
    }
}

impl<M: Module> Module for EachStep<M> {
    fn forward(&self, x_seq: &Tensor) -> Result<Tensor> {
        let n_steps = *x_seq.dims().first().unwrap_or(&0);
        let steps = (0..n_steps).map(|t| folded(&x_seq.narrow(0, t, 1)?, |x| self.0.forward(x)));
        match steps.collect::<Result<Vec<_>>>()? {
            steps if steps.is_empty() => folded(x_seq, |x| self.0.forward(x)),
            steps => Tensor::cat(&steps, 0),
        }
    }
}

impl<M: ModuleT> ModuleT for OverTimeT<M> {
    fn forward_t(&self, x_seq: &Tensor, train: bool) -> Result<Tensor> {
        folded(x_seq, |x| self.0.forward_t(x, train))
    }
}

use candle_core::{Result, Tensor};
use candle_nn::ModuleT;

use crate::{Error, StepKey, dropout};

/// Dropout with one mask for all steps of a sample: what is dropped is silent for the whole sequence.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Dropout {
    p: f64,
    index: usize,
}

impl Dropout {
    /// Drops elements with probability `p` in `0..1`. `index` tells the dropout layers of a network
    /// apart, whose masks differ under one [`StepKey`].
    ///
    /// # Errors
    /// If `p` is not in `0..1`.
    pub fn new(p: f64, index: usize) -> crate::Result<Self> {
        if (0.0..1.0).contains(&p) {
            Ok(Self { p, index })
        } else {
            let got = p.to_string();
            Err(Error::InvalidParameter { name: "p", expected: "in 0..1", got })
        }
    }

    /// In training, with masks that are a function of `key` and a sample's place in the batch: `x_seq`
    /// `[T, B, …]`.
    ///
    /// # Errors
    /// If there is no batch.
    pub fn forward_with(&self, x_seq: &Tensor, key: StepKey) -> Result<Tensor> {
        let batch_size = x_seq.dim(1)?;
        let n: usize = x_seq.dims()[2..].iter().product();
        let mut mask = vec![0.0_f32; batch_size * n];
        for (sample, mask) in mask.chunks_exact_mut(n.max(1)).enumerate() {
            dropout::fill_mask(mask, self.p, self.index, sample, key);
        }
        let mut dims = x_seq.dims().to_vec();
        dims[0] = 1;
        let mask = Tensor::from_vec(mask, dims, x_seq.device())?.to_dtype(x_seq.dtype())?;
        x_seq.broadcast_mul(&mask)
    }
}

impl ModuleT for Dropout {
    /// In training, with masks of candle's own generator; else unchanged.
    fn forward_t(&self, x_seq: &Tensor, train: bool) -> Result<Tensor> {
        if !train || self.p == 0.0 {
            return Ok(x_seq.clone());
        }
        let mut dims = x_seq.dims().to_vec();
        if let Some(n_steps) = dims.first_mut() {
            *n_steps = 1;
        }
        let uniform = Tensor::rand(0_f32, 1.0, dims, x_seq.device())?;
        let mask = uniform.ge(self.p)?.to_dtype(x_seq.dtype())?;
        x_seq.broadcast_mul(&mask.affine(1.0 / (1.0 - self.p), 0.0)?)
    }
}

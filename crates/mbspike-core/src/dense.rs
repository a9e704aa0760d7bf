//! Dense layers on the sparse activity of one sample and one time step.
//!
//! The forward pass and the gradient of the weights run over the non-zeros of the input, so zeros
//! cost nothing; the gradient of the input runs over the outputs. Weights are kept twice: `by_input`
//! `[in, out padded]` and `by_output` `[out, in]`. [`reference`](mod@reference) is the plain form.
#![expect(unsafe_code, reason = "register accumulators over raw rows; bounds are checked first")]

use pulp::{Arch, Simd, WithSimd};

use crate::conv::{lanes_for, padded_channels};
use crate::error::check_len;
use crate::{Real, Result};

/// Lists the non-zero elements of `x`: their places in `index`, their values in `value`, both at
/// least one longer than `x`. Returns how many there are. NaN counts as non-zero.
///
/// # Panics
/// If a list is too short.
pub fn nonzeros(index: &mut [u32], value: &mut [f32], x: &[f32]) -> usize {
    assert!(index.len() > x.len() && value.len() > x.len(), "lists shorter than the input");
    let mut n = 0;
    for (i, &v) in x.iter().enumerate() {
        index[n] = i as u32;
        value[n] = v;
        n += usize::from(v != 0.0);
    }
    n
}

/// A dense layer of `n_in` inputs and `n_out` outputs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Dense {
    n_in: usize,
    n_out: usize,
}

impl Dense {
    /// A layer of these sizes.
    pub fn new(n_in: usize, n_out: usize) -> Self {
        Self { n_in, n_out }
    }

    /// Inputs.
    pub fn n_in(&self) -> usize {
        self.n_in
    }

    /// Outputs.
    pub fn n_out(&self) -> usize {
        self.n_out
    }

    /// Outputs rounded up to whole vectors: the length of output rows.
    pub fn out_stride(&self) -> usize {
        padded_channels(self.n_out)
    }

    /// `y = W x (+ bias)` of one step: `y` `[out_stride]`, the input as its non-zeros, weights
    /// `by_input` `[n_in, out_stride]`, and a bias `[out_stride]`.
    ///
    /// # Errors
    /// If a slice has the wrong length.
    ///
    /// # Panics
    /// If an index is not below `n_in`.
    pub fn forward(
        &self,
        y: &mut [f32],
        index: &[u32],
        value: &[f32],
        by_input: &[f32],
        bias: Option<&[f32]>,
    ) -> Result<()> {
        const OP: &str = "Dense::forward";
        check_len(OP, "y", y.len(), self.out_stride())?;
        check_len(OP, "value", value.len(), index.len())?;
        check_len(OP, "by_input", by_input.len(), self.n_in * self.out_stride())?;
        match bias {
            Some(bias) => {
                check_len(OP, "bias", bias.len(), y.len())?;
                y.copy_from_slice(bias);
            }
            None => y.fill(0.0),
        }
        assert!(index.iter().all(|&i| (i as usize) < self.n_in), "an input index is out of range");
        crate::conv::dispatch(
            lanes_for(self.n_out),
            Forward { y, index, value, weights: by_input },
        );
        Ok(())
    }

    /// Gradient of the input of one step, `dx` `[n_in]`, from that of the output, `dy` `[n_out]`
    /// or longer, with weights `by_output` `[n_out, n_in]`.
    ///
    /// # Errors
    /// If a slice has the wrong length.
    pub fn backward_input(&self, dx: &mut [f32], dy: &[f32], by_output: &[f32]) -> Result<()> {
        const OP: &str = "Dense::backward_input";
        check_len(OP, "dx", dx.len(), self.n_in)?;
        check_len(OP, "dy", dy.len().max(self.n_out), dy.len())?;
        check_len(OP, "by_output", by_output.len(), self.n_in * self.n_out)?;
        dx.fill(0.0);
        Arch::new().dispatch(Rows { sum: dx, weights: by_output, factors: &dy[..self.n_out] });
        Ok(())
    }

    /// Adds the gradient of the weights of one step to `dw` `[n_in, out_stride]`, from the
    /// input's non-zeros and the output's gradient `dy` `[out_stride]`.
    ///
    /// # Errors
    /// If a slice has the wrong length.
    ///
    /// # Panics
    /// If an index is not below `n_in`.
    pub fn backward_weight(
        &self,
        dw: &mut [f32],
        dy: &[f32],
        index: &[u32],
        value: &[f32],
    ) -> Result<()> {
        const OP: &str = "Dense::backward_weight";
        check_len(OP, "dy", dy.len(), self.out_stride())?;
        check_len(OP, "dw", dw.len(), self.n_in * self.out_stride())?;
        check_len(OP, "value", value.len(), index.len())?;
        Arch::new().dispatch(Outer { dw, dy, index, value });
        Ok(())
    }
}

struct Forward<'a> {
    y: &'a mut [f32],
    index: &'a [u32],
    value: &'a [f32],
    weights: &'a [f32],
}

impl WithSimd for Forward<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(mut self, simd: S) {
        let n_vectors = self.y.len() / S::F32_LANES;
        let mut vector = 0;
        while vector < n_vectors {
            // SAFETY: `Dense::forward` checked that every index is a row of the weights and that
            // rows are as long as `y`.
            vector += unsafe {
                match n_vectors - vector {
                    8.. => self.columns::<S, 8>(simd, vector),
                    4..8 => self.columns::<S, 4>(simd, vector),
                    2..4 => self.columns::<S, 2>(simd, vector),
                    _ => self.columns::<S, 1>(simd, vector),
                }
            };
        }
    }
}

impl Forward<'_> {
    /// Adds up `N` vectors of outputs in registers; returns `N`.
    ///
    /// # Safety
    /// Every index must be a row of the weights, rows as long as `y`, and `y` must hold the
    /// vectors `vector..vector + N`.
    #[inline(always)]
    unsafe fn columns<S: Simd, const N: usize>(&mut self, simd: S, vector: usize) -> usize {
        let (stride, first) = (self.y.len(), vector * S::F32_LANES);
        let y = self.y.as_mut_ptr();
        let mut acc = [simd.splat_f32s(0.0); N];
        for (n, acc) in acc.iter_mut().enumerate() {
            // SAFETY: the caller's promise.
            *acc = unsafe { y.add(first + n * S::F32_LANES).cast::<S::f32s>().read_unaligned() };
        }
        for (&index, &value) in self.index.iter().zip(self.value) {
            let x = simd.splat_f32s(value);
            let row = index as usize * stride + first;
            for (n, acc) in acc.iter_mut().enumerate() {
                // SAFETY: the caller's promise.
                let w = unsafe {
                    let w = self.weights.as_ptr().add(row + n * S::F32_LANES);
                    w.cast::<S::f32s>().read_unaligned()
                };
                *acc = simd.mul_add_e_f32s(x, w, *acc);
            }
        }
        for (n, acc) in acc.into_iter().enumerate() {
            // SAFETY: the caller's promise.
            unsafe { y.add(first + n * S::F32_LANES).cast::<S::f32s>().write_unaligned(acc) };
        }
        N
    }
}

/// `sum += Σ factor · row`.
struct Rows<'a> {
    sum: &'a mut [f32],
    weights: &'a [f32],
    factors: &'a [f32],
}

impl WithSimd for Rows<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        for (row, &factor) in self.weights.chunks_exact(self.sum.len()).zip(self.factors) {
            if S::IS_SCALAR {
                add_scaled::<false>(self.sum, row, factor);
            } else {
                add_scaled::<true>(self.sum, row, factor);
            }
        }
    }
}

/// `dw[index] += value · dy` for each non-zero.
struct Outer<'a> {
    dw: &'a mut [f32],
    dy: &'a [f32],
    index: &'a [u32],
    value: &'a [f32],
}

impl WithSimd for Outer<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let stride = self.dy.len();
        for (&index, &value) in self.index.iter().zip(self.value) {
            let row = &mut self.dw[index as usize * stride..][..stride];
            if S::IS_SCALAR {
                add_scaled::<false>(row, self.dy, value);
            } else {
                add_scaled::<true>(row, self.dy, value);
            }
        }
    }
}

#[inline(always)]
fn add_scaled<const FMA: bool>(sum: &mut [f32], row: &[f32], factor: f32) {
    for (sum, w) in sum.iter_mut().zip(row) {
        *sum = w.fused::<FMA>(factor, *sum);
    }
}

/// The layer written plainly, in double precision: the oracle.
pub mod reference {
    /// `y[o] = Σ w[o][i] x[i]`, with `weight` `[out, in]`.
    pub fn dense_reference(x: &[f64], weight: &[f64]) -> Vec<f64> {
        weight.chunks_exact(x.len()).map(|w| w.iter().zip(x).map(|(w, x)| w * x).sum()).collect()
    }

    /// Gradients of the input and of the weights from that of the output.
    pub fn dense_backward_reference(
        x: &[f64],
        weight: &[f64],
        grad_y: &[f64],
    ) -> (Vec<f64>, Vec<f64>) {
        let mut grad_x = vec![0.0; x.len()];
        for (w, g) in weight.chunks_exact(x.len()).zip(grad_y) {
            grad_x.iter_mut().zip(w).for_each(|(sum, w)| *sum += w * g);
        }
        (grad_x, grad_y.iter().flat_map(|g| x.iter().map(move |x| x * g)).collect())
    }
}

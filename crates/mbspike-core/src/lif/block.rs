//! Some neurons of one sample at all time steps, for layers that are computed a batch at a time.
//!
//! A block is a run of image rows of a sample whose sums `y` lie as `[T, N]`. What one step of it
//! needs stays in the first-level cache while time passes, so that normalization, neurons and
//! whatever follows (pooling, counting) are one pass over `y`. The backward pass recomputes the
//! membranes from `y`, which is all that a layer keeps.

use std::ops::Range;

use pulp::{Arch, Simd, WithSimd};

use super::params::StepConstants;
use super::rows::{
    DerivativeOfRow, step_back, with_derivative_of_row, with_reset, with_reset_gradient,
};
use super::step::{self, HARD, NONE, SOFT, charge, reset};
use super::{LifParams, Reset};
use crate::Result;
use crate::error::check_len;

/// What lies between a layer's sums and its neurons, `z = scale · y + shift`: batch normalization,
/// or scale 1 and shift 0. Each slice has one value for each element of an image row.
#[derive(Debug, Clone, Copy)]
pub struct Affine<'a> {
    /// Factor of the sum.
    pub scale: &'a [f32],
    /// Added after that.
    pub shift: &'a [f32],
    /// Mean of the sum, with which gradients are multiplied after it was taken from the sum.
    pub mean: &'a [f32],
}

/// Some neurons of a sample.
#[derive(Debug, Clone)]
pub struct Block<'a> {
    /// The sample's sums, `[T, n_neurons]`.
    pub y: &'a [f32],
    /// Neurons of the sample.
    pub n_neurons: usize,
    /// Those of the block: whole image rows.
    pub range: Range<usize>,
    /// What happens to sums on the way; its length is that of an image row.
    pub affine: Affine<'a>,
}

impl Block<'_> {
    fn n_steps(&self) -> usize {
        self.y.len() / self.n_neurons.max(1)
    }

    fn check(&self, op: &'static str) -> Result<()> {
        let row = self.affine.scale.len();
        check_len(op, "y", self.y.len(), self.n_steps() * self.n_neurons)?;
        check_len(op, "shift", self.affine.shift.len(), row)?;
        check_len(op, "mean", self.affine.mean.len(), row)?;
        check_len(op, "the block", self.range.len() % row.max(1), 0)?;
        check_len(op, "the sample", self.n_neurons.max(self.range.end), self.n_neurons)
    }

    fn step(&self, t: usize) -> &[f32] {
        &self.y[t * self.n_neurons..][self.range.clone()]
    }
}

/// Working space of the functions here, kept from block to block.
#[derive(Debug, Default)]
pub struct BlockSpace {
    /// `[T, n]` in the backward pass, one step in the forward pass.
    h_seq: Vec<f32>,
    /// Membranes before each step, `[T, n]`, where the time constant is learned.
    v_seq: Vec<f32>,
    v: Vec<f32>,
    s: Vec<f32>,
    ds: Vec<f32>,
    grad_s: Vec<f32>,
    sum: Vec<f32>,
    sum_y: Vec<f32>,
}

fn zeroed(values: &mut Vec<f32>, n: usize) -> &mut [f32] {
    values.clear();
    values.resize(n, 0.0);
    values
}

fn room(values: &mut Vec<f32>, n: usize) -> &mut [f32] {
    if values.len() < n {
        values.resize(n, 0.0);
    }
    &mut values[..n]
}

/// One step of the block's rows.
#[inline(always)]
fn step_rows<const RESET: u8, const POWER_OF_TWO: bool, const FMA: bool>(
    h: &mut [f32],
    s: &mut [f32],
    v: &mut [f32],
    y: &[f32],
    affine: &Affine<'_>,
    c: &StepConstants<f32>,
) {
    let row = affine.scale.len();
    let (scale, shift) = (&affine.scale[..row], &affine.shift[..row]);
    let outputs = h.chunks_exact_mut(row).zip(s.chunks_exact_mut(row)).zip(v.chunks_exact_mut(row));
    for (((h, s), v), y) in outputs.zip(y.chunks_exact(row)) {
        for i in 0..row {
            let z = y[i] * scale[i] + shift[i];
            h[i] = charge::<f32, RESET>(z, v[i], c);
            s[i] = step::fire::<f32, POWER_OF_TWO, FMA>(h[i], c);
            v[i] = reset::<f32, RESET>(h[i], s[i], c);
        }
    }
}

struct Forward<'a, F> {
    block: &'a Block<'a>,
    params: &'a LifParams,
    space: &'a mut BlockSpace,
    on_step: F,
}

impl<F: FnMut(usize, &[f32], &[f32])> Forward<'_, F> {
    #[inline(always)]
    fn run<const RESET: u8, const POWER_OF_TWO: bool, const FMA: bool>(mut self) {
        let c = self.params.constants::<f32>();
        let n = self.block.range.len();
        let v = zeroed(&mut self.space.v, n);
        let (h, s) = (room(&mut self.space.h_seq, n), room(&mut self.space.s, n));
        for t in 0..self.block.n_steps() {
            let (y, affine) = (self.block.step(t), &self.block.affine);
            step_rows::<RESET, POWER_OF_TWO, FMA>(h, s, v, y, affine, &c);
            (self.on_step)(t, s, h);
        }
    }
}

impl<F: FnMut(usize, &[f32], &[f32])> WithSimd for Forward<'_, F> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        with_reset!(self.params, RESET, POWER_OF_TWO => if S::IS_SCALAR {
            self.run::<RESET, POWER_OF_TWO, false>();
        } else {
            self.run::<RESET, POWER_OF_TWO, true>();
        });
    }
}

/// The block through all its steps, from membranes of zero; `on_step(t, s, h)` is given the spikes
/// and the membranes after charge of each.
///
/// # Errors
/// If a slice has the wrong length. The parameters are not checked.
pub fn lif_block_forward(
    block: &Block<'_>,
    params: &LifParams,
    space: &mut BlockSpace,
    on_step: impl FnMut(usize, &[f32], &[f32]),
) -> Result<()> {
    block.check("lif_block_forward")?;
    if !block.range.is_empty() {
        Arch::new().dispatch(Forward { block, params, space, on_step });
    }
    Ok(())
}

/// Where [`lif_block_backward`] adds up, besides writing the gradient of `z`.
#[derive(Debug)]
pub struct BlockSums<'a> {
    /// Sum of the gradient over steps and rows, for each element of a row.
    pub grad: &'a mut [f64],
    /// Sum of its products with `y − mean`.
    pub grad_y: &'a mut [f64],
    /// Gradient with respect to τ, where it is learned.
    pub tau: Option<&'a mut f64>,
}

struct Backward<'a, 'b, F> {
    grad_z: &'a mut [f32],
    sums: &'a mut BlockSums<'b>,
    block: &'a Block<'a>,
    params: &'a LifParams,
    derivative: DerivativeOfRow<'a, f32>,
    space: &'a mut BlockSpace,
    grad_step: F,
}

impl<F: FnMut(usize, &[f32], &mut [f32], &mut [f32])> Backward<'_, '_, F> {
    #[inline(always)]
    fn run<const RESET: u8, const DETACH: bool, const FMA: bool>(mut self) {
        let c = self.params.constants::<f32>();
        let affine = &self.block.affine;
        let (n, n_neurons) = (self.block.range.len(), self.block.n_neurons);
        let (n_steps, row) = (self.block.n_steps(), affine.scale.len());
        let space = self.space;
        let keep_v = self.sums.tau.is_some();

        let h_seq = room(&mut space.h_seq, n_steps * n);
        let v_seq = room(&mut space.v_seq, if keep_v { n_steps * n } else { 0 });
        let v = zeroed(&mut space.v, n);
        let s = room(&mut space.s, n);
        let power_of_two = self.params.threshold_is_power_of_two();
        for (t, h) in h_seq.chunks_exact_mut(n).enumerate() {
            if keep_v {
                v_seq[t * n..][..n].copy_from_slice(v);
            }
            let y = self.block.step(t);
            if power_of_two {
                step_rows::<RESET, true, FMA>(h, s, v, y, affine, &c);
            } else {
                step_rows::<RESET, false, FMA>(h, s, v, y, affine, &c);
            }
        }

        let grad_v = v;
        grad_v.fill(0.0);
        let sum = zeroed(&mut space.sum, row);
        let sum_y = zeroed(&mut space.sum_y, row);
        let (ds, grad_s) = (room(&mut space.ds, n), room(&mut space.grad_s, n));
        let mean = &affine.mean[..row];
        let mut tau = [0.0_f32; 16];
        for t in (0..n_steps).rev() {
            let h = &h_seq[t * n..][..n];
            (self.grad_step)(t, h, grad_s, grad_v);
            (self.derivative)(ds, h);
            let y = self.block.step(t);
            let grad_z = &mut self.grad_z[t * n_neurons..][self.block.range.clone()];
            let inputs =
                grad_s.chunks_exact(row).zip(h.chunks_exact(row)).zip(ds.chunks_exact(row));
            let outputs = grad_z.chunks_exact_mut(row).zip(grad_v.chunks_exact_mut(row));
            for ((((grad_s, h), ds), (grad_z, grad_v)), y) in
                inputs.zip(outputs).zip(y.chunks_exact(row))
            {
                for i in 0..row {
                    let (gz, gv) =
                        step_back::<f32, RESET, DETACH, FMA>(grad_s[i], grad_v[i], h[i], ds[i], &c);
                    grad_z[i] = gz;
                    grad_v[i] = gv;
                    sum[i] += gz;
                    sum_y[i] += gz * (y[i] - mean[i]);
                }
            }
            if keep_v {
                let pull = if RESET == HARD { c.v_reset } else { 0.0 };
                let decayed = if self.params.decay_input { 1.0 } else { 0.0 };
                let v_before = v_seq[t * n..][..n].chunks_exact(row);
                let rows = grad_z.chunks_exact(row).zip(y.chunks_exact(row)).zip(v_before);
                for ((grad_z, y), v_before) in rows {
                    for i in 0..row {
                        let z = y[i] * affine.scale[i] + affine.shift[i];
                        let grad_h = grad_z[i] / c.gain;
                        tau[i % 16] += grad_h * ((v_before[i] - pull) - decayed * z);
                    }
                }
            }
        }
        for (total, sum) in self.sums.grad.iter_mut().zip(sum) {
            *total += f64::from(*sum);
        }
        for (total, sum) in self.sums.grad_y.iter_mut().zip(sum_y) {
            *total += f64::from(*sum);
        }
        if let Some(total) = &mut self.sums.tau {
            let per_tau = (1.0 - self.params.beta()).powi(2);
            **total += per_tau * tau.into_iter().map(f64::from).sum::<f64>();
        }
    }
}

impl<F: FnMut(usize, &[f32], &mut [f32], &mut [f32])> WithSimd for Backward<'_, '_, F> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        with_reset_gradient!(self.params, S::IS_SCALAR, RESET, DETACH, FMA => {
            self.run::<RESET, DETACH, FMA>();
        });
    }
}

/// Backpropagation of the block through time, into the block's columns of `grad_z` `[T, n_neurons]`,
/// the gradient of `z`, and into `sums`.
///
/// `grad_step(t, h, grad_s, grad_v)` is asked for each step, the last first: it writes the gradient
/// of the step's spikes to `grad_s`, and adds to `grad_v` that of the membranes after it where those
/// were used; `h` are the membranes after charge.
///
/// # Errors
/// If a slice has the wrong length. The parameters are not checked.
pub fn lif_block_backward(
    grad_z: &mut [f32],
    sums: &mut BlockSums<'_>,
    block: &Block<'_>,
    params: &LifParams,
    space: &mut BlockSpace,
    grad_step: impl FnMut(usize, &[f32], &mut [f32], &mut [f32]),
) -> Result<()> {
    const OP: &str = "lif_block_backward";
    block.check(OP)?;
    check_len(OP, "grad_z", grad_z.len(), block.y.len())?;
    check_len(OP, "sums of grad", sums.grad.len(), block.affine.scale.len())?;
    check_len(OP, "sums of grad_y", sums.grad_y.len(), block.affine.scale.len())?;
    if block.range.is_empty() {
        return Ok(());
    }
    with_derivative_of_row(params, |derivative| {
        Arch::new().dispatch(Backward {
            grad_z,
            sums,
            block,
            params,
            derivative,
            space,
            grad_step,
        });
    });
    Ok(())
}

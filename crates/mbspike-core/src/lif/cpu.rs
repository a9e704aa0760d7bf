//! The fused loops: neurons in blocks, blocks in parallel, time inside a block.
#![expect(unsafe_code, reason = "blocks of neurons are columns of shared [T, N] arrays")]

use std::ops::Range;

use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;

use super::rows::{
    BLOCK, DerivativeOfRow, step_row, step_row_back, with_derivative_of_row, with_reset,
    with_reset_gradient,
};
use super::step::{HARD, NONE, SOFT};
use super::{LifParams, Reset};
use crate::error::check_len;
use crate::{Real, Result};

/// Elements of `h` that a block of the backward pass recomputes into the second-level cache.
const BACKWARD_ELEMENTS: usize = 32 * 1024;
/// Fewer elements than this are not worth waking other threads for.
const PARALLEL_ELEMENTS: usize = 16 * 1024;

/// Where [`lif_forward`] writes, each `[T, N]`.
#[derive(Debug)]
pub struct LifForward<'a, T> {
    /// Spikes, in `0..=1`.
    pub s_seq: &'a mut [T],
    /// Membrane after reset, where wanted.
    pub v_seq: Option<&'a mut [T]>,
    /// Membrane after charge, where wanted.
    pub h_seq: Option<&'a mut [T]>,
}

/// Where [`lif_backward`] writes.
#[derive(Debug)]
pub struct LifGrad<'a, T> {
    /// Gradient with respect to the input, `[T, N]`.
    pub grad_x_seq: &'a mut [T],
    /// Gradient with respect to the initial membrane, `[N]`.
    pub grad_v_init: &'a mut [T],
    /// Gradient with respect to τ, where it is learnable.
    pub grad_tau: Option<&'a mut T>,
}

/// A `[T, N]` array of which blocks of columns are handed to different threads.
#[derive(Clone, Copy)]
struct Columns<T> {
    start: *mut T,
    n_neurons: usize,
}

// SAFETY: a `Columns` is only used through `row`, whose caller keeps the column ranges of
// different threads disjoint, so no element is reached from two threads.
unsafe impl<T: Send> Send for Columns<T> {}
// SAFETY: as above.
unsafe impl<T: Send> Sync for Columns<T> {}

impl<T> Columns<T> {
    fn new(rows: &mut [T], n_neurons: usize) -> Self {
        Self { start: rows.as_mut_ptr(), n_neurons }
    }

    /// Row `t` of the columns in `range`.
    ///
    /// # Safety
    /// `t` and `range` must lie inside the array, the array must still be borrowed mutably, and no
    /// other reference to these elements may exist while the result lives.
    #[inline(always)]
    unsafe fn row<'a>(self, t: usize, range: &Range<usize>) -> &'a mut [T] {
        // SAFETY: the caller's promise.
        unsafe {
            std::slice::from_raw_parts_mut(
                self.start.add(t * self.n_neurons + range.start),
                range.len(),
            )
        }
    }
}

struct ForwardBlock<'a, T> {
    s_seq: Columns<T>,
    v_seq: Option<Columns<T>>,
    h_seq: Option<Columns<T>>,
    x_seq: &'a [T],
    v_init: &'a [T],
    params: &'a LifParams,
    n_steps: usize,
    range: Range<usize>,
}

impl<T: Real> ForwardBlock<'_, T> {
    #[inline(always)]
    fn run<const RESET: u8, const POWER_OF_TWO: bool, const FMA: bool>(self) {
        let c = self.params.constants::<T>();
        let n = self.range.len();
        let mut v_block = [T::zero(); BLOCK];
        let mut h_block = [T::zero(); BLOCK];
        let v = &mut v_block[..n];
        v.copy_from_slice(&self.v_init[self.range.clone()]);
        for t in 0..self.n_steps {
            let x = &self.x_seq[t * self.v_init.len()..][self.range.clone()];
            // SAFETY: `lif_forward` checked the lengths, borrows the arrays mutably, and gives
            // each block its own columns.
            let s = unsafe { self.s_seq.row(t, &self.range) };
            step_row::<T, RESET, POWER_OF_TWO, FMA>(&mut h_block[..n], s, v, x, &c);
            if let Some(h_seq) = self.h_seq {
                // SAFETY: as above.
                unsafe { h_seq.row(t, &self.range) }.copy_from_slice(&h_block[..n]);
            }
            if let Some(v_seq) = self.v_seq {
                // SAFETY: as above.
                unsafe { v_seq.row(t, &self.range) }.copy_from_slice(v);
            }
        }
    }
}

impl<T: Real> WithSimd for ForwardBlock<'_, T> {
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

/// Runs `x_seq` `[T, N]` through `N` neurons whose membranes start at `v_init` `[N]`.
///
/// The result does not depend on the number of threads or the instruction set, bit for bit. A NaN
/// input gives NaN spikes from there on.
///
/// # Errors
/// If a parameter is out of range or a slice has the wrong length.
///
/// # Examples
/// ```
/// use mbspike_core::lif::{LifForward, LifParams, lif_forward};
///
/// let params = LifParams::new(2); // spikes of 0, 1/3, 2/3 and 1; β = 1/2
/// let mut s_seq = [0.0_f32; 3];
/// let outputs = LifForward { s_seq: &mut s_seq, v_seq: None, h_seq: None };
/// lif_forward(outputs, &[0.5, 1.0, 0.0], &[0.0], &params)?;
/// assert_eq!(s_seq, [1.0 / 3.0, 1.0, 0.0]);
/// # Ok::<(), mbspike_core::Error>(())
/// ```
pub fn lif_forward<T: Real>(
    outputs: LifForward<'_, T>,
    x_seq: &[T],
    v_init: &[T],
    params: &LifParams,
) -> Result<()> {
    const OP: &str = "lif_forward";
    params.validate()?;
    let n_neurons = v_init.len();
    let n_steps = x_seq.len().checked_div(n_neurons).unwrap_or(0);
    check_len(OP, "x_seq", x_seq.len(), n_steps * n_neurons)?;
    check_len(OP, "s_seq", outputs.s_seq.len(), x_seq.len())?;
    for (name, slice) in [("v_seq", &outputs.v_seq), ("h_seq", &outputs.h_seq)] {
        if let Some(slice) = slice {
            check_len(OP, name, slice.len(), x_seq.len())?;
        }
    }
    let s_seq = Columns::new(outputs.s_seq, n_neurons);
    let v_seq = outputs.v_seq.map(|v| Columns::new(v, n_neurons));
    let h_seq = outputs.h_seq.map(|h| Columns::new(h, n_neurons));
    let arch = Arch::new();
    for_each_block(n_neurons, BLOCK, x_seq.len(), |(): &mut (), range| {
        arch.dispatch(ForwardBlock { s_seq, v_seq, h_seq, x_seq, v_init, params, n_steps, range });
    });
    Ok(())
}

/// Calls `run` with each block of `0..n_neurons`, in parallel where there is enough to do, and with
/// scratch that goes from block to block.
fn for_each_block<S: Default>(
    n_neurons: usize,
    block: usize,
    n_elements: usize,
    run: impl Fn(&mut S, Range<usize>) + Send + Sync,
) {
    let range = |b: usize| b * block..n_neurons.min((b + 1) * block);
    let n_blocks = n_neurons.div_ceil(block);
    if n_elements < PARALLEL_ELEMENTS {
        let mut scratch = S::default();
        (0..n_blocks).for_each(|b| run(&mut scratch, range(b)));
    } else {
        let blocks = (0..n_blocks).into_par_iter();
        blocks.for_each_init(S::default, |scratch, b| run(scratch, range(b)));
    }
}

struct BackwardBlock<'a, T> {
    grad_x_seq: Columns<T>,
    grad_v_init: Columns<T>,
    /// One sum for each block.
    grad_tau: Option<Columns<T>>,
    x_seq: &'a [T],
    v_init: &'a [T],
    grad_s_seq: &'a [T],
    grad_v_seq: Option<&'a [T]>,
    params: &'a LifParams,
    derivative: DerivativeOfRow<'a, T>,
    n_steps: usize,
    block: usize,
    range: Range<usize>,
    scratch: &'a mut Scratch<T>,
}

/// What a block of the backward pass computes for itself, kept from block to block.
struct Scratch<T> {
    /// `[T, n]`.
    h_seq: Vec<T>,
    /// `[T, n]`, empty where τ is not learnable.
    v_seq: Vec<T>,
    v: Vec<T>,
    s: Vec<T>,
}

impl<T> Default for Scratch<T> {
    fn default() -> Self {
        Self { h_seq: vec![], v_seq: vec![], v: vec![], s: vec![] }
    }
}

impl<T: Real> BackwardBlock<'_, T> {
    #[inline(always)]
    fn run<const RESET: u8, const DETACH: bool, const FMA: bool>(self) {
        let c = self.params.constants::<T>();
        let (n, n_neurons) = (self.range.len(), self.v_init.len());
        let row = |array: &'_ [T], t: usize| -> *const T {
            array[t * n_neurons..][self.range.clone()].as_ptr()
        };
        // SAFETY: `row` has checked that the `n` elements are inside the array it borrows.
        let row = |array, t| unsafe { std::slice::from_raw_parts(row(array, t), n) };

        // Forward once more, keeping h (and v where τ is learnable) of this block.
        let keep_v = self.grad_tau.is_some();
        let Scratch { h_seq, v_seq, v, s } = self.scratch;
        h_seq.resize(self.n_steps * n, T::zero());
        v_seq.resize(if keep_v { self.n_steps * n } else { 0 }, T::zero());
        v.clear();
        v.extend_from_slice(row(self.v_init, 0));
        s.resize(n.max(s.len()), T::zero());
        let power_of_two = self.params.threshold_is_power_of_two();
        for (t, h) in h_seq.chunks_exact_mut(n).enumerate() {
            if keep_v {
                v_seq[t * n..][..n].copy_from_slice(v); // the membrane before step t
            }
            let x = row(self.x_seq, t);
            if power_of_two {
                step_row::<T, RESET, true, FMA>(h, s, v, x, &c);
            } else {
                step_row::<T, RESET, false, FMA>(h, s, v, x, &c);
            }
        }

        // SAFETY: `lif_backward` checked the lengths, borrows the arrays mutably, and gives each
        // block its own columns.
        let grad_v = unsafe { self.grad_v_init.row(0, &self.range) };
        grad_v.fill(T::zero());
        let mut tau_lanes = [T::zero(); 16];
        for t in (0..self.n_steps).rev() {
            let h = &h_seq[t * n..][..n];
            // SAFETY: as above.
            let grad_x = unsafe { self.grad_x_seq.row(t, &self.range) };
            if let Some(grad_v_seq) = self.grad_v_seq {
                for (g, more) in grad_v.iter_mut().zip(row(grad_v_seq, t)) {
                    *g += more.carried();
                }
            }
            let ds = &mut s[..n];
            (self.derivative)(ds, h);
            let grad_s = row(self.grad_s_seq, t);
            step_row_back::<T, RESET, DETACH, FMA>(grad_x, grad_s, grad_v, h, ds, &c);
            if keep_v {
                // grad_v is now β ∂L/∂h and grad_x is g ∂L/∂h.
                let decayed = if self.params.decay_input { T::one() } else { T::zero() };
                let (x, v_before) = (row(self.x_seq, t), &v_seq[t * n..][..n]);
                let pull = if RESET == HARD { c.v_reset } else { T::zero() };
                for i in 0..n {
                    let grad_h = grad_x[i] / c.gain;
                    let term = grad_h * ((v_before[i] - pull) - decayed * x[i]);
                    tau_lanes[i % 16] += term;
                }
            }
        }
        if let Some(grad_tau) = self.grad_tau {
            let b = self.range.start / self.block;
            let per_tau = (T::one() - c.beta) * (T::one() - c.beta);
            // SAFETY: the array has one element for each block.
            let of_block = unsafe { grad_tau.row(0, &(b..b + 1)) };
            of_block[0] = per_tau * tau_lanes.into_iter().sum::<T>();
        }
    }
}

impl<T: Real> WithSimd for BackwardBlock<'_, T> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        with_reset_gradient!(self.params, S::IS_SCALAR, RESET, DETACH, FMA => {
            self.run::<RESET, DETACH, FMA>();
        });
    }
}

/// Backpropagation through time: gradients from those of the spikes, `grad_s_seq` `[T, N]`, and of
/// the membranes after reset, `grad_v_seq` `[T, N]`, where they were used. `h` is recomputed from
/// the input.
///
/// The result does not depend on the number of threads, bit for bit.
///
/// # Errors
/// If a parameter is out of range or a slice has the wrong length.
pub fn lif_backward<T: Real>(
    outputs: LifGrad<'_, T>,
    x_seq: &[T],
    v_init: &[T],
    grad_s_seq: &[T],
    grad_v_seq: Option<&[T]>,
    params: &LifParams,
) -> Result<()> {
    const OP: &str = "lif_backward";
    params.validate()?;
    let n_neurons = v_init.len();
    let n_steps = x_seq.len().checked_div(n_neurons).unwrap_or(0);
    check_len(OP, "x_seq", x_seq.len(), n_steps * n_neurons)?;
    check_len(OP, "grad_s_seq", grad_s_seq.len(), x_seq.len())?;
    check_len(OP, "grad_v_seq", grad_v_seq.map_or(x_seq.len(), <[T]>::len), x_seq.len())?;
    check_len(OP, "grad_x_seq", outputs.grad_x_seq.len(), x_seq.len())?;
    check_len(OP, "grad_v_init", outputs.grad_v_init.len(), n_neurons)?;

    // Not a function of the number of threads: the sum over blocks must not be one either.
    let block = (BACKWARD_ELEMENTS / n_steps.max(1)).clamp(64, BLOCK) / 16 * 16;
    let grad_x_seq = Columns::new(outputs.grad_x_seq, n_neurons);
    let grad_v_init = Columns::new(outputs.grad_v_init, n_neurons);
    let mut tau_of_block = vec![T::zero(); n_neurons.div_ceil(block)];
    let grad_tau = outputs.grad_tau.is_some().then(|| Columns::new(&mut tau_of_block, n_neurons));
    let arch = Arch::new();
    with_derivative_of_row(params, |derivative| {
        for_each_block(n_neurons, block, x_seq.len(), |scratch, range| {
            arch.dispatch(BackwardBlock {
                grad_x_seq,
                grad_v_init,
                grad_tau,
                x_seq,
                v_init,
                grad_s_seq,
                grad_v_seq,
                params,
                derivative,
                n_steps,
                block,
                range,
                scratch,
            });
        });
    });
    if let Some(grad_tau) = outputs.grad_tau {
        *grad_tau = tau_of_block.into_iter().sum();
    }
    Ok(())
}

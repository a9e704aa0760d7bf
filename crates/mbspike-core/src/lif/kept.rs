//! One thread's share of neurons, for callers that keep the membranes after charge.

use pulp::{Arch, Simd, WithSimd};

use super::rows::{
    BLOCK, DerivativeOfRow, step_row_back_in_place, step_row_in_place, with_derivative_of_row,
    with_reset, with_reset_gradient,
};
use super::step::{self, HARD, NONE, SOFT};
use super::{LifParams, Reset};
use crate::error::check_len;
use crate::{Real, Result};

struct KeepH<'a, T> {
    x_to_h: &'a mut [T],
    s_seq: &'a mut [T],
    v: &'a mut [T],
    params: &'a LifParams,
}

impl<T: Real> KeepH<'_, T> {
    #[inline(always)]
    fn run<const RESET: u8, const POWER_OF_TWO: bool, const FMA: bool>(self) {
        let c = self.params.constants::<T>();
        let n = self.v.len();
        for (h, s) in self.x_to_h.chunks_exact_mut(n).zip(self.s_seq.chunks_exact_mut(n)) {
            step_row_in_place::<T, RESET, POWER_OF_TWO, FMA>(h, s, self.v, &c);
        }
    }
}

impl<T: Real> WithSimd for KeepH<'_, T> {
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

/// The forward pass of one thread's share, for callers that keep `h`: `x_to_h` `[T, N]` holds the
/// input and is overwritten by `h`, `v` `[N]` holds the membranes before and after.
///
/// # Errors
/// If a slice has the wrong length. The parameters are not checked again.
pub fn lif_forward_keep_h<T: Real>(
    s_seq: &mut [T],
    x_to_h: &mut [T],
    v: &mut [T],
    params: &LifParams,
) -> Result<()> {
    const OP: &str = "lif_forward_keep_h";
    let n_steps = x_to_h.len() / v.len().max(1);
    check_len(OP, "x_to_h", x_to_h.len(), n_steps * v.len())?;
    check_len(OP, "s_seq", s_seq.len(), x_to_h.len())?;
    if !v.is_empty() {
        Arch::new().dispatch(KeepH { x_to_h, s_seq, v, params });
    }
    Ok(())
}

struct Fire<'a, T> {
    s: &'a mut [T],
    h: &'a [T],
    params: &'a LifParams,
}

impl<T: Real> WithSimd for Fire<'_, T> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let c = self.params.constants::<T>();
        let power_of_two = self.params.threshold_is_power_of_two();
        for (s, h) in self.s.iter_mut().zip(self.h) {
            *s = match (power_of_two, S::IS_SCALAR) {
                (true, true) => step::fire::<T, true, false>(*h, &c),
                (true, false) => step::fire::<T, true, true>(*h, &c),
                (false, true) => step::fire::<T, false, false>(*h, &c),
                (false, false) => step::fire::<T, false, true>(*h, &c),
            };
        }
    }
}

/// The spikes of membranes after charge: `s = k/L`, `k = clamp(floor(h L/θ), 0, L)`.
///
/// # Errors
/// If the slices differ in length. The parameters are not checked.
pub fn fire<T: Real>(s: &mut [T], h: &[T], params: &LifParams) -> Result<()> {
    check_len("fire", "s", s.len(), h.len())?;
    Arch::new().dispatch(Fire { s, h, params });
    Ok(())
}

struct FromH<'a, T> {
    grad_s_to_x: &'a mut [T],
    grad_v: &'a mut [T],
    h_seq: &'a [T],
    derivative: DerivativeOfRow<'a, T>,
    params: &'a LifParams,
}

impl<T: Real> FromH<'_, T> {
    #[inline(always)]
    fn run<const RESET: u8, const DETACH: bool, const FMA: bool>(self) {
        let c = self.params.constants::<T>();
        let n = self.grad_v.len();
        let mut ds = [T::zero(); BLOCK];
        let rows = self.grad_s_to_x.chunks_exact_mut(n).zip(self.h_seq.chunks_exact(n));
        for (grad, h) in rows.rev() {
            let blocks = grad.chunks_mut(BLOCK).zip(self.grad_v.chunks_mut(BLOCK));
            for ((grad, grad_v), h) in blocks.zip(h.chunks(BLOCK)) {
                let ds = &mut ds[..h.len()];
                (self.derivative)(ds, h);
                step_row_back_in_place::<T, RESET, DETACH, FMA>(grad, grad_v, h, ds, &c);
            }
        }
    }
}

impl<T: Real> WithSimd for FromH<'_, T> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        with_reset_gradient!(self.params, S::IS_SCALAR, RESET, DETACH, FMA => {
            self.run::<RESET, DETACH, FMA>();
        });
    }
}

/// The backward pass of one thread's share, from kept `h`: `grad_s_to_x` `[T, N]` holds the
/// gradient of the spikes and is overwritten by that of the input; `grad_v` `[N]` holds the
/// gradient of the membrane after the last step and is overwritten by that of the initial one.
///
/// # Errors
/// If a slice has the wrong length. The parameters are not checked again.
pub fn lif_backward_from_h<T: Real>(
    grad_s_to_x: &mut [T],
    grad_v: &mut [T],
    h_seq: &[T],
    params: &LifParams,
) -> Result<()> {
    const OP: &str = "lif_backward_from_h";
    let n_steps = h_seq.len() / grad_v.len().max(1);
    check_len(OP, "h_seq", h_seq.len(), n_steps * grad_v.len())?;
    check_len(OP, "grad_s_to_x", grad_s_to_x.len(), h_seq.len())?;
    if grad_v.is_empty() {
        return Ok(());
    }
    with_derivative_of_row(params, |derivative| {
        Arch::new().dispatch(FromH { grad_s_to_x, grad_v, h_seq, derivative, params });
    });
    Ok(())
}

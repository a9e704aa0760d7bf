//! One step of a row of neurons, forward and back: the loops that the compiler vectorizes.

use pulp::{Arch, Simd, WithSimd};

use super::LifParams;
use super::params::StepConstants;
use super::step::{self, HARD, charge, reset, reset_gradient};
use crate::Real;
use crate::surrogate::{Derivative, with_derivative};

/// Neurons in a block: what a step of it needs (4 KB an array) stays in the first-level cache.
pub(super) const BLOCK: usize = 1024;

/// Calls `$call` with the reset kind, and whether θ is a power of two, as constants.
macro_rules! with_reset {
    ($params:expr, $reset:ident, $power_of_two:ident => $call:expr) => {
        match ($params.reset, $params.threshold_is_power_of_two()) {
            (Reset::Soft {}, true) => with_reset!(@ SOFT, true, $reset, $power_of_two, $call),
            (Reset::Soft {}, false) => with_reset!(@ SOFT, false, $reset, $power_of_two, $call),
            (Reset::Hard { .. }, true) => with_reset!(@ HARD, true, $reset, $power_of_two, $call),
            (Reset::Hard { .. }, false) => with_reset!(@ HARD, false, $reset, $power_of_two, $call),
            (Reset::None {}, true) => with_reset!(@ NONE, true, $reset, $power_of_two, $call),
            (Reset::None {}, false) => with_reset!(@ NONE, false, $reset, $power_of_two, $call),
        }
    };
    (@ $r:expr, $p:expr, $reset:ident, $power_of_two:ident, $call:expr) => {{
        const $reset: u8 = $r;
        const $power_of_two: bool = $p;
        $call
    }};
}

pub(super) use with_reset;

/// Calls `$call` with the reset kind, whether its gradient is detached, and whether there is fused
/// multiply-add, as constants.
macro_rules! with_reset_gradient {
    ($params:expr, $is_scalar:expr, $reset:ident, $detach:ident, $fma:ident => $call:expr) => {
        match ($params.reset, $params.detach_reset, $is_scalar) {
            (Reset::Soft {}, false, false) => with_reset_gradient!(@ SOFT, false, true, $reset, $detach, $fma, $call),
            (Reset::Soft {}, false, true) => with_reset_gradient!(@ SOFT, false, false, $reset, $detach, $fma, $call),
            (Reset::Soft {}, true, false) => with_reset_gradient!(@ SOFT, true, true, $reset, $detach, $fma, $call),
            (Reset::Soft {}, true, true) => with_reset_gradient!(@ SOFT, true, false, $reset, $detach, $fma, $call),
            (Reset::Hard { .. }, false, false) => with_reset_gradient!(@ HARD, false, true, $reset, $detach, $fma, $call),
            (Reset::Hard { .. }, false, true) => with_reset_gradient!(@ HARD, false, false, $reset, $detach, $fma, $call),
            (Reset::Hard { .. }, true, false) => with_reset_gradient!(@ HARD, true, true, $reset, $detach, $fma, $call),
            (Reset::Hard { .. }, true, true) => with_reset_gradient!(@ HARD, true, false, $reset, $detach, $fma, $call),
            (Reset::None {}, _, false) => with_reset_gradient!(@ NONE, false, true, $reset, $detach, $fma, $call),
            (Reset::None {}, _, true) => with_reset_gradient!(@ NONE, false, false, $reset, $detach, $fma, $call),
        }
    };
    (@ $r:expr, $d:expr, $f:expr, $reset:ident, $detach:ident, $fma:ident, $call:expr) => {{
        const $reset: u8 = $r;
        const $detach: bool = $d;
        const $fma: bool = $f;
        $call
    }};
}
pub(super) use with_reset_gradient;

/// One step of a row of neurons: charges, fires, resets; `v` is updated in place.
#[inline(always)]
pub(super) fn step_row<T: Real, const RESET: u8, const POWER_OF_TWO: bool, const FMA: bool>(
    h: &mut [T],
    s: &mut [T],
    v: &mut [T],
    x: &[T],
    c: &StepConstants<T>,
) {
    let n = x.len();
    let (h, s, v) = (&mut h[..n], &mut s[..n], &mut v[..n]);
    for i in 0..n {
        h[i] = charge::<T, RESET>(x[i], v[i], c);
        s[i] = step::fire::<T, POWER_OF_TWO, FMA>(h[i], c);
        v[i] = reset::<T, RESET>(h[i], s[i], c);
    }
}

/// [`step_row`] where the input is overwritten by `h`.
#[inline(always)]
pub(super) fn step_row_in_place<
    T: Real,
    const RESET: u8,
    const POWER_OF_TWO: bool,
    const FMA: bool,
>(
    x_to_h: &mut [T],
    s: &mut [T],
    v: &mut [T],
    c: &StepConstants<T>,
) {
    let n = x_to_h.len();
    let (s, v) = (&mut s[..n], &mut v[..n]);
    for i in 0..n {
        let h = charge::<T, RESET>(x_to_h[i], v[i], c);
        x_to_h[i] = h;
        s[i] = step::fire::<T, POWER_OF_TWO, FMA>(h, c);
        v[i] = reset::<T, RESET>(h, s[i], c);
    }
}

/// One step back of one neuron: from the gradient of its spike and of its membrane after reset to
/// those of its input and of its membrane before. `ds` is the surrogate's derivative at `h`, carried
/// as the gradients are ([`Real::carried`]).
#[inline(always)]
fn step_back<T: Real, const RESET: u8, const DETACH: bool, const FMA: bool>(
    grad_s: T,
    grad_v: T,
    h: T,
    ds: T,
    c: &StepConstants<T>,
) -> (T, T) {
    // Only the hard reset's gradient needs the spike; elsewhere this is dead code.
    let s = if RESET == HARD { step::fire::<T, false, FMA>(h, c) } else { T::zero() };
    let dv = reset_gradient::<T, RESET, DETACH>(h, s, ds, c);
    let grad_h = (grad_v * dv + grad_s.carried() * ds).carried();
    (c.gain * grad_h, c.beta * grad_h)
}

/// [`step_back`] of a row; `grad_v` is updated in place.
#[inline(always)]
pub(super) fn step_row_back<T: Real, const RESET: u8, const DETACH: bool, const FMA: bool>(
    grad_x: &mut [T],
    grad_s: &[T],
    grad_v: &mut [T],
    h: &[T],
    ds: &[T],
    c: &StepConstants<T>,
) {
    let n = h.len();
    let (grad_x, grad_s, grad_v, ds) = (&mut grad_x[..n], &grad_s[..n], &mut grad_v[..n], &ds[..n]);
    for i in 0..n {
        (grad_x[i], grad_v[i]) =
            step_back::<T, RESET, DETACH, FMA>(grad_s[i], grad_v[i], h[i], ds[i], c);
    }
}

/// [`step_row_back`] where the gradient of the spikes is overwritten by that of the input.
#[inline(always)]
pub(super) fn step_row_back_in_place<
    T: Real,
    const RESET: u8,
    const DETACH: bool,
    const FMA: bool,
>(
    grad_s_to_x: &mut [T],
    grad_v: &mut [T],
    h: &[T],
    ds: &[T],
    c: &StepConstants<T>,
) {
    let n = h.len();
    let (grad, grad_v, ds) = (&mut grad_s_to_x[..n], &mut grad_v[..n], &ds[..n]);
    for i in 0..n {
        (grad[i], grad_v[i]) =
            step_back::<T, RESET, DETACH, FMA>(grad[i], grad_v[i], h[i], ds[i], c);
    }
}

/// Writes the surrogate's derivative at each membrane of a row: `(ds, h)`. Chosen once a call, so
/// that the loops around it are not compiled for every surrogate.
pub(super) type DerivativeOfRow<'a, T> = &'a (dyn Fn(&mut [T], &[T]) + Send + Sync);

struct DerivativeRow<'a, T, D> {
    ds: &'a mut [T],
    h: &'a [T],
    derivative: D,
}

impl<T: Real, D: Derivative<T>> WithSimd for DerivativeRow<'_, T, D> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        for (ds, h) in self.ds.iter_mut().zip(self.h) {
            let slope = if S::IS_SCALAR {
                self.derivative.at::<false>(*h)
            } else {
                self.derivative.at::<true>(*h)
            };
            *ds = slope.carried();
        }
    }
}

/// Calls `run` with the row function of the parameters' surrogate.
pub(super) fn with_derivative_of_row<T: Real>(
    params: &LifParams,
    run: impl FnOnce(DerivativeOfRow<'_, T>),
) {
    let arch = Arch::new();
    with_derivative!(
        params.surrogate, params.n_levels(), params.v_threshold, params.shift_value(), T,
        derivative => run(&|ds: &mut [T], h: &[T]| {
            arch.dispatch(DerivativeRow { ds, h, derivative });
        })
    );
}

//! The smallest magnitude that is carried on: subnormal numbers are kept out of the arithmetic.
//!
//! A processor takes its time over numbers below its type's smallest normal one: some hundred cycles
//! for a multiply-add that takes one otherwise. A network that has learned makes many of them: the
//! tails of the surrogate's slope, their products down the layers and back through time, the moments
//! of weights that no longer learn, membranes that decay without input.
//!
//! So there is one rule, [`Real::carried`]: a number that one operation hands to another, and whose
//! magnitude is below [`Real::SMALLEST`], is 0. NaN passes. It is a comparison and a selection, no
//! setting of the processor's, and so the same on every instruction set and device, and in the
//! plain reference.
//!
//! | | `f32` | `f64` | so that |
//! |---|---|---|---|
//! | smallest normal number | 2⁻¹²⁶ | 2⁻¹⁰²² | |
//! | [`Real::SMALLEST`] | 2⁻⁶⁰ ≈ 9·10⁻¹⁹ | 2⁻⁵⁰⁰ | the product of two carried numbers is normal, and so is its product with 2⁻⁶, which leaves room for the constants of a neuron or of a mean |
//! | [`Real::SMALLEST_SQUARE`] | 2⁻¹¹⁰ | 2⁻⁹⁹⁰ | a share of 2⁻¹⁶ of a mean square is normal; of squares alone |
//!
//! Sums are safe too. A carried number is a multiple of 2⁻⁸³ (`f32`), a spike of 16 bits of 2⁻³⁹, a
//! weight above 10⁻⁶ of 2⁻⁴³: every sum of products of a gradient with spikes or weights is a
//! multiple of 2⁻¹²⁶, and however much cancels, what is left is 0 or normal.
//!
//! The bound is far below what matters. With `f32`, gradients of a loss near 1 are summed beside
//! others 10⁶ times as large or more; Adam's ε is 10⁻⁸, ten orders of magnitude above.
//!
//! The rule is applied where a number is handed on: the surrogate's derivative, gradients as a neuron
//! takes them and as it hands them on, membranes after a reset, the network's input, gradients as the
//! optimizer takes them, weights, moments, averages of weights, running statistics. What is exactly
//! zero is then skipped where that pays.

use candle_core::{CpuStorage, CustomOp1, DType, Layout, Shape, Tensor};
use pulp::{Arch, Simd, WithSimd};

use crate::tensor::contiguous;
use crate::{Real, Result};

struct Carry<'a, T>(&'a mut [T]);

impl<T: Real> WithSimd for Carry<'_, T> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        for value in self.0 {
            *value = value.carried();
        }
    }
}

/// [`Real::carried`] of each value, in place.
pub fn carry<T: Real>(values: &mut [T]) {
    Arch::new().dispatch(Carry(values));
}

struct CopyCarried<'a, T>(&'a mut [T], &'a [T]);

impl<T: Real> WithSimd for CopyCarried<'_, T> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        for (to, from) in self.0.iter_mut().zip(self.1) {
            *to = from.carried();
        }
    }
}

/// Copies [`Real::carried`] of each value.
///
/// # Panics
/// If the slices differ in length.
pub fn copy_carried<T: Real>(to: &mut [T], from: &[T]) {
    assert_eq!(to.len(), from.len(), "copy_carried takes slices of one length");
    Arch::new().dispatch(CopyCarried(to, from));
}

/// How many values are subnormal: not 0, and below the type's smallest normal number. For tests: none
/// of a step's buffers has any.
pub fn n_subnormal<T: Real>(values: &[T]) -> usize {
    values.iter().filter(|value| value.is_subnormal()).count()
}

/// [`Real::carried`] of each element; the gradient is carried too, on the CPU (a GPU computes with
/// subnormal numbers as fast as with others, and its kernels of neurons apply the rule themselves).
///
/// # Errors
/// If `x` is neither f32 nor f64, nor, on a GPU, bf16.
pub fn carried(x: &Tensor) -> Result<Tensor> {
    if x.device().is_cpu() {
        return Ok(x.contiguous()?.apply_op1(CarryOp { forward: true })?);
    }
    let smallest = if x.dtype() == DType::F64 { f64::SMALLEST } else { f64::from(f32::SMALLEST) };
    Ok(x.abs()?.lt(smallest)?.where_cond(&x.zeros_like()?, x)?)
}

/// [`Real::carried_square`] of each element, without a gradient.
///
/// # Errors
/// As [`carried`].
pub fn carried_square(x: &Tensor) -> Result<Tensor> {
    let f64s = x.dtype() == DType::F64;
    let smallest = if f64s { f64::SMALLEST_SQUARE } else { f64::from(f32::SMALLEST_SQUARE) };
    let x = x.detach();
    Ok(x.abs()?.lt(smallest)?.where_cond(&x.zeros_like()?, &x)?)
}

/// `y` as it is, with a gradient whose elements are [carried](Real::carried); on a GPU, `y`.
///
/// # Errors
/// As [`carried`].
pub fn carried_gradient(y: &Tensor) -> Result<Tensor> {
    if y.device().is_cpu() {
        return Ok(y.contiguous()?.apply_op1(CarryOp { forward: false })?);
    }
    Ok(y.clone())
}

/// The rule on a tensor, forward and back or back alone.
struct CarryOp {
    forward: bool,
}

impl CarryOp {
    fn copy<T: Real>(&self, x: &[T], layout: &Layout) -> candle_core::Result<CpuStorage> {
        let mut y = contiguous(x, layout)?.to_vec();
        if self.forward {
            carry(&mut y);
        }
        Ok(T::to_cpu_storage_owned(y))
    }
}

impl CustomOp1 for CarryOp {
    fn name(&self) -> &'static str {
        "carried"
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> candle_core::Result<(CpuStorage, Shape)> {
        let y = match x {
            CpuStorage::F32(x) => self.copy(x, layout)?,
            CpuStorage::F64(x) => self.copy(x, layout)?,
            _ => candle_core::bail!("{} takes f32 or f64 tensors", self.name()),
        };
        Ok((y, layout.shape().clone()))
    }

    fn bwd(&self, _: &Tensor, _: &Tensor, grad: &Tensor) -> candle_core::Result<Option<Tensor>> {
        Ok(Some(grad.contiguous()?.apply_op1_no_bwd(&Self { forward: true })?))
    }
}

#[cfg(test)]
mod tests {
    use candle_core::{Device, Var};

    use super::*;

    #[test]
    fn what_is_below_the_bound_is_zero_and_all_else_stays() {
        fn check<T: Real>() {
            let bound = T::SMALLEST;
            let below = bound * (T::one() - T::epsilon());
            let tiny = T::min_positive_value() * T::of(0.5);
            for x in [T::zero(), below, -below, tiny, -tiny, T::min_positive_value()] {
                // Positive zero, as a comparison and a selection give it on every device.
                let bits = |x: T| (x.integer_decode(), x.is_sign_negative());
                assert_eq!(bits(x.carried()), bits(T::zero()));
            }
            for x in [bound, -bound, T::one(), T::infinity(), T::neg_infinity(), T::max_value()] {
                assert_eq!(x.carried().integer_decode(), x.integer_decode());
            }
            assert!(T::nan().carried().is_nan());
            // The reasons for the bounds.
            let room = T::of(2.0_f64.powi(-6));
            assert!((bound * bound * room).is_normal());
            assert!((T::SMALLEST_SQUARE * T::of(2.0_f64.powi(-16))).is_normal());
            assert!(T::SMALLEST_SQUARE >= bound * bound);
            assert_eq!((T::SMALLEST_SQUARE * T::of(0.99)).carried_square().to_f64(), 0.0);
            assert_eq!(T::SMALLEST_SQUARE.carried_square().to_f64(), T::SMALLEST_SQUARE.to_f64());
            assert!(T::nan().carried_square().is_nan());
        }
        check::<f32>();
        check::<f64>();
    }

    #[test]
    fn slices_and_tensors_follow_the_rule_element_by_element() {
        let values: Vec<f32> =
            (0..200_000_u32).map(|i| f32::from_bits(i.wrapping_mul(2_654_435_761))).collect();
        // Arithmetic may change a NaN into another.
        let bits = |values: &[f32]| -> Vec<u32> {
            let of = |x: &f32| if x.is_nan() { f32::NAN.to_bits() } else { x.to_bits() };
            values.iter().map(of).collect()
        };
        let want = bits(&values.iter().map(|x| x.carried()).collect::<Vec<_>>());
        let mut in_place = values.clone();
        carry(&mut in_place);
        let mut copied = vec![1.0; values.len()];
        copy_carried(&mut copied, &values);
        let var = Var::new(&values[..], &Device::Cpu).unwrap();
        let tensor = carried(&var).unwrap().to_vec1::<f32>().unwrap();
        for got in [&in_place, &copied, &tensor] {
            assert!(bits(got) == want);
        }
        assert!(n_subnormal(&values) > 0 && n_subnormal(&in_place) == 0);

        // The gradient of the sum of x·c is c, carried.
        let gradient = |y: Tensor| {
            let c = Tensor::new(&values[..], &Device::Cpu).unwrap();
            let sum = (y * c).unwrap().sum_all().unwrap();
            sum.backward().unwrap().remove(&var).unwrap().to_vec1::<f32>().unwrap()
        };
        for y in [carried(&var).unwrap(), carried_gradient(&var).unwrap()] {
            assert!(bits(&gradient(y)) == want);
        }
        let same = carried_gradient(&var).unwrap().to_vec1::<f32>().unwrap();
        assert!(bits(&same) == bits(&values));
    }
}

use candle_core::WithDType;
use num_traits::Float;

/// A floating-point type that the kernels run in: `f32` or `f64`.
///
/// The functions here are branch-free, so that loops over them vectorize. `FMA` says whether the
/// code is being compiled for an instruction set with fused multiply-add; without it, `mul_add`
/// would be a library call.
pub trait Real: Float + WithDType + Send + Sync + std::iter::Sum + 'static {
    /// The smallest magnitude that one operation hands to another: [`carried`](crate::carried()).
    const SMALLEST: Self;

    /// The same of squares and their means: [`carried`](crate::carried()).
    const SMALLEST_SQUARE: Self;

    /// Rounds a double to this type.
    fn of(value: f64) -> Self;

    /// The same number as a double; inlined, as the tensor library's is not.
    fn as_f64(self) -> f64;

    /// 0 for a magnitude below [`SMALLEST`](Self::SMALLEST), so that no subnormal number reaches a
    /// multiply-add; NaN passes. The reasons are in the file `carried.rs`.
    #[must_use]
    #[inline(always)]
    fn carried(self) -> Self {
        if self.abs() < Self::SMALLEST { Self::zero() } else { self }
    }

    /// [`carried`](Self::carried) of a square or a mean of squares.
    #[must_use]
    #[inline(always)]
    fn carried_square(self) -> Self {
        if self.abs() < Self::SMALLEST_SQUARE { Self::zero() } else { self }
    }

    /// `2^x` for `x <= 0`, within 2 units in the last place for `f32`; NaN stays NaN. From
    /// `x = −100` in `f32` and `−1000` in `f64` on it stays what it is there: far below
    /// [`SMALLEST`](Self::SMALLEST), and never subnormal.
    fn exp2_of_negative<const FMA: bool>(x: Self) -> Self;

    /// `self * b + c`, fused where that is one instruction.
    #[must_use]
    #[inline(always)]
    fn fused<const FMA: bool>(self, b: Self, c: Self) -> Self {
        if FMA { self.mul_add(b, c) } else { self * b + c }
    }

    /// `numerator / denominator` correctly rounded, given `reciprocal`, the rounded
    /// `1 / denominator`, for numerators and denominators that are integers below 2^16.
    ///
    /// With fused multiply-add one correction step of the product with the reciprocal gives the
    /// correctly rounded quotient (Markstein 1990) at a third of the cost of a division. A test
    /// compares it with the division for every pair that a spike level can be.
    #[inline(always)]
    fn divide_small_integers<const FMA: bool>(
        numerator: Self,
        denominator: Self,
        reciprocal: Self,
    ) -> Self {
        if FMA {
            let quotient = numerator * reciprocal;
            let remainder = (-quotient).mul_add(denominator, numerator);
            remainder.mul_add(reciprocal, quotient)
        } else {
            numerator / denominator
        }
    }
}

impl Real for f32 {
    /// 2⁻⁶⁰.
    const SMALLEST: Self = f32::from_bits((127 - 60) << 23);
    /// 2⁻¹¹⁰.
    const SMALLEST_SQUARE: Self = f32::from_bits((127 - 110) << 23);

    #[inline(always)]
    fn of(value: f64) -> Self {
        value as f32
    }

    #[inline(always)]
    fn as_f64(self) -> f64 {
        self.into()
    }

    /// `x = n + f`, `|f| <= 1/2`, where `n` needs no multiplication, and a polynomial for `2^f`
    /// (degree 6, fitted by the author of Cephes for `exp2f`), whose exponent then grows by `n`.
    #[inline(always)]
    fn exp2_of_negative<const FMA: bool>(x: Self) -> Self {
        /// 1.5 * 2^23: adding it rounds to the nearest integer and leaves that in the low bits.
        const ROUND: f32 = 12_582_912.0;
        let x = if x < -100.0 { -100.0 } else { x };
        let shifted = x + ROUND;
        let f = x - (shifted - ROUND);
        let p = 1.535_336_2e-4_f32;
        let p = p.fused::<FMA>(f, 1.339_887_4e-3);
        let p = p.fused::<FMA>(f, 9.618_437e-3);
        let p = p.fused::<FMA>(f, 5.550_332_5e-2);
        let p = p.fused::<FMA>(f, 2.402_264_7e-1);
        let p = p.fused::<FMA>(f, 6.931_472e-1);
        let p = p.fused::<FMA>(f, 1.0);
        f32::from_bits(p.to_bits().wrapping_add(shifted.to_bits() << 23))
    }
}

impl Real for f64 {
    /// 2⁻⁵⁰⁰.
    const SMALLEST: Self = f64::from_bits((1023 - 500) << 52);
    /// 2⁻⁹⁹⁰.
    const SMALLEST_SQUARE: Self = f64::from_bits((1023 - 990) << 52);

    #[inline(always)]
    fn of(value: f64) -> Self {
        value
    }

    #[inline(always)]
    fn as_f64(self) -> f64 {
        self
    }

    #[inline(always)]
    fn exp2_of_negative<const FMA: bool>(x: Self) -> Self {
        let x = if x < -1000.0 { -1000.0 } else { x };
        x.exp2()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exponential_is_within_two_ulp_of_the_library() {
        for i in 0..2_000_000 {
            let x = -(i as f32) * 5e-5;
            let want = f64::from(x).exp2();
            for got in [f32::exp2_of_negative::<true>(x), f32::exp2_of_negative::<false>(x)] {
                let ulp = f64::from(f32::EPSILON) * want;
                assert!((f64::from(got) - want).abs() <= 2.0 * ulp, "2^{x} = {got}, not {want}");
            }
        }
        assert!(f32::exp2_of_negative::<true>(f32::NAN).is_nan());
        for x in [-100.0, -126.0, -1e30, f32::NEG_INFINITY] {
            let got = f32::exp2_of_negative::<false>(x);
            assert!(got.is_normal() && got < f32::SMALLEST * 1e-9);
        }
        for x in [-1000.0, -1022.5, -1e300, f64::NEG_INFINITY] {
            let got = f64::exp2_of_negative::<false>(x);
            assert!(got.is_normal() && got < f64::SMALLEST * 1e-9);
        }
    }

    #[test]
    fn corrected_reciprocal_equals_division_for_every_level() {
        let every_width = (1..=16).map(|bits| (1_u32 << bits) - 1);
        for levels in every_width.chain(1..512).chain((512..65_535).step_by(97)) {
            let (denominator, reciprocal) = (levels as f32, 1.0 / levels as f32);
            for k in 0..=levels {
                let got = f32::divide_small_integers::<true>(k as f32, denominator, reciprocal);
                assert_eq!(got.to_bits(), (k as f32 / denominator).to_bits(), "{k}/{levels}");
            }
        }
    }
}

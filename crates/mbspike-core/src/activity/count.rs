use pulp::{Arch, Simd, WithSimd};

use crate::Real;

/// Lanes summed side by side.
const LANES: usize = 16;
/// Elements summed in `f64` before they are added to a [`Sum`]. A sum of 1,024 spikes of up to 16 bits,
/// multiples of 2⁻³⁹ as `f32`, is exact in `f64`.
const BLOCK: usize = 1024;

/// A sum that does not depend on the order of additions, as far as twice the digits of an `f64` hold it:
/// the sum and what its roundings lost (Knuth's two-sum).
///
/// The rule for what is not finite, on every device: a sum that has met NaN or an infinity is NaN.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Sum {
    value: f64,
    rest: f64,
}

impl Sum {
    /// The sum as an `f64`.
    pub fn value(&self) -> f64 {
        self.value
    }

    /// Adds a number.
    pub fn add(&mut self, x: f64) {
        let (value, lost) = two_sum(self.value, x);
        *self = if value.is_finite() {
            let (value, rest) = two_sum(value, lost + self.rest);
            Self { value, rest }
        } else {
            Self { value: f64::NAN, rest: 0.0 }
        };
    }

    /// Adds what was summed elsewhere.
    pub fn merge(&mut self, other: &Self) {
        self.add(other.value);
        self.add(other.rest);
    }
}

impl From<f64> for Sum {
    fn from(value: f64) -> Self {
        let mut sum = Self::default();
        sum.add(value);
        sum
    }
}

/// `a + b` rounded, and what was rounded off.
fn two_sum(a: f64, b: f64) -> (f64, f64) {
    let sum = a + b;
    let b_of_sum = sum - a;
    (sum, (a - (sum - b_of_sum)) + (b - b_of_sum))
}

struct CountAndSum<'a, T>(&'a [T]);

impl<T: Real> WithSimd for CountAndSum<'_, T> {
    type Output = (u64, Sum);

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) -> (u64, Sum) {
        let (mut n, mut total) = (0, Sum::default());
        for block in self.0.chunks(BLOCK) {
            let (mut n_lanes, mut sum) = ([0_u32; LANES], [0.0_f64; LANES]);
            let (chunks, rest) = block.as_chunks::<LANES>();
            for chunk in chunks {
                for i in 0..LANES {
                    n_lanes[i] += u32::from(chunk[i] != T::zero());
                    sum[i] += chunk[i].as_f64();
                }
            }
            for (i, v) in rest.iter().enumerate() {
                n_lanes[i] += u32::from(*v != T::zero());
                sum[i] += v.as_f64();
            }
            n += u64::from(n_lanes.into_iter().sum::<u32>());
            total.add(sum.into_iter().sum());
        }
        (n, total)
    }
}

/// Number of non-zero elements and sum of all of them, in one pass. NaN counts as non-zero.
pub fn count<T: Real>(values: &[T]) -> (u64, Sum) {
    Arch::new().dispatch(CountAndSum(values))
}

struct CountNonzero<'a, T>(&'a [T]);

impl<T: Real> WithSimd for CountNonzero<'_, T> {
    type Output = usize;

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) -> usize {
        let mut n = 0;
        for block in self.0.chunks(BLOCK) {
            let mut of_block = 0_u32;
            for v in block {
                of_block += u32::from(*v != T::zero());
            }
            n += of_block as usize;
        }
        n
    }
}

/// Number of non-zero elements. NaN counts as non-zero.
pub fn n_nonzero<T: Real>(values: &[T]) -> usize {
    Arch::new().dispatch(CountNonzero(values))
}

/// What was counted at one position.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Count {
    /// Elements seen.
    pub n_elements: u64,
    /// Elements that are not zero.
    pub n_nonzero: u64,
    /// Sum of the elements.
    pub sum: Sum,
}

#[cfg(test)]
mod tests {
    use super::{Sum, count, n_nonzero};

    #[test]
    fn counts_and_sums_any_length() {
        for length in [0, 1, 15, 16, 17, 100, 1023, 1024, 1025, 5000] {
            let values: Vec<f32> = (0..length).map(|i| (i % 3) as f32).collect();
            let want = values.iter().filter(|v| **v != 0.0).count();
            let sum: f64 = values.iter().map(|v| f64::from(*v)).sum();
            let (n, got) = count(&values);
            assert_eq!((n, got.value()), (want as u64, sum));
            assert_eq!(n_nonzero(&values), want);
        }
        assert_eq!((count(&[f32::NAN]).0, n_nonzero(&[f32::NAN])), (1, 1));
    }

    #[test]
    fn ten_million_spikes_are_summed_exactly_whatever_the_order() {
        for bits in [1, 2, 8, 16] {
            let levels = ((1_u32 << bits) - 1) as f32;
            let n = 10_000_000_usize;
            let of = |i: usize| (i * 7919 % (levels as usize + 1)) as f32 / levels;
            let values: Vec<f32> = (0..n).map(of).collect();
            // In units of 2^-39, of which each spike is a multiple.
            let unit = 2.0_f64.powi(39);
            let units: i128 = values.iter().map(|s| (f64::from(*s) * unit) as i128).sum();
            let want = units as f64 / unit;
            assert_eq!(count(&values).1.value(), want, "{bits} bits");
            // In pieces that are no whole blocks, from the last to the first.
            let mut sum = Sum::default();
            values.chunks(777).rev().for_each(|piece| sum.merge(&count(piece).1));
            assert_eq!(sum, count(&values).1, "{bits} bits");
        }
    }

    #[test]
    fn a_sum_that_has_met_what_is_not_finite_is_nan() {
        for x in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            let mut values = vec![1.0; 3000];
            values[1500] = x;
            let (n, sum) = count(&values);
            assert!(n == 3000 && sum.value().is_nan());
            let mut more = Sum::from(1.0);
            more.merge(&sum);
            more.add(1.0);
            assert!(more.value().is_nan());
        }
        assert!(Sum::from(f64::INFINITY).value().is_nan());
    }
}

//! Brain floating point: f32 with 8 bits of precision.

use pulp::{Arch, Simd, WithSimd};

struct Round<'a>(&'a mut [f32]);

impl WithSimd for Round<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        for value in self.0 {
            let bits = value.to_bits();
            let rounded = bits.wrapping_add(0x7FFF + ((bits >> 16) & 1)) & 0xFFFF_0000;
            // Not the NaN it was: a store of "the same or rounded" becomes a slow masked one.
            *value = f32::from_bits(if value.is_nan() { f32::NAN.to_bits() } else { rounded });
        }
    }
}

/// Rounds every element to the nearest bf16 value, ties to even; NaN stays NaN.
pub fn round_to_bf16(values: &mut [f32]) {
    Arch::new().dispatch(Round(values));
}

#[cfg(test)]
mod tests {
    use candle_core::{DType, Device, Tensor};

    use super::*;

    #[test]
    fn agrees_with_candle() {
        let values: Vec<f32> =
            (0..100_000_u32).map(|i| f32::from_bits(i.wrapping_mul(42_949))).collect();
        let mut rounded = values.clone();
        round_to_bf16(&mut rounded);
        let tensor = Tensor::new(&values[..], &Device::Cpu).unwrap();
        let want = tensor.to_dtype(DType::BF16).unwrap().to_dtype(DType::F32).unwrap();
        for ((x, got), want) in values.iter().zip(rounded).zip(want.to_vec1::<f32>().unwrap()) {
            assert!(got == want || (x.is_nan() && got.is_nan()), "{x} became {got}, not {want}");
        }
    }
}

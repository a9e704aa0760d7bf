//! Brain floating point: f32 with 8 bits of precision.

use candle_core::backend::BackendStorage;
use candle_core::{CpuStorage, CudaStorage, CustomOp1, DType, Layout, Shape, Tensor, WithDType};
use pulp::{Arch, Simd, WithSimd};

use crate::Result;

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

/// An f32 operand of a product, rounded to bf16; the gradient passes unchanged.
///
/// # Errors
/// If `x` is not f32.
pub fn bf16_operand(x: &Tensor) -> Result<Tensor> {
    Ok(x.contiguous()?.apply_op1(RoundOnce { forward: true })?)
}

/// An f32 product as it is, whose gradient, an operand of the backward products, is rounded to bf16.
///
/// # Errors
/// If `y` is not f32.
pub fn bf16_gradient(y: &Tensor) -> Result<Tensor> {
    Ok(y.contiguous()?.apply_op1(RoundOnce { forward: false })?)
}

/// Rounds to bf16 in one direction and passes values through in the other.
struct RoundOnce {
    forward: bool,
}

impl CustomOp1 for RoundOnce {
    fn name(&self) -> &'static str {
        "round_to_bf16"
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> candle_core::Result<(CpuStorage, Shape)> {
        let (CpuStorage::F32(x), Some((start, end))) = (x, layout.contiguous_offsets()) else {
            candle_core::bail!("round_to_bf16 takes a contiguous f32 tensor")
        };
        let mut values = x[start..end].to_vec();
        if self.forward {
            round_to_bf16(&mut values);
        }
        Ok((f32::to_cpu_storage_owned(values), layout.shape().clone()))
    }

    fn cuda_fwd(
        &self,
        x: &CudaStorage,
        layout: &Layout,
    ) -> candle_core::Result<(CudaStorage, Shape)> {
        let between = if self.forward { DType::BF16 } else { DType::F32 };
        let rounded = x.to_dtype(layout, between)?;
        let y = rounded.to_dtype(&Layout::contiguous(layout.shape()), DType::F32)?;
        Ok((y, layout.shape().clone()))
    }

    fn bwd(&self, _: &Tensor, _: &Tensor, grad: &Tensor) -> candle_core::Result<Option<Tensor>> {
        Ok(Some(if self.forward {
            grad.clone()
        } else {
            grad.to_dtype(DType::BF16)?.to_dtype(DType::F32)?
        }))
    }
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

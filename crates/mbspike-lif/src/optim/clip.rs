use candle_core::{DType, Device, Tensor};
use mbspike_core::{Real, carried};

use crate::Result;

/// Scales all gradients by `max_norm / (norm + 1e-6)` where their joint Euclidean norm exceeds
/// `max_norm`, and returns that norm: `PyTorch`'s `clip_grad_norm_`.
///
/// On the CPU the norm is summed in `f64` and in one order, whatever the number of threads. A norm
/// that is not finite is returned as such, and the gradients are then not either.
pub fn clip_grad_norm(gradients: &mut [Tensor], max_norm: f64) -> Result<f64> {
    let mut sum = 0.0;
    for gradient in &*gradients {
        sum += sum_of_squares(gradient)?;
    }
    let norm = sum.sqrt();
    let scale = max_norm / (norm + 1e-6);
    if scale < 1.0 || scale.is_nan() {
        for gradient in gradients {
            *gradient = carried(&carried(gradient)?.affine(scale, 0.0)?)?;
        }
    }
    Ok(norm)
}

fn sum_of_squares(gradient: &Tensor) -> Result<f64> {
    fn of_slice<T: Real>(values: &[T]) -> f64 {
        /// Partial sums that run side by side, so that the loop vectorizes.
        const LANES: usize = 8;
        let square = |x: T| x.as_f64() * x.as_f64();
        let mut sums = [0.0; LANES];
        let chunks = values.chunks_exact(LANES);
        let rest: f64 = chunks.remainder().iter().map(|x| square(*x)).sum();
        for chunk in chunks {
            for (sum, x) in sums.iter_mut().zip(chunk) {
                *sum += square(*x);
            }
        }
        sums.iter().sum::<f64>() + rest
    }
    let gradient = gradient.contiguous()?;
    match (gradient.device(), gradient.dtype()) {
        (Device::Cpu, DType::F32) => {
            Ok(mbspike_core::read::<f32, _>(&gradient, |values| Ok(of_slice(values)))?)
        }
        (Device::Cpu, DType::F64) => {
            Ok(mbspike_core::read::<f64, _>(&gradient, |values| Ok(of_slice(values)))?)
        }
        _ => Ok(gradient.to_dtype(DType::F32)?.sqr()?.sum_all()?.to_scalar::<f32>()?.into()),
    }
}

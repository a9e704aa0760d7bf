//! Batch normalization of channels-last images: statistics, and the gradient that flows through them.

use pulp::{Arch, Simd, WithSimd};

use crate::error::check_len;
use crate::{Real, Result};

struct AddMoments<'a> {
    sum: &'a mut [f64],
    square: &'a mut [f64],
    y: &'a [f32],
}

impl WithSimd for AddMoments<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let row = self.sum.len();
        let (sum, square) = (&mut self.sum[..row], &mut self.square[..row]);
        for y in self.y.chunks_exact(row) {
            for i in 0..row {
                let y = f64::from(y[i]);
                sum[i] += y;
                square[i] += y * y;
            }
        }
    }
}

/// Adds the elements of rows `y`, each as long as `sum`, and their squares, place by place.
///
/// In double precision a square of single precision is exact, so the variance that comes of it is
/// good to 1e-15 of the mean's square.
///
/// # Errors
/// If a slice has the wrong length.
pub fn add_moments(sum: &mut [f64], square: &mut [f64], y: &[f32]) -> Result<()> {
    check_len("add_moments", "square", square.len(), sum.len())?;
    check_len("add_moments", "the end of y", y.len() % sum.len().max(1), 0)?;
    if !sum.is_empty() {
        Arch::new().dispatch(AddMoments { sum, square, y });
    }
    Ok(())
}

/// Mean and biased variance of each channel from the moments of `n` elements a channel.
///
/// # Errors
/// If a slice has the wrong length.
pub fn mean_and_variance(
    mean: &mut [f64],
    variance: &mut [f64],
    sum: &[f64],
    square: &[f64],
    n: f64,
) -> Result<()> {
    const OP: &str = "mean_and_variance";
    check_len(OP, "variance", variance.len(), mean.len())?;
    check_len(OP, "sum", sum.len(), mean.len())?;
    check_len(OP, "square", square.len(), mean.len())?;
    for (((mean, variance), sum), square) in mean.iter_mut().zip(variance).zip(sum).zip(square) {
        *mean = sum / n;
        let v = square / n - *mean * *mean;
        // Rounding may leave a constant channel a little below zero; a NaN stays one.
        *variance = if v < 0.0 { 0.0 } else { v };
    }
    Ok(())
}

/// How the gradient of normalized values becomes that of the values before:
/// `dy = scale · dz + slope · (y − mean) + constant`, each slice one row long.
#[derive(Debug, Clone, Copy)]
pub struct NormGradient<'a> {
    /// `γ/σ`.
    pub scale: &'a [f32],
    /// `−γ/σ³ · mean(dz · (y − mean))`.
    pub slope: &'a [f32],
    /// `−γ/σ · mean(dz)`.
    pub constant: &'a [f32],
    /// Mean of the values.
    pub mean: &'a [f32],
}

struct Backward<'a> {
    dz_to_dy: &'a mut [f32],
    y: &'a [f32],
    of: NormGradient<'a>,
}

impl WithSimd for Backward<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let row = self.of.scale.len();
        let (scale, slope) = (&self.of.scale[..row], &self.of.slope[..row]);
        let (constant, mean) = (&self.of.constant[..row], &self.of.mean[..row]);
        for (d, y) in self.dz_to_dy.chunks_exact_mut(row).zip(self.y.chunks_exact(row)) {
            for i in 0..row {
                let dy = scale[i] * d[i] + slope[i] * (y[i] - mean[i]) + constant[i];
                d[i] = dy.carried();
            }
        }
    }
}

/// The gradient of values `y` from that of the normalized values, in place,
/// [carried](crate::Real::carried).
///
/// # Errors
/// If a slice has the wrong length.
pub fn norm_backward(dz_to_dy: &mut [f32], y: &[f32], of: NormGradient<'_>) -> Result<()> {
    const OP: &str = "norm_backward";
    let row = of.scale.len();
    check_len(OP, "y", y.len(), dz_to_dy.len())?;
    check_len(OP, "slope", of.slope.len(), row)?;
    check_len(OP, "constant", of.constant.len(), row)?;
    check_len(OP, "mean", of.mean.len(), row)?;
    check_len(OP, "the end of y", y.len() % row.max(1), 0)?;
    if row > 0 {
        Arch::new().dispatch(Backward { dz_to_dy, y, of });
    }
    Ok(())
}

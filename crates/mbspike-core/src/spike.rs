//! The spike function alone: one step's membranes to spikes, with a surrogate derivative, for neurons
//! that are put together from tensor operations. [`lif`](crate::lif) is the same fused over time.

use candle_core::{CpuStorage, CustomOp1, CustomOp2, DType, Layout, Shape, Tensor};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::error::check_shape;
use crate::lif::{MAX_BITS, levels_of};
use crate::tensor::{contiguous, read, write};
use crate::{Error, Real, Result, Shift, Surrogate};

/// Elements that a thread takes at a time.
const CHUNK: usize = 16 * 1024;

/// How a membrane in levels becomes a whole number of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Rounding {
    /// Down: a level fires once the membrane reaches it.
    #[default]
    Floor,
    /// To the nearest, halves to the even number: a level fires half a level early (Luo et al. 2024).
    NearestEven,
}

/// What a spike of level `k` is sent as.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SpikeOutput {
    /// `k/L`, in `0..=1`.
    #[default]
    Unit,
    /// `k`, a count of unit spikes.
    Count,
}

/// The spike function: `k = clamp(round(h L/θ), 0, L)`, sent as [`SpikeOutput`] says.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SpikeFunction {
    /// Levels L above 0.
    pub levels: u32,
    /// How membranes between levels are rounded.
    pub rounding: Rounding,
    /// What is sent.
    pub output: SpikeOutput,
    /// Derivative used in the backward pass.
    pub surrogate: Surrogate,
    /// Where that is centred.
    pub shift: Shift,
    /// Whether the surrogate's primitive stands in for the staircase, to check gradients with.
    pub smooth: bool,
}

impl SpikeFunction {
    /// Spikes of membranes `h`, f32 or f64 on the CPU, with threshold `v_threshold`; differentiable
    /// in `h`.
    ///
    /// # Errors
    /// If a parameter is out of range or the tensor is of another type or device.
    pub fn apply(&self, h: &Tensor, v_threshold: f64) -> Result<Tensor> {
        self.validate()?;
        if !(v_threshold > 0.0 && v_threshold.is_finite()) {
            return Err(Error::InvalidParameter {
                name: "v_threshold",
                expected: "a positive number",
                got: v_threshold.to_string(),
            });
        }
        Ok(h.contiguous()?.apply_op1(Fixed { function: *self, v_threshold })?)
    }

    /// [`SpikeFunction::apply`] with a threshold for each element, of the shape of `h`; differentiable
    /// in both. A threshold that is not above 0 gives a NaN.
    ///
    /// # Errors
    /// As [`SpikeFunction::apply`], and if the shapes differ.
    pub fn apply_with(&self, h: &Tensor, v_threshold: &Tensor) -> Result<Tensor> {
        self.validate()?;
        check_shape(
            "spike",
            "v_threshold",
            v_threshold.dims(),
            v_threshold.dims() == h.dims(),
            || format!("that of h, {:?}", h.dims()),
        )?;
        Ok(h.contiguous()?.apply_op2(&v_threshold.contiguous()?, Given(*self))?)
    }

    fn validate(&self) -> Result<()> {
        if !(1..=levels_of(MAX_BITS)).contains(&self.levels) {
            return Err(Error::InvalidParameter {
                name: "levels",
                expected: "in 1..=65535",
                got: self.levels.to_string(),
            });
        }
        self.surrogate.validate()
    }

    /// What one unit of [`Surrogate`]'s spike is in the output.
    fn scale(&self) -> f64 {
        match self.output {
            SpikeOutput::Unit => 1.0,
            SpikeOutput::Count => f64::from(self.levels),
        }
    }

    fn shift_at(&self, v_threshold: f64) -> f64 {
        match self.shift {
            Shift::By(shift) => shift,
            Shift::Centred | Shift::Unshifted => {
                self.shift.per_threshold(self.levels) * v_threshold
            }
        }
    }

    #[inline]
    fn forward<T: Real>(&self, h: T, v_threshold: T) -> T {
        if self.smooth {
            let (h, theta) = (h.to_f64(), v_threshold.to_f64());
            let s = self.surrogate.primitive(h, self.levels, theta, self.shift_at(theta));
            return T::of(s * self.scale());
        }
        if v_threshold <= T::zero() {
            return T::nan();
        }
        let levels = T::of(self.levels.into());
        let q = h * levels / v_threshold;
        // A NaN passes: both comparisons are false.
        let q = if q < T::zero() { T::zero() } else { q };
        let q = if q > levels { levels } else { q };
        let k = match self.rounding {
            Rounding::Floor => q.floor(),
            Rounding::NearestEven => round_ties_even(q),
        };
        match self.output {
            SpikeOutput::Unit => k / levels,
            SpikeOutput::Count => k,
        }
    }

    fn derivative<T: Real>(&self, h: T, v_threshold: T) -> T {
        let (h, theta) = (h.to_f64(), v_threshold.to_f64());
        if h.is_nan() || theta.is_nan() {
            return T::nan();
        }
        let ds = self.surrogate.derivative(h, self.levels, theta, self.shift_at(theta));
        T::of(ds * self.scale()).carried()
    }

    fn threshold_derivative<T: Real>(&self, h: T, v_threshold: T) -> T {
        let (h, theta) = (h.to_f64(), v_threshold.to_f64());
        if h.is_nan() || theta.is_nan() {
            return T::nan();
        }
        let ds = self.surrogate.threshold_derivative(h, self.levels, theta, self.shift);
        T::of(ds * self.scale()).carried()
    }
}

fn round_ties_even<T: Real>(q: T) -> T {
    let half = T::of(0.5);
    let down = q.floor();
    let rest = q - down;
    let odd = (down * half).floor() + (down * half).floor() != down;
    if rest > half || (rest == half && odd) {
        down + T::one()
    } else if q.is_nan() {
        q
    } else {
        down
    }
}

/// A gradient through a slope that is [carried](Real::carried), carried on.
fn through<T: Real>(slope: T, grad: T) -> T {
    (slope * grad.carried()).carried()
}

/// `f` of each pair of elements, in parallel.
fn zip_map<T: Real>(a: &[T], b: &[T], f: impl Fn(T, T) -> T + Sync) -> Vec<T> {
    let mut out = vec![T::zero(); a.len()];
    out.par_chunks_mut(CHUNK).zip(a.par_chunks(CHUNK)).zip(b.par_chunks(CHUNK)).for_each(
        |((out, a), b)| {
            for ((out, a), b) in out.iter_mut().zip(a).zip(b) {
                *out = f(*a, *b);
            }
        },
    );
    out
}

/// `f` of each element, in parallel.
fn map<T: Real>(a: &[T], f: impl Fn(T) -> T + Sync) -> Vec<T> {
    zip_map(a, a, |a, _| f(a))
}

/// With one threshold.
struct Fixed {
    function: SpikeFunction,
    v_threshold: f64,
}

impl Fixed {
    fn grad<T: Real>(&self, h: &Tensor, grad: &Tensor) -> candle_core::Result<Tensor> {
        let theta = T::of(self.v_threshold);
        let function = self.function;
        let grad_h = read::<T, _>(h, |h| {
            read::<T, _>(grad, |grad| {
                Ok(zip_map(h, grad, |h, g| through(function.derivative(h, theta), g)))
            })
        })?;
        write(grad_h, h.dims())
    }
}

impl CustomOp1 for Fixed {
    fn name(&self) -> &'static str {
        "spike"
    }

    fn cpu_fwd(&self, h: &CpuStorage, layout: &Layout) -> candle_core::Result<(CpuStorage, Shape)> {
        let function = self.function;
        let storage = match h {
            CpuStorage::F32(h) => {
                let theta = self.v_threshold as f32;
                CpuStorage::F32(map(contiguous(h, layout)?, |h| function.forward(h, theta)))
            }
            CpuStorage::F64(h) => {
                let theta = self.v_threshold;
                CpuStorage::F64(map(contiguous(h, layout)?, |h| function.forward(h, theta)))
            }
            _ => candle_core::bail!("spike takes an f32 or f64 tensor"),
        };
        Ok((storage, layout.shape().clone()))
    }

    fn bwd(&self, h: &Tensor, _: &Tensor, grad: &Tensor) -> candle_core::Result<Option<Tensor>> {
        let grad = grad.contiguous()?;
        Ok(Some(match h.dtype() {
            DType::F32 => self.grad::<f32>(h, &grad)?,
            _ => self.grad::<f64>(h, &grad)?,
        }))
    }
}

/// With a threshold for each element.
struct Given(SpikeFunction);

impl Given {
    fn grads<T: Real>(
        &self,
        h: &Tensor,
        theta: &Tensor,
        grad: &Tensor,
    ) -> candle_core::Result<(Tensor, Tensor)> {
        let function = self.0;
        let of = |derivative: &(dyn Fn(T, T) -> T + Sync)| -> Result<Vec<T>> {
            read::<T, _>(h, |h| {
                read::<T, _>(theta, |theta| {
                    let slope = zip_map(h, theta, derivative);
                    read::<T, _>(grad, |grad| Ok(zip_map(&slope, grad, through)))
                })
            })
        };
        let grad_h = of(&|h, theta| function.derivative(h, theta))?;
        let grad_theta = of(&|h, theta| function.threshold_derivative(h, theta))?;
        Ok((write(grad_h, h.dims())?, write(grad_theta, h.dims())?))
    }
}

impl CustomOp2 for Given {
    fn name(&self) -> &'static str {
        "spike_with_threshold"
    }

    fn cpu_fwd(
        &self,
        h: &CpuStorage,
        h_layout: &Layout,
        theta: &CpuStorage,
        theta_layout: &Layout,
    ) -> candle_core::Result<(CpuStorage, Shape)> {
        let function = self.0;
        let storage = match (h, theta) {
            (CpuStorage::F32(h), CpuStorage::F32(theta)) => {
                let (h, theta) = (contiguous(h, h_layout)?, contiguous(theta, theta_layout)?);
                CpuStorage::F32(zip_map(h, theta, |h, theta| function.forward(h, theta)))
            }
            (CpuStorage::F64(h), CpuStorage::F64(theta)) => {
                let (h, theta) = (contiguous(h, h_layout)?, contiguous(theta, theta_layout)?);
                CpuStorage::F64(zip_map(h, theta, |h, theta| function.forward(h, theta)))
            }
            _ => candle_core::bail!("spike_with_threshold takes two f32 or two f64 tensors"),
        };
        Ok((storage, h_layout.shape().clone()))
    }

    fn bwd(
        &self,
        h: &Tensor,
        theta: &Tensor,
        _: &Tensor,
        grad: &Tensor,
    ) -> candle_core::Result<(Option<Tensor>, Option<Tensor>)> {
        let grad = grad.contiguous()?;
        let (grad_h, grad_theta) = match h.dtype() {
            DType::F32 => self.grads::<f32>(h, theta, &grad)?,
            _ => self.grads::<f64>(h, theta, &grad)?,
        };
        Ok((Some(grad_h), Some(grad_theta)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn halves_round_to_the_even_number() {
        for i in -40..40 {
            let q = f64::from(i) / 8.0;
            assert_eq!(round_ties_even(q), q.round_ties_even(), "{q}");
        }
        assert!(round_ties_even(f64::NAN).is_nan());
    }
}

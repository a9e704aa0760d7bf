//! Candle operations: glue between tensors and the slice kernels.

use candle_core::{CpuStorage, CustomOp2, CustomOp3, DType, Layout, Shape, Tensor, WithDType};

use super::cpu::{LifForward, LifGrad, lif_backward, lif_forward};
use super::{Decay, LifParams};
use crate::tensor::{contiguous, read, write};
use crate::{Error, Real, Result};

/// Multi-step LIF as one differentiable operation: spikes `[T, …]` from currents `x_seq` `[T, …]`
/// and initial membranes `v_init` `[…]`, in f32 or f64. Gradients flow to both.
///
/// # Errors
/// If a parameter is out of range or the shapes or types do not agree.
pub fn lif_multi_step(x_seq: &Tensor, v_init: &Tensor, params: &LifParams) -> Result<Tensor> {
    params.validate()?;
    check_time_major(x_seq, v_init)?;
    let op = Lif { params: *params, with_v: false };
    Ok(x_seq.contiguous()?.apply_op2(&v_init.contiguous()?, op)?)
}

/// [`lif_multi_step`] that also returns the membranes after reset, `[T, …]`; gradients flow
/// through both results.
///
/// # Errors
/// As [`lif_multi_step`].
pub fn lif_multi_step_with_v(
    x_seq: &Tensor,
    v_init: &Tensor,
    params: &LifParams,
) -> Result<(Tensor, Tensor)> {
    params.validate()?;
    check_time_major(x_seq, v_init)?;
    let op = Lif { params: *params, with_v: true };
    let both = x_seq.contiguous()?.apply_op2(&v_init.contiguous()?, op)?;
    let n_steps = x_seq.dim(0)?;
    Ok((both.narrow(0, 0, n_steps)?, both.narrow(0, n_steps, n_steps)?))
}

/// [`lif_multi_step`] of a parametric LIF neuron (PLIF, Fang et al. 2021) whose time constant is
/// the tensor `tau` `[1]`, in steps, learned with the weights; a value below 1 counts as 1. The
/// `decay` of `params` is not used.
///
/// # Errors
/// As [`lif_multi_step`].
pub fn lif_multi_step_learnable_tau(
    x_seq: &Tensor,
    v_init: &Tensor,
    tau: &Tensor,
    params: &LifParams,
) -> Result<Tensor> {
    params.validate()?;
    check_time_major(x_seq, v_init)?;
    let op = Plif { params: *params };
    Ok(x_seq.contiguous()?.apply_op3(&v_init.contiguous()?, &tau.contiguous()?, op)?)
}

fn check_time_major(x_seq: &Tensor, v_init: &Tensor) -> Result<()> {
    let fail =
        |what, got, expected| Err(Error::Length { op: "lif_multi_step", what, got, expected });
    if x_seq.rank() == 0 {
        return fail("x_seq's shape", 0, v_init.rank() + 1);
    }
    if x_seq.dims()[1..] != *v_init.dims() {
        return fail("v_init", v_init.elem_count(), x_seq.dims()[1..].iter().product());
    }
    Ok(())
}

struct Lif {
    params: LifParams,
    /// Whether the membranes follow the spikes along the time axis.
    with_v: bool,
}

fn forward<T: Real>(x_seq: &[T], v_init: &[T], params: &LifParams, with_v: bool) -> Result<Vec<T>> {
    let n = x_seq.len();
    let mut out = vec![T::zero(); if with_v { 2 * n } else { n }];
    let (s_seq, v_seq) = out.split_at_mut(n);
    let outputs = LifForward { s_seq, v_seq: with_v.then_some(v_seq), h_seq: None };
    lif_forward(outputs, x_seq, v_init, params)?;
    Ok(out)
}

impl CustomOp2 for Lif {
    fn name(&self) -> &'static str {
        "lif_multi_step"
    }

    fn cpu_fwd(
        &self,
        x_seq: &CpuStorage,
        x_layout: &Layout,
        v_init: &CpuStorage,
        v_layout: &Layout,
    ) -> candle_core::Result<(CpuStorage, Shape)> {
        let mut dims = x_layout.dims().to_vec();
        if self.with_v {
            dims[0] *= 2;
        }
        let storage = match (x_seq, v_init) {
            (CpuStorage::F32(x), CpuStorage::F32(v)) => {
                let (x, v) = (contiguous(x, x_layout)?, contiguous(v, v_layout)?);
                f32::to_cpu_storage_owned(forward(x, v, &self.params, self.with_v).map_err(wrap)?)
            }
            (CpuStorage::F64(x), CpuStorage::F64(v)) => {
                let (x, v) = (contiguous(x, x_layout)?, contiguous(v, v_layout)?);
                f64::to_cpu_storage_owned(forward(x, v, &self.params, self.with_v).map_err(wrap)?)
            }
            _ => candle_core::bail!("lif_multi_step takes two f32 or two f64 tensors"),
        };
        Ok((storage, dims.into()))
    }

    fn bwd(
        &self,
        x_seq: &Tensor,
        v_init: &Tensor,
        _s_seq: &Tensor,
        grad: &Tensor,
    ) -> candle_core::Result<(Option<Tensor>, Option<Tensor>)> {
        let (grad_x, grad_v, _) = match x_seq.dtype() {
            DType::F32 => backward::<f32>(x_seq, v_init, grad, &self.params, self.with_v, false)?,
            _ => backward::<f64>(x_seq, v_init, grad, &self.params, self.with_v, false)?,
        };
        Ok((Some(grad_x), Some(grad_v)))
    }
}

struct Plif {
    params: LifParams,
}

impl Plif {
    fn at<T: Real>(&self, tau: &[T]) -> LifParams {
        LifParams { decay: tau_decay(tau), ..self.params }
    }
}

fn tau_decay<T: Real>(tau: &[T]) -> Decay {
    let tau = tau.first().and_then(num_traits::ToPrimitive::to_f64).unwrap_or(f64::NAN);
    Decay::Tau(if tau < 1.0 { 1.0 } else { tau })
}

impl CustomOp3 for Plif {
    fn name(&self) -> &'static str {
        "lif_multi_step_learnable_tau"
    }

    fn cpu_fwd(
        &self,
        x_seq: &CpuStorage,
        x_layout: &Layout,
        v_init: &CpuStorage,
        v_layout: &Layout,
        tau: &CpuStorage,
        tau_layout: &Layout,
    ) -> candle_core::Result<(CpuStorage, Shape)> {
        let storage = match (x_seq, v_init, tau) {
            (CpuStorage::F32(x), CpuStorage::F32(v), CpuStorage::F32(tau)) => {
                let params = self.at(contiguous(tau, tau_layout)?);
                let (x, v) = (contiguous(x, x_layout)?, contiguous(v, v_layout)?);
                f32::to_cpu_storage_owned(forward(x, v, &params, false).map_err(wrap)?)
            }
            (CpuStorage::F64(x), CpuStorage::F64(v), CpuStorage::F64(tau)) => {
                let params = self.at(contiguous(tau, tau_layout)?);
                let (x, v) = (contiguous(x, x_layout)?, contiguous(v, v_layout)?);
                f64::to_cpu_storage_owned(forward(x, v, &params, false).map_err(wrap)?)
            }
            _ => candle_core::bail!("{} takes three f32 or three f64 tensors", self.name()),
        };
        Ok((storage, x_layout.shape().clone()))
    }

    fn bwd(
        &self,
        x_seq: &Tensor,
        v_init: &Tensor,
        tau: &Tensor,
        _s_seq: &Tensor,
        grad: &Tensor,
    ) -> candle_core::Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let decay = match tau.dtype() {
            DType::F32 => tau_decay(&tau.to_vec1::<f32>()?),
            _ => tau_decay(&tau.to_vec1::<f64>()?),
        };
        let params = LifParams { decay, ..self.params };
        let (grad_x, grad_v, grad_tau) = match x_seq.dtype() {
            DType::F32 => backward::<f32>(x_seq, v_init, grad, &params, false, true)?,
            _ => backward::<f64>(x_seq, v_init, grad, &params, false, true)?,
        };
        Ok((Some(grad_x), Some(grad_v), grad_tau))
    }
}

fn backward<T: Real>(
    x_seq: &Tensor,
    v_init: &Tensor,
    grad: &Tensor,
    params: &LifParams,
    with_v: bool,
    with_tau: bool,
) -> candle_core::Result<(Tensor, Tensor, Option<Tensor>)> {
    let grad = grad.contiguous()?;
    let mut grad_x_seq = vec![T::zero(); x_seq.elem_count()];
    let mut grad_v_init = vec![T::zero(); v_init.elem_count()];
    let mut grad_tau = T::zero();
    read::<T, _>(x_seq, |x| {
        read::<T, _>(v_init, |v| {
            read::<T, _>(&grad, |grad| {
                let (grad_s, grad_v) = grad.split_at(x.len());
                let outputs = LifGrad {
                    grad_x_seq: &mut grad_x_seq,
                    grad_v_init: &mut grad_v_init,
                    grad_tau: with_tau.then_some(&mut grad_tau),
                };
                lif_backward(outputs, x, v, grad_s, with_v.then_some(grad_v), params)
            })
        })
    })
    .map_err(wrap)?;
    let grad_tau = if with_tau { Some(write(vec![grad_tau], &[1])?) } else { None };
    Ok((write(grad_x_seq, x_seq.dims())?, write(grad_v_init, v_init.dims())?, grad_tau))
}

fn wrap(error: Error) -> candle_core::Error {
    match error {
        Error::Tensor(error) => error,
        other => candle_core::Error::wrap(other),
    }
}

//! Candle operations: glue between tensors and the kernels.

use candle_core::{CpuStorage, CustomOp2, CustomOp3, DType, Layout, Shape, Tensor};

use super::cpu::{LifForward, LifGrad, lif_backward, lif_forward};
use super::operation::{Lif, pooled_dims};
use super::{Decay, LifParams};
use crate::activity::Counts;
use crate::cuda::FUSED_POOL_SIZES;
use crate::error::check_shape;
use crate::pool::{Pool2d, PoolKind, pool2d};
use crate::tensor::{contiguous, read, write};
use crate::{Error, Real, Result};

/// What [`lif_multi_step_with`] does besides.
#[derive(Debug, Clone, Copy, Default)]
pub struct LifOptions<'a> {
    /// The time constant `[1]` of a parametric LIF neuron (PLIF, Fang et al. 2021), in steps, learned
    /// with the weights; a value below 1 counts as 1. The `decay` of the parameters is not used then.
    pub tau: Option<&'a Tensor>,
    /// Averages the spikes over windows of this side in the last two dimensions, as
    /// [`pool2d`] does.
    pub average_pool: Option<usize>,
    /// Adds the spikes, before any pooling, to the counts at a position.
    pub counts: Option<(&'a Counts, usize)>,
}

/// Multi-step LIF as one differentiable operation: spikes `[T, …]` from currents `x_seq` `[T, …]`
/// and initial membranes `v_init` `[…]`, in f32 or f64, or, on a GPU, in f32 or bf16. Gradients flow
/// to both.
///
/// # Errors
/// If a parameter is out of range or the shapes or types do not agree.
pub fn lif_multi_step(x_seq: &Tensor, v_init: &Tensor, params: &LifParams) -> Result<Tensor> {
    lif_multi_step_with(x_seq, v_init, params, LifOptions::default())
}

/// [`lif_multi_step`] with `options`: a learnable time constant, which gets a gradient too, pooling
/// of the spikes, counts of them, all in one pass over the data.
///
/// # Errors
/// As [`lif_multi_step`], and if the window of pooling does not fit the shape.
pub fn lif_multi_step_with(
    x_seq: &Tensor,
    v_init: &Tensor,
    params: &LifParams,
    options: LifOptions<'_>,
) -> Result<Tensor> {
    params.validate()?;
    check_time_major(x_seq, v_init)?;
    check_tau(options.tau)?;
    if let Some(size) = options.average_pool
        && x_seq.device().is_cuda()
        && !FUSED_POOL_SIZES.contains(&size)
    {
        let options = LifOptions { average_pool: None, ..options };
        let s_seq = lif_multi_step_with(x_seq, v_init, params, options)?;
        let (n_planes, (height, width)) = planes(s_seq.dims(), size)?;
        let pooled =
            pool2d(&s_seq.reshape((n_planes, 1, height, width))?, PoolKind::Average, size)?;
        return Ok(pooled.reshape(pooled_dims(s_seq.dims(), size))?);
    }
    if let Some(size) = options.average_pool {
        planes(x_seq.dims(), size)?;
    }
    let lif = Lif {
        params: *params,
        with_v: false,
        average_pool: options.average_pool,
        counts: options.counts.map(|(counts, position)| (counts.clone(), position)),
    };
    let (x_seq, v_init) = (x_seq.contiguous()?, v_init.contiguous()?);
    Ok(match options.tau {
        None => x_seq.apply_op2(&v_init, lif)?,
        Some(tau) => x_seq.apply_op3(&v_init, &tau.contiguous()?, Plif(lif))?,
    })
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
    with_v(x_seq, v_init, params, None)
}

/// [`lif_multi_step_with_v`] with the learnable time constant `tau` `[1]`.
///
/// # Errors
/// As [`lif_multi_step`].
pub fn lif_multi_step_learnable_tau_with_v(
    x_seq: &Tensor,
    v_init: &Tensor,
    tau: &Tensor,
    params: &LifParams,
) -> Result<(Tensor, Tensor)> {
    with_v(x_seq, v_init, params, Some(tau))
}

fn with_v(
    x_seq: &Tensor,
    v_init: &Tensor,
    params: &LifParams,
    tau: Option<&Tensor>,
) -> Result<(Tensor, Tensor)> {
    params.validate()?;
    check_time_major(x_seq, v_init)?;
    check_tau(tau)?;
    let op = Lif { params: *params, with_v: true, average_pool: None, counts: None };
    let (x, v_init) = (x_seq.contiguous()?, v_init.contiguous()?);
    let both = match tau {
        None => x.apply_op2(&v_init, op)?,
        Some(tau) => x.apply_op3(&v_init, &tau.contiguous()?, Plif(op))?,
    };
    let n_steps = x_seq.dim(0)?;
    Ok((both.narrow(0, 0, n_steps)?, both.narrow(0, n_steps, n_steps)?))
}

/// [`lif_multi_step_with`] the learnable time constant `tau`.
///
/// # Errors
/// As [`lif_multi_step`].
pub fn lif_multi_step_learnable_tau(
    x_seq: &Tensor,
    v_init: &Tensor,
    tau: &Tensor,
    params: &LifParams,
) -> Result<Tensor> {
    let options = LifOptions { tau: Some(tau), ..LifOptions::default() };
    lif_multi_step_with(x_seq, v_init, params, options)
}

fn check_time_major(x_seq: &Tensor, v_init: &Tensor) -> Result<()> {
    const OP: &str = "lif_multi_step";
    check_shape(OP, "x_seq", x_seq.dims(), x_seq.rank() > 0, || "[T, …]".into())?;
    let of_step = &x_seq.dims()[1..];
    check_shape(OP, "v_init", v_init.dims(), v_init.dims() == of_step, || {
        format!("{of_step:?}, a step of x_seq {:?}", x_seq.dims())
    })
}

fn check_tau(tau: Option<&Tensor>) -> Result<()> {
    let Some(tau) = tau else { return Ok(()) };
    check_shape("lif_multi_step", "tau", tau.dims(), tau.elem_count() == 1, || "[1]".into())
}

/// Number of the images `[…, H, W]` to be pooled, all steps together, and their height and width.
fn planes(dims: &[usize], size: usize) -> Result<(usize, (usize, usize))> {
    match *dims {
        [_, ref outer @ .., height, width] if (1..=height.min(width)).contains(&size) => {
            Ok((dims[0] * outer.iter().product::<usize>(), (height, width)))
        }
        _ => Err(Error::InvalidParameter {
            name: "average_pool",
            expected: "at least 1 and not larger than the image",
            got: size.to_string(),
        }),
    }
}

impl Lif {
    fn forward<T: Real>(&self, x_seq: &[T], v_init: &[T], dims: &[usize]) -> Result<Vec<T>> {
        let n = x_seq.len();
        let mut out = vec![T::zero(); if self.with_v { 2 * n } else { n }];
        let (s_seq, v_seq) = out.split_at_mut(n);
        let outputs = LifForward { s_seq, v_seq: self.with_v.then_some(v_seq), h_seq: None };
        lif_forward(outputs, x_seq, v_init, &self.params)?;
        if let Some((counts, position)) = &self.counts {
            counts.add_slice(*position, &out[..n]);
        }
        Ok(match self.pooling(dims) {
            Some(pool) => pool.forward(&out, pool.planes(dims)),
            None => out,
        })
    }

    fn pooling(&self, dims: &[usize]) -> Option<Pool2d> {
        let size = self.average_pool.filter(|_| dims.len() > 2)?;
        Some(Pool2d { kind: PoolKind::Average, size })
    }

    /// Gradients of the input, the initial membranes and, where it was `learned`, the time constant.
    fn backward(
        &self,
        x_seq: &Tensor,
        v_init: &Tensor,
        learned: Option<&Tensor>,
        grad: &Tensor,
    ) -> candle_core::Result<(Tensor, Tensor, Option<Tensor>)> {
        let grad = grad.contiguous()?;
        #[cfg(feature = "cuda")]
        if x_seq.device().is_cuda() {
            return super::cuda::backward(self, x_seq, v_init, learned, &grad);
        }
        match x_seq.dtype() {
            DType::F32 => self.backward_of::<f32>(x_seq, v_init, learned, &grad),
            _ => self.backward_of::<f64>(x_seq, v_init, learned, &grad),
        }
    }

    fn backward_of<T: Real>(
        &self,
        x_seq: &Tensor,
        v_init: &Tensor,
        learned: Option<&Tensor>,
        grad: &Tensor,
    ) -> candle_core::Result<(Tensor, Tensor, Option<Tensor>)> {
        let mut grad_x_seq = vec![T::zero(); x_seq.elem_count()];
        let mut grad_v_init = vec![T::zero(); v_init.elem_count()];
        let mut grad_tau = T::zero();
        read::<T, _>(x_seq, |x| {
            read::<T, _>(v_init, |v| {
                read::<T, _>(grad, |grad| {
                    let unpooled;
                    let (grad_s, grad_v) = match self.pooling(x_seq.dims()) {
                        None => grad.split_at(x.len()),
                        Some(pool) => {
                            unpooled = pool.backward(x, grad, pool.planes(x_seq.dims()));
                            (&unpooled[..], &[][..])
                        }
                    };
                    let outputs = LifGrad {
                        grad_x_seq: &mut grad_x_seq,
                        grad_v_init: &mut grad_v_init,
                        grad_tau: learned.is_some().then_some(&mut grad_tau),
                    };
                    let grad_v = self.with_v.then_some(grad_v);
                    let mut params = self.params;
                    if let Some(tau) = learned {
                        params = read::<T, _>(tau, |tau| Ok(self.at(tau)))?;
                    }
                    lif_backward(outputs, x, v, grad_s, grad_v, &params)
                })
            })
        })?;
        let grad_tau = learned.map(|_| write(vec![grad_tau], &[1])).transpose()?;
        Ok((write(grad_x_seq, x_seq.dims())?, write(grad_v_init, v_init.dims())?, grad_tau))
    }

    /// The parameters with this time constant.
    fn at<T: Real>(&self, tau: &[T]) -> LifParams {
        let tau = tau.first().and_then(num_traits::ToPrimitive::to_f64).unwrap_or(f64::NAN);
        LifParams { decay: Decay::Tau(if tau < 1.0 { 1.0 } else { tau }), ..self.params }
    }

    fn cpu<T: Real>(
        &self,
        x_seq: (&[T], &Layout),
        v_init: (&[T], &Layout),
    ) -> candle_core::Result<CpuStorage> {
        let (x, v) = (contiguous(x_seq.0, x_seq.1)?, contiguous(v_init.0, v_init.1)?);
        Ok(T::to_cpu_storage_owned(self.forward(x, v, x_seq.1.dims())?))
    }
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
        let storage = match (x_seq, v_init) {
            (CpuStorage::F32(x), CpuStorage::F32(v)) => self.cpu((x, x_layout), (v, v_layout))?,
            (CpuStorage::F64(x), CpuStorage::F64(v)) => self.cpu((x, x_layout), (v, v_layout))?,
            _ => candle_core::bail!("lif_multi_step takes two f32 or two f64 tensors"),
        };
        Ok((storage, self.out_dims(x_layout.dims()).into()))
    }

    #[cfg(feature = "cuda")]
    fn cuda_fwd(
        &self,
        x_seq: &candle_core::CudaStorage,
        x_layout: &Layout,
        v_init: &candle_core::CudaStorage,
        v_layout: &Layout,
    ) -> candle_core::Result<(candle_core::CudaStorage, Shape)> {
        super::cuda::forward(self, (x_seq, x_layout), (v_init, v_layout), None)
    }

    fn bwd(
        &self,
        x_seq: &Tensor,
        v_init: &Tensor,
        _s_seq: &Tensor,
        grad: &Tensor,
    ) -> candle_core::Result<(Option<Tensor>, Option<Tensor>)> {
        let (grad_x, grad_v, _) = self.backward(x_seq, v_init, None, grad)?;
        Ok((Some(grad_x), Some(grad_v)))
    }
}

/// The operation of learnable time constant.
struct Plif(Lif);

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
        let params = match tau {
            CpuStorage::F32(tau) => self.0.at(contiguous(tau, tau_layout)?),
            CpuStorage::F64(tau) => self.0.at(contiguous(tau, tau_layout)?),
            _ => candle_core::bail!("{} takes a time constant in f32 or f64", self.name()),
        };
        let lif = Lif { params, counts: self.0.counts.clone(), ..self.0 };
        lif.cpu_fwd(x_seq, x_layout, v_init, v_layout)
    }

    #[cfg(feature = "cuda")]
    fn cuda_fwd(
        &self,
        x_seq: &candle_core::CudaStorage,
        x_layout: &Layout,
        v_init: &candle_core::CudaStorage,
        v_layout: &Layout,
        tau: &candle_core::CudaStorage,
        tau_layout: &Layout,
    ) -> candle_core::Result<(candle_core::CudaStorage, Shape)> {
        let tau = Some((tau, tau_layout));
        super::cuda::forward(&self.0, (x_seq, x_layout), (v_init, v_layout), tau)
    }

    fn bwd(
        &self,
        x_seq: &Tensor,
        v_init: &Tensor,
        tau: &Tensor,
        _s_seq: &Tensor,
        grad: &Tensor,
    ) -> candle_core::Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let (grad_x, grad_v, grad_tau) = self.0.backward(x_seq, v_init, Some(tau), grad)?;
        Ok((Some(grad_x), Some(grad_v), grad_tau))
    }
}

//! Launches of the CUDA kernels.

use candle_core::backend::BackendStorage;
use candle_core::cuda_backend::WrapErr;
use candle_core::cuda_backend::cudarc::driver::PushKernelArg;
use candle_core::{CpuStorage, CudaStorage, CustomOp3, DType, Layout, Shape, Tensor};

use super::operation::Lif;
use crate::cuda::{
    Element, LifKernelParams, NULL, Window, config, function, lif_bwd_checkpoints,
    lif_bwd_shared_bytes, size, view,
};

type Input<'a> = (&'a CudaStorage, &'a Layout);

/// The forward pass of `op`, with the time constant in `tau` where it is learnable.
pub(super) fn forward(
    op: &Lif,
    x_seq: Input<'_>,
    v_init: Input<'_>,
    tau: Option<Input<'_>>,
) -> candle_core::Result<(CudaStorage, Shape)> {
    match x_seq.0.dtype() {
        DType::F32 => forward_of::<f32>(op, x_seq, v_init, tau),
        DType::BF16 => forward_of::<half::bf16>(op, x_seq, v_init, tau),
        _ => candle_core::bail!("lif_multi_step takes f32 or bf16 tensors on a GPU"),
    }
}

/// Images of the last two dimensions and the windows they are pooled in.
fn window(op: &Lif, dims: &[usize]) -> candle_core::Result<Window> {
    match (op.average_pool, dims) {
        (Some(side), [.., height, width]) => {
            Ok(Window { height: size(*height)?, width: size(*width)?, size: size(side)? })
        }
        _ => Ok(Window::NONE),
    }
}

fn forward_of<T: Element>(
    op: &Lif,
    x_seq: Input<'_>,
    v_init: Input<'_>,
    tau: Option<Input<'_>>,
) -> candle_core::Result<(CudaStorage, Shape)> {
    let device = &x_seq.0.device;
    let shape = Shape::from(op.out_dims(x_seq.1.dims()));
    let (x, v) = (view::<T>(x_seq.0, x_seq.1)?, view::<T>(v_init.0, v_init.1)?);
    let tau = tau.map(|(tau, layout)| view::<f32>(tau, layout)).transpose()?;
    let n_neurons = v.len();
    // SAFETY: the kernel writes every element.
    let mut out = unsafe { device.alloc::<T>(shape.elem_count()) }?;
    if n_neurons == 0 || x.is_empty() {
        return Ok((CudaStorage::wrap_cuda_slice(out, device.clone()), shape));
    }
    let n_steps = size(x.len() / n_neurons)?;
    let n = size(n_neurons)?;
    let params = LifKernelParams::new(&op.params);
    let mut positions = op.counts.as_ref().map(|(counts, position)| (counts.lock(), *position));
    let mut counts = match &mut positions {
        None => None,
        Some((positions, position)) => {
            let Some(on_device) = &mut positions.on_device else {
                candle_core::bail!("counts on the CPU were given a tensor on a GPU")
            };
            let unit = 1.0 / f64::from(op.params.n_levels());
            Some(on_device.position(*position, x.len(), unit))
        }
    };
    let window = window(op, x_seq.1.dims())?;
    let (module, kernel) = match op.average_pool {
        None => ("lif", format!("lif_fwd_{}", T::NAME)),
        Some(size) => ("lif_pool", format!("lif_pool{size}_fwd_{}", T::NAME)),
    };
    let function = function(device, module, &kernel)?;
    let mut launch = function.builder();
    if op.average_pool.is_some() {
        let n_images = n_neurons / (window.height * window.width) as usize;
        let n_windows = size(n_images * window.n_windows())?;
        launch.arg(&mut out);
        match &mut counts {
            Some(counts) => launch.arg(counts),
            None => launch.arg(&NULL),
        };
        launch.arg(&x).arg(&v);
        match &tau {
            Some(tau) => launch.arg(tau),
            None => launch.arg(&NULL),
        };
        launch.arg(&n_steps).arg(&n).arg(&n_windows).arg(&window).arg(&params);
        // SAFETY: these are the kernel's arguments, and the sizes are those of the arrays.
        unsafe { launch.launch(config(n_windows as usize, 0)) }.w()?;
    } else {
        let (mut s_seq, mut v_seq) = out.split_at_mut(x.len());
        launch.arg(&mut s_seq);
        if op.with_v {
            launch.arg(&mut v_seq);
        } else {
            launch.arg(&NULL);
        }
        match &mut counts {
            Some(counts) => launch.arg(counts),
            None => launch.arg(&NULL),
        };
        launch.arg(&x).arg(&v);
        match &tau {
            Some(tau) => launch.arg(tau),
            None => launch.arg(&NULL),
        };
        launch.arg(&n_steps).arg(&n).arg(&params);
        // SAFETY: as above.
        unsafe { launch.launch(config(n_neurons, 0)) }.w()?;
    }
    Ok((CudaStorage::wrap_cuda_slice(out, device.clone()), shape))
}

/// Gradients of the input, the initial membranes and, where it is learnable, the time constant.
pub(super) fn backward(
    op: &Lif,
    x_seq: &Tensor,
    v_init: &Tensor,
    tau: Option<&Tensor>,
    grad: &Tensor,
) -> candle_core::Result<(Tensor, Tensor, Option<Tensor>)> {
    let n_steps = x_seq.dim(0)?;
    let gradients = x_seq.apply_op3_no_bwd(v_init, grad, &Backward { op, tau })?;
    let grad_x = gradients.narrow(0, 0, n_steps)?.reshape(x_seq.shape())?;
    let grad_v = gradients.narrow(0, n_steps, 1)?.reshape(v_init.shape())?;
    let grad_tau = match tau {
        None => None,
        Some(tau) => Some(gradients.get(n_steps + 1)?.sum_all()?.reshape(tau.shape())?),
    };
    Ok((grad_x, grad_v, grad_tau))
}

/// From `x_seq`, `v_init` and the gradient of the result to one tensor of rows of `N`: the gradient
/// of the input, `T` rows, that of the initial membranes, and each neuron's share of that of τ.
struct Backward<'a> {
    op: &'a Lif,
    tau: Option<&'a Tensor>,
}

impl CustomOp3 for Backward<'_> {
    fn name(&self) -> &'static str {
        "lif_multi_step_backward"
    }

    fn cpu_fwd(
        &self,
        _: &CpuStorage,
        _: &Layout,
        _: &CpuStorage,
        _: &Layout,
        _: &CpuStorage,
        _: &Layout,
    ) -> candle_core::Result<(CpuStorage, Shape)> {
        candle_core::bail!("{} runs on a GPU only", self.name())
    }

    fn cuda_fwd(
        &self,
        x_seq: &CudaStorage,
        x_layout: &Layout,
        v_init: &CudaStorage,
        v_layout: &Layout,
        grad: &CudaStorage,
        grad_layout: &Layout,
    ) -> candle_core::Result<(CudaStorage, Shape)> {
        let inputs = [(x_seq, x_layout), (v_init, v_layout), (grad, grad_layout)];
        match x_seq.dtype() {
            DType::BF16 if self.tau.is_some() => {
                candle_core::bail!("learnable time constants need f32 on a GPU")
            }
            DType::BF16 => self.run::<half::bf16>(inputs),
            _ => self.run::<f32>(inputs),
        }
    }
}

impl Backward<'_> {
    fn run<T: Element>(&self, inputs: [Input<'_>; 3]) -> candle_core::Result<(CudaStorage, Shape)> {
        let [x_seq, v_init, grad] = inputs;
        let device = &x_seq.0.device;
        let (x, v) = (view::<T>(x_seq.0, x_seq.1)?, view::<T>(v_init.0, v_init.1)?);
        let grad = view::<T>(grad.0, grad.1)?;
        let n_neurons = v.len();
        let n_steps = x_seq.1.dims()[0];
        let n_rows = n_steps + 1 + usize::from(self.tau.is_some());
        let shape = Shape::from((n_rows, n_neurons));
        if n_neurons == 0 || n_steps == 0 {
            let out = device.alloc_zeros::<T>(shape.elem_count())?;
            return Ok((CudaStorage::wrap_cuda_slice(out, device.clone()), shape));
        }
        // SAFETY: the kernel writes every element.
        let mut out = unsafe { device.alloc::<T>(shape.elem_count()) }?;
        // SAFETY: the kernel writes every element before it reads it.
        let mut checkpoints =
            unsafe { device.alloc::<f32>((lif_bwd_checkpoints(n_steps) * n_neurons).max(1)) }?;
        let (mut grad_x, mut rest) = out.split_at_mut(n_steps * n_neurons);
        let (mut grad_v_init, mut grad_tau) = rest.split_at_mut(n_neurons);
        let (grad_s, grad_v) = if self.op.with_v {
            (grad.slice(..x.len()), Some(grad.slice(x.len()..)))
        } else {
            (grad.slice(..), None)
        };
        let tau = self.tau.map(Tensor::storage_and_layout);
        let tau = match &tau {
            None => None,
            Some((storage, layout)) => match &**storage {
                candle_core::Storage::Cuda(storage) => Some(view::<f32>(storage, layout)?),
                _ => candle_core::bail!("the time constant is not on the GPU"),
            },
        };
        let (rows, n) = (size(n_steps)?, size(n_neurons)?);
        let window = window(self.op, x_seq.1.dims())?;
        let params = LifKernelParams::new(&self.op.params);
        let function = function(device, "lif", &format!("lif_bwd_{}", T::NAME))?;
        let mut launch = function.builder();
        launch.arg(&mut grad_x).arg(&mut grad_v_init);
        match &tau {
            Some(_) => launch.arg(&mut grad_tau),
            None => launch.arg(&NULL),
        };
        launch.arg(&mut checkpoints).arg(&x).arg(&v);
        match &tau {
            Some(tau) => launch.arg(tau),
            None => launch.arg(&NULL),
        };
        launch.arg(&grad_s);
        match &grad_v {
            Some(grad_v) => launch.arg(grad_v),
            None => launch.arg(&NULL),
        };
        launch.arg(&rows).arg(&n).arg(&window).arg(&params);
        let config = config(n_neurons, lif_bwd_shared_bytes(n_steps));
        // SAFETY: these are the kernel's arguments, and the sizes are those of the arrays; where τ
        // is learned the elements are f32, as `grad_tau` is.
        unsafe { launch.launch(config) }.w()?;
        Ok((CudaStorage::wrap_cuda_slice(out, device.clone()), shape))
    }
}

//! Launches of the CUDA kernels.

use candle_core::backend::BackendStorage;
use candle_core::cuda_backend::WrapErr;
use candle_core::cuda_backend::cudarc::driver::PushKernelArg;
use candle_core::{CpuStorage, CudaStorage, CustomOp2, DType, Layout, Shape};

use super::kind::{Pool2d, PoolKind};
use crate::cuda::{Element, Window, config, function, size, view};

fn window(op: &Pool2d, dims: &[usize]) -> candle_core::Result<Window> {
    Ok(Window { height: size(dims[2])?, width: size(dims[3])?, size: size(op.size)? })
}

pub(super) fn forward(
    op: &Pool2d,
    x: &CudaStorage,
    layout: &Layout,
) -> candle_core::Result<(CudaStorage, Shape)> {
    match x.dtype() {
        DType::F32 => forward_of::<f32>(op, x, layout),
        DType::BF16 => forward_of::<half::bf16>(op, x, layout),
        _ => candle_core::bail!("pool2d takes an f32 or bf16 tensor on a GPU"),
    }
}

fn forward_of<T: Element>(
    op: &Pool2d,
    x: &CudaStorage,
    layout: &Layout,
) -> candle_core::Result<(CudaStorage, Shape)> {
    let device = &x.device;
    let (dims, window) = (layout.dims(), window(op, layout.dims())?);
    let x = view::<T>(x, layout)?;
    let shape = Shape::from((dims[0], dims[1], dims[2] / op.size, dims[3] / op.size));
    // SAFETY: the kernel writes every element.
    let mut y = unsafe { device.alloc::<T>(shape.elem_count()) }?;
    if !y.is_empty() {
        let n_y = size(y.len())?;
        let is_max = u32::from(op.kind == PoolKind::Max);
        let function = function(device, "pool", &format!("pool_fwd_{}", T::NAME))?;
        let mut launch = function.builder();
        launch.arg(&mut y).arg(&x).arg(&n_y).arg(&window).arg(&is_max);
        // SAFETY: these are the kernel's arguments, and the sizes are those of the arrays.
        unsafe { launch.launch(config(shape.elem_count(), 0)) }.w()?;
    }
    Ok((CudaStorage::wrap_cuda_slice(y, device.clone()), shape))
}

/// From the input and the gradient of the output to that of the input.
pub(super) struct Backward<'a>(pub(super) &'a Pool2d);

impl CustomOp2 for Backward<'_> {
    fn name(&self) -> &'static str {
        "pool2d_backward"
    }

    fn cpu_fwd(
        &self,
        _: &CpuStorage,
        _: &Layout,
        _: &CpuStorage,
        _: &Layout,
    ) -> candle_core::Result<(CpuStorage, Shape)> {
        candle_core::bail!("{} runs on a GPU only", self.name())
    }

    fn cuda_fwd(
        &self,
        x: &CudaStorage,
        x_layout: &Layout,
        dy: &CudaStorage,
        dy_layout: &Layout,
    ) -> candle_core::Result<(CudaStorage, Shape)> {
        match x.dtype() {
            DType::BF16 => self.run::<half::bf16>(x, x_layout, dy, dy_layout),
            _ => self.run::<f32>(x, x_layout, dy, dy_layout),
        }
    }
}

impl Backward<'_> {
    fn run<T: Element>(
        &self,
        x: &CudaStorage,
        x_layout: &Layout,
        dy: &CudaStorage,
        dy_layout: &Layout,
    ) -> candle_core::Result<(CudaStorage, Shape)> {
        let device = &x.device;
        let window = window(self.0, x_layout.dims())?;
        let (x, dy) = (view::<T>(x, x_layout)?, view::<T>(dy, dy_layout)?);
        // SAFETY: the kernel writes every element.
        let mut dx = unsafe { device.alloc::<T>(x.len()) }?;
        if !x.is_empty() {
            let n_x = size(x.len())?;
            let is_max = u32::from(self.0.kind == PoolKind::Max);
            let function = function(device, "pool", &format!("pool_bwd_{}", T::NAME))?;
            let mut launch = function.builder();
            launch.arg(&mut dx).arg(&x).arg(&dy).arg(&n_x).arg(&window).arg(&is_max);
            // SAFETY: these are the kernel's arguments, and the sizes are those of the arrays.
            unsafe { launch.launch(config(x.len(), 0)) }.w()?;
        }
        Ok((CudaStorage::wrap_cuda_slice(dx, device.clone()), x_layout.shape().clone()))
    }
}

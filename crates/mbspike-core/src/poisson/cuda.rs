//! Launches of the CUDA kernel.

use candle_core::cuda_backend::WrapErr;
use candle_core::cuda_backend::cudarc::driver::PushKernelArg;
use candle_core::{CudaStorage, Layout, Shape};

use super::batch::EncodeBatch;
use crate::cuda::{config, function, size, view};
use crate::philox::{GROUP, LANES};

pub(super) fn encode(
    op: &EncodeBatch<'_>,
    intensities: &CudaStorage,
    layout: &Layout,
) -> candle_core::Result<(CudaStorage, Shape)> {
    let device = &intensities.device;
    let intensities = view::<f32>(intensities, layout)?;
    let shape = op.shape(layout);
    // SAFETY: the kernel writes every element.
    let mut s_seq = unsafe { device.alloc::<f32>(shape.elem_count()) }?;
    if !s_seq.is_empty() {
        let samples = device.clone_htod(op.samples)?;
        let n = intensities.len() / op.samples.len();
        let n_blocks = n.div_ceil(GROUP) * LANES;
        let n_threads = op.n_steps * op.samples.len() * n_blocks;
        let (rows, batch_size) = (size(op.n_steps)?, size(op.samples.len())?);
        let (n, n_blocks) = (size(n)?, size(n_blocks)?);
        let (key0, key1) = (op.seed as u32, (op.seed >> 32) as u32);
        let function = function(device, "poisson", "poisson_f32")?;
        let mut launch = function.builder();
        launch.arg(&mut s_seq).arg(&intensities).arg(&samples);
        launch.arg(&rows).arg(&batch_size).arg(&n).arg(&n_blocks);
        launch.arg(&key0).arg(&key1).arg(&op.epoch);
        // SAFETY: these are the kernel's arguments, and the sizes are those of the arrays.
        unsafe { launch.launch(config(n_threads, 0)) }.w()?;
    }
    Ok((CudaStorage::wrap_cuda_slice(s_seq, device.clone()), shape))
}

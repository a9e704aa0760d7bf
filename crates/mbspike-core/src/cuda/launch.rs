//! Loading and launching kernels.

use std::sync::Arc;

use candle_core::cuda_backend::cudarc::driver::sys::CUresult;
use candle_core::cuda_backend::cudarc::driver::{
    CudaContext, CudaFunction, CudaSlice, CudaStream, CudaView, DeviceRepr, DriverError,
    LaunchArgs, LaunchConfig, PushKernelArg, ValidAsZeroBits,
};
use candle_core::cuda_backend::{CudaDType, WrapErr};
use candle_core::{CudaDevice, CudaStorage, DType, Device, Layout, Storage, Tensor, WithDType};

use super::{BLOCK, LifKernelParams, N_COUNTS, Window};
use crate::activity::{Count, Sum};
use crate::{DeviceName, Error, Result};

/// The PTX of each kernel file: compute capability times ten, name, text.
static PTX: &[(u32, &str, &str)] = include!(concat!(env!("OUT_DIR"), "/ptx.rs"));

/// What a pointer argument is where there is nothing.
pub(crate) const NULL: u64 = 0;

// SAFETY: plain numbers in C's layout, as the kernels declare them.
unsafe impl DeviceRepr for LifKernelParams {}
// SAFETY: as above.
unsafe impl DeviceRepr for Window {}

/// An element type of the kernels.
pub(crate) trait Element: CudaDType + DeviceRepr + ValidAsZeroBits + WithDType {
    /// The end of the kernels' names.
    const NAME: &'static str;
}

impl Element for f32 {
    const NAME: &'static str = "f32";
}

impl Element for half::bf16 {
    const NAME: &'static str = "bf16";
}

/// Opens the GPU of this ordinal.
pub(crate) fn open(ordinal: usize) -> Result<Device> {
    let fail = |reason| Err(Error::Device { device: DeviceName::Cuda(ordinal), reason });
    #[cfg(target_os = "linux")]
    if let Err(reason) = super::driver::load() {
        return fail(format!("no CUDA driver found: {reason}"));
    }
    match CudaContext::device_count() {
        Err(error) => return fail(no_driver(error)),
        Ok(0) => return fail("no CUDA driver found: there is no GPU".to_owned()),
        Ok(n) if ordinal >= n as usize => {
            return fail(format!("there are only {n} GPUs, from cuda:0"));
        }
        Ok(_) => {}
    }
    Device::new_cuda(ordinal).or_else(|error| fail(error.to_string()))
}

fn no_driver(error: DriverError) -> String {
    match error.0 {
        CUresult::CUDA_ERROR_NO_DEVICE
        | CUresult::CUDA_ERROR_STUB_LIBRARY
        | CUresult::CUDA_ERROR_NOT_INITIALIZED
        | CUresult::CUDA_ERROR_SYSTEM_NOT_READY => format!("no CUDA driver found: {:?}", error.0),
        other => format!("the CUDA driver answers {other:?}"),
    }
}

/// A loaded kernel.
pub(crate) struct Kernel {
    function: CudaFunction,
    stream: Arc<CudaStream>,
}

impl Kernel {
    /// A launch on the device's stream, to which arguments are added.
    pub(crate) fn builder(&self) -> LaunchArgs<'_> {
        self.stream.launch_builder(&self.function)
    }
}

/// The function `name` of the kernel file `module`, in the newest form that the GPU can run.
pub(crate) fn function(
    device: &CudaDevice,
    module: &str,
    name: &str,
) -> candle_core::Result<Kernel> {
    let stream = device.cuda_stream();
    let (major, minor) = stream.context().compute_capability().w()?;
    let capability = (10 * major + minor) as u32;
    let runs = |(of, file, _): &&(u32, &str, &str)| *file == module && *of <= capability;
    let Some((_, _, ptx)) = PTX.iter().filter(runs).max_by_key(|(of, ..)| *of) else {
        candle_core::bail!(
            "the kernels need a GPU of compute capability 8.0 or newer, not {major}.{minor}"
        )
    };
    let function = device.get_or_load_custom_func(name, &format!("mbspike_{module}"), ptx)?;
    Ok(Kernel { function: function.into_cuda_function(), stream })
}

/// At least `n_threads` threads.
pub(crate) fn config(n_threads: usize, shared_mem_bytes: u32) -> LaunchConfig {
    let n_blocks = n_threads.div_ceil(BLOCK as usize) as u32;
    LaunchConfig { grid_dim: (n_blocks, 1, 1), block_dim: (BLOCK, 1, 1), shared_mem_bytes }
}

/// A size as the kernels take it.
pub(crate) fn size(n: usize) -> candle_core::Result<u32> {
    u32::try_from(n)
        .map_err(|_| candle_core::Error::Msg(format!("a kernel cannot take {n} elements")))
}

/// The elements of a contiguous storage.
pub(crate) fn view<'a, T: CudaDType>(
    storage: &'a CudaStorage,
    layout: &Layout,
) -> candle_core::Result<CudaView<'a, T>> {
    match layout.contiguous_offsets() {
        Some((start, end)) => Ok(storage.as_cuda_slice::<T>()?.slice(start..end)),
        None => candle_core::bail!("a kernel was given a tensor that is not contiguous"),
    }
}

/// [`Counts`](crate::activity::Counts) on a GPU.
#[derive(Debug)]
pub(crate) struct DeviceCounts {
    device: CudaDevice,
    /// [`N_COUNTS`] for each position.
    counts: CudaSlice<u64>,
    /// Elements seen, and what a sum of 1 stands for.
    seen: Vec<(u64, f64)>,
}

impl DeviceCounts {
    pub(crate) fn new(n_positions: usize, device: &CudaDevice) -> Result<Self> {
        let counts = device.alloc_zeros(N_COUNTS * n_positions)?;
        Ok(Self { device: device.clone(), counts, seen: vec![(0, 0.0); n_positions] })
    }

    /// Where a kernel adds the counts of `n_elements` at a position, in this unit of their sum.
    pub(crate) fn position(
        &mut self,
        position: usize,
        n_elements: usize,
        unit: f64,
    ) -> candle_core::cuda_backend::cudarc::driver::CudaViewMut<'_, u64> {
        let seen = &mut self.seen[position];
        *seen = (seen.0 + n_elements as u64, unit);
        self.counts.slice_mut(N_COUNTS * position..N_COUNTS * (position + 1))
    }

    pub(crate) fn read(&self) -> Result<Vec<Count>> {
        let counts = self.device.clone_dtoh(&self.counts)?;
        let positions = counts.as_chunks::<N_COUNTS>().0.iter().zip(&self.seen);
        Ok(positions
            .map(|(&[n_nonzero, sum, n_not_finite], &(n_elements, unit))| {
                let sum =
                    if n_not_finite == 0 { sum.cast_signed() as f64 * unit } else { f64::NAN };
                Count { n_elements, n_nonzero, sum: Sum::from(sum) }
            })
            .collect())
    }
}

/// Adds the elements of a contiguous tensor on the GPU.
pub(crate) fn add_counts(
    counts: &mut DeviceCounts,
    position: usize,
    tensor: &Tensor,
) -> Result<()> {
    /// Blocks, each of which adds once to the counts.
    const MAX_BLOCKS: usize = 1024;
    fn of<T: Element>(
        counts: &mut DeviceCounts,
        position: usize,
        storage: &CudaStorage,
        layout: &Layout,
    ) -> candle_core::Result<()> {
        let values = view::<T>(storage, layout)?;
        let function = function(&storage.device, "activity", &format!("count_{}", T::NAME))?;
        let mut at = counts.position(position, values.len(), 1.0 / f64::from(1 << 24));
        let n = values.len() as u64;
        let mut launch = function.builder();
        launch.arg(&mut at).arg(&values).arg(&n);
        let n_threads = values.len().min(MAX_BLOCKS * BLOCK as usize);
        // SAFETY: these are the kernel's arguments; it reads `n` values and writes `N_COUNTS` counts.
        unsafe { launch.launch(config(n_threads.max(1), 0)) }.w()?;
        Ok(())
    }
    let (storage, layout) = tensor.storage_and_layout();
    let Storage::Cuda(storage) = &*storage else {
        return Err(candle_core::Error::Msg("a kernel was given a tensor elsewhere".into()).into());
    };
    Ok(match tensor.dtype() {
        DType::BF16 => of::<half::bf16>(counts, position, storage, layout),
        _ => of::<f32>(counts, position, storage, layout),
    }?)
}

//! The kernels that this crate carries as PTX, launched on a GPU.

use std::sync::OnceLock;

use candle_core::cuda_backend::cudarc::driver::{
    CudaFunction, CudaSlice, DeviceRepr, LaunchArgs, LaunchConfig, PushKernelArg,
};
use candle_core::{CudaDevice, Device};
use mbspike_core::DeviceName;
use mbspike_core::cuda::BLOCK;

use crate::launch::{Argument, Launch};

/// As in `src/cuda/launch.rs`: compute capability times ten, name of the file, text.
static PTX: &[(u32, &str, &str)] = include!(concat!(env!("OUT_DIR"), "/ptx.rs"));

/// What can be added to the arguments of a launch.
pub trait Push {
    fn push<'a>(&'a self, arguments: &mut LaunchArgs<'a>);
}

impl<V: DeviceRepr> Push for V {
    fn push<'a>(&'a self, arguments: &mut LaunchArgs<'a>) {
        arguments.arg(self);
    }
}

/// The first GPU if `MBSPIKE_KERNELS_ON_GPU` is set; that there is none is a failure then.
pub fn asked_for() -> Option<&'static CudaDevice> {
    static GPU: OnceLock<Option<CudaDevice>> = OnceLock::new();
    let open = || {
        std::env::var_os("MBSPIKE_KERNELS_ON_GPU")?;
        match DeviceName::Cuda(0).open() {
            Ok(Device::Cuda(gpu)) => Some(gpu),
            Ok(_) => panic!("the GPU is opened as another device"),
            Err(error) => panic!("MBSPIKE_KERNELS_ON_GPU is set, but {error}"),
        }
    };
    GPU.get_or_init(open).as_ref()
}

/// The kernel in the newest form that the GPU can run.
fn function(gpu: &CudaDevice, kernel: &str) -> CudaFunction {
    let (major, minor) = gpu.cuda_stream().context().compute_capability().unwrap();
    let entry = format!(".entry {kernel}(");
    let has_it = |(of, _, ptx): &&(u32, &str, &str)| {
        *of <= (10 * major + minor) as u32 && ptx.contains(&entry)
    };
    let (_, module, ptx) = PTX.iter().filter(has_it).max_by_key(|(of, ..)| *of).unwrap();
    gpu.get_or_load_custom_func(kernel, module, ptx).unwrap().into_cuda_function()
}

/// Copies all arrays to the GPU, runs a kernel with `grid` blocks, and copies back what it wrote.
pub fn launch(gpu: &CudaDevice, launch: Launch<'_>, grid: u32, shared_mem_bytes: u32) {
    /// In the place of an array that is not there.
    const NULL: &u64 = &0;
    let (stream, function) = (gpu.cuda_stream(), function(gpu, &launch.kernel));
    let to_gpu = |argument: &Argument| -> Option<CudaSlice<u8>> {
        let Argument::Array { start, n_bytes, .. } = argument else { return None };
        // SAFETY: `launch` borrows the slice that this is.
        let bytes = (!start.is_null())
            .then(|| unsafe { std::slice::from_raw_parts(start.cast::<u8>(), *n_bytes) })?;
        // Nothing of no length can be allocated.
        Some(stream.clone_htod(if bytes.is_empty() { &[0][..] } else { bytes }).unwrap())
    };
    let arrays: Vec<_> = launch.arguments.iter().map(to_gpu).collect();
    let mut arguments = stream.launch_builder(&function);
    for (argument, array) in launch.arguments.iter().zip(&arrays) {
        match (argument, array) {
            (Argument::Value(value), _) => value.push(&mut arguments),
            (Argument::Array { .. }, Some(array)) => {
                arguments.arg(array);
            }
            (Argument::Array { .. }, None) => {
                arguments.arg(NULL);
            }
        }
    }
    let config =
        LaunchConfig { grid_dim: (grid, 1, 1), block_dim: (BLOCK, 1, 1), shared_mem_bytes };
    // SAFETY: these are the kernel's arguments, in its order and of its types, as the tests write them.
    unsafe { arguments.launch(config) }.unwrap();
    for (argument, array) in launch.arguments.iter().zip(&arrays) {
        let (Argument::Array { start, n_bytes, is_output: true }, Some(array)) = (argument, array)
        else {
            continue;
        };
        // SAFETY: as above, and an output is borrowed mutably.
        let bytes = unsafe { std::slice::from_raw_parts_mut(start.cast::<u8>(), *n_bytes) };
        if !bytes.is_empty() {
            stream.memcpy_dtoh(array, bytes).unwrap();
        }
    }
    stream.synchronize().unwrap();
}

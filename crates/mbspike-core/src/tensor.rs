//! Between candle's tensors and slices.

use candle_core::{CpuStorage, Device, Layout, Storage, Tensor};

use crate::{Error, Real, Result};

/// The elements of a contiguous CPU storage.
pub(crate) fn contiguous<'a, T>(storage: &'a [T], layout: &Layout) -> candle_core::Result<&'a [T]> {
    match layout.contiguous_offsets() {
        Some((start, end)) => Ok(&storage[start..end]),
        None => candle_core::bail!("a kernel was given a tensor that is not contiguous"),
    }
}

/// Calls `with` with the elements of a contiguous tensor on the CPU, without copying them.
///
/// # Errors
/// If the tensor is elsewhere, of another type, or not contiguous; and those of `with`.
pub fn read<T: Real, R>(tensor: &Tensor, with: impl FnOnce(&[T]) -> Result<R>) -> Result<R> {
    let (storage, layout) = tensor.storage_and_layout();
    let Storage::Cpu(storage) = &*storage else {
        return Err(Error::Tensor(candle_core::Error::Msg(
            "a CPU kernel was given a tensor of another device".into(),
        )));
    };
    with(contiguous(cpu_slice(storage)?, layout)?)
}

fn cpu_slice<T: Real>(storage: &CpuStorage) -> candle_core::Result<&[T]> {
    storage.as_slice::<T>()
}

/// A CPU tensor that takes over `values`.
pub(crate) fn write<T: Real>(values: Vec<T>, dims: &[usize]) -> candle_core::Result<Tensor> {
    Tensor::from_vec(values, dims, &Device::Cpu)
}

//! How active a layer is: the counts behind the thesis's `nnz1 … nnzK`.

mod count;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use candle_core::{Device, Tensor};

pub use count::{Count, Sum, count, n_nonzero};

use crate::{Real, Result, read};

/// Counts at several positions, which stay on the device that they are made on until they are
/// [read](Self::read), so that counting does not wait for the device. Clones are the same counts.
#[derive(Debug, Clone)]
pub struct Counts(Arc<Mutex<Positions>>);

#[derive(Debug)]
pub(crate) struct Positions {
    /// What was counted on the CPU.
    counts: Vec<Count>,
    #[cfg(feature = "cuda")]
    pub(crate) on_device: Option<crate::cuda::DeviceCounts>,
}

impl Counts {
    /// Zero at each of `n_positions`.
    ///
    /// # Errors
    /// If the device has no memory left.
    pub fn new(n_positions: usize, device: &Device) -> Result<Self> {
        let counts = vec![Count::default(); n_positions];
        #[cfg(feature = "cuda")]
        let on_device = match device {
            Device::Cuda(device) => Some(crate::cuda::DeviceCounts::new(n_positions, device)?),
            _ => None,
        };
        #[cfg(not(feature = "cuda"))]
        let _ = device;
        let positions = Positions {
            counts,
            #[cfg(feature = "cuda")]
            on_device,
        };
        Ok(Self(Arc::new(Mutex::new(positions))))
    }

    /// Counts that are known already.
    pub fn of(counts: Vec<Count>) -> Self {
        Self(Arc::new(Mutex::new(Positions {
            counts,
            #[cfg(feature = "cuda")]
            on_device: None,
        })))
    }

    /// Adds the elements of a tensor on the same device, in f32, f64 or (on a GPU) bf16.
    ///
    /// # Errors
    /// If the tensor is of another type.
    ///
    /// # Panics
    /// If there is no such position.
    pub fn add(&self, position: usize, tensor: &Tensor) -> Result<()> {
        let tensor = tensor.detach().contiguous()?;
        match tensor.device() {
            #[cfg(feature = "cuda")]
            Device::Cuda(_) => {
                let mut positions = self.lock();
                let Some(on_device) = &mut positions.on_device else {
                    let message = "counts on the CPU were given a tensor on a GPU".to_owned();
                    return Err(candle_core::Error::Msg(message).into());
                };
                crate::cuda::add_counts(on_device, position, &tensor)
            }
            _ => match tensor.dtype() {
                candle_core::DType::F64 => read::<f64, _>(&tensor, |v| {
                    self.add_slice(position, v);
                    Ok(())
                }),
                _ => read::<f32, _>(&tensor, |v| {
                    self.add_slice(position, v);
                    Ok(())
                }),
            },
        }
    }

    pub(crate) fn add_slice<T: Real>(&self, position: usize, values: &[T]) {
        let (n_nonzero, sum) = count(values);
        let of_position = &mut self.lock().counts[position];
        of_position.n_elements += values.len() as u64;
        of_position.n_nonzero += n_nonzero;
        of_position.sum.merge(&sum);
    }

    /// The counts at all positions; waits for the device.
    ///
    /// # Errors
    /// If they cannot be copied from the device.
    pub fn read(&self) -> Result<Vec<Count>> {
        let positions = self.lock();
        #[cfg(feature = "cuda")]
        if let Some(on_device) = &positions.on_device {
            return on_device.read();
        }
        Ok(positions.counts.clone())
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, Positions> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

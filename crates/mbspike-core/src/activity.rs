//! How active a layer is: the counts behind the thesis's `nnz1 … nnzK`.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use candle_core::{Device, Tensor, WithDType};
use pulp::Arch;

use crate::{Real, Result, read};

/// Lanes summed side by side; the order of additions is fixed by it.
const LANES: usize = 16;

/// Number of non-zero elements and sum of all of them, in one pass. NaN counts as non-zero and
/// makes the sum NaN.
pub fn count<T: Real>(values: &[T]) -> (u64, f64) {
    Arch::new().dispatch(|| {
        let (chunks, rest) = values.as_chunks::<LANES>();
        let (mut n, mut sum) = ([0_u32; LANES], [T::zero(); LANES]);
        for chunk in chunks {
            for ((n, sum), v) in n.iter_mut().zip(&mut sum).zip(chunk) {
                *n += u32::from(*v != T::zero());
                *sum += *v;
            }
        }
        for ((n, sum), v) in n.iter_mut().zip(&mut sum).zip(rest) {
            *n += u32::from(*v != T::zero());
            *sum += *v;
        }
        (n.into_iter().map(u64::from).sum(), sum.into_iter().map(WithDType::to_f64).sum())
    })
}

/// What was counted at one position.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Count {
    /// Elements seen.
    pub n_elements: u64,
    /// Elements that are not zero.
    pub n_nonzero: u64,
    /// Sum of the elements.
    pub sum: f64,
}

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
            Device::Cuda(_) => crate::cuda::add_counts(self, position, &tensor),
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
        of_position.sum += sum;
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

#[cfg(test)]
mod tests {
    use super::count;

    #[test]
    fn counts_and_sums_any_length() {
        for length in [0, 1, 15, 16, 17, 100] {
            let values: Vec<f32> = (0..length).map(|i| (i % 3) as f32).collect();
            let want = values.iter().filter(|v| **v != 0.0).count() as u64;
            assert_eq!(count(&values), (want, values.iter().map(|v| f64::from(*v)).sum()));
        }
        assert_eq!(count(&[f32::NAN]).0, 1);
    }
}

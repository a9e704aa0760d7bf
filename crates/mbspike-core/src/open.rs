use candle_core::Device;

use crate::{DeviceName, Result};

impl DeviceName {
    /// Opens the device.
    ///
    /// # Errors
    /// [`Error::Device`](crate::Error::Device) if the program was built without CUDA, there is no
    /// CUDA driver, or no GPU of this ordinal.
    pub fn open(self) -> Result<Device> {
        match self {
            Self::Cpu => Ok(Device::Cpu),
            #[cfg(feature = "cuda")]
            Self::Cuda(ordinal) => crate::cuda::open(ordinal),
            #[cfg(not(feature = "cuda"))]
            Self::Cuda(_) => Err(crate::Error::Device {
                device: self,
                reason: "built without CUDA (the feature `cuda`)".to_owned(),
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::DeviceName;

    #[cfg(not(feature = "cuda"))]
    #[test]
    fn a_build_without_cuda_says_so() {
        let error = DeviceName::Cuda(1).open().unwrap_err().to_string();
        assert!(error.starts_with("cuda:1: built without CUDA"), "{error}");
    }

    #[cfg(feature = "cuda")]
    #[test]
    fn a_missing_driver_or_gpu_is_an_error() {
        let error = DeviceName::Cuda(9999).open().unwrap_err().to_string();
        assert!(
            error.contains("no CUDA driver found") || error.contains("there are only"),
            "{error}"
        );
    }
}

use std::fmt;
use std::str::FromStr;

use candle_core::{Device, DeviceLocation};

/// What to compute on, as typed: `cpu`, `cuda` (the first GPU) or `cuda:N`.
///
/// ```
/// use mbspike_core::DeviceName;
///
/// assert_eq!("cuda".parse(), Ok(DeviceName::Cuda(0)));
/// assert_eq!(DeviceName::Cuda(2).to_string(), "cuda:2");
/// assert!("gpu".parse::<DeviceName>().is_err());
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum DeviceName {
    /// The processor.
    #[default]
    Cpu,
    /// The GPU of this ordinal.
    Cuda(usize),
}

impl From<&Device> for DeviceName {
    /// The name of a device that is open.
    fn from(device: &Device) -> Self {
        match device.location() {
            DeviceLocation::Cpu => Self::Cpu,
            DeviceLocation::Cuda { gpu_id } | DeviceLocation::Metal { gpu_id } => {
                Self::Cuda(gpu_id)
            }
        }
    }
}

impl fmt::Display for DeviceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cpu => f.write_str("cpu"),
            Self::Cuda(ordinal) => write!(f, "cuda:{ordinal}"),
        }
    }
}

impl FromStr for DeviceName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let expected = || "expected cpu, cuda or cuda:N".to_owned();
        match text.split_once(':') {
            None if text == "cpu" => Ok(Self::Cpu),
            None if text == "cuda" => Ok(Self::Cuda(0)),
            Some(("cuda", ordinal)) => ordinal.parse().map(Self::Cuda).map_err(|_| expected()),
            _ => Err(expected()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::DeviceName;

    #[test]
    fn names_are_read_as_they_are_written() {
        for name in [DeviceName::Cpu, DeviceName::Cuda(0), DeviceName::Cuda(13)] {
            assert_eq!(name.to_string().parse(), Ok(name));
        }
        for text in ["", "gpu", "cuda:", "cuda:x", "cuda:-1", "cpu:0", "cuda:1:2"] {
            assert!(text.parse::<DeviceName>().is_err(), "{text}");
        }
    }
}

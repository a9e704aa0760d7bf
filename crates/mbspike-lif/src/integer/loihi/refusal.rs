use crate::{Error, Result};

/// The error that a layer is none of the chip's.
pub(super) fn fail<T>(layer: &str, reason: impl Into<String>) -> Result<T> {
    Err(Error::CannotCompute { node: layer.to_owned(), engine: "Loihi 2", reason: reason.into() })
}

use thiserror::Error;

/// What a kernel of this crate can refuse.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum Error {
    /// A slice or tensor has another size than the operation asks for.
    #[error("{op}: {what} has {got} elements, expected {expected}")]
    Length {
        /// The operation.
        op: &'static str,
        /// The argument.
        what: &'static str,
        /// Its size.
        got: usize,
        /// The size asked for.
        expected: usize,
    },
    /// A tensor has another shape than the operation asks for.
    #[error("{op}: {what} is {got:?}, expected {expected}")]
    Shape {
        /// The operation.
        op: &'static str,
        /// The argument.
        what: &'static str,
        /// Its shape.
        got: Vec<usize>,
        /// The shape asked for.
        expected: String,
    },
    /// A parameter is outside its range.
    #[error("{name} must be {expected}: {got}")]
    InvalidParameter {
        /// The parameter's name, as in configs.
        name: &'static str,
        /// The values it can take.
        expected: &'static str,
        /// Its value.
        got: String,
    },
    /// A device cannot be computed on.
    #[error("{device}: {reason}")]
    Device {
        /// The device, `cuda:0`.
        device: crate::DeviceName,
        /// Why.
        reason: String,
    },
    /// The tensor library's own error.
    #[error(transparent)]
    Tensor(#[from] candle_core::Error),
}

/// `Result` with this crate's [`enum@Error`].
pub type Result<T> = std::result::Result<T, Error>;

/// So that `?` works in a `forward` of candle's traits: candle's own errors come out as they went in,
/// others are wrapped.
impl From<Error> for candle_core::Error {
    fn from(error: Error) -> Self {
        match error {
            Error::Tensor(error) => error,
            other => Self::wrap(other),
        }
    }
}

/// Refuses a tensor of the wrong shape.
pub(crate) fn check_shape(
    op: &'static str,
    what: &'static str,
    got: &[usize],
    holds: bool,
    expected: impl FnOnce() -> String,
) -> Result<()> {
    if holds {
        Ok(())
    } else {
        Err(Error::Shape { op, what, got: got.to_vec(), expected: expected() })
    }
}

/// Refuses a slice of the wrong length.
pub(crate) fn check_len(
    op: &'static str,
    what: &'static str,
    got: usize,
    expected: usize,
) -> Result<()> {
    if got == expected { Ok(()) } else { Err(Error::Length { op, what, got, expected }) }
}

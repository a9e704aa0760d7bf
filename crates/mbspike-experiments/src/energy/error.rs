use crate::{checkpoint, sweep};

/// What estimating energy can fail with.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A table of hardware is wrong.
    #[error(transparent)]
    Table(#[from] sweep::Error),
    /// The energy model refused something.
    #[error(transparent)]
    Energy(#[from] mbspike_energy::Error),
    /// A run could not be read or evaluated.
    #[error(transparent)]
    Run(#[from] crate::error::Error),
    /// Records could not be read, written or estimated from.
    #[error(transparent)]
    Results(#[from] mbspike_results::Error),
}

macro_rules! from_run_errors {
    ($($error:ty),*) => {$(
        impl From<$error> for Error {
            fn from(error: $error) -> Self {
                Self::Run(error.into())
            }
        }
    )*};
}
from_run_errors!(mbspike_lif::Error, mbspike_data::Error, candle_core::Error, checkpoint::Error);

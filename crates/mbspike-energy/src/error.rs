/// What this crate can refuse.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// There is no built-in table of that name.
    #[error("no hardware `{name}`; there are {}", .known.join(", "))]
    UnknownHardware {
        /// The name asked for.
        name: String,
        /// The names there are.
        known: Vec<&'static str>,
    },
    /// A number that a model cannot do without is in no table.
    #[error("the {model} estimate needs `{key}`, which `{hardware}` does not have")]
    MissingNumber {
        /// The model.
        model: &'static str,
        /// The key of the number.
        key: &'static str,
        /// The hardware.
        hardware: String,
    },
    /// A number makes no sense.
    #[error("`{hardware}`: {key} {reason}")]
    InvalidNumber {
        /// The hardware.
        hardware: String,
        /// The key of the number.
        key: &'static str,
        /// What is wrong with it.
        reason: &'static str,
    },
}

/// `Result` with this crate's [`enum@Error`].
pub type Result<T> = std::result::Result<T, Error>;

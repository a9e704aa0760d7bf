/// What drawing a figure can fail with.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The records hold nothing for this figure, for example because no epoch is finished yet.
    #[error("nothing to draw in figure `{figure}`: {missing}")]
    NoData {
        /// The figure's name.
        figure: String,
        /// What the records lack.
        missing: String,
    },
    /// The figure could not be made from its data.
    #[error("cannot draw figure `{figure}`: {reason}")]
    Draw {
        /// The figure's name.
        figure: String,
        /// What went wrong, in the words of the drawing library.
        reason: String,
    },
    /// Reading a record failed.
    #[error(transparent)]
    Results(#[from] mbspike_results::Error),
    /// Reading or writing a file failed.
    #[error(transparent)]
    Io(#[from] std::io::Error),
}

/// What the functions here return.
pub type Result<T> = std::result::Result<T, Error>;

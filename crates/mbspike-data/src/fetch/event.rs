/// What [`fetch`](crate::fetch()) tells while it goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FetchEvent<'a> {
    /// `n_done` bytes of a file are here, of `n_bytes` if that is known.
    Progress {
        /// The file.
        file: &'a str,
        /// Bytes that are here.
        n_done: u64,
        /// Bytes in all.
        n_bytes: Option<u64>,
    },
    /// A connection was lost; the download goes on from where it was.
    Retry {
        /// The file.
        file: &'a str,
        /// What happened.
        reason: &'a str,
    },
    /// A file is whole and has the published checksum.
    Whole {
        /// The file.
        file: &'a str,
    },
    /// An archive is being unpacked.
    Unpack {
        /// The file.
        file: &'a str,
    },
}

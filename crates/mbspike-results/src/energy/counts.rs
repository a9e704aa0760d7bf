//! What is kept of counting: JSON in the run's folder.

use std::path::Path;

use mbspike_energy::OperationCounts;
use mbspike_files::seal::Seal;

use crate::error::{Error, Result};
use crate::files::write_json;

/// What a run's network did on its test set, in the run's folder.
pub const OPERATIONS_FILE: &str = "operations.json";

/// The counts of the run in `folder`, if they are there. Counts of a version before 0.2, which have no
/// checksum, are as if they were not.
///
/// # Errors
/// If they cannot be read or are not as they were written.
pub fn read_counts(folder: &Path) -> Result<Option<OperationCounts>> {
    let path = folder.join(OPERATIONS_FILE);
    let bytes = match fs_err::read(&path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    match mbspike_files::seal::from_json(&bytes) {
        Ok((counts, Seal::Sealed(_))) => Ok(Some(counts)),
        Ok((_, Seal::None)) => Ok(None),
        Err(error) => Err(Error::of_seal(path, error, "remove it, and it is counted again")),
    }
}

/// Writes the counts of the run in `folder`.
///
/// # Errors
/// If the file cannot be written.
pub fn write_counts(folder: &Path, counts: &OperationCounts) -> Result<()> {
    write_json(&folder.join(OPERATIONS_FILE), counts)
}

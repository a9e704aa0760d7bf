//! What is kept of counting: JSON in the run's folder.

use std::path::Path;

use mbspike_energy::OperationCounts;
use mbspike_files::seal::Seal;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::files::write_json;

/// What a run's network did on its test set, in the run's folder.
pub const OPERATIONS_FILE: &str = "operations.json";

/// Counts, and the checksum of the weights that they are of.
#[derive(Serialize, Deserialize)]
struct Counted<C> {
    #[serde(default)]
    weights: Option<String>,
    #[serde(flatten)]
    counts: C,
}

/// The counts of the run in `folder`, if they are there and of the weights of that checksum. Counts of
/// other weights, and of a version before 0.2, which have no checksum, are as if they were not.
///
/// # Errors
/// If they cannot be read or are not as they were written.
pub fn read_counts(folder: &Path, weights: Option<&str>) -> Result<Option<OperationCounts>> {
    let path = folder.join(OPERATIONS_FILE);
    let bytes = match fs_err::read(&path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    match mbspike_files::seal::from_json::<Counted<OperationCounts>>(&bytes) {
        Ok((counted, Seal::Sealed(_))) => {
            Ok((counted.weights.as_deref() == weights).then_some(counted.counts))
        }
        Ok((_, Seal::None)) => Ok(None),
        Err(error) => Err(Error::of_seal(path, error, "remove it, and it is counted again")),
    }
}

/// Writes the counts of the run in `folder`, whose weights have that checksum.
///
/// # Errors
/// If the file cannot be written.
pub fn write_counts(folder: &Path, weights: Option<&str>, counts: &OperationCounts) -> Result<()> {
    let weights = weights.map(str::to_owned);
    write_json(&folder.join(OPERATIONS_FILE), &Counted { weights, counts })
}

#[cfg(test)]
mod tests {
    use mbspike_energy::LayerCounts;

    use super::*;

    #[test]
    fn counts_are_of_the_weights_that_they_were_counted_for() {
        let folder = tempfile::tempdir().unwrap();
        let layers = vec![LayerCounts { dense_macs: u64::MAX, ..LayerCounts::default() }];
        let counts = OperationCounts { time_steps: 4, n_samples: 50, layers };
        write_counts(folder.path(), Some("crc64:1"), &counts).unwrap();
        let read = |weights| read_counts(folder.path(), weights).unwrap();
        assert_eq!(read(Some("crc64:1")), Some(counts));
        assert_eq!((read(Some("crc64:2")), read(None)), (None, None));
        // A file without the entry is of unknown weights.
        let counts = OperationCounts::default();
        write_json(&folder.path().join(OPERATIONS_FILE), &counts).unwrap();
        assert_eq!((read(Some("crc64:1")), read(None)), (None, Some(counts)));
    }
}

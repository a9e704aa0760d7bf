use mbspike_files::RunningChecksum;
use serde::{Deserialize, Serialize};

/// The part of a `metrics.jsonl` that belongs to a checkpoint or to a run that is over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MetricsMark {
    /// Its length.
    pub bytes: u64,
    /// Its checksum, 16 hexadecimal digits.
    pub checksum: String,
}

impl MetricsMark {
    /// Of the first bytes of a file.
    pub(crate) fn of(bytes: &[u8]) -> Self {
        let mut checksum = RunningChecksum::new();
        checksum.update(bytes);
        Self { bytes: bytes.len() as u64, checksum: checksum.checksum().to_string() }
    }
}

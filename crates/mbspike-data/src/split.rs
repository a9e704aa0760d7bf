use mbspike_core::philox::Place;
use serde::{Deserialize, Serialize};

/// Which half of a dataset a set is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Split {
    /// Samples to train on.
    Train,
    /// Samples to test on.
    Test,
}

impl Split {
    /// `train` or `test`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Train => "train",
            Self::Test => "test",
        }
    }

    /// Where the random numbers of a sample of this split are drawn. Test samples are numbered from
    /// 2^31, so that they never share numbers with training samples.
    pub fn place(self, epoch: u32, sample: u32) -> Place {
        let offset = match self {
            Self::Train => 0,
            Self::Test => 1 << 31,
        };
        Place { epoch, sample: sample | offset, step: 0 }
    }
}

/// The indices, in ascending order, of `n` samples that are as balanced over the classes as can
/// be: the first sample of each class, then the second of each, and so on until there are `n`.
pub fn class_balanced_prefix(labels: &[u8], n: usize) -> Vec<usize> {
    let mut seen = [0_usize; 256];
    let mut by_rank: Vec<_> = labels
        .iter()
        .enumerate()
        .map(|(i, &label)| {
            let rank = seen[usize::from(label)];
            seen[usize::from(label)] += 1;
            (rank, label, i)
        })
        .collect();
    by_rank.sort_unstable();
    let mut chosen: Vec<_> = by_rank.into_iter().take(n).map(|(_, _, i)| i).collect();
    chosen.sort_unstable();
    chosen
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subset_takes_the_first_of_each_class_in_file_order() {
        let labels = [1, 1, 1, 0, 2, 0, 2, 1];
        assert_eq!(class_balanced_prefix(&labels, 3), [0, 3, 4]);
        assert_eq!(class_balanced_prefix(&labels, 4), [0, 3, 4, 5]);
        assert_eq!(class_balanced_prefix(&labels, 7), [0, 1, 2, 3, 4, 5, 6]);
        assert_eq!(class_balanced_prefix(&labels, 99).len(), 8);
        assert!(class_balanced_prefix(&labels, 0).is_empty());
    }

    #[test]
    fn train_and_test_samples_never_share_random_numbers() {
        assert_ne!(Split::Train.place(4, 7), Split::Test.place(4, 7));
    }
}

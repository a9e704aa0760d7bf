//! Any bytes as a CIFAR-10 file: no panic, and what is accepted is in the set as it was in the file.
#![no_main]

use std::path::Path;

use libfuzzer_sys::fuzz_target;
use mbspike_data::{ImageSet, Split, cifar10};

fuzz_target!(|data: &[u8]| {
    // Most inputs are far shorter than a record; repeated, they reach the labels.
    for bytes in [data.to_vec(), data.iter().copied().cycle().take(2 * 3073).collect()] {
        let (shape, split) = ([3, 32, 32], Split::Train);
        let mut set = ImageSet { images: vec![], labels: vec![], shape, split };
        if cifar10::parse(&bytes, Path::new("fuzz"), &mut set).is_ok() {
            for (i, record) in bytes.chunks(3073).enumerate() {
                assert!(record[0] == set.labels[i] && record[1..] == *set.image(i));
            }
        }
    }
});

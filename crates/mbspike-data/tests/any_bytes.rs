//! Readers on damaged and arbitrary files: an answer or an error, never a panic.

#![allow(clippy::unwrap_used, reason = "tests may panic")]

use std::path::Path;

use mbspike_data::idx::{IdxImages, images_to_bytes, parse_images, parse_labels};
use mbspike_data::{Events, ImageSet, Split, aedat, atis, cifar10, dvs_gesture};
use proptest::prelude::*;

fn read_as_everything(bytes: &[u8]) {
    let (file, sensor) = (Path::new("any"), [34, 34]);
    let _ = parse_images(bytes, file);
    let _ = parse_labels(bytes, file, 10);
    let _ = atis::parse(bytes, sensor, file);
    if let Ok(events) = aedat::parse(bytes, sensor, 0..i64::MAX, file) {
        assert!(events.t_us.is_sorted() && events.x.iter().all(|&x| x < 34));
    }
    let (shape, split) = ([3, 32, 32], Split::Train);
    let mut set = ImageSet { images: vec![], labels: vec![], shape, split };
    let _ = cifar10::parse(bytes, file, &mut set);
    let _ = dvs_gesture::parse_labels(&String::from_utf8_lossy(bytes), file);
}

fn events() -> Events {
    let mut events = Events::new([34, 34]);
    (0..40_u16).for_each(|i| events.push(i64::from(i) * 9, i % 34, 33 - i % 34, i % 2 == 0));
    events
}

proptest! {
    #[test]
    fn arbitrary_bytes(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        read_as_everything(&bytes);
    }

    #[test]
    fn whole_files_with_changed_and_missing_bytes(
        kind in 0..3_usize,
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
        kept in any::<prop::sample::Index>(),
    ) {
        let images = IdxImages { n_images: 2, height: 3, width: 4, pixels: vec![7; 24] };
        let mut bytes = match kind {
            0 => images_to_bytes(&images),
            1 => atis::to_bytes(&events(), Path::new("any")).unwrap(),
            _ => aedat::to_bytes(&events(), 16),
        };
        let n = bytes.len();
        for (at, value) in changes {
            bytes[at.index(n)] = value;
        }
        read_as_everything(&bytes);
        read_as_everything(&bytes[..kept.index(n)]);
    }
}

//! The idx readers on any bytes, as images and as labels: no panic, no memory beyond the data, and
//! what is accepted and not compressed must come out again as it went in.
#![no_main]

use std::path::Path;

use libfuzzer_sys::fuzz_target;
use mbspike_data::idx::{images_to_bytes, labels_to_bytes, parse_images, parse_labels};

fuzz_target!(|data: &[u8]| {
    let is_gzip = data.starts_with(&[0x1f, 0x8b]);
    if let Ok(images) = parse_images(data, Path::new("fuzz")) {
        assert!(is_gzip || images_to_bytes(&images) == data);
    }
    if let Ok(labels) = parse_labels(data, Path::new("fuzz"), 10) {
        assert!(is_gzip || labels_to_bytes(&labels) == data);
    }
});

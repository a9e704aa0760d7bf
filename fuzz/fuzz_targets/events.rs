//! The readers of event recordings and gesture tables on any bytes, and the integration of what they
//! accept: no panic, no memory beyond the data; recordings come out again as they went in.
#![no_main]

use std::path::Path;

use libfuzzer_sys::fuzz_target;
use mbspike_data::frames::{Slicing, View, integrate};
use mbspike_data::{Events, aedat, atis, dvs_gesture};

fuzz_target!(|data: &[u8]| {
    let (file, sensor) = (Path::new("fuzz"), [34, 34]);
    let read =
        [atis::parse(data, sensor, file), aedat::parse(data, sensor, i64::MIN..i64::MAX, file)];
    for events in read.into_iter().flatten() {
        for slicing in [Slicing::Number { n_frames: 3 }, Slicing::Time { n_frames: 3 }] {
            let frames = integrate(&events, &slicing, &View::whole(sensor)).expect("three frames");
            assert_eq!(frames.iter().sum::<f32>(), events.len() as f32);
        }
        let _ = Slicing::Duration { us: 1000 }.ranges(&events.t_us);
        let bytes = aedat::to_bytes(&events, 7);
        let again = aedat::parse(bytes.as_slice(), sensor, i64::MIN..i64::MAX, file);
        let sorted = Events { disorder: None, ..events };
        assert_eq!(again.expect("just written"), sorted);
    }
    if let Ok(text) = std::str::from_utf8(data) {
        let _ = dvs_gesture::parse_labels(text, file);
    }
});

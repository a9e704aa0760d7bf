//! Any bytes as a table and as arrays of events: no panic, no memory beyond the data, and events are
//! in order and on the sensor.
#![no_main]

use std::path::Path;

use libfuzzer_sys::fuzz_target;
use mbspike_data::{parse_csv, read_recording};

fuzz_target!(|data: &[u8]| {
    let sensor = [34, 40];
    let table = [b"t,x,y,p\n", data].concat();
    let file = std::env::temp_dir().join(format!("mbspike-fuzz-{}.npz", std::process::id()));
    std::fs::write(&file, data).expect("a temporary file");
    let read = [
        parse_csv(data, sensor, Path::new("fuzz")),
        parse_csv(table.as_slice(), sensor, Path::new("fuzz")),
        read_recording(&file, Some(sensor)),
    ];
    for events in read.into_iter().flatten() {
        assert!(events.t_us.is_sorted());
        assert!(events.x.iter().all(|&x| x < 40) && events.y.iter().all(|&y| y < 34));
    }
});

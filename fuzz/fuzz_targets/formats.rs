//! Any bytes as a recording in each format that has a header of its own: no panic, no memory beyond the
//! data, and events are in order and on the sensor. The first byte chooses the format.
#![no_main]

use std::path::Path;

use libfuzzer_sys::fuzz_target;
use mbspike_data::{aedat2, aedat4, evt, prophesee};

fuzz_target!(|data: &[u8]| {
    let Some((format, data)) = data.split_first() else { return };
    let (file, sensor) = (Path::new("fuzz"), Some([34, 40]));
    let with = |header: &[u8]| [header, data].concat();
    let read = match format % 6 {
        0 => prophesee::parse_dat(&*with(b"% Version 2\n\x0c\x08"), sensor, file),
        1 => aedat2::parse(&*with(b"#!AER-DAT2.0\n"), sensor, file),
        2 => aedat4::parse(&*with(b"#!AER-DAT4.0\r\n"), sensor, file),
        3 => evt::parse(&*with(b"% evt 2.0\n% end\n"), sensor, file),
        4 => evt::parse(&*with(b"% evt 2.1\n% end\n"), sensor, file),
        _ => evt::parse(&*with(b"% evt 3.0\n% end\n"), sensor, file),
    };
    if let Ok(events) = read {
        assert!(events.t_us.is_sorted());
        assert!(events.x.iter().all(|&x| x < 40) && events.y.iter().all(|&y| y < 34));
    }
    // As they come, header and all.
    let _ = prophesee::parse_dat(data, sensor, file);
    let _ = aedat2::parse(data, sensor, file);
    let _ = aedat4::parse(data, sensor, file);
    let _ = evt::parse(data, sensor, file);
});

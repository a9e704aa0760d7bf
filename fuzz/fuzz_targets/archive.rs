//! Any bytes as a tar, gzipped tar and zip archive: no panic, every path stays within, and no more
//! is unpacked than allowed.
#![no_main]

use std::io::{Cursor, Read};
use std::path::{Component, Path};

use libfuzzer_sys::fuzz_target;
use mbspike_data::archive::{Limits, parse_tar, visit_zip};

const LIMITS: Limits = Limits { n_bytes: 1 << 20, n_files: 50 };

fuzz_target!(|data: &[u8]| {
    let read = |open: &dyn Fn(&mut dyn FnMut(&Path, &mut dyn Read) -> mbspike_data::Result<()>)| {
        let (mut n_bytes, mut n_files) = (0, 0);
        open(&mut |path, content| {
            assert!(path.components().all(|part| matches!(part, Component::Normal(_))));
            assert!(path.components().next().is_some());
            n_files += 1;
            n_bytes += std::io::copy(content, &mut std::io::sink())?;
            Ok(())
        });
        assert!(n_bytes <= LIMITS.n_bytes && n_files <= LIMITS.n_files);
    };
    let file = Path::new("fuzz");
    read(&|visit| drop(parse_tar(data, file, LIMITS, visit)));
    read(&|visit| drop(parse_tar(flate2::bufread::MultiGzDecoder::new(data), file, LIMITS, visit)));
    read(&|visit| drop(visit_zip(Cursor::new(data), file, LIMITS, visit)));
});

//! Any bytes as HDF5: spikes of lines and recordings of event cameras. No panic leaves the reader, and no memory
//! beyond what the file can hold is asked for.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mbspike_data::heidelberg::SpikeFile;
use mbspike_data::hdf5_events;

fuzz_target!(|data: &[u8]| {
    let folder = std::env::temp_dir().join(format!("mbspike-fuzz-hdf5-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a temporary folder");
    let file = folder.join("x.h5");
    std::fs::write(&file, data).expect("a temporary file");
    if let Ok((spikes, _)) = SpikeFile::open(&file) {
        for index in 0..spikes.len().min(64) {
            let _ = spikes.read(index, [1, 700]);
        }
    }
    let _ = hdf5_events::read(&file, Some([480, 640]));
    let _ = hdf5_events::read(&file, None);
});

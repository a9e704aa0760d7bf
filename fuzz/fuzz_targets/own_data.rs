//! Any bytes as arrays, series, tables and pictures of a user's own data: no panic, no memory beyond the
//! data.
#![no_main]

use std::path::Path;

use libfuzzer_sys::fuzz_target;
use mbspike_data::{DatasetConfig, OwnKind, load, parse_arff, parse_ts, read_recording};

fuzz_target!(|data: &[u8]| {
    let text = String::from_utf8_lossy(data);
    let _ = parse_ts(&text, Path::new("fuzz"));
    let _ = parse_arff(&text, Path::new("fuzz"));
    let folder = std::env::temp_dir().join(format!("mbspike-fuzz-own-{}", std::process::id()));
    let inside = |name: &str| folder.join(name);
    std::fs::create_dir_all(inside("pictures/a")).expect("a temporary folder");
    for name in ["x.npy", "x.npz", "x.safetensors", "x.csv", "pictures/a/x.png"] {
        std::fs::write(inside(name), data).expect("a temporary file");
    }
    let _ = read_recording(&inside("x.npy"), Some([34, 40]));
    for (kind, name) in [
        (OwnKind::Arrays, "x.npy"),
        (OwnKind::Arrays, "x.npz"),
        (OwnKind::Arrays, "x.safetensors"),
        (OwnKind::Csv, "x.csv"),
        (OwnKind::ImageFolder, "pictures"),
    ] {
        let _ = load(&DatasetConfig {
            path: Some(inside(name)),
            test_fraction: Some(0.5),
            labels: (name == "x.npy").then(|| "x.npy".to_owned()),
            ..DatasetConfig::new(kind)
        });
    }
});

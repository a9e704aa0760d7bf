//! Recordings in the formats of other programs.

#![allow(clippy::unwrap_used, reason = "tests may panic")]

use std::fmt::Write;
use std::path::Path;

use candle_core::{DType, Device, Tensor};
use mbspike_data::{Events, aedat, atis, read_recording, recordings_in};

fn events() -> Events {
    let mut events = Events::new([34, 34]);
    for i in 0..50_u16 {
        events.push(i64::from(i) * 9, i % 34, 33 - i % 34, i % 3 == 0);
    }
    events
}

fn array(values: impl Iterator<Item = i64>, kind: DType) -> Tensor {
    let values: Vec<i64> = values.collect();
    let n = values.len();
    Tensor::from_vec(values, n, &Device::Cpu).unwrap().to_dtype(kind).unwrap()
}

/// The arrays of a recording: times as `kind`, the rest as bytes.
fn arrays(events: &Events, kind: DType) -> [(&'static str, Tensor); 4] {
    [
        ("t", array(events.t_us.iter().copied(), kind)),
        ("x", array(events.x.iter().map(|&x| x.into()), DType::U8)),
        ("y", array(events.y.iter().map(|&y| y.into()), DType::U8)),
        ("p", array(events.on.iter().map(|&on| on.into()), DType::U8)),
    ]
}

fn write_npz(path: &Path, arrays: &[(&str, Tensor)]) {
    let arrays: Vec<(&str, &Tensor)> = arrays.iter().map(|(name, t)| (*name, t)).collect();
    Tensor::write_npz(&arrays, path).unwrap();
}

#[test]
fn every_format_gives_the_same_events() {
    let folder = tempfile::tempdir().unwrap();
    let inside = |name: &str| folder.path().join(name);
    let events = events();
    fs_err::write(inside("a.bin"), atis::to_bytes(&events, Path::new("a")).unwrap()).unwrap();
    fs_err::write(inside("b.aedat"), aedat::to_bytes(&events, 16)).unwrap();
    let mut table = "t,x,y,p\n".to_owned();
    for i in 0..events.len() {
        let (t, x, y, on) = (events.t_us[i], events.x[i], events.y[i], events.on[i]);
        let p = if on { 1 } else { -1 };
        writeln!(table, "{t},{x},{y},{p}").unwrap();
    }
    fs_err::write(inside("c.CSV"), table).unwrap();
    write_npz(&inside("d.npz"), &arrays(&events, DType::U32));
    write_npz(&inside("e.npz"), &arrays(&events, DType::I64));
    fs_err::write(inside("readme.txt"), "no recording").unwrap();
    let files = recordings_in(folder.path()).unwrap();
    assert_eq!(files.len(), 5);
    for file in files {
        assert_eq!(read_recording(&file, Some([34, 34])).unwrap(), events, "{}", file.display());
    }
    let message = read_recording(&inside("d.npz"), None).unwrap_err().to_string();
    assert!(message.contains("does not say how large its sensor is"), "{message}");
    assert!(read_recording(&inside("readme.txt"), None).is_err());
    assert_eq!(read_recording(&inside("b.aedat"), None).unwrap().sensor, [128, 128]);
}

#[test]
fn damaged_arrays_are_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("r.npz");
    let message = |arrays: &[(&str, Tensor)]| {
        write_npz(&file, arrays);
        read_recording(&file, Some([34, 34])).unwrap_err().to_string()
    };
    let whole = arrays(&events(), DType::I64);
    assert!(message(&whole[..3]).contains("p.npy: byte 0: expected an array, found none"));
    let with = |at: usize, tensor: Tensor| {
        let mut changed = whole.clone();
        changed[at].1 = tensor;
        message(&changed)
    };
    let ints = |n: i64| array(0..n, DType::I64);
    assert!(with(0, ints(49)).contains("arrays of one length, found 49, 50, 50 and 50"));
    assert!(
        with(1, ints(50)).contains("element 34: byte 0: expected an event on the 34x34 sensor")
    );
    let reversed = array((0..50).rev(), DType::I64);
    assert!(
        with(0, reversed).contains("element 1: byte 0: expected a timestamp of at least 49 us")
    );
    assert!(with(0, ints(50).to_dtype(DType::F64).unwrap()).contains("whole numbers, found F64"));
    assert!(with(0, ints(50).reshape((25, 2)).unwrap()).contains("one dimension"));
    write_npz(&file, &whole);
    let bytes = fs_err::read(&file).unwrap();
    for n in [0, 10, bytes.len() / 2, bytes.len() - 1] {
        fs_err::write(&file, &bytes[..n]).unwrap();
        assert!(read_recording(&file, Some([34, 34])).is_err());
    }
}

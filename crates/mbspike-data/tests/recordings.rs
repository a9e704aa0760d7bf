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
    let missing = message(&whole[..3]);
    assert!(
        missing.ends_with("r.npz: array \"p\": is not there; the file has t, x, y"),
        "{missing}"
    );
    let with = |at: usize, tensor: Tensor| {
        let mut changed = whole.clone();
        changed[at].1 = tensor;
        message(&changed)
    };
    let ints = |n: i64| array(0..n, DType::I64);
    assert!(
        with(0, ints(49)).contains("\"x\": expected arrays of one length, found 49, 50, 50, 50")
    );
    assert!(with(1, ints(50)).contains("event 34: expected an event on the 34x34 sensor"));
    let halves = (ints(50).to_dtype(DType::F64).unwrap() * 0.5).unwrap();
    assert!(with(0, halves).contains("array \"t\": expected whole numbers, found 0.5 at 1"));
    assert!(with(0, ints(50).reshape((25, 2)).unwrap()).contains("one dimension"));
    write_npz(&file, &whole);
    let bytes = fs_err::read(&file).unwrap();
    for n in [0, 10, bytes.len() / 2, bytes.len() - 1] {
        fs_err::write(&file, &bytes[..n]).unwrap();
        let message = read_recording(&file, Some([34, 34])).unwrap_err().to_string();
        assert!(message.contains("r.npz"), "{message}");
    }
}

#[test]
fn events_out_of_order_are_sorted_in_every_format() {
    let folder = tempfile::tempdir().unwrap();
    let inside = |name: &str| folder.path().join(name);
    // 10, 20, 19, 40 us at x = 1, 2, 3, 4.
    let records = [[1, 5, 0, 0, 10], [2, 6, 128, 0, 20], [3, 7, 0, 0, 19], [4, 8, 128, 0, 40]];
    fs_err::write(inside("a.bin"), records.concat()).unwrap();
    fs_err::write(inside("b.csv"), "t,x,y,p\n10,1,5,0\n20,2,6,1\n19,3,7,0\n40,4,8,1\n").unwrap();
    let mut unsorted = Events::new([34, 34]);
    for [x, y, polarity, _, t] in records {
        unsorted.push(t.into(), x.into(), y.into(), polarity > 0);
    }
    write_npz(&inside("c.npz"), &arrays(&unsorted, DType::I64));
    for name in ["a.bin", "b.csv", "c.npz"] {
        let events = read_recording(&inside(name), Some([34, 34])).unwrap();
        assert_eq!(
            (&*events.t_us, &*events.x),
            (&[10, 19, 20, 40][..], &[1, 3, 2, 4][..]),
            "{name}"
        );
        let disorder = events.disorder.unwrap();
        assert_eq!((disorder.n_events, disorder.first), (1, 2), "{name}");
        let message = events.require_order(&inside(name)).unwrap_err().to_string();
        assert!(message.contains("event 2: expected a timestamp of at least 20 us"), "{message}");
    }
}

/// A file that users have, which versions before refused or misread.
fn case(name: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases").join(name)
}

#[test]
fn arrays_of_every_type_give_their_events() {
    for name in ["npz-bigendian.npz", "npz-int8-polarity.npz", "npz-uint16.npz"] {
        let events = read_recording(&case(name), Some([34, 34])).unwrap();
        assert_eq!(events.t_us, [10, 20, 30, 40], "{name}");
        assert_eq!((events.x, events.y), (vec![1, 2, 3, 4], vec![5, 6, 7, 8]), "{name}");
        assert_eq!(events.on, [false, true, false, true], "{name}");
        assert_eq!(events.disorder, None, "{name}");
    }
    let late = read_recording(&case("npz-one-late-event.npz"), Some([34, 34])).unwrap();
    assert_eq!((late.t_us, late.x), (vec![10, 19, 20, 40], vec![1, 3, 2, 4]));
    assert_eq!(late.disorder.unwrap().n_events, 1);
}

#[test]
fn recordings_of_other_cameras_are_read_by_what_is_in_them() {
    let folder = tempfile::tempdir().unwrap();
    for (name, sensor) in [("prophesee.dat", [240, 304]), ("aedat2.aedat", [128, 128])] {
        let events = read_recording(&case(name), None).unwrap();
        assert_eq!(events.t_us, [10, 20, 30, 40], "{name}");
        assert_eq!((&*events.x, &*events.y), (&[1, 2, 3, 4][..], &[5, 6, 7, 8][..]), "{name}");
        assert_eq!(events.on, [false, true, false, true], "{name}");
        assert_eq!(events.sensor, sensor, "{name}");
        // Whatever the file is called.
        let renamed = folder.path().join("recording.npz");
        fs_err::copy(case(name), &renamed).unwrap();
        assert_eq!(read_recording(&renamed, None).unwrap(), events);
    }
}

#[test]
fn files_that_other_programs_wrote_hold_the_events_that_they_were_given() {
    let truth = read_recording(&case("formats/truth.csv"), Some([48, 64])).unwrap();
    assert_eq!(truth.len(), 150);
    for name in ["e.dat", "evt2.raw", "none.aedat4", "lz4.aedat4", "zstd.aedat4"] {
        let file = case("formats").join(name);
        let events = read_recording(&file, Some([48, 64])).unwrap();
        assert_eq!(events.t_us, truth.t_us, "{name}");
        // Programs may order simultaneous events anew.
        let set = |events: &Events| {
            let mut set: Vec<_> = (0..events.len())
                .map(|i| (events.t_us[i], events.x[i], events.y[i], events.on[i]))
                .collect();
            set.sort_unstable();
            set
        };
        assert_eq!(set(&events), set(&truth), "{name}");
        let is_told = name.ends_with("aedat4");
        assert!(!is_told || read_recording(&file, None).unwrap().sensor == [48, 64], "{name}");
    }
}

#[test]
fn formats_that_are_not_read_say_what_they_are_and_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("r.aedat");
    for (start, expected) in [
        (&b"#!AER-DAT1.0\r\n"[..], ["another version of AEDAT", "jAER"]),
        (b"\x1b[2J", ["#!AER-DAT", "a recording that can be read"]),
    ] {
        fs_err::write(&file, start).unwrap();
        let message = read_recording(&file, Some([34, 34])).unwrap_err().to_string();
        assert!(expected.iter().all(|part| message.contains(part)), "{message}");
        assert!(message.contains("r.aedat: byte 0: ") && !message.contains('\u{1b}'), "{message}");
    }
    // HDF5 is read, whatever the file is called; this one is cut off.
    fs_err::write(&file, b"\x89HDF\r\n\x1a\n\x00").unwrap();
    let message = read_recording(&file, Some([34, 34])).unwrap_err().to_string();
    assert!(message.contains("r.aedat") && message.contains("HDF5"), "{message}");
}

#[test]
fn archives_that_lie_about_their_sizes_cost_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("r.npz");
    write_npz(&file, &arrays(&events(), DType::I64));
    let honest = fs_err::read(&file).unwrap();
    // The uncompressed size in the directory's first entry (byte 24 of it) and in the file's header.
    let directory = honest.windows(4).position(|bytes| bytes == b"PK\x01\x02").unwrap();
    for size in [u32::MAX - 1, 1 << 31, 60 << 20, 1 << 20] {
        let mut bytes = honest.clone();
        bytes[directory + 24..][..4].copy_from_slice(&size.to_le_bytes());
        bytes[22..26].copy_from_slice(&size.to_le_bytes());
        fs_err::write(&file, bytes).unwrap();
        let message = read_recording(&file, Some([34, 34])).unwrap_err().to_string();
        assert!(message.contains("r.npz"), "{message}");
    }
}

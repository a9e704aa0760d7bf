//! Damaged and hostile files: an error that says where, whatever the bytes, within limits.

mod fixtures;

use fixtures::path;
use mbspike_nir::{Limits, Options, Unknown, from_bytes, read, read_with};

/// Each file, and what its error says after the file's name.
const REFUSED: &[(&str, &str)] = &[
    ("missing_attribute", "node `lif`, attribute `tau`: it is missing"),
    (
        "unknown_attribute",
        "node `lif`, attribute `refractory`: a LIF node has no such attribute; it has metadata, r, \
         tau, v_leak, v_reset, v_threshold",
    ),
    (
        "wrong_shape",
        "node `lif`, attribute `r`: expected the shape of `tau`, [3], found an array of f32 of \
         shape [2]",
    ),
    ("text_for_numbers", "node `lif`, attribute `tau`: expected numbers, found the text \"long\""),
    (
        "compound",
        "node `lif`, attribute `tau`: expected numbers, truth values or text, found \
         compound{a: f32, b: i32}",
    ),
    ("bad_edge", "edge `input` → `nowhere`: there is no node `nowhere`"),
    ("double_edge", "edge `input` → `lif`: it is there twice"),
    (
        "huge",
        "node `lif`, attribute `tau`: unpacking 4398046511104 more bytes exceeds the limit of \
         4294967296 bytes; where the file is trusted, raise it in `Limits`",
    ),
    (
        "lone_node",
        "expected a node of type NIRGraph as the outermost one, found a node of type Scale",
    ),
];

#[test]
fn an_error_names_file_node_and_attribute() {
    for (name, expected) in REFUSED {
        let path = path(name);
        let error = read(&path).unwrap_err().to_string();
        assert_eq!(error, format!("{}: {expected}", path.display()));
    }
}

#[test]
fn a_group_that_holds_itself_ends_at_the_limit_of_depth() {
    let error = read(path("loop")).unwrap_err().to_string();
    assert!(error.contains("groups within groups exceeds the limit of 64"), "{error}");
}

#[test]
fn small_files_that_unpack_to_much_stop_at_the_limit() {
    let limits = Limits { n_bytes: 8 << 20, ..Limits::default() };
    let options = Options { limits, ..Options::default() };
    let error = read_with(path("bomb"), &options).unwrap_err().to_string();
    assert!(
        error.contains("node `lif`, attribute `tau`: unpacking 16777216 more bytes exceeds"),
        "{error}"
    );
    // A declared size that no compression can reach is refused under any limit.
    let limits = Limits { n_bytes: u64::MAX / 2, ..Limits::default() };
    let error = read_with(path("huge"), &Options { limits, ..options }).unwrap_err().to_string();
    assert!(error.contains("a declared size of 4398046511104 bytes"), "{error}");
}

#[test]
fn the_sizes_of_a_file_and_of_its_contents_are_limited() {
    let with = |limits| {
        read_with(path("nested"), &Options { limits, ..Options::default() })
            .unwrap_err()
            .to_string()
    };
    let error = with(Limits { n_bytes: 1000, ..Limits::default() });
    assert!(error.contains("the file's size exceeds the limit of 1000 bytes"), "{error}");
    let error = with(Limits { n_objects: 10, ..Limits::default() });
    assert!(error.contains("the number of groups and datasets exceeds the limit of 10"), "{error}");
    let error = with(Limits { depth: 2, ..Limits::default() });
    assert!(error.contains("groups within groups exceeds the limit of 2"), "{error}");
}

#[test]
fn what_is_no_hdf5_file_is_said_to_be_none() {
    for bytes in [&b""[..], b"hello", &[0; 4096], b"\x89HDF\r\n\x1a\n"] {
        let error = from_bytes(bytes.to_vec(), &Options::default()).unwrap_err().to_string();
        assert!(error.contains("not readable as HDF5"), "{error}");
    }
    let error = read(path("not_there")).unwrap_err().to_string();
    assert!(error.contains("not_there.nir: "), "{error}");
}

#[test]
fn an_hdf5_file_that_is_no_nir_file_is_said_to_lack_its_node() {
    let mut file = hdf5_pure::FileBuilder::new();
    file.create_dataset("data").with_f64_data(&[1.0]);
    let bytes = file.finish().unwrap();
    let error = from_bytes(bytes, &Options::default()).unwrap_err().to_string();
    assert_eq!(error, "attribute `node`: it is missing");
}

/// Names that could not be written again: found by the fuzz target.
#[test]
fn names_that_no_group_can_have_are_refused() {
    let bytes = std::fs::read(path("metadata")).unwrap();
    assert!(from_bytes(bytes.clone(), &Options::default()).is_ok());
    let at = bytes.windows(6).position(|name| name == b"about\0").unwrap();
    for name in [b"\0bout", b".\0out", b"a/out"] {
        let mut changed = bytes.clone();
        changed[at..at + name.len()].copy_from_slice(name);
        let error = from_bytes(changed, &Options::default()).unwrap_err().to_string();
        assert!(error.contains("a name that is not empty"), "{error}");
    }
}

/// No panic, no endless loop, no memory beyond the limits, wherever a file ends.
#[test]
fn files_cut_at_any_place_are_refused() {
    for name in ["recurrent", "metadata", "all_nodes_lzf"] {
        let bytes = std::fs::read(path(name)).unwrap();
        for length in (0..bytes.len()).step_by(61) {
            let cut = bytes[..length].to_vec();
            let error = from_bytes(cut, &Options::default());
            assert!(error.is_err(), "{name}, {length} of {} bytes", bytes.len());
        }
    }
}

/// Bytes changed at pseudo-random places: an error or a graph, nothing else.
#[test]
fn files_with_changed_bytes_give_an_error_or_a_graph() {
    let limits = Limits { n_bytes: 16 << 20, n_objects: 2000, depth: 16 };
    let options = Options { unknown: Unknown::Keep, limits };
    let mut state = 1_u64;
    let mut next = move |n: usize| {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((state >> 33) as usize) % n
    };
    let mut n_refused = 0;
    for name in ["recurrent", "metadata", "empty", "many_nodes"] {
        let bytes = std::fs::read(path(name)).unwrap();
        for _ in 0..400 {
            let mut changed = bytes.clone();
            for _ in 0..=next(4) {
                let at = next(changed.len());
                changed[at] = [0, 1, 0x7f, 0x80, 0xff, next(256) as u8][next(6)];
            }
            if let Err(error) = from_bytes(changed, &options) {
                assert!(!error.to_string().is_empty());
                n_refused += 1;
            }
        }
    }
    assert!(n_refused > 10, "only {n_refused} files were refused");
}

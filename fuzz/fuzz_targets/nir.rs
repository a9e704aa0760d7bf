//! Any bytes as a NIR file, within small limits: no panic, and what is read is written and read
//! again as it was.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mbspike_nir::{Limits, Options, Problem, Unknown, from_bytes, to_bytes};

const OPTIONS: Options = Options {
    unknown: Unknown::Keep,
    limits: Limits { n_bytes: 4 << 20, n_objects: 500, depth: 12 },
};

fuzz_target!(|data: &[u8]| match from_bytes(data.to_vec(), &OPTIONS) {
    Ok(graph) => {
        let _ = graph.shapes();
        let again = to_bytes(&graph).expect("what was read can be written");
        let limits = Limits { n_bytes: u64::MAX / 2, ..Limits::default() };
        let again = from_bytes(again, &Options { limits, ..OPTIONS }).expect("and read again");
        // By their text, in which NaN equals NaN.
        assert_eq!(format!("{again:?}"), format!("{graph:?}"));
    }
    Err(error) => {
        assert!(!error.to_string().is_empty());
        assert!(!matches!(*error.problem, Problem::Damaged(_)), "the HDF5 reader panicked: {error}");
    }
});

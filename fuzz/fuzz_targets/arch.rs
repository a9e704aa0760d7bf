//! The architecture notation on any text: no panic, errors that point into the text, and what is
//! accepted fits and is read again from how it is displayed.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mbspike_lif::Arch;

fuzz_target!(|text: &str| {
    match text.parse::<Arch>() {
        Ok(arch) => {
            assert_eq!(arch.to_string().parse::<Arch>().as_ref(), Ok(&arch));
            let shapes = arch.shapes().expect("a parsed architecture fits");
            assert_eq!(shapes.last().expect("it has an output").n_elements(), arch.n_classes());
            for bias in [false, true] {
                arch.parameter_counts(bias).expect("a parsed architecture fits");
            }
        }
        Err(error) => {
            assert!(text.is_char_boundary(error.position));
            assert!(text.is_char_boundary(error.position + error.length));
            assert_eq!(error.to_string().lines().count(), 3);
        }
    }
});

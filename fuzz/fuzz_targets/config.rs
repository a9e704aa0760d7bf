//! Configs of any text: no panic, errors that can be displayed, and what is accepted reads back as
//! itself.
#![no_main]

use std::path::Path;

use libfuzzer_sys::fuzz_target;
use mbspike_experiments::sweep::Sweep;

fuzz_target!(|input: (&str, Vec<String>)| {
    let (text, settings) = input;
    match Sweep::parse(Path::new("fuzz.toml"), text, &settings) {
        Ok(sweep) => {
            for point in &sweep.points {
                let text = point.config.to_toml().expect("a config is TOML");
                let again = Sweep::parse(Path::new("again.toml"), &text, &[]);
                assert_eq!(
                    again.expect("a resolved config is right").points[0].config,
                    point.config
                );
            }
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
});

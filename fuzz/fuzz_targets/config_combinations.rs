//! Combinations of config keys: whatever is read also starts, and what is refused is refused with a
//! message. The same combinations are drawn at random by a test of `mbspike-experiments`.
#![no_main]

#[path = "../../crates/mbspike-experiments/tests/combinations/mod.rs"]
mod combinations;

use combinations::{Outcome, start, text};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let mut bytes = input.iter().copied();
    let mut choose = |n: usize| usize::from(bytes.next().unwrap_or(0)) % n;
    match start(&text(&mut choose)) {
        Outcome::Started => {}
        Outcome::Refused(message) => assert!(!message.is_empty()),
    }
});

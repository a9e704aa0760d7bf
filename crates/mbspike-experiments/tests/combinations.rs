//! Combinations of config keys: whatever is read also starts.
//!
//! The fuzz target `config_combinations` draws the same combinations from its input.

#[path = "combinations/mod.rs"]
mod combinations;

use std::collections::BTreeMap;

use combinations::{Outcome, start, text};
use mbspike_core::philox::{Domain, Place, Stream};

/// Combinations that are tried.
const N: usize = 600;

#[test]
fn whatever_is_read_also_starts() {
    let mut rng = Stream::new(2025, Domain::Augment, Place { epoch: 0, sample: 0, step: 0 }).rng();
    let (mut n_started, mut refused) = (0, BTreeMap::<String, usize>::new());
    for _ in 0..N {
        let mut choose = |n: usize| rng.below(n as u32) as usize;
        let text = text(&mut choose);
        match start(&text) {
            Outcome::Started => n_started += 1,
            Outcome::Refused(message) => {
                // `file:line:column: key: …`, with the line and a caret below.
                let key = message.split(": ").nth(1).unwrap();
                assert!(message.contains('^') && !key.is_empty(), "{message}");
                *refused.entry(key.to_owned()).or_default() += 1;
            }
        }
    }
    // The combinations are neither all right nor all wrong in one way.
    assert!(n_started > N / 10, "{n_started} of {N} started; refused: {refused:?}");
    assert!(refused.len() > 10, "{refused:?}");
}

//! Integrates one N-MNIST recording into frames and shows what is in them.
//!
//! `cargo run -p mbspike-data --example event_frames -- FILE [HEIGHT WIDTH]` prints, for several ways
//! of slicing, the number of events of each frame and the MD5 of the frames as little-endian `i32`,
//! which can be compared with what other frameworks give.

use std::error::Error;
use std::path::PathBuf;
use std::time::Instant;

use mbspike_data::Recording;
use mbspike_data::frames::{Slicing, View, integrate};
use md5::{Digest, Md5};

#[expect(clippy::print_stdout, reason = "an example's output")]
fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let file = arguments.first().ok_or("usage: event_frames FILE [HEIGHT WIDTH]")?;
    let sensor = match &arguments[1..] {
        [height, width] => [height.parse()?, width.parse()?],
        _ => [34, 34],
    };
    let start = Instant::now();
    let events = Recording::AtisFile(PathBuf::from(file)).read(sensor)?;
    println!(
        "{} events in {} us, read in {:?}",
        events.len(),
        events.duration_us(),
        start.elapsed()
    );
    for slicing in [
        Slicing::Number { n_frames: 4 },
        Slicing::Time { n_frames: 4 },
        Slicing::Number { n_frames: 10 },
        Slicing::Time { n_frames: 10 },
        Slicing::Number { n_frames: 16 },
        Slicing::Time { n_frames: 16 },
        Slicing::Duration { us: 50_000 },
        Slicing::TonicTimeBins { n_frames: 10, overlap: 0.0 },
        Slicing::TonicEventBins { n_frames: 10, overlap: 0.0 },
        Slicing::TonicEventCount { count: 1000, overlap: 0, include_incomplete: false },
    ] {
        let start = Instant::now();
        let frames = integrate(&events, &slicing, &View::whole(sensor))?;
        let elapsed = start.elapsed();
        let bytes: Vec<u8> = frames.iter().flat_map(|&n| (n as i32).to_le_bytes()).collect();
        let counts: Vec<f32> =
            frames.chunks(2 * sensor[0] * sensor[1]).map(|frame| frame.iter().sum()).collect();
        let md5 = u128::from_be_bytes(Md5::digest(&bytes).into());
        println!("{slicing:?}: {counts:?}, MD5 {md5:032x}, {elapsed:?}");
    }
    Ok(())
}

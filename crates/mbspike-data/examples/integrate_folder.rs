//! Reads all recordings of a folder and integrates each into T frames of equally many events.
//!
//! `cargo run --release -p mbspike-data --example integrate_folder -- FOLDER [T]` waits for lines on
//! standard input; for each it goes through the folder once, on the threads that `RAYON_NUM_THREADS`
//! allows, and prints the time that took as JSON. `scripts/compare_event_readers.py` takes turns with
//! other frameworks so.

use std::error::Error;
use std::path::Path;
use std::time::Instant;

use mbspike_data::{EncoderConfig, Events, FrameSplit, Result, read_recording, recordings_in};
use rayon::prelude::*;

/// The program's allocator.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[expect(clippy::print_stdout, reason = "an example's output")]
fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let folder = arguments.first().ok_or("usage: integrate_folder FOLDER [T]")?;
    let n_frames = arguments.get(1).map_or(Ok(10), |text| text.parse())?;
    let files = recordings_in(Path::new(folder))?;
    let encoder = EncoderConfig::event_frame(FrameSplit::Number, n_frames);
    for line in std::io::stdin().lines() {
        line?;
        let start = Instant::now();
        let counts = files.par_iter().map_init(Vec::new, |frames, file| {
            let events = read_recording(file, None)?;
            encoder.frames_into(&events, room_for(&encoder, &events, frames))?;
            Ok(events.len())
        });
        let n_events: usize = counts.collect::<Result<Vec<usize>>>()?.iter().sum();
        let (seconds, n) = (start.elapsed().as_secs_f64(), files.len());
        println!("{{\"s\": {seconds}, \"n_recordings\": {n}, \"n_events\": {n_events}}}");
    }
    Ok(())
}

/// The same memory for every recording, as in training.
fn room_for<'a>(encoder: &EncoderConfig, events: &Events, room: &'a mut Vec<f32>) -> &'a mut [f32] {
    room.resize(encoder.time_steps * 2 * events.sensor[0] * events.sensor[1], 0.0);
    room
}

//! Reads all recordings of a folder and integrates each into T frames of equally many events.
//!
//! `cargo run --release -p mbspike-data --example integrate_folder -- FOLDER [T]` waits for lines on
//! standard input; for each it goes through the folder once, on the threads that `RAYON_NUM_THREADS`
//! allows, and prints the time that took as JSON. `scripts/compare_event_readers.py` takes turns with
//! other frameworks so.

use std::error::Error;
use std::path::Path;
use std::time::Instant;

use mbspike_data::frames::{Slicing, View, integrate};
use mbspike_data::{Result, read_recording, recordings_in};
use rayon::prelude::*;

#[expect(clippy::print_stdout, reason = "an example's output")]
fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let folder = arguments.first().ok_or("usage: integrate_folder FOLDER [T]")?;
    let n_frames = arguments.get(1).map_or(Ok(10), |text| text.parse())?;
    let files = recordings_in(Path::new(folder))?;
    let slicing = Slicing::Number { n_frames };
    for line in std::io::stdin().lines() {
        line?;
        let start = Instant::now();
        let counts = files.par_iter().map(|file| {
            let events = read_recording(file, None)?;
            let frames = integrate(&events, &slicing, &View::whole(events.sensor))?;
            Ok(frames.iter().map(|&count| f64::from(count)).sum::<f64>())
        });
        let n_events: f64 = counts.collect::<Result<Vec<f64>>>()?.iter().sum();
        let (seconds, n) = (start.elapsed().as_secs_f64(), files.len());
        println!("{{\"s\": {seconds}, \"n_recordings\": {n}, \"n_events\": {n_events}}}");
    }
    Ok(())
}

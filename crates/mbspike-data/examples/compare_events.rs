//! Compares simulated with measured recordings.
//!
//! `cargo run --release -p mbspike-data --example compare_events -- nmnist MEASURED SIMULATED`, both
//! folders or archives of N-MNIST, compares recordings of the same digits, by their numbers:
//! events, saccades (cut at 105 and 210 ms), polarity, and the correlation of frames of 30 ms.
//! `… -- gestures MEASURED SIMULATED` compares the recordings of a folder of 40-bit `.bin` files with
//! the training set of a simulated DVS128 Gesture.

use std::error::Error;
use std::path::{Path, PathBuf};

use mbspike_data::catalog::DatasetName;
use mbspike_data::frames::{Slicing, View, integrate};
use mbspike_data::{DatasetConfig, EventSet, Events, Recording, SampleSet, load};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["nmnist", measured, simulated] => nmnist(Path::new(measured), Path::new(simulated)),
        ["gestures", measured, simulated] => gestures(Path::new(measured), Path::new(simulated)),
        _ => Err("usage: compare_events nmnist|gestures MEASURED SIMULATED".into()),
    }
}

#[expect(clippy::print_stdout, reason = "an example's output")]
fn row(name: &str, values: &[f64], digits: usize) {
    let cells: Vec<String> = values.iter().map(|value| format!("{value:.digits$}")).collect();
    println!("| {name} | {} |", cells.join(" | "));
}

fn train_set(name: DatasetName, path: &Path) -> Result<std::sync::Arc<EventSet>> {
    let config = DatasetConfig { path: Some(path.to_owned()), ..DatasetConfig::new(name) };
    match load(&config)?.train {
        SampleSet::Events(set) => Ok(set),
        _ => Err("these are no recordings".into()),
    }
}

/// `Train/<digit>/<number>.bin` of a recording.
fn number(recording: &Recording) -> Result<u32> {
    let path = match recording {
        Recording::AtisFile(file) => file.clone(),
        Recording::AtisZipEntry(entry) => entry.path(),
        _ => return Err("not N-MNIST".into()),
    };
    Ok(path.file_stem().ok_or("a file without a name")?.to_string_lossy().parse()?)
}

fn nmnist(measured: &Path, simulated: &Path) -> Result<()> {
    let sets =
        [train_set(DatasetName::Nmnist, measured)?, train_set(DatasetName::Nmnist, simulated)?];
    let mut pairs = Vec::new();
    for (i, recording) in sets[0].recordings.iter().enumerate() {
        let wanted = number(recording)?;
        for (j, other) in sets[1].recordings.iter().enumerate() {
            if sets[1].labels[j] == sets[0].labels[i] && number(other)? == wanted {
                pairs.push((sets[0].labels[i], [sets[0].read(i)?, sets[1].read(j)?]));
            }
        }
    }
    let of = |f: &dyn Fn(&Events) -> f64| [0, 1].map(|k| mean(pairs.iter().map(|(_, p)| f(&p[k]))));
    row("recordings", &[pairs.len() as f64; 2], 0);
    row("events of a recording", &of(&|e| e.len() as f64), 0);
    for (saccade, times) in [0..105_000, 105_000..210_000, 210_000..i64::MAX].iter().enumerate() {
        let count = |e: &Events| e.t_us.iter().filter(|&t| times.contains(t)).count() as f64;
        row(&format!("events of saccade {}", saccade + 1), &of(&count), 0);
    }
    row("share of ON events", &of(&on_share), 3);
    row("duration in ms", &of(&|e| e.duration_us() as f64 / 1e3), 1);
    row("gap at a pixel, median in ms", &of(&|e| gap_ms(e, 0.5)), 2);
    row("gap at a pixel, 5th percentile in ms", &of(&|e| gap_ms(e, 0.05)), 2);
    for digit in 0..10 {
        let of_digit = pairs.iter().filter(|(label, _)| *label == digit);
        let counts = [0, 1].map(|k| mean(of_digit.clone().map(|(_, p)| p[k].len() as f64)));
        row(&format!("events of a {digit}"), &counts, 0);
    }
    let counts = |k: usize| pairs.iter().map(|(_, p)| p[k].len() as f64).collect::<Vec<_>>();
    row("correlation of the numbers of events", &[correlation(&counts(0), &counts(1))], 3);
    let frames = |events: &Events| -> Result<Vec<f64>> {
        let mut events = events.clone();
        // Ten frames of 30 ms from the start of the recording, not from the first event.
        let end = events.t_us.partition_point(|&t| t < 300_000);
        events = events.slice(0..end);
        let view = View::whole([34, 34]);
        let mut all = Vec::new();
        for frame in 0..10 {
            let [low, high] =
                [frame, frame + 1].map(|i| events.t_us.partition_point(|&t| t < 30_000 * i));
            let counts =
                integrate(&events.slice(low..high), &Slicing::Number { n_frames: 1 }, &view)?;
            all.extend(counts.into_iter().map(f64::from));
        }
        Ok(all)
    };
    let mut likeness = Vec::new();
    for (_, [a, b]) in &pairs {
        likeness.push(correlation(&frames(a)?, &frames(b)?));
    }
    row("correlation of frames of 30 ms", &[mean(likeness.into_iter())], 3);
    Ok(())
}

fn gestures(measured: &Path, simulated: &Path) -> Result<()> {
    let mut files: Vec<PathBuf> =
        std::fs::read_dir(measured)?.map(|entry| Ok(entry?.path())).collect::<Result<_>>()?;
    files.sort();
    files.retain(|file| file.extension().is_some_and(|extension| extension == "bin"));
    let mut names = Vec::new();
    for (i, file) in files.into_iter().enumerate() {
        let events = Recording::AtisFile(file).read([128, 128])?;
        names.push((format!("measured {}", i + 1), vec![events]));
    }
    let set = train_set(DatasetName::DvsGesture, simulated)?;
    for (class, name) in DatasetName::DvsGesture.info().class_names.iter().enumerate() {
        let mut of_class = Vec::new();
        for (i, &label) in set.labels.iter().enumerate() {
            if usize::from(label) == class && of_class.len() < 100 {
                of_class.push(set.read(i)?);
            }
        }
        names.push((format!("simulated {name}"), of_class));
    }
    #[expect(clippy::print_stdout, reason = "an example's output")]
    {
        println!(
            "| | recordings | events/s | lowest | highest | ON | pixels above 2 Hz | above 10 Hz | median gap, ms | rate of 8 top rows, Hz |"
        );
        println!("|---|---|---|---|---|---|---|---|---|---|");
    }
    for (name, recordings) in names {
        let rates: Vec<f64> = recordings.iter().map(rate).collect();
        let of = |f: &dyn Fn(&Events) -> f64| mean(recordings.iter().map(f));
        let cells = [
            format!("{}", recordings.len()),
            format!("{:.0}", mean(rates.iter().copied())),
            format!("{:.0}", rates.iter().copied().fold(f64::INFINITY, f64::min)),
            format!("{:.0}", rates.iter().copied().fold(0.0, f64::max)),
            format!("{:.3}", of(&on_share)),
            format!("{:.0}", of(&|e| pixels_above(e, 2.0))),
            format!("{:.0}", of(&|e| pixels_above(e, 10.0))),
            format!("{:.2}", of(&|e| gap_ms(e, 0.5))),
            format!(
                "{:.2}",
                of(&|e| {
                    let top = e.y.iter().filter(|&&y| y < 8).count() as f64;
                    top / 1024.0 / (e.duration_us() as f64 / 1e6)
                })
            ),
        ];
        #[expect(clippy::print_stdout, reason = "an example's output")]
        {
            println!("| {name} | {} |", cells.join(" | "));
        }
    }
    Ok(())
}

fn mean(values: impl Iterator<Item = f64>) -> f64 {
    let (sum, n) = values.fold((0.0, 0), |(sum, n), value| (sum + value, n + 1));
    sum / f64::from(n)
}

fn on_share(events: &Events) -> f64 {
    events.on.iter().filter(|&&on| on).count() as f64 / events.len() as f64
}

fn rate(events: &Events) -> f64 {
    events.len() as f64 / (events.duration_us() as f64 / 1e6)
}

/// Pixels with more than `hz` events a second.
fn pixels_above(events: &Events, hz: f64) -> f64 {
    let [height, width] = events.sensor;
    let mut counts = vec![0_u32; height * width];
    for (&x, &y) in events.x.iter().zip(&events.y) {
        counts[usize::from(y) * width + usize::from(x)] += 1;
    }
    let least = hz * events.duration_us() as f64 / 1e6;
    counts.iter().filter(|&&count| f64::from(count) > least).count() as f64
}

/// A quantile of the times between events at one pixel, in milliseconds.
fn gap_ms(events: &Events, quantile: f64) -> f64 {
    let [height, width] = events.sensor;
    let mut last = vec![None; height * width];
    let mut gaps = Vec::new();
    for (i, &t_us) in events.t_us.iter().enumerate() {
        let pixel = usize::from(events.y[i]) * width + usize::from(events.x[i]);
        if let Some(before) = last[pixel].replace(t_us) {
            gaps.push(t_us - before);
        }
    }
    gaps.sort_unstable();
    gaps.get((quantile * gaps.len() as f64) as usize).map_or(f64::NAN, |&us| us as f64 / 1e3)
}

fn correlation(a: &[f64], b: &[f64]) -> f64 {
    let (mean_a, mean_b) = (mean(a.iter().copied()), mean(b.iter().copied()));
    let sum = |f: &dyn Fn(f64, f64) -> f64| -> f64 {
        a.iter().zip(b).map(|(a, b)| f(a - mean_a, b - mean_b)).sum()
    };
    sum(&|a, b| a * b) / (sum(&|a, _| a * a) * sum(&|_, b| b * b)).sqrt()
}

//! Recordings of an event camera: one folder a class, or a table that names files and labels.

use std::path::Path;
use std::sync::Arc;

use super::folders::{folders_in, two_folders};
use super::labelled::{Labelled, Samples};
use super::split::Parts;
use crate::{DatasetConfig, Error, Recording, Result, read_recording, recordings_in};

pub(super) fn load(path: &Path, config: &DatasetConfig) -> Result<Parts> {
    if let Some(table) = &config.table {
        let read = |folder: &Path| read_table(folder, &folder.join(table), config.sensor);
        let test = match &config.test_path {
            Some(folder) => Some((read(folder)?, folder.clone())),
            None => None,
        };
        return Ok(Parts { train: read(path)?, test });
    }
    let (train, test) = two_folders(path, config)?;
    let read = |folder: &Path| read_folder(folder, config.sensor);
    let test = match test {
        Some(folder) => Some((read(&folder)?, folder)),
        None => None,
    };
    Ok(Parts { train: read(&train)?, test })
}

fn read_folder(folder: &Path, sensor: Option<[usize; 2]>) -> Result<Labelled> {
    let (mut recordings, mut labels, mut places) = (Vec::new(), Vec::new(), Vec::new());
    for class in folders_in(folder)? {
        for file in recordings_in(&folder.join(&class))? {
            places.push(file.display().to_string());
            labels.push(class.clone());
            recordings.push(Recording::File(file));
        }
    }
    if recordings.is_empty() {
        let message =
            format!("{} has no folders with recordings in them, one a class", folder.display());
        return Err(Error::config("dataset.path", message));
    }
    labelled(recordings, labels, places, sensor)
}

/// Reads the columns `file`, `label` and, where only a part of a recording is a sample, `start_us` and
/// `end_us`.
fn read_table(folder: &Path, table: &Path, sensor: Option<[usize; 2]>) -> Result<Labelled> {
    let refuse = |line: u64, message: String| Error::Line { file: table.to_owned(), line, message };
    let damaged = |error: csv::Error| {
        refuse(error.position().map_or(1, csv::Position::line), error.to_string())
    };
    let mut reader =
        csv::ReaderBuilder::new().trim(csv::Trim::All).from_reader(fs_err::File::open(table)?);
    let header = reader.headers().map_err(damaged)?.clone();
    let column = |name: &str| header.iter().position(|known| known == name);
    let (Some(file), Some(label)) = (column("file"), column("label")) else {
        let found = header.iter().take(8).collect::<Vec<_>>().join(",");
        let message = format!("expected the columns file and label, found \"{found}\"");
        return Err(refuse(1, message));
    };
    let times = match (column("start_us"), column("end_us")) {
        (Some(start), Some(end)) => Some([start, end]),
        (None, None) => None,
        _ => return Err(refuse(1, "expected both of start_us and end_us, or none".to_owned())),
    };
    let (mut recordings, mut labels, mut places) = (Vec::new(), Vec::new(), Vec::new());
    for record in reader.into_records() {
        let record = record.map_err(damaged)?;
        let line = record.position().map_or(0, csv::Position::line);
        let path = folder.join(&record[file]);
        if !path.is_file() {
            return Err(refuse(line, format!("there is no file {}", path.display())));
        }
        let number = |column: usize| {
            let text = &record[column];
            text.parse::<i64>()
                .map_err(|_| refuse(line, format!("expected whole microseconds, found \"{text}\"")))
        };
        let recording = match times {
            None => Recording::File(path),
            Some([start, end]) => {
                let times = number(start)?..number(end)?;
                if times.is_empty() {
                    let message =
                        format!("ends at {} us and begins at {} us", times.end, times.start);
                    return Err(refuse(line, message));
                }
                Recording::Span { file: Arc::new(path), times }
            }
        };
        places.push(format!("line {line} of {}", table.display()));
        labels.push(record[label].to_owned());
        recordings.push(recording);
    }
    if recordings.is_empty() {
        return Err(refuse(1, "names no recording".to_owned()));
    }
    labelled(recordings, labels, places, sensor)
}

/// The sensor is told, or that of the first recording.
fn labelled(
    recordings: Vec<Recording>,
    labels: Vec<String>,
    places: Vec<String>,
    sensor: Option<[usize; 2]>,
) -> Result<Labelled> {
    let sensor = if let Some(sensor) = sensor {
        sensor
    } else {
        let first = read_recording(recordings[0].file(), None).map_err(|error| match error {
            Error::Config { key, message } if key == "sensor" => {
                Error::config("dataset.sensor", format!("is missing: {message}"))
            }
            other => other,
        })?;
        first.sensor
    };
    let samples = Samples::Events { sensor, n_polarities: 2, recordings };
    Ok(Labelled { samples, labels, places })
}

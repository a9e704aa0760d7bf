//! Single recordings of event cameras, in whatever format they are.
//!
//! | ending | format | sensor |
//! |---|---|---|
//! | `.bin` | [40-bit address events](crate::atis) | N-MNIST's 34×34 unless told |
//! | `.aedat` | [AEDAT 3.1](crate::aedat) | DVS128's 128×128 unless told |
//! | `.npz` | NumPy arrays `t`, `x`, `y`, `p`, as SpikingJelly writes them, of whole numbers | has to be told |
//! | `.csv` | a header line with the columns `t`, `x`, `y`, `p` in any order, then whole numbers | has to be told |
//!
//! Times are microseconds and never decrease; of a polarity, values above 0 are ON.

use std::path::{Path, PathBuf};

use candle_core::DType;
use candle_core::npy::NpzTensors;
use fs_err::File;

use crate::event_set::{ZipEntry, read_bounded};
use crate::events::Checked;
use crate::{Error, Events, Result, aedat, atis};

const FIELDS: [&str; 4] = ["t", "x", "y", "p"];

/// Reads a recording; its format is told by the ending of the name, and `sensor` is height and width
/// of the camera.
///
/// # Errors
/// If the ending is none of the table's, the sensor is neither told nor known, or the file is
/// damaged.
pub fn read_recording(path: &Path, sensor: Option<[usize; 2]>) -> Result<Events> {
    let ending = path.extension().unwrap_or_default().to_string_lossy().to_lowercase();
    let told = || {
        let message = format!("{} does not say how large its sensor is", path.display());
        sensor.ok_or_else(|| Error::config("sensor", message))
    };
    match ending.as_str() {
        "bin" => atis::parse(&read_bounded(path)?, sensor.unwrap_or([34, 34]), path),
        "aedat" => aedat::read(path, sensor.unwrap_or([128, 128]), 0..i64::MAX),
        "npz" => read_npz(path, told()?),
        "csv" => parse_csv(File::open(path)?, told()?, path),
        _ => {
            let message =
                format!("{}: expected a name in .bin, .aedat, .npz or .csv", path.display());
            Err(Error::config("file", message))
        }
    }
}

/// Whether [`read_recording`] knows the format of a file of this name.
pub fn is_recording(path: &Path) -> bool {
    path.extension().is_some_and(|ending| {
        ["bin", "aedat", "npz", "csv"].iter().any(|known| ending.eq_ignore_ascii_case(known))
    })
}

/// Reads the arrays `t`, `x`, `y` and `p` of an `.npz` file.
fn read_npz(path: &Path, sensor: [usize; 2]) -> Result<Events> {
    let refuse = |name: &str, expected: &str, found: String| Error::Format {
        file: path.join(name),
        offset: 0,
        expected: expected.to_owned(),
        found,
    };
    let entries = ZipEntry::all_of(path)?;
    let arrays = NpzTensors::new(path)?;
    let mut columns = Vec::new();
    for field in FIELDS {
        let name = format!("{field}.npy");
        let entry = entries.iter().find(|entry| entry.name() == name);
        let Some(entry) = entry else {
            return Err(refuse(&name, "an array", "none".to_owned()));
        };
        // Before anything is allotted by what headers say: does the archive hold so many bytes?
        let bytes = entry.read()?;
        let (shape, kind) = arrays.get_shape_and_dtype(field)?;
        let n_announced =
            shape.dims().iter().try_fold(kind.size_in_bytes(), |n, &size| n.checked_mul(size));
        if shape.rank() != 1 || n_announced.is_none_or(|n| n > bytes.len()) {
            return Err(refuse(&name, "one dimension, within the file", format!("{shape:?}")));
        }
        if matches!(kind, DType::F16 | DType::BF16 | DType::F32 | DType::F64) {
            return Err(refuse(&name, "whole numbers", format!("{kind:?}")));
        }
        let array = arrays.get(field)?;
        let array = array.ok_or_else(|| refuse(&name, "an array", "none".to_owned()))?;
        columns.push(array.to_dtype(DType::I64)?.to_vec1::<i64>()?);
    }
    let [t, x, y, p] = columns.try_into().unwrap_or_else(|_| unreachable!("four fields"));
    if [&x, &y, &p].iter().any(|column| column.len() != t.len()) {
        let found = format!("{}, {}, {} and {}", t.len(), x.len(), y.len(), p.len());
        return Err(refuse("", "arrays of one length", found));
    }
    let mut events = Checked::new(sensor, path);
    for i in 0..t.len() {
        let record = [t[i], x[i], y[i], p[i]];
        push(&mut events, record)
            .map_err(|what| refuse(&format!("element {i}"), &what.0, what.1))?;
    }
    Ok(events.events)
}

/// Adds an event of numbers of any size; what was expected and what was found instead if it cannot
/// be one.
fn push(events: &mut Checked<'_>, [t, x, y, p]: [i64; 4]) -> Result<(), (String, String)> {
    let [height, width] = events.events.sensor;
    let pixel = |value: i64| u16::try_from(value).ok();
    let (Some(column), Some(row)) = (pixel(x), pixel(y)) else {
        let expected = format!("an event on the {width}x{height} sensor");
        return Err((expected, format!("one at x = {x}, y = {y}")));
    };
    events.push(t, column, row, p > 0, 0).map_err(|error| match error {
        Error::Format { expected, found, .. } => (expected, found),
        other => ("an event".to_owned(), other.to_string()),
    })
}

/// Decodes a table of events; `file` is its name in errors.
pub fn parse_csv(input: impl std::io::Read, sensor: [usize; 2], file: &Path) -> Result<Events> {
    let refuse = |line: u64, message: String| Error::Line { file: file.to_owned(), line, message };
    let damaged = |error: csv::Error| {
        let line = error.position().map_or(1, csv::Position::line);
        refuse(line, error.to_string())
    };
    let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::All).from_reader(input);
    let header = reader.headers().map_err(damaged)?.clone();
    let mut columns = [0; 4];
    for (column, field) in columns.iter_mut().zip(FIELDS) {
        let mut places = header.iter().enumerate().filter(|(_, name)| *name == field);
        let (Some((place, _)), None) = (places.next(), places.next()) else {
            let names: Vec<&str> = header.iter().take(8).collect();
            let found = names.join(",").chars().take(60).collect::<String>();
            let message =
                format!("expected the columns t, x, y and p once each, found \"{found}\"");
            return Err(refuse(1, message));
        };
        *column = place;
    }
    let mut events = Checked::new(sensor, file);
    let mut record = csv::StringRecord::new();
    while reader.read_record(&mut record).map_err(damaged)? {
        let line = record.position().map_or(0, csv::Position::line);
        let mut numbers = [0; 4];
        for ((number, column), field) in numbers.iter_mut().zip(columns).zip(FIELDS) {
            let text = &record[column];
            *number = text.parse().map_err(|_| {
                let shown: String = text.chars().take(40).collect();
                refuse(line, format!("expected a whole number for {field}, found \"{shown}\""))
            })?;
        }
        push(&mut events, numbers).map_err(|(expected, found)| {
            refuse(line, format!("expected {expected}, found {found}"))
        })?;
    }
    Ok(events.events)
}

/// The recordings of a folder, and of the folders in it, in the order of their names.
pub fn recordings_in(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut entries: Vec<_> = fs_err::read_dir(folder)?.collect::<std::io::Result<_>>()?;
    entries.sort_by_key(fs_err::DirEntry::file_name);
    let mut files = Vec::new();
    for entry in entries {
        let path = entry.path();
        if entry.file_type()?.is_dir() {
            files.extend(recordings_in(&path)?);
        } else if is_recording(&path) {
            files.push(path);
        }
    }
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn csv(text: &str) -> Result<Events> {
        parse_csv(text.as_bytes(), [4, 6], Path::new("e.csv"))
    }

    #[test]
    fn tables_are_read_by_the_names_of_their_columns() {
        let events = csv("p,t,x,y,note\n1,5,0,0,a\n-1,7, 5,3,b\n0,7,1,2,c\n").unwrap();
        assert_eq!(events.t_us, [5, 7, 7]);
        assert_eq!((events.x, events.y), (vec![0, 5, 1], vec![0, 3, 2]));
        assert_eq!(events.on, [true, false, false]);
        assert!(csv("t,x,y,p\n").unwrap().is_empty());
    }

    #[test]
    fn bad_tables_are_refused_with_their_line() {
        let message = |text: &str| csv(text).unwrap_err().to_string();
        let row = |row: &str| message(&format!("t,x,y,p\n3,0,0,1\n{row}\n"));
        assert_eq!(
            row("2,0,0,1"),
            "e.csv: line 3: expected a timestamp of at least 3 us, found 2 us"
        );
        assert_eq!(
            row("4,6,0,1"),
            "e.csv: line 3: expected an event on the 6x4 sensor, found one at x = 6, y = 0"
        );
        assert!(row("4,-1,0,1").contains("line 3: expected an event on the 6x4 sensor"));
        assert!(row("4,0,99999,1").contains("line 3: expected an event on the 6x4 sensor"));
        assert!(row("4,a,0,1").ends_with("line 3: expected a whole number for x, found \"a\""));
        assert!(row("4,0,0").starts_with("e.csv: line 3:"));
        assert!(
            message("t,x,y\n").contains("line 1: expected the columns t, x, y and p once each")
        );
        assert!(message("t,x,y,p,t\n").contains("once each"));
        assert!(message("").contains("once each"));
    }
}

//! Single recordings of event cameras, in whatever format they are.
//!
//! | content | format | sensor |
//! |---|---|---|
//! | `.bin` | [40-bit address events](crate::atis) | N-MNIST's 34×34 unless told |
//! | `#!AER-DAT3.1` | [AEDAT 3.1](crate::aedat) | DVS128's 128×128 unless told |
//! | `#!AER-DAT2.0` | [AEDAT 2.0](crate::aedat2) | the camera's unless told |
//! | `#!AER-DAT4.0` | [AEDAT 4](crate::aedat4) | the file's unless told |
//! | `% …`, `.dat` | [Prophesee's decoded events](crate::prophesee) | the header's unless told |
//! | `% evt …`, `% format EVT…` | [Prophesee's EVT 2.0, 2.1 and 3.0](crate::evt) | the header's unless told |
//! | `.h5`, `.hdf5` | [HDF5 of DSEC, Metavision and others](crate::hdf5_events) | the file's unless told |
//! | `.npz` | NumPy arrays `t`, `x`, `y`, `p` of any type, as SpikingJelly writes them | has to be told |
//! | `.npy` | a NumPy table with the columns `t`, `x`, `y`, `p` | has to be told |
//! | `.csv` | a header line with the columns `t`, `x`, `y`, `p` in any order, then whole numbers | has to be told |
//!
//! The format is told by how the file begins, where it says so, else by the ending of its name. Times
//! are whole microseconds; events out of order are sorted, which [`Events::disorder`] then tells. Of a
//! polarity, values above 0 are ON.

use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use fs_err::File;

use crate::events::{Checked, check_sensor, from_columns, told_sensor};
use crate::hdf5::SIGNATURE;
use crate::npy::{Array, Npz, read_npy};
use crate::{Error, Events, Result, aedat, aedat2, aedat4, atis, evt, hdf5_events, prophesee};

/// Recordings of N-MNIST have at most some 50 KB.
pub(crate) const MAX_RECORDING_BYTES: u64 = 1 << 26;
const FIELDS: [&str; 4] = ["t", "x", "y", "p"];
/// Names of the columns in the files of other programs.
const OTHER_NAMES: [&[&str]; 4] = [
    &["t", "timestamp", "timestamps", "ts", "time"],
    &["x"],
    &["y"],
    &["p", "polarity", "on", "pol"],
];
/// The endings of [`is_recording`].
const ENDINGS: [&str; 10] =
    ["bin", "aedat", "aedat4", "dat", "raw", "h5", "hdf5", "npz", "npy", "csv"];

/// What a file is, by how it begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Format {
    Aedat31,
    Aedat2,
    Aedat4,
    Dat,
    Evt,
    Hdf5,
    Npz,
    Npy,
    Atis,
    Csv,
}

/// The bytes of a file that is not larger than any recording.
pub(crate) fn read_bounded(file: &Path) -> Result<Vec<u8>> {
    let mut input = File::open(file)?;
    let n_bytes = input.metadata()?.len();
    if n_bytes > MAX_RECORDING_BYTES {
        return Err(Error::Format {
            file: file.to_owned(),
            offset: 0,
            expected: format!("a recording of at most {MAX_RECORDING_BYTES} bytes"),
            found: n_bytes.to_string(),
        });
    }
    let mut bytes = Vec::with_capacity(n_bytes as usize);
    input.read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Reads a recording; `sensor` is height and width of the camera.
///
/// # Errors
/// If the format is none of the table's, which then says what it is, the sensor is neither told nor
/// known, or the file is damaged.
pub fn read_recording(path: &Path, sensor: Option<[usize; 2]>) -> Result<Events> {
    if let Some(sensor) = sensor {
        check_sensor(sensor)?;
    }
    let told = || told_sensor(sensor, path);
    let mut input = BufReader::with_capacity(1 << 18, File::open(path)?);
    match format_of(input.fill_buf()?, path)? {
        Format::Aedat31 => aedat::parse(input, sensor.unwrap_or([128, 128]), 0..i64::MAX, path),
        Format::Aedat2 => aedat2::parse(input, sensor, path),
        Format::Aedat4 => aedat4::parse(input, sensor, path),
        Format::Dat => prophesee::parse_dat(input, sensor, path),
        Format::Evt => evt::parse(input, sensor, path),
        Format::Hdf5 => hdf5_events::read(path, sensor),
        Format::Npz => read_npz(path, told()?),
        Format::Npy => events_of_table(&read_npy(path)?, told()?, path),
        Format::Atis => atis::parse(&read_bounded(path)?, sensor.unwrap_or([34, 34]), path),
        Format::Csv => parse_csv(input, told()?, path),
    }
}

/// The format, by the first bytes of a file and then by its name.
fn format_of(start: &[u8], path: &Path) -> Result<Format> {
    let refuse = |what: &str| {
        Error::Format {
        file: path.to_owned(),
        offset: 0,
        expected: "a recording that can be read (.bin of N-MNIST, AEDAT 2.0, 3.1 or 4, Prophesee .dat or .raw, \
                   HDF5, .npz, .npy or .csv with t, x, y, p)"
            .to_owned(),
        found: what.to_owned(),
    }
    };
    let begins = |text: &str| start.starts_with(text.as_bytes());
    let line = |key: &str| {
        let mut lines =
            start.split(|&byte| byte == b'\n').take_while(|line| line.starts_with(b"%"));
        lines.any(|line| String::from_utf8_lossy(line).to_lowercase().contains(key))
    };
    let ending = path.extension().unwrap_or_default().to_string_lossy().to_lowercase();
    if begins("#!AER-DAT3.1") {
        return Ok(Format::Aedat31);
    }
    if begins(aedat2::FIRST_LINE) {
        return Ok(Format::Aedat2);
    }
    if begins(aedat4::FIRST_LINE) {
        return Ok(Format::Aedat4);
    }
    if begins("#!AER-DAT") {
        return Err(refuse("another version of AEDAT; convert it with jAER or `faery` to .csv"));
    }
    if begins("% ") {
        if line("% evt ") || line("% format evt") || ending == "raw" {
            return Ok(Format::Evt);
        }
        return Ok(Format::Dat);
    }
    if start.starts_with(SIGNATURE) {
        return Ok(Format::Hdf5);
    }
    if start.starts_with(b"PK\x03\x04") || start.starts_with(b"PK\x05\x06") {
        return Ok(Format::Npz);
    }
    if start.starts_with(b"\x93NUMPY") {
        return Ok(Format::Npy);
    }
    match ending.as_str() {
        "bin" => Ok(Format::Atis),
        "aedat" | "aedat4" => Err(refuse("a file that does not begin with #!AER-DAT")),
        "dat" => Ok(Format::Dat),
        "raw" => Ok(Format::Evt),
        "h5" | "hdf5" => Err(refuse("a file that does not begin as HDF5 does")),
        "npz" => Ok(Format::Npz),
        "npy" => Ok(Format::Npy),
        "csv" => Ok(Format::Csv),
        _ => {
            let message = format!(
                "{}: expected a recording: a name in .{}",
                path.display(),
                ENDINGS.join(", .")
            );
            Err(Error::config("file", message))
        }
    }
}

/// Whether a file of this name may be one that [`read_recording`] reads.
pub fn is_recording(path: &Path) -> bool {
    path.extension()
        .is_some_and(|ending| ENDINGS.iter().any(|known| ending.eq_ignore_ascii_case(known)))
}

/// Reads the arrays `t`, `x`, `y` and `p` of an `.npz` file, or its one table of these columns.
fn read_npz(path: &Path, sensor: [usize; 2]) -> Result<Events> {
    let arrays = Npz::open(path)?;
    let names: Vec<&str> = arrays.names().collect();
    let found = OTHER_NAMES.map(|known| names.iter().find(|name| known.contains(name)));
    if let ([only], [None, ..]) = (names.as_slice(), found) {
        return events_of_table(&arrays.read(only, MAX_RECORDING_BYTES)?, sensor, path);
    }
    let mut columns = Vec::new();
    for (field, name) in FIELDS.iter().zip(found) {
        // The name that is looked for is the one to name where there is none.
        let array = arrays.read(name.unwrap_or(field), MAX_RECORDING_BYTES)?;
        if array.shape().len() != 1 {
            let message = format!("expected one dimension, found the shape {:?}", array.shape());
            return Err(array.refuse(message));
        }
        columns.push((array.to_i64()?, array));
    }
    if let Some((_, array)) = columns.iter().find(|(column, _)| column.len() != columns[0].0.len())
    {
        let lengths: Vec<String> =
            columns.iter().map(|(column, _)| column.len().to_string()).collect();
        let message = format!("expected arrays of one length, found {}", lengths.join(", "));
        return Err(array.refuse(message));
    }
    let [t, x, y, p] = [0, 1, 2, 3].map(|i| columns[i].0.as_slice());
    from_columns([t, x, y, p], sensor, path)
}

/// The events of a table of named columns.
fn events_of_table(table: &Array, sensor: [usize; 2], path: &Path) -> Result<Events> {
    let names = table.column_names();
    let mut columns = Vec::new();
    for (field, known) in FIELDS.iter().zip(OTHER_NAMES) {
        let Some(name) = names.iter().find(|name| known.contains(name)) else {
            let found =
                if names.is_empty() { "plain numbers".to_owned() } else { names.join(", ") };
            return Err(table.refuse(format!(
                "expected the columns t, x, y and p, but there is no {field}: {found}"
            )));
        };
        columns.push(table.column_i64(name)?);
    }
    let [t, x, y, p] = [0, 1, 2, 3].map(|i| columns[i].as_slice());
    from_columns([t, x, y, p], sensor, path)
}

/// Decodes a table of events; `file` is its name in errors.
pub fn parse_csv(input: impl Read, sensor: [usize; 2], file: &Path) -> Result<Events> {
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
    check_sensor(sensor)?;
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
        let [t, x, y, p] = numbers;
        events.push_wide([t, x, y], p > 0).map_err(|(expected, found)| {
            refuse(line, format!("expected {expected}, found {found}"))
        })?;
    }
    Ok(events.finish())
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
            row("4,6,0,1"),
            "e.csv: line 3: expected an event on the 4x6 sensor (rows x columns), \
             found one at x = 6, y = 0"
        );
        assert!(row("4,-1,0,1").contains("line 3: expected an event on the 4x6 sensor"));
        assert!(row("4,0,99999,1").contains("line 3: expected an event on the 4x6 sensor"));
        assert!(row("9223372036854775807,0,0,1").contains("line 3: expected a timestamp within"));
        assert!(row("4,a,0,1").ends_with("line 3: expected a whole number for x, found \"a\""));
        assert!(row("4,0,0").starts_with("e.csv: line 3:"));
        assert!(
            message("t,x,y\n").contains("line 1: expected the columns t, x, y and p once each")
        );
        assert!(message("t,x,y,p,t\n").contains("once each"));
        assert!(message("").contains("once each"));
    }
}

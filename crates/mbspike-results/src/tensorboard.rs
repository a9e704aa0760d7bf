//! The records of a run as a `TensorBoard` event file.
//!
//! An event file is a row of `TFRecord`s: the length of the data as a little-endian `u64`, its
//! checksum, the data, their checksum. A checksum is the CRC-32C `c` as `((c >> 15) | (c << 17)) +
//! 0xa282ead8`. The data are a protocol buffer `tensorflow.Event`; those here have a wall time, a
//! step, which is the number of iterations done, and a scalar for each number of a record, under the
//! tag `<record>/<field>` or `<record>/<field>/<position>` with the names of `metrics.jsonl`:
//! `window/loss`, `epoch/test_accuracy`, `window/nonzero_rate/lif1`.
//!
//! The file says what `metrics.jsonl` says, in single precision. A run that goes on writes it anew
//! from there, so that no iteration is in it twice. Every event then has the length it had, and a
//! `TensorBoard` that was reading the file goes on where it was.

use std::io::{self, Write as _};
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use crc::{CRC_32_ISCSI, Crc};
use serde_json::Value;

use crate::error::Result;
use crate::record::Record;

/// The folder of the event file in a run folder.
pub const TENSORBOARD_FOLDER: &str = "tensorboard";
/// The event file in that folder; its name's beginning is how `TensorBoard` finds it.
pub const EVENTS_FILE: &str = "events.out.tfevents.mbspike";

const CRC_32C: Crc<u32> = Crc::<u32>::new(&CRC_32_ISCSI);

/// An open event file.
#[derive(Debug)]
pub struct EventLog {
    file: fs_err::File,
    positions: Vec<String>,
}

impl EventLog {
    /// Writes the event file of a run in `folder`, whose [`Lock`](crate::Lock) the caller has, from the run's
    /// records so far, to which others can be appended. `positions` names the places where activity is measured.
    ///
    /// The last of the records gets the present as its wall time, those before it times as far
    /// apart as training took.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn create(folder: &Path, records: &[Record], positions: &[String]) -> Result<Self> {
        let folder = folder.join(TENSORBOARD_FOLDER);
        fs_err::create_dir_all(&folder)?;
        mbspike_files::remove_partial(&folder)?;
        let path = folder.join(EVENTS_FILE);
        let present_s = wall_time_s();
        let times_s = training_times_s(records);
        let trained_s = times_s.last().copied().unwrap_or(0.0);
        mbspike_files::write(&path, |file| {
            file.write_all(&framed(&version_event(present_s - trained_s)))?;
            for (record, time_s) in records.iter().zip(&times_s) {
                let event = event(record, positions, present_s - trained_s + time_s)?;
                file.write_all(&framed(&event))?;
            }
            Ok(())
        })?;
        let file = fs_err::OpenOptions::new().append(true).open(&path)?;
        Ok(Self { file, positions: positions.to_vec() })
    }

    /// Appends a record at the present time.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn append(&mut self, record: &Record) -> Result<()> {
        let event = event(record, &self.positions, wall_time_s())?;
        Ok(self.file.write_all(&framed(&event))?)
    }
}

/// Seconds since 1970.
fn wall_time_s() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |time| time.as_secs_f64())
}

/// Seconds of training and evaluation up to each record.
fn training_times_s(records: &[Record]) -> Vec<f64> {
    let (mut time_s, mut epoch_start_s) = (0.0, 0.0);
    let times = records.iter().map(|record| {
        match record {
            Record::Window(window) => time_s += window.step_time_s * window.n_iterations as f64,
            Record::Epoch(epoch) => {
                time_s = epoch_start_s + epoch.epoch_time_s;
                epoch_start_s = time_s;
            }
        }
        time_s
    });
    times.collect()
}

/// Tags and values of a record.
fn scalars(record: &Record, positions: &[String]) -> io::Result<Vec<(String, f64)>> {
    const PLACES: [&str; 4] = ["record", "epoch", "iteration", "n_iterations"];
    let kind = match record {
        Record::Window(_) => "window",
        Record::Epoch(_) => "epoch",
    };
    let Value::Object(fields) = serde_json::to_value(record)? else { return Ok(vec![]) };
    let mut scalars = Vec::new();
    for (name, value) in fields.iter().filter(|(name, _)| !PLACES.contains(&name.as_str())) {
        match value {
            Value::Array(values) => scalars.extend(
                positions
                    .iter()
                    .zip(values)
                    .filter_map(|(at, v)| Some((format!("{kind}/{name}/{at}"), v.as_f64()?))),
            ),
            value => scalars.extend(value.as_f64().map(|v| (format!("{kind}/{name}"), v))),
        }
    }
    Ok(scalars)
}

/// The first event of a file: the version of its format.
fn version_event(time_s: f64) -> Vec<u8> {
    let mut event = Message::default();
    event.double(1, time_s);
    event.bytes(3, b"brain.Event:2");
    event.0
}

/// `Event { wall_time = 1, step = 2, summary = 5 }` with `Summary { value = 1 }` of
/// `Value { tag = 1, simple_value = 2 }`.
fn event(record: &Record, positions: &[String], time_s: f64) -> io::Result<Vec<u8>> {
    let step = match record {
        Record::Window(window) => window.iteration,
        Record::Epoch(epoch) => epoch.iteration,
    };
    let mut summary = Message::default();
    for (tag, value) in scalars(record, positions)? {
        let mut scalar = Message::default();
        scalar.bytes(1, tag.as_bytes());
        scalar.float(2, value as f32);
        summary.bytes(1, &scalar.0);
    }
    let mut event = Message::default();
    event.double(1, time_s);
    event.integer(2, step);
    event.bytes(5, &summary.0);
    Ok(event.0)
}

/// A protocol buffer in the making: fields by number, each behind its wire type.
#[derive(Debug, Default)]
struct Message(Vec<u8>);

impl Message {
    fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }

    fn integer(&mut self, field: u64, value: u64) {
        self.varint(field << 3);
        self.varint(value);
    }

    fn double(&mut self, field: u64, value: f64) {
        self.varint(field << 3 | 1);
        self.0.extend(value.to_le_bytes());
    }

    fn bytes(&mut self, field: u64, value: &[u8]) {
        self.varint(field << 3 | 2);
        self.varint(value.len() as u64);
        self.0.extend(value);
    }

    fn float(&mut self, field: u64, value: f32) {
        self.varint(field << 3 | 5);
        self.0.extend(value.to_le_bytes());
    }
}

/// Data as a `TFRecord`.
fn framed(data: &[u8]) -> Vec<u8> {
    let length = (data.len() as u64).to_le_bytes();
    let checksum = |bytes: &[u8]| {
        let crc = CRC_32C.checksum(bytes);
        crc.rotate_right(15).wrapping_add(0xa282_ead8).to_le_bytes()
    };
    [&length[..], &checksum(&length), data, &checksum(data)].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_has_the_bytes_that_tensorboard_writes() {
        // What `tensorboard.summary.writer.record_writer.RecordWriter` makes of
        // Event(wall_time=1.5, step=300, summary=Summary(value=[Value(tag="a", simple_value=0.5)])).
        let expected: [u8; 40] = [
            0x18, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0xa3, 0x7f, 0x4b, 0x22, 0x09, 0x00,
            0x00, 0x00, 0x00, 0x00, 0x00, 0xf8, 0x3f, 0x10, 0xac, 0x02, 0x2a, 0x0a, 0x0a, 0x08,
            0x0a, 0x01, 0x61, 0x15, 0x00, 0x00, 0x00, 0x3f, 0x64, 0x07, 0x6a, 0x3f,
        ];
        let mut scalar = Message::default();
        scalar.bytes(1, b"a");
        scalar.float(2, 0.5);
        let mut summary = Message::default();
        summary.bytes(1, &scalar.0);
        let mut event = Message::default();
        event.double(1, 1.5);
        event.integer(2, 300);
        event.bytes(5, &summary.0);
        assert_eq!(framed(&event.0), expected);
    }
}

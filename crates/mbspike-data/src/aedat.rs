//! AEDAT 3.1, the format of DVS128 Gesture's recordings (inivation, libcaer).
//!
//! ASCII lines that start with `#`, the first `#!AER-DAT3.1`, the last `#!END-HEADER`, then packets
//! to the end of the file. A packet has a header of 28 bytes, all little-endian:
//!
//! | byte | type | field |
//! |---|---|---|
//! | 0 | i16 | event type; 1 is polarity |
//! | 2 | i16 | source |
//! | 4 | i32 | bytes per event; 8 for polarity |
//! | 8 | i32 | offset of the timestamp in an event; 4 for polarity |
//! | 12 | i32 | timestamp overflow: bits 31 and up of the time |
//! | 16 | i32 | capacity: the body has capacity times bytes-per-event bytes |
//! | 20 | i32 | number of events to decode |
//! | 24 | i32 | number of those that are valid |
//!
//! A polarity event is a `u32` (bit 0 valid, bit 1 ON, bits 2-16 y, bits 17-31 x) and an `i32` time
//! in microseconds. Packets of other types are skipped. Events marked invalid are kept, as other
//! readers of this dataset do: there are files whose valid bits are all 0.

use std::io::{BufRead, BufReader, Read};
use std::ops::Range;
use std::path::Path;

use fs_err::File;

use crate::events::Checked;
use crate::{Error, Events, Result};

const POLARITY: i16 = 1;
const EVENT_BYTES: usize = 8;
const PACKET_HEADER_BYTES: usize = 28;
const FIRST_LINE: &str = "#!AER-DAT3.1";
const LAST_LINE: &str = "#!END-HEADER";
/// A longer line is no header of this format.
const MAX_LINE_BYTES: u64 = 4096;
const MAX_HEADER_LINES: usize = 1000;
/// libcaer's packets have some kilobytes.
const MAX_PACKET_BYTES: u64 = 1 << 28;

/// Reads the polarity events of a file whose time is in `times`, in microseconds.
pub fn read(path: &Path, sensor: [usize; 2], times: Range<i64>) -> Result<Events> {
    parse(BufReader::with_capacity(1 << 18, File::open(path)?), sensor, times, path)
}

/// Decodes the polarity events whose time is in `times`; `file` is the name in errors. Memory is
/// bounded by the events returned and the largest packet; reading ends at the first packet that
/// begins after `times`.
pub fn parse(
    input: impl BufRead,
    sensor: [usize; 2],
    times: Range<i64>,
    file: &Path,
) -> Result<Events> {
    let mut source = Source { input, file, offset: 0 };
    source.file_header()?;
    let mut events = Checked::new(sensor, file);
    let mut body = Vec::new();
    while let Some(packet) = source.packet_header()? {
        let start = source.offset;
        source.body(packet.n_bytes, &mut body)?;
        if packet.event_type != POLARITY {
            continue;
        }
        let (records, _) = body.as_chunks::<EVENT_BYTES>();
        let records = &records[..packet.n_events];
        let time_of = |record: &[u8; EVENT_BYTES]| {
            let [.., t0, t1, t2, t3] = *record;
            i64::from(packet.overflow) << 31 | i64::from(u32::from_le_bytes([t0, t1, t2, t3]))
        };
        // Packets follow each other in time, even where the events in one do not.
        if !records.is_empty() && records.iter().all(|record| time_of(record) >= times.end) {
            break;
        }
        for (i, record) in records.iter().enumerate() {
            let t_us = time_of(record);
            let offset = start + (i * EVENT_BYTES) as u64;
            if record[7] & 0x80 != 0 {
                return Err(source.refuse(offset + 4, "a timestamp of 31 bits", "a negative one"));
            }
            if times.contains(&t_us) {
                let [d0, d1, d2, d3, ..] = *record;
                let data = u32::from_le_bytes([d0, d1, d2, d3]);
                let (x, y) = (data >> 17, data >> 2 & 0x7fff);
                events.push(t_us, x as u16, y as u16, data & 2 != 0, offset)?;
            }
        }
    }
    let events = events.finish();
    // The whole of a file begins at 0, where its clock does.
    Ok(Events { start_us: times.start.max(0), ..events })
}

/// Encodes events as a file; the inverse of [`parse`]. Packets hold up to `packet_size` events.
pub fn to_bytes(events: &Events, packet_size: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    let header = [FIRST_LINE, "#Format: RAW", "#Source 1: DVS128", LAST_LINE];
    for line in header {
        bytes.extend(line.bytes());
        bytes.extend(b"\r\n");
    }
    let mut start = 0;
    while start < events.len() {
        let overflow = events.t_us[start] >> 31;
        let end = events.len().min(start + packet_size.max(1));
        // A packet holds times of one overflow count only.
        let n = events.t_us[start..end].partition_point(|&t| t >> 31 == overflow);
        bytes.extend(POLARITY.to_le_bytes());
        bytes.extend(1_i16.to_le_bytes());
        let n_events = n as i32;
        for field in [EVENT_BYTES as i32, 4, overflow as i32, n_events, n_events, n_events] {
            bytes.extend(field.to_le_bytes());
        }
        for i in start..start + n {
            let position = u32::from(events.x[i]) << 17 | u32::from(events.y[i]) << 2;
            bytes.extend((position | u32::from(events.on[i]) << 1 | 1).to_le_bytes());
            bytes.extend(((events.t_us[i] & 0x7fff_ffff) as u32).to_le_bytes());
        }
        start += n;
    }
    bytes
}

struct PacketHeader {
    event_type: i16,
    overflow: i32,
    n_events: usize,
    n_bytes: u64,
}

struct Source<'a, R> {
    input: R,
    file: &'a Path,
    offset: u64,
}

impl<R: BufRead> Source<'_, R> {
    fn refuse(&self, offset: u64, expected: impl Into<String>, found: impl Into<String>) -> Error {
        let (expected, found) = (expected.into(), found.into());
        Error::Format { file: self.file.to_owned(), offset, expected, found }
    }

    /// Reads to the line that ends the header. What follows is data even if it starts like a header
    /// line, so the end is not guessed from the `#`.
    fn file_header(&mut self) -> Result<()> {
        for i in 0..MAX_HEADER_LINES {
            let mut line = Vec::new();
            let start = self.offset;
            let n = self.input.by_ref().take(MAX_LINE_BYTES).read_until(b'\n', &mut line)?;
            self.offset += n as u64;
            let text = String::from_utf8_lossy(&line);
            let text = text.trim_end_matches(['\r', '\n']);
            let shown: String = text.chars().take(40).collect();
            if i == 0 && text != FIRST_LINE {
                return Err(self.refuse(start, FIRST_LINE, format!("\"{shown}\"")));
            }
            if line.last() != Some(&b'\n') || !text.starts_with('#') {
                return Err(self.refuse(
                    start,
                    format!("a line of the header, up to {LAST_LINE}"),
                    format!("\"{shown}\""),
                ));
            }
            if text == LAST_LINE {
                return Ok(());
            }
        }
        Err(self.refuse(self.offset, LAST_LINE, format!("more than {MAX_HEADER_LINES} lines")))
    }

    fn packet_header(&mut self) -> Result<Option<PacketHeader>> {
        let start = self.offset;
        let mut bytes = Vec::with_capacity(PACKET_HEADER_BYTES);
        self.input.by_ref().take(PACKET_HEADER_BYTES as u64).read_to_end(&mut bytes)?;
        self.offset += bytes.len() as u64;
        if bytes.is_empty() {
            return Ok(None);
        }
        let Ok(bytes) = <[u8; PACKET_HEADER_BYTES]>::try_from(bytes.as_slice()) else {
            let found = format!("the end after {}", bytes.len());
            return Err(self.refuse(start, "a packet header of 28 bytes", found));
        };
        let event_type = i16::from_le_bytes([bytes[0], bytes[1]]);
        let field = |at: usize| {
            i32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
        };
        let (size, timestamp, overflow) = (field(4), field(8), field(12));
        let (capacity, n_events) = (field(16), field(20));
        let is_polarity = event_type == POLARITY;
        let checks = [
            (0, "an event type of 0 or more", event_type >= 0, i32::from(event_type)),
            (4, "a positive event size", size > 0, size),
            (4, "8 bytes per polarity event", !is_polarity || size == EVENT_BYTES as i32, size),
            (
                8,
                "a timestamp at byte 4 of a polarity event",
                !is_polarity || timestamp == 4,
                timestamp,
            ),
            (12, "a timestamp overflow of 0 or more", overflow >= 0, overflow),
            (16, "a capacity of 0 or more", capacity >= 0, capacity),
            (
                20,
                "a number of events up to the capacity",
                (0..=capacity).contains(&n_events),
                n_events,
            ),
        ];
        for (at, expected, holds, value) in checks {
            if !holds {
                return Err(self.refuse(start + at, expected, value.to_string()));
            }
        }
        // Both factors are non-negative and below 2^31.
        let n_bytes = capacity as u64 * size as u64;
        if n_bytes > MAX_PACKET_BYTES {
            let expected = format!("a packet of at most {MAX_PACKET_BYTES} bytes");
            return Err(self.refuse(start + 16, expected, n_bytes.to_string()));
        }
        Ok(Some(PacketHeader { event_type, overflow, n_events: n_events as usize, n_bytes }))
    }

    fn body(&mut self, n_bytes: u64, body: &mut Vec<u8>) -> Result<()> {
        body.clear();
        let start = self.offset;
        self.input.by_ref().take(n_bytes).read_to_end(body)?;
        self.offset += body.len() as u64;
        if (body.len() as u64) < n_bytes {
            let found = format!("the end after {}", body.len());
            return Err(self.refuse(start, format!("a packet of {n_bytes} bytes"), found));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: Range<i64> = 0..i64::MAX;

    fn read(bytes: &[u8]) -> Result<Events> {
        parse(bytes, [128, 128], ALL, Path::new("a.aedat"))
    }

    fn packet(event_type: i16, fields: [i32; 6], body: &[u8]) -> Vec<u8> {
        let mut bytes = b"#!AER-DAT3.1\r\n#Format: RAW\r\n#!END-HEADER\r\n".to_vec();
        bytes.extend(event_type.to_le_bytes());
        bytes.extend([7, 0]);
        for field in fields {
            bytes.extend(field.to_le_bytes());
        }
        bytes.extend(body);
        bytes
    }

    const BODY: [u8; 24] = [
        0x03, 0, 0, 0, 5, 0, 0, 0, // valid, ON, (0, 0), 5 us
        0xfd, 0x01, 0xfe, 0x00, 6, 0, 0, 0, // valid, OFF, (127, 127), 6 us
        0x0a, 0x00, 0x04, 0x00, 0, 1, 0, 0, // invalid, ON, (2, 2), 256 us
    ];

    #[test]
    fn events_are_decoded_bit_by_bit() {
        let events = read(&packet(1, [8, 4, 0, 3, 3, 2], &BODY)).unwrap();
        assert_eq!(events.t_us, [5, 6, 256]);
        assert_eq!(events.x, [0, 127, 2]);
        assert_eq!(events.y, [0, 127, 2]);
        assert_eq!(events.on, [true, false, true]);
    }

    #[test]
    fn unused_capacity_other_packets_and_data_that_look_like_comments_are_passed_over() {
        let mut bytes = packet(2, [3, 0, 0, 2, 2, 2], b"#!E#!E");
        bytes.extend_from_slice(&packet(1, [8, 4, 0, 3, 1, 1], &BODY)[42..]);
        assert_eq!(read(&bytes).unwrap().t_us, [5]);
        let unix = String::from_utf8(packet(1, [8, 4, 0, 0, 0, 0], &[])).unwrap();
        assert!(read(unix.replace("\r\n", "\n").as_bytes()).unwrap().is_empty());
    }

    #[test]
    fn overflow_counts_extend_the_time() {
        let bytes = packet(1, [8, 4, 1, 1, 1, 1], &BODY[..8]);
        assert_eq!(read(&bytes).unwrap().t_us, [(1 << 31) + 5]);
    }

    #[test]
    fn only_times_asked_for_are_returned() {
        let bytes = packet(1, [8, 4, 0, 3, 3, 3], &BODY);
        let between =
            |times| parse(bytes.as_slice(), [128; 2], times, Path::new("a")).unwrap().t_us;
        assert_eq!(between(6..256), [6]);
        assert_eq!(between(0..5), [] as [i64; 0]);
        assert_eq!(between(300..400), [] as [i64; 0]);
    }

    #[test]
    fn damage_is_refused_at_its_byte() {
        let message = |bytes: &[u8]| read(bytes).unwrap_err().to_string();
        let starts = |bytes: &[u8], offset: u64| {
            let message = message(bytes);
            assert!(message.starts_with(&format!("a.aedat: byte {offset}: ")), "{message}");
        };
        assert_eq!(
            message(b"#!AER-DAT2.0\r\n"),
            "a.aedat: byte 0: expected #!AER-DAT3.1, found \"#!AER-DAT2.0\""
        );
        starts(b"", 0);
        starts(b"#!AER-DAT3.1\r\n#Format", 14);
        let whole = packet(1, [8, 4, 0, 3, 3, 3], &BODY);
        starts(&whole[..50], 42); // within the packet header
        starts(&whole[..80], 70); // within the body
        starts(&packet(1, [0, 4, 0, 3, 3, 3], &BODY), 46);
        starts(&packet(1, [-8, 4, 0, 3, 3, 3], &BODY), 46);
        starts(&packet(1, [9, 4, 0, 3, 3, 3], &BODY), 46);
        starts(&packet(1, [8, 0, 0, 3, 3, 3], &BODY), 50);
        starts(&packet(1, [8, 4, -1, 3, 3, 3], &BODY), 54);
        starts(&packet(1, [8, 4, 0, -3, 3, 3], &BODY), 58);
        starts(&packet(1, [8, 4, 0, 3, 4, 3], &BODY), 62);
        starts(&packet(1, [8, 4, 0, i32::MAX, 3, 3], &BODY), 58);
        let mut outside = BODY;
        outside[1] = 0x02;
        starts(&packet(1, [8, 4, 0, 3, 3, 3], &outside), 70);
        let mut negative = BODY;
        negative[7] = 0x80;
        starts(&packet(1, [8, 4, 0, 3, 3, 3], &negative), 74);
        let mut reordered = BODY;
        reordered[12] = 4;
        let sorted = read(&packet(1, [8, 4, 0, 3, 3, 3], &reordered)).unwrap();
        assert_eq!(sorted.t_us, [4, 5, 256]);
        assert_eq!(sorted.disorder.unwrap().n_events, 1);
    }

    #[test]
    fn writing_and_reading_gives_the_same_events() {
        let mut events = Events::new([128, 128]);
        for i in 0..100_i64 {
            let t = (1 << 31) - 50 + i;
            events.push(t, (i % 128) as u16, (127 - i % 128) as u16, i % 3 == 0);
        }
        for packet_size in [1, 7, 1000] {
            assert_eq!(read(&to_bytes(&events, packet_size)).unwrap(), events);
        }
    }
}

//! AEDAT 4, the format of iniVation's DV and dv-processing.
//!
//! `#!AER-DAT4.0\r\n`, then a header as `FlatBuffers`, with its size before it (`u32`): the compression of packets
//! (0 none, 1 and 2 LZ4, 3 and 4 Zstandard), the position of a table at the end of the file (or -1) and a
//! description of the streams in XML, where the sensor's size is. Then packets to that position or the end:
//! the number of a stream and a size (`i32` each), then so many bytes, compressed: `FlatBuffers` again, with
//! their size and what they are, `EVTS` for events. An event has 16 bytes: its time in microseconds (`i64`), x
//! and y (`i16` each), polarity (1 = ON) and padding. All numbers are little-endian; packets of other streams
//! (frames, motion, triggers) are passed over. (dv-processing's documentation, "AEDAT4 file format", and its
//! `FlatBuffers` schemas.)

use std::io::{BufRead, Read};
use std::path::Path;

use crate::events::{Checked, told_sensor};
use crate::{Error, Events, Result};

/// How a file begins.
pub(crate) const FIRST_LINE: &str = "#!AER-DAT4.0";
const MAX_HEADER_BYTES: u64 = 1 << 24;
/// Of a packet, as it is and unpacked; DV writes some megabytes.
const MAX_PACKET_BYTES: u64 = 1 << 28;
const EVENT_BYTES: usize = 16;

/// Decodes the events of a file; `file` is its name in errors. `sensor` is height and width, those of the
/// description of the streams without it.
pub fn parse(mut input: impl BufRead, sensor: Option<[usize; 2]>, file: &Path) -> Result<Events> {
    let refuse = |offset: u64, expected: &str, found: String| Error::Format {
        file: file.to_owned(),
        offset,
        expected: expected.to_owned(),
        found,
    };
    let mut line = Vec::new();
    let n_line = input.by_ref().take(64).read_until(b'\n', &mut line)? as u64;
    if line.trim_ascii_end() != FIRST_LINE.as_bytes() {
        let found = String::from_utf8_lossy(&line).trim_end().chars().take(40).collect();
        return Err(refuse(0, FIRST_LINE, found));
    }
    let mut offset = n_line;
    let size = read_up_to(&mut input, 4)?;
    let size = u32_at(&size, 0).map(u64::from).filter(|&n| n <= MAX_HEADER_BYTES);
    let size =
        size.ok_or_else(|| refuse(offset, "the size of a header", "none that can be".to_owned()))?;
    let bytes = read_up_to(&mut input, size)?;
    if bytes.len() as u64 != size {
        let found = format!("the end after {}", bytes.len());
        return Err(refuse(offset, &format!("a header of {size} bytes"), found));
    }
    let header = Header::parse(&bytes)
        .ok_or_else(|| refuse(offset, "a FlatBuffers header", "damage".to_owned()))?;
    offset += 4 + size;
    let sensor = told_sensor(sensor.or(header.sensor), file)?;
    let mut events = Checked::new(sensor, file);
    while header.end.is_none_or(|end| offset < end) {
        let head = read_up_to(&mut input, 8)?;
        if head.is_empty() {
            break;
        }
        let size = u32_at(&head, 4).map(u64::from);
        let Some(size) = size.filter(|&n| n <= MAX_PACKET_BYTES) else {
            let expected = format!("a packet of at most {MAX_PACKET_BYTES} bytes");
            return Err(refuse(offset, &expected, format!("{size:?} after {} bytes", head.len())));
        };
        let body = read_up_to(&mut input, size)?;
        if body.len() as u64 != size {
            let found = format!("the end after {}", body.len());
            return Err(refuse(offset, &format!("a packet of {size} bytes"), found));
        }
        let body = header
            .unpack(body)
            .map_err(|error| refuse(offset, "an intact compressed packet", error.to_string()))?;
        if let Some(records) = records(&body)
            .ok_or_else(|| refuse(offset, "a FlatBuffers packet", "damage".to_owned()))?
        {
            for record in records {
                let &[t0, t1, t2, t3, t4, t5, t6, t7, x0, x1, y0, y1, polarity, ..] = record;
                let t = i64::from_le_bytes([t0, t1, t2, t3, t4, t5, t6, t7]);
                let (x, y) = (u16::from_le_bytes([x0, x1]), u16::from_le_bytes([y0, y1]));
                events.push(t, x, y, polarity != 0, offset)?;
            }
        }
        offset += 8 + size;
    }
    Ok(events.finish())
}

/// What the header says.
struct Header {
    compression: u32,
    sensor: Option<[usize; 2]>,
    /// Where packets end.
    end: Option<u64>,
}

impl Header {
    fn parse(bytes: &[u8]) -> Option<Self> {
        let table = Table::root(bytes)?;
        let compression = table.field(0).map_or(Some(0), |at| u32_at(bytes, at))?;
        let end = match table.field(1) {
            Some(at) => u64::try_from(i64_at(bytes, at)?).ok().filter(|&end| end > 0),
            None => None,
        };
        let info = match table.field(2) {
            Some(at) => {
                let start = at.checked_add(u32_at(bytes, at)? as usize)?;
                let n = u32_at(bytes, start)? as usize;
                bytes.get(start + 4..)?.get(..n)?
            }
            None => &[],
        };
        let sensor = sensor_of(&String::from_utf8_lossy(info));
        Some(Self { compression, sensor, end })
    }

    fn unpack(&self, body: Vec<u8>) -> std::io::Result<Vec<u8>> {
        let mut unpacked = Vec::new();
        match self.compression {
            0 => return Ok(body),
            1 | 2 => {
                let input = lz4_flex::frame::FrameDecoder::new(body.as_slice());
                input.take(MAX_PACKET_BYTES + 1).read_to_end(&mut unpacked)?;
            }
            3 | 4 => {
                let input = ruzstd::decoding::StreamingDecoder::new(body.as_slice())
                    .map_err(std::io::Error::other)?;
                input.take(MAX_PACKET_BYTES + 1).read_to_end(&mut unpacked)?;
            }
            other => return Err(std::io::Error::other(format!("compression {other}"))),
        }
        if unpacked.len() as u64 > MAX_PACKET_BYTES {
            return Err(std::io::Error::other(format!("more than {MAX_PACKET_BYTES} bytes")));
        }
        Ok(unpacked)
    }
}

/// Height and width of the first stream of events that the description names.
fn sensor_of(info: &str) -> Option<[usize; 2]> {
    let (_, events) = info.split_once(">EVTS<")?;
    let number = |key: &str| {
        let (_, rest) = events.split_once(&format!("key=\"{key}\""))?;
        let (_, value) = rest.split_once('>')?;
        value.split('<').next()?.trim().parse().ok()
    };
    Some([number("sizeY")?, number("sizeX")?])
}

/// The events of a packet with its size before it; `Some(None)` if it is of something else.
#[expect(clippy::option_option, reason = "damage, other packets and events are three things")]
fn records(body: &[u8]) -> Option<Option<&[[u8; EVENT_BYTES]]>> {
    let size = u32_at(body, 0)? as usize;
    let buffer = body.get(4..)?.get(..size)?;
    if buffer.get(4..8)? != b"EVTS" {
        return Some(None);
    }
    let Some(at) = Table::root(buffer)?.field(0) else { return Some(Some(&[])) };
    let start = at.checked_add(u32_at(buffer, at)? as usize)?;
    let n = u32_at(buffer, start)? as usize;
    let bytes = buffer.get(start.checked_add(4)?..)?.get(..n.checked_mul(EVENT_BYTES)?)?;
    Some(Some(bytes.as_chunks().0))
}

/// A table of `FlatBuffers`: a `i32` back to its list of fields, which are `u16` places in it.
struct Table<'a> {
    bytes: &'a [u8],
    at: usize,
    fields: &'a [u8],
}

impl<'a> Table<'a> {
    fn root(bytes: &'a [u8]) -> Option<Self> {
        let at = u32_at(bytes, 0)? as usize;
        let back = i64::from(u32_at(bytes, at)? as i32);
        let list = usize::try_from(i64::try_from(at).ok()? - back).ok()?;
        let n = usize::from(u16_at(bytes, list)?);
        Some(Self { bytes, at, fields: bytes.get(list..)?.get(4..n)? })
    }

    /// Where a field is; `None` if it has its default.
    fn field(&self, number: usize) -> Option<usize> {
        let place = usize::from(u16_at(self.fields, 2 * number)?);
        let at = self.at + place;
        (place != 0 && at < self.bytes.len()).then_some(at)
    }
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..)?.first_chunk().map(|bytes| u16::from_le_bytes(*bytes))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk().map(|bytes| u32::from_le_bytes(*bytes))
}

fn i64_at(bytes: &[u8], at: usize) -> Option<i64> {
    bytes.get(at..)?.first_chunk().map(|bytes| i64::from_le_bytes(*bytes))
}

fn read_up_to(input: &mut impl Read, n: u64) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    input.by_ref().take(n).read_to_end(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    const INFO: &str = "<dv><node name=\"outInfo\"><node name=\"0\"><attr key=\"typeIdentifier\" type=\"string\">\
                        EVTS</attr><node name=\"info\"><attr key=\"sizeX\" type=\"int\">346</attr><attr \
                        key=\"sizeY\" type=\"int\">260</attr></node></node></node></dv>";

    /// A header as `FlatBuffers`, by hand: root, list of fields, table, string.
    fn header(compression: u32, end: i64) -> Vec<u8> {
        let mut bytes = Vec::new();
        bytes.extend(20_u32.to_le_bytes()); // the table
        bytes.extend(b"IOHE");
        // At 8: the list's size, the table's, the three fields' places.
        for value in [10_u16, 24, 4, 16, 8] {
            bytes.extend(value.to_le_bytes());
        }
        bytes.extend([0; 2]);
        // At 20: the table.
        bytes.extend(12_i32.to_le_bytes());
        bytes.extend(compression.to_le_bytes());
        bytes.extend(16_u32.to_le_bytes()); // the string, at 28 + 16
        bytes.extend([0; 4]);
        bytes.extend(end.to_le_bytes());
        bytes.extend((INFO.len() as u32).to_le_bytes());
        bytes.extend(INFO.bytes());
        bytes.push(0);
        let mut file = format!("{FIRST_LINE}\r\n").into_bytes();
        file.extend((bytes.len() as u32).to_le_bytes());
        file.extend(bytes);
        file
    }

    fn packet(name: [u8; 4], events: &[(i64, i16, i16, bool)]) -> Vec<u8> {
        let mut bytes = Vec::new();
        bytes.extend(16_u32.to_le_bytes());
        bytes.extend(name);
        for value in [6_u16, 8, 4, 0] {
            bytes.extend(value.to_le_bytes());
        }
        bytes.extend(8_i32.to_le_bytes());
        bytes.extend(4_u32.to_le_bytes());
        bytes.extend((events.len() as u32).to_le_bytes());
        for (t, x, y, on) in events {
            bytes.extend(t.to_le_bytes());
            bytes.extend(x.to_le_bytes());
            bytes.extend(y.to_le_bytes());
            bytes.extend([u8::from(*on), 0, 0, 0]);
        }
        let mut sized = (bytes.len() as u32).to_le_bytes().to_vec();
        sized.extend(bytes);
        sized
    }

    fn framed(body: &[u8]) -> Vec<u8> {
        let mut bytes = 0_i32.to_le_bytes().to_vec();
        bytes.extend((body.len() as u32).to_le_bytes());
        bytes.extend(body);
        bytes
    }

    fn read(bytes: &[u8]) -> Result<Events> {
        parse(bytes, None, Path::new("a.aedat4"))
    }

    const EVENTS: [(i64, i16, i16, bool); 3] =
        [(1 << 40, 345, 259, true), ((1 << 40) + 1, 0, 0, false), ((1 << 40) + 1, 7, 8, true)];

    fn lz4(bytes: &[u8]) -> Vec<u8> {
        use std::io::Write;
        let mut encoder = lz4_flex::frame::FrameEncoder::new(Vec::new());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn zstd(bytes: &[u8]) -> Vec<u8> {
        ruzstd::encoding::compress_to_vec(bytes, ruzstd::encoding::CompressionLevel::Fastest)
    }

    #[test]
    fn events_are_decoded_under_each_compression() {
        let none: fn(&[u8]) -> Vec<u8> = <[u8]>::to_vec;
        let packs = [(0, none), (1, lz4), (2, lz4), (3, zstd)];
        for (compression, pack) in packs {
            let mut bytes = header(compression, -1);
            bytes.extend(framed(&pack(&packet(*b"EVTS", &EVENTS[..2]))));
            bytes.extend(framed(&pack(&packet(*b"IMUS", &EVENTS))));
            bytes.extend(framed(&pack(&packet(*b"EVTS", &EVENTS[2..]))));
            let events = read(&bytes).unwrap();
            assert_eq!(events.t_us, EVENTS.map(|(t, ..)| t), "{compression}");
            assert_eq!((events.x, events.y), (vec![345, 0, 7], vec![259, 0, 8]));
            assert_eq!((events.on, events.sensor), (vec![true, false, true], [260, 346]));
        }
    }

    #[test]
    fn the_table_at_the_end_is_no_packet() {
        let mut bytes = header(0, 0);
        let n = bytes.len() + framed(&packet(*b"EVTS", &EVENTS)).len();
        bytes = header(0, n as i64);
        bytes.extend(framed(&packet(*b"EVTS", &EVENTS)));
        bytes.extend(b"a table that is not read");
        assert_eq!(read(&bytes).unwrap().len(), 3);
    }

    #[test]
    fn damage_is_refused_at_its_byte_and_never_a_panic() {
        let mut whole = header(1, -1);
        let start = whole.len();
        whole.extend(framed(&lz4(&packet(*b"EVTS", &EVENTS))));
        let message = |bytes: &[u8]| read(bytes).unwrap_err().to_string();
        for n in (0..whole.len()).filter(|&n| n != start) {
            assert!(message(&whole[..n]).starts_with("a.aedat4: byte "), "{n} bytes");
        }
        let mut lying = whole.clone();
        lying[start + 4..start + 8].copy_from_slice(&u32::MAX.to_le_bytes());
        assert!(
            message(&lying)
                .starts_with(&format!("a.aedat4: byte {start}: expected a packet of at most"))
        );
        // Any byte changed: an answer or an error.
        for at in 0..whole.len() {
            for flip in [1, 0x80, 0xff] {
                let mut bytes = whole.clone();
                bytes[at] ^= flip;
                let _ = read(&bytes);
            }
        }
        let small = parse(whole.as_slice(), Some([1, 1]), Path::new("a")).unwrap_err().to_string();
        assert!(
            small.starts_with(&format!("a: byte {start}: expected an event on the 1x1")),
            "{small}"
        );
    }
}

//! AEDAT 2.0, the format of jAER and of data sets recorded with it, such as CIFAR10-DVS.
//!
//! Lines that start with `#`, the first `#!AER-DAT2.0`, then pairs of big-endian `u32`: an address and
//! a time in microseconds, which runs over after 2^32 us. What an address means depends on the camera:
//!
//! | camera | events | x | y | polarity (1 = ON) |
//! |---|---|---|---|---|
//! | DVS128 (any that the header does not call DAVIS) | bit 15 is 0 | bits 1-7 | bits 8-14 | bit 0 |
//! | DAVIS 240, DAVIS 346 | bits 10 and 31 are 0 | bits 12-21 | bits 22-30 | bit 11 |
//!
//! Other records (triggers, frames, motion) are passed over. Coordinates are those of the address; jAER
//! itself counts y from the bottom and draws DVS128's x from the right.

use std::io::{BufRead, Read};
use std::path::Path;

use crate::events::Checked;
use crate::prophesee::Clock;
use crate::{Error, Events, Result};

/// The first line of a file.
pub(crate) const FIRST_LINE: &str = "#!AER-DAT2.0";
const MAX_LINE_BYTES: u64 = 1 << 16;
const MAX_HEADER_LINES: usize = 100_000;
const RECORD_BYTES: usize = 8;

/// The layout of addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Camera {
    Dvs128,
    Davis { sensor: [usize; 2] },
}

/// Decodes the events of a file; `file` is its name in errors. `sensor` is height and width, that of
/// the camera without it.
pub fn parse(mut input: impl BufRead, sensor: Option<[usize; 2]>, file: &Path) -> Result<Events> {
    let refuse = |offset: u64, expected: &str, found: String| Error::Format {
        file: file.to_owned(),
        offset,
        expected: expected.to_owned(),
        found,
    };
    let (mut offset, mut camera) = (0, Camera::Dvs128);
    for i in 0.. {
        if i > 0 && !is_header_line(input.fill_buf()?) {
            break;
        }
        let mut line = Vec::new();
        let n = input.by_ref().take(MAX_LINE_BYTES).read_until(b'\n', &mut line)?;
        let text = String::from_utf8_lossy(&line);
        let text = text.trim_end();
        let shown = || format!("\"{}\"", text.chars().take(40).collect::<String>());
        if i == 0 && text != FIRST_LINE {
            return Err(refuse(0, FIRST_LINE, shown()));
        }
        if line.last() != Some(&b'\n') || i == MAX_HEADER_LINES {
            return Err(refuse(offset, "a line of the header", shown()));
        }
        let lower = text.to_lowercase();
        if lower.contains("davis") && lower.contains("chip") {
            let is_346 = lower.contains("346");
            camera = Camera::Davis { sensor: if is_346 { [260, 346] } else { [180, 240] } };
        }
        offset += n as u64;
    }
    let own = match camera {
        Camera::Dvs128 => [128, 128],
        Camera::Davis { sensor } => sensor,
    };
    let mut events = Checked::new(sensor.unwrap_or(own), file);
    let mut clock = Clock::default();
    let mut record = Vec::with_capacity(RECORD_BYTES);
    loop {
        record.clear();
        input.by_ref().take(RECORD_BYTES as u64).read_to_end(&mut record)?;
        let Ok([a0, a1, a2, a3, t0, t1, t2, t3]) =
            <[u8; RECORD_BYTES]>::try_from(record.as_slice())
        else {
            break;
        };
        let address = u32::from_be_bytes([a0, a1, a2, a3]);
        let t = clock.extend(u32::from_be_bytes([t0, t1, t2, t3]));
        let event = match camera {
            Camera::Dvs128 if address & 0x8000 == 0 => {
                Some((address >> 1 & 0x7f, address >> 8 & 0x7f, address & 1))
            }
            Camera::Davis { .. } if address & 0x8000_0400 == 0 => {
                Some((address >> 12 & 0x3ff, address >> 22 & 0x1ff, address >> 11 & 1))
            }
            _ => None,
        };
        if let Some((x, y, polarity)) = event {
            events.push(t, x as u16, y as u16, polarity == 1, offset)?;
        }
        offset += RECORD_BYTES as u64;
    }
    if record.is_empty() {
        return Ok(events.finish());
    }
    Err(refuse(offset, "a record of 8 bytes", format!("the end after {}", record.len())))
}

/// Whether the header goes on. The first address of the data may begin with 0x23, a `#`, but then no
/// line of text follows.
fn is_header_line(rest: &[u8]) -> bool {
    let [b'#', after @ ..] = rest else { return false };
    let line = after.split(|&byte| byte == b'\n').next().unwrap_or(after);
    line.iter().take(RECORD_BYTES).all(|&byte| matches!(byte, b'\t' | b'\r' | b' '..=b'~' | 0x80..))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(header: &str, records: &[[u32; 2]]) -> Vec<u8> {
        let mut bytes = header.as_bytes().to_vec();
        bytes.extend(records.iter().flatten().flat_map(|word| word.to_be_bytes()));
        bytes
    }

    fn read(bytes: &[u8]) -> Result<Events> {
        parse(bytes, None, Path::new("a.aedat"))
    }

    #[test]
    fn dvs128_events_are_decoded_bit_by_bit() {
        let records = [
            [127 << 8 | 3 << 1 | 1, 7],
            [0x8000 | 5, 8],
            [u32::from(b'#') << 24, u32::MAX],
            [0, 5],
        ];
        let events = read(&file("#!AER-DAT2.0\r\n# a\r\n", &records)).unwrap();
        assert_eq!(events.t_us, [7, (1 << 32) - 1, (1 << 32) + 5]);
        assert_eq!((events.x, events.y), (vec![3, 0, 0], vec![127, 0, 0]));
        assert_eq!(events.on, [true, false, false]);
        assert_eq!(events.sensor, [128, 128]);
    }

    #[test]
    fn davis_events_are_told_from_frames_and_motion() {
        let header = "#!AER-DAT2.0\r\n# AEChip: eu.seebetter.ini.chips.davis.Davis346blue\r\n";
        let pixel = 259 << 22 | 345 << 12 | 1 << 11;
        let records = [[pixel, 7], [pixel | 1 << 31, 8], [pixel | 1 << 10, 9], [0, 10]];
        let events = read(&file(header, &records)).unwrap();
        assert_eq!((events.t_us, events.x, events.y), (vec![7, 10], vec![345, 0], vec![259, 0]));
        assert_eq!((events.on, events.sensor), (vec![true, false], [260, 346]));
    }

    #[test]
    fn damage_is_refused_at_its_byte() {
        let message = |bytes: &[u8]| read(bytes).unwrap_err().to_string();
        let whole = file("#!AER-DAT2.0\n", &[[1, 2], [3, 4]]);
        assert_eq!(
            message(&whole[..whole.len() - 3]),
            "a.aedat: byte 21: expected a record of 8 bytes, found the end after 5"
        );
        assert!(message(b"#!AER-DAT3.1\n").starts_with("a.aedat: byte 0: expected #!AER-DAT2.0"));
        assert!(message(b"").starts_with("a.aedat: byte 0: "));
        assert!(message(b"#!AER-DAT2.0").starts_with("a.aedat: byte 0: expected a line"));
        let small = parse(whole.as_slice(), Some([1, 1]), Path::new("a")).unwrap_err().to_string();
        assert!(small.starts_with("a: byte 21: expected an event on the 1x1 sensor"), "{small}");
    }
}

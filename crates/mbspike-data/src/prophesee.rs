//! Prophesee's `.dat` files of decoded events.
//!
//! Lines that start with `%`, of a keyword and a value (`% Width 304`), two bytes for the type of the
//! events and their size, 8, then events of two little-endian `u32`: the time in microseconds, and x
//! (bits 0-13), y (bits 14-27) and polarity (bits 28-31, 1 = ON). The time runs over after 2^32 us
//! (71.6 minutes): where it falls by more than half of that, 2^32 us are added to all later times.
//! (Prophesee's documentation, "DAT file format".)

use std::io::{BufRead, Read};
use std::path::Path;

use crate::events::{Checked, told_sensor};
use crate::{Error, Events, Result};

/// Bytes of an event.
const EVENT_BYTES: usize = 8;
/// A longer line is no header.
const MAX_LINE_BYTES: u64 = 4096;
const MAX_HEADER_LINES: usize = 1000;
/// Types whose events are laid out as above: `Event2d` and `EventCd`.
const TYPES: [u8; 2] = [0x00, 0x0c];

/// Keywords and values of the lines that begin with `%`.
#[derive(Debug, Clone, Default)]
pub(crate) struct TextHeader {
    lines: Vec<(String, String)>,
    /// Bytes of the header.
    pub(crate) n_bytes: u64,
}

impl TextHeader {
    /// Reads to the first line that does not begin with `%`.
    pub(crate) fn read(input: &mut impl BufRead, file: &Path) -> Result<Self> {
        let mut header = Self::default();
        while input.fill_buf()?.first() == Some(&b'%') {
            let mut line = Vec::new();
            let n = input.by_ref().take(MAX_LINE_BYTES).read_until(b'\n', &mut line)?;
            let text = String::from_utf8_lossy(&line).into_owned();
            if line.last() != Some(&b'\n') || header.lines.len() == MAX_HEADER_LINES {
                return Err(Error::Format {
                    file: file.to_owned(),
                    offset: header.n_bytes,
                    expected: format!(
                        "a header of at most {MAX_HEADER_LINES} lines of at most {MAX_LINE_BYTES} bytes"
                    ),
                    found: format!("\"{}…\"", text.chars().take(40).collect::<String>()),
                });
            }
            header.n_bytes += n as u64;
            let text = text.trim_start_matches('%').trim();
            let (key, value) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
            header.lines.push((key.to_lowercase(), value.trim().to_owned()));
            if key.eq_ignore_ascii_case("end") {
                break;
            }
        }
        Ok(header)
    }

    /// The last value of a keyword, in lower case.
    pub(crate) fn get(&self, keyword: &str) -> Option<&str> {
        let mut lines = self.lines.iter().rev();
        lines.find(|(key, _)| key == keyword).map(|(_, value)| value.as_str())
    }

    /// Height and width, where they are told.
    pub(crate) fn sensor(&self) -> Option<[usize; 2]> {
        let number = |key| self.get(key)?.parse().ok();
        Some([number("height")?, number("width")?])
    }
}

/// Decodes the events of a `.dat` file; `file` is its name in errors. `sensor` is height and width,
/// needed where the header does not tell them.
pub fn parse_dat(
    mut input: impl BufRead,
    sensor: Option<[usize; 2]>,
    file: &Path,
) -> Result<Events> {
    let header = TextHeader::read(&mut input, file)?;
    let mut offset = header.n_bytes;
    let refuse = |offset: u64, expected: String, found: String| Error::Format {
        file: file.to_owned(),
        offset,
        expected,
        found,
    };
    let sensor = told_sensor(sensor.or(header.sensor()), file)?;
    let mut start = Vec::new();
    input.by_ref().take(2).read_to_end(&mut start)?;
    match start.as_slice() {
        [kind, size] if TYPES.contains(kind) && usize::from(*size) == EVENT_BYTES => {}
        other => {
            let expected = "the type (0x00 or 0x0c) and the size (8) of the events".to_owned();
            return Err(refuse(offset, expected, format!("{other:02x?}")));
        }
    }
    offset += 2;
    let mut events = Checked::new(sensor, file);
    let mut clock = Clock::default();
    let mut record = Vec::with_capacity(EVENT_BYTES);
    loop {
        record.clear();
        input.by_ref().take(EVENT_BYTES as u64).read_to_end(&mut record)?;
        let Ok([t0, t1, t2, t3, d0, d1, d2, d3]) = <[u8; EVENT_BYTES]>::try_from(record.as_slice())
        else {
            break;
        };
        let t = clock.extend(u32::from_le_bytes([t0, t1, t2, t3]));
        let data = u32::from_le_bytes([d0, d1, d2, d3]);
        let (x, y) = (data & 0x3fff, data >> 14 & 0x3fff);
        events.push(t, x as u16, y as u16, data >> 28 != 0, offset)?;
        offset += EVENT_BYTES as u64;
    }
    if record.is_empty() {
        return Ok(events.finish());
    }
    Err(refuse(offset, "an event of 8 bytes".to_owned(), format!("the end after {}", record.len())))
}

/// Extends times of 32 bits that run over.
#[derive(Debug, Default)]
pub(crate) struct Clock {
    latest: u32,
    base: i64,
}

impl Clock {
    pub(crate) fn extend(&mut self, t: u32) -> i64 {
        if self.latest > t && self.latest - t > 1 << 31 {
            self.base += 1 << 32;
            self.latest = t;
        } else if t > self.latest && t - self.latest > 1 << 31 && self.base > 0 {
            // An event from before the overflow that comes after it.
            return self.base - (1 << 32) + i64::from(t);
        } else {
            self.latest = self.latest.max(t);
        }
        self.base + i64::from(t)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dat(header: &str, events: &[[u32; 2]]) -> Vec<u8> {
        let mut bytes = header.as_bytes().to_vec();
        bytes.extend([0x0c, 8]);
        bytes.extend(events.iter().flatten().flat_map(|word| word.to_le_bytes()));
        bytes
    }

    const HEADER: &str =
        "% Data file containing CD events\n% Version 2\n% Width 304\n% Height 240\n";

    fn read(bytes: &[u8]) -> Result<Events> {
        parse_dat(bytes, None, Path::new("a.dat"))
    }

    #[test]
    fn events_are_decoded_bit_by_bit() {
        let words = [[7, 1 << 28 | 239 << 14 | 0x12f], [u32::MAX, 2 << 14 | 3], [5, 0]];
        let events = read(&dat(HEADER, &words)).unwrap();
        assert_eq!(events.t_us, [7, (1 << 32) - 1, (1 << 32) + 5], "the clock runs over");
        assert_eq!((events.x, events.y), (vec![303, 3, 0], vec![239, 2, 0]));
        assert_eq!(events.on, [true, false, false]);
        assert_eq!(events.sensor, [240, 304]);
    }

    #[test]
    fn late_events_around_the_overflow_keep_their_time() {
        let mut clock = Clock::default();
        let times = [4_000_000_000, 3_999_999_999, 5, 4_294_967_290, 7];
        let extended: Vec<i64> = times.into_iter().map(|t| clock.extend(t)).collect();
        let over = 1_i64 << 32;
        assert_eq!(extended, [4_000_000_000, 3_999_999_999, over + 5, 4_294_967_290, over + 7]);
    }

    #[test]
    fn damage_is_refused_at_its_byte() {
        let message = |bytes: &[u8]| read(bytes).unwrap_err().to_string();
        let n = HEADER.len();
        let whole = dat(HEADER, &[[7, 1]]);
        let cut = message(&whole[..whole.len() - 1]);
        assert_eq!(
            cut,
            format!("a.dat: byte {}: expected an event of 8 bytes, found the end after 7", n + 2)
        );
        assert!(message(&whole[..=n]).starts_with(&format!("a.dat: byte {n}: expected the type")));
        let outside = message(&dat(HEADER, &[[7, 304]]));
        assert!(outside.starts_with(&format!("a.dat: byte {}: expected an event on", n + 2)));
        assert!(message(&dat("% Version 2\n", &[])).contains("how large its sensor is"));
        assert!(
            message(&dat("% Width 99999999\n% Height 2\n", &[])).starts_with("sensor: must have")
        );
        assert!(message(b"% no end").starts_with("a.dat: byte 0: expected a header"));
    }
}

//! Prophesee's `.raw` recordings: EVT 2.0, EVT 2.1 and EVT 3.0.
//!
//! Lines that start with `%` (`% evt 3.0`, `% format EVT3;height=720;width=1280`, `% geometry 1280x720`), to
//! `% end` where there is one, then words of 32, 64 or 16 bits, little-endian, whose highest 4 bits are their
//! type (Prophesee's documentation, "Data Encoding Formats"):
//!
//! | type | EVT 2.0 | EVT 2.1 | EVT 3.0 |
//! |---|---|---|---|
//! | 0 | OFF event: time 22-27, x 11-21, y 0-10 | OFF events: time 54-59, x 43-53, y 32-42, x + n for each bit n of 0-31 | row: y 0-10 |
//! | 1 | ON event, the same | ON events, the same | – |
//! | 2 | – | – | event: x 0-10, ON 11 |
//! | 3 | – | – | first column of vectors: x 0-10, ON 11 |
//! | 4, 5 | – | – | events at x + n for each bit n of 0-11, 0-7; x advances by 12, 8 |
//! | 6 | – | – | time, low 12 bits |
//! | 8 | time, high 28 bits | time, high 28 bits (32-59) | time, high 12 bits |
//!
//! Words of other types (triggers, monitoring) are passed over. Times are microseconds; those of EVT 2 run over
//! after 2^34 us, those of EVT 3 after 2^24 us: where the high part falls by more than half of its range,
//! the full range is added to all later times. Events before the first high part have no time and are dropped.
//! The two halves of a word of EVT 2.1 are exchanged where the camera wrote them so (`endianness=legacy`, the
//! default of IMX636); without a word on it, the first word, a time, tells.

use std::io::{BufRead, Read};
use std::path::Path;

use crate::events::{Checked, told_sensor};
use crate::prophesee::TextHeader;
use crate::{Error, Events, Result};

/// How events are encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Encoding {
    Evt2,
    Evt21,
    Evt3,
}

impl Encoding {
    /// By the header's `evt` or `format`.
    fn of(header: &TextHeader) -> Option<Self> {
        let format = header.get("format").map(str::to_uppercase).unwrap_or_default();
        let name = format.split(';').next().unwrap_or("");
        match (name, header.get("evt")) {
            ("EVT2", _) | ("", Some("2.0")) => Some(Self::Evt2),
            ("EVT21", _) | ("", Some("2.1")) => Some(Self::Evt21),
            ("EVT3", _) | ("", Some("3.0")) => Some(Self::Evt3),
            _ => None,
        }
    }

    fn word_bytes(self) -> usize {
        match self {
            Self::Evt2 => 4,
            Self::Evt21 => 8,
            Self::Evt3 => 2,
        }
    }
}

/// A value of the format's options, as in `EVT3;height=720;width=1280`.
fn option<'a>(header: &'a TextHeader, name: &str) -> Option<&'a str> {
    let mut options = header.get("format")?.split(';').filter_map(|option| option.split_once('='));
    options.find(|(key, _)| key.trim().eq_ignore_ascii_case(name)).map(|(_, value)| value.trim())
}

/// Height and width, where the header tells them.
fn sensor_of(header: &TextHeader) -> Option<[usize; 2]> {
    let by_options = || Some([option(header, "height")?, option(header, "width")?]);
    let by_geometry = || header.get("geometry")?.split_once('x').map(|(w, h)| [h.trim(), w.trim()]);
    let Some([height, width]) = by_options().or_else(by_geometry) else { return header.sensor() };
    Some([height.parse().ok()?, width.parse().ok()?])
}

/// Decodes the events of a `.raw` file; `file` is its name in errors. `sensor` is height and width,
/// needed where the header does not tell them.
pub fn parse(mut input: impl BufRead, sensor: Option<[usize; 2]>, file: &Path) -> Result<Events> {
    let header = TextHeader::read(&mut input, file)?;
    let refuse = |offset: u64, expected: &str, found: String| Error::Format {
        file: file.to_owned(),
        offset,
        expected: expected.to_owned(),
        found,
    };
    let encoding = Encoding::of(&header).ok_or_else(|| {
        let found = header.get("format").or(header.get("evt")).unwrap_or("neither").to_owned();
        refuse(
            0,
            "a header with % evt 2.0, 2.1 or 3.0, or with % format EVT2, EVT21 or EVT3",
            found,
        )
    })?;
    let sensor = told_sensor(sensor.or(sensor_of(&header)), file)?;
    let mut decoder = Decoder {
        events: Checked::new(sensor, file),
        time: Time::default(),
        y: 0,
        x: 0,
        is_on: false,
    };
    let n = encoding.word_bytes();
    let (mut offset, mut word) = (header.n_bytes, Vec::with_capacity(n));
    let mut is_swapped =
        option(&header, "endianness").map(|order| order.eq_ignore_ascii_case("legacy"));
    loop {
        word.clear();
        input.by_ref().take(n as u64).read_to_end(&mut word)?;
        if word.len() < n {
            break;
        }
        let mut bytes = [0; 8];
        bytes[..n].copy_from_slice(&word);
        match encoding {
            Encoding::Evt2 => decoder.evt2(u64::from_le_bytes(bytes) as u32, offset)?,
            Encoding::Evt3 => decoder.evt3(u64::from_le_bytes(bytes) as u16, offset)?,
            Encoding::Evt21 => {
                let is_swapped = *is_swapped.get_or_insert(
                    bytes[3] >> 4 == TIME_HIGH as u8 && bytes[7] >> 4 != TIME_HIGH as u8,
                );
                let word = u64::from_le_bytes(bytes);
                decoder.evt21(if is_swapped { word.rotate_left(32) } else { word }, offset)?;
            }
        }
        offset += n as u64;
    }
    if word.is_empty() {
        return Ok(decoder.events.finish());
    }
    Err(refuse(offset, &format!("a word of {n} bytes"), format!("the end after {}", word.len())))
}

const TIME_HIGH: u64 = 8;

/// The time of a stream, whose high part is sent on its own and runs over.
#[derive(Debug, Default)]
struct Time {
    high: Option<i64>,
    low: i64,
    base: i64,
}

impl Time {
    /// Takes the high part, of `n_bits`, above `n_low` others.
    fn set_high(&mut self, high: u64, n_bits: u32, n_low: u32) {
        let (high, range) = (high as i64, 1_i64 << n_bits);
        if self.high.is_some_and(|before| before - high > range / 2) {
            self.base += range << n_low;
        }
        self.high = Some(high);
        // The low part comes right after it.
        self.low = 0;
    }

    /// The time with `n_low` bits of a low part; `None` before the first high part.
    fn at(&self, low: i64, n_low: u32) -> Option<i64> {
        self.high.map(|high| self.base + (high << n_low) + low)
    }
}

struct Decoder<'a> {
    events: Checked<'a>,
    time: Time,
    y: u16,
    x: u16,
    is_on: bool,
}

impl Decoder<'_> {
    fn evt2(&mut self, word: u32, offset: u64) -> Result<()> {
        match word >> 28 {
            kind @ (0 | 1) => {
                let low = i64::from(word >> 22 & 0x3f);
                let (x, y) = (word >> 11 & 0x7ff, word & 0x7ff);
                let Some(t) = self.time.at(low, 6) else { return Ok(()) };
                self.events.push(t, x as u16, y as u16, kind == 1, offset)
            }
            8 => {
                self.time.set_high((word & 0x0fff_ffff).into(), 28, 6);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn evt21(&mut self, word: u64, offset: u64) -> Result<()> {
        match word >> 60 {
            kind @ (0 | 1) => {
                let low = (word >> 54 & 0x3f) as i64;
                let (x, y) = ((word >> 43 & 0x7ff) as u16, (word >> 32 & 0x7ff) as u16);
                let Some(t) = self.time.at(low, 6) else { return Ok(()) };
                for n in (0..32).filter(|n| word >> n & 1 == 1) {
                    self.events.push(t, x + n, y, kind == 1, offset)?;
                }
                Ok(())
            }
            TIME_HIGH => {
                self.time.set_high(word >> 32 & 0x0fff_ffff, 28, 6);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn evt3(&mut self, word: u16, offset: u64) -> Result<()> {
        let value = word & 0x7ff;
        match word >> 12 {
            0 => self.y = value,
            2 => {
                if let Some(t) = self.time.at(self.time.low, 12) {
                    self.events.push(t, value, self.y, word & 0x800 != 0, offset)?;
                }
            }
            3 => (self.x, self.is_on) = (value, word & 0x800 != 0),
            kind @ (4 | 5) => {
                let n_columns = if kind == 4 { 12 } else { 8 };
                if let Some(t) = self.time.at(self.time.low, 12) {
                    for n in (0..n_columns).filter(|n| word >> n & 1 == 1) {
                        let x = self.x.saturating_add(n);
                        self.events.push(t, x, self.y, self.is_on, offset)?;
                    }
                }
                self.x = self.x.saturating_add(n_columns);
            }
            6 => self.time.low = (word & 0xfff).into(),
            8 => self.time.set_high((word & 0xfff).into(), 12, 12),
            _ => {}
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(header: &str, words: &[u64], n: usize) -> Vec<u8> {
        let mut bytes = header.as_bytes().to_vec();
        for word in words {
            bytes.extend(&word.to_le_bytes()[..n]);
        }
        bytes
    }

    fn read(bytes: &[u8]) -> Result<Events> {
        parse(bytes, None, Path::new("a.raw"))
    }

    fn columns(events: &Events) -> (Vec<i64>, Vec<u16>, Vec<u16>, Vec<bool>) {
        (events.t_us.clone(), events.x.clone(), events.y.clone(), events.on.clone())
    }

    #[test]
    fn evt2_is_decoded_bit_by_bit() {
        let event = |on: u64, low: u64, x: u64, y: u64| on << 28 | low << 22 | x << 11 | y;
        let words = [
            event(1, 5, 9, 9), // before any time
            8 << 28 | 2,
            event(1, 5, 639, 479),
            event(0, 63, 0, 1),
            0xa << 28 | 7, // a trigger
            8 << 28 | 0x0fff_ffff,
            event(1, 63, 2, 3),
            8 << 28, // the clock runs over
            event(0, 1, 4, 5),
        ];
        let header = "% evt 2.0\n% geometry 640x480\n% end\n";
        let events = read(&file(header, &words, 4)).unwrap();
        let over = 1_i64 << 34;
        let want = (
            vec![133, 191, over - 1, over + 1],
            vec![639, 0, 2, 4],
            vec![479, 1, 3, 5],
            vec![true, false, true, false],
        );
        assert_eq!(columns(&events), want);
        assert_eq!(events.sensor, [480, 640]);
    }

    #[test]
    fn evt21_is_decoded_bit_by_bit_in_both_orders_of_words() {
        let event = |on: u64, low: u64, x: u64, y: u64, mask: u64| {
            on << 60 | low << 54 | x << 43 | y << 32 | mask
        };
        let words =
            [8 << 60 | 3 << 32, event(1, 4, 32, 7, 1 << 31 | 1), event(0, 5, 0, 8, 2), 0xe << 60];
        let want = (vec![196, 196, 197], vec![32, 63, 1], vec![7, 7, 8], vec![true, true, false]);
        let swapped = words.map(|word| u64::rotate_left(word, 32));
        for (header, words) in [
            ("% evt 2.1\n% geometry 1280x720\n", words),
            ("% evt 2.1\n% geometry 1280x720\n", swapped),
            ("% format EVT21;endianness=little;height=720;width=1280\n% end\n", words),
            ("% format EVT21;endianness=legacy;height=720;width=1280\n% end\n", swapped),
        ] {
            let events = read(&file(header, &words, 8)).unwrap();
            assert_eq!(columns(&events), want, "{header}");
        }
    }

    #[test]
    fn evt3_is_decoded_bit_by_bit() {
        let words = [
            0x2801, // an event before any time
            0x8001, // 4096 us
            0x6002, // + 2 us
            0x02cf, // row 719
            0x2cff, // ON at x = 1279
            0x2003,
            0x3864, // ON vectors from x = 100
            0x4000 | 0b1000_0000_0001,
            0x5000 | 0b1000_0001,
            0xa000, // a trigger
            0x7000, // more of it
            0x8fff,
            0x6fff,
            0x2005,
            0x8000, // the clock runs over
            0x2006,
        ];
        let header = "% format EVT3;height=720;width=1280\n% end\n";
        let events = read(&file(header, &words, 2)).unwrap();
        let over = 1_i64 << 24;
        let times = vec![4098, 4098, 4098, 4098, 4098, 4098, over - 1, over];
        let x = vec![1279, 3, 100, 111, 112, 119, 5, 6];
        let on = vec![true, false, true, true, true, true, false, false];
        assert_eq!(columns(&events), (times, x, vec![719; 8], on));
        assert_eq!((events.sensor, events.disorder), ([720, 1280], None));
    }

    #[test]
    fn damage_is_refused_at_its_byte() {
        let message = |bytes: &[u8]| read(bytes).unwrap_err().to_string();
        let header = "% evt 3.0\n% geometry 4x4\n";
        let n = header.len();
        let cut = message(&[header.as_bytes(), &[1]].concat());
        assert_eq!(
            cut,
            format!("a.raw: byte {n}: expected a word of 2 bytes, found the end after 1")
        );
        let outside = message(&file(header, &[0x8000, 0x2004], 2));
        assert!(
            outside.starts_with(&format!("a.raw: byte {}: expected an event on the 4x4", n + 2)),
            "{outside}"
        );
        assert!(message(b"% evt 4.0\n").contains("expected a header with % evt 2.0, 2.1 or 3.0"));
        assert!(message(b"% evt 3.0\n").starts_with("sensor: a.raw does not say"));
        let vectors = file("% evt 3.0\n% geometry 2048x1\n", &[0x8000, 0x37ff, 0x4001, 0x4001], 2);
        assert!(message(&vectors).contains("x = 2059"), "{}", message(&vectors));
    }
}

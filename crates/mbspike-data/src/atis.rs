//! The 40-bit address events of the ATIS camera in which N-MNIST is published.
//!
//! A file is a row of 5-byte records without a header. Bits 39-32 are x, 31-24 are y, 23 is the
//! polarity (1 = ON) and 22-0 the time in microseconds, big-endian. A record with y = 240 is no
//! event: it says that the clock ran over, and that 2^13 us are to be added to all later times.

use std::path::Path;

use crate::events::Checked;
use crate::{Error, Events, Result};

/// Bytes of a record.
pub const RECORD_BYTES: usize = 5;
/// The row that marks a record as a clock overflow.
const OVERFLOW_Y: u8 = 240;
/// Time that an overflow record adds.
const OVERFLOW_US: i64 = 1 << 13;
/// The latest time that fits into a record.
const MAX_RECORD_US: i64 = (1 << 23) - 1;

/// Decodes a recording from a camera with `sensor` = height, width; `file` is its name in errors.
pub fn parse(bytes: &[u8], sensor: [usize; 2], file: &Path) -> Result<Events> {
    let (records, rest) = bytes.as_chunks::<RECORD_BYTES>();
    if !rest.is_empty() {
        return Err(Error::Format {
            file: file.to_owned(),
            offset: (bytes.len() - rest.len()) as u64,
            expected: "a record of 5 bytes".to_owned(),
            found: format!("the end after {}", rest.len()),
        });
    }
    match decode_plain(records, sensor) {
        Some(events) => Ok(events),
        None => decode(records, sensor, file),
    }
}

/// Decodes records of which none is an overflow and all are right, without a branch for each;
/// `None` for any others.
fn decode_plain(
    records: &[[u8; RECORD_BYTES]],
    sensor @ [height, width]: [usize; 2],
) -> Option<Events> {
    let n = records.len();
    let (mut t_us, mut x, mut y, mut on) = (vec![0; n], vec![0; n], vec![0; n], vec![false; n]);
    let (mut largest, mut previous, mut is_in_order) = ([0, 0], 0, true);
    let columns = t_us.iter_mut().zip(&mut x).zip(&mut y).zip(&mut on);
    for ((((t_us, x), y), on), record) in columns.zip(records) {
        let t = time(*record);
        *t_us = t;
        *x = record[0].into();
        *y = record[1].into();
        *on = record[2] & 0x80 != 0;
        largest = [largest[0].max(record[0]), largest[1].max(record[1])];
        is_in_order &= previous <= t;
        previous = t;
    }
    let [largest_x, largest_y] = largest.map(usize::from);
    let is_on_sensor = largest_x < width && largest_y < height.min(OVERFLOW_Y.into());
    (n == 0 || is_on_sensor && is_in_order).then(|| Events {
        t_us,
        x,
        y,
        on,
        ..Events::new(sensor)
    })
}

/// Decodes any records; the first that is wrong is named.
fn decode(records: &[[u8; RECORD_BYTES]], sensor: [usize; 2], file: &Path) -> Result<Events> {
    let mut events = Checked::new(sensor, file);
    let mut base = 0;
    for (i, record @ &[x, y, high, ..]) in records.iter().enumerate() {
        if y == OVERFLOW_Y {
            base += OVERFLOW_US;
            continue;
        }
        let offset = (i * RECORD_BYTES) as u64;
        events.push(base + time(*record), x.into(), y.into(), high & 0x80 != 0, offset)?;
    }
    Ok(events.finish())
}

/// The time of a record in microseconds.
fn time([_, _, high, middle, low]: [u8; RECORD_BYTES]) -> i64 {
    u32::from_be_bytes([0, high & 0x7f, middle, low]).into()
}

/// Encodes a recording; the inverse of [`parse`]. Coordinates and times that the format cannot hold
/// are errors, which name `file`.
pub fn to_bytes(events: &Events, file: &Path) -> Result<Vec<u8>> {
    let mut bytes = Vec::with_capacity(events.len() * RECORD_BYTES);
    let mut base = 0;
    for i in 0..events.len() {
        let (t, x, y) = (events.t_us[i], events.x[i], events.y[i]);
        if x > 255 || y >= u16::from(OVERFLOW_Y) || t < base {
            return Err(Error::Format {
                file: file.to_owned(),
                offset: bytes.len() as u64,
                expected: "x below 256, y below 240 and times from 0 on, in order".to_owned(),
                found: format!("x = {x}, y = {y}, {t} us"),
            });
        }
        while t - base > MAX_RECORD_US {
            bytes.extend([0, OVERFLOW_Y, 0, 0, 0]);
            base += OVERFLOW_US;
        }
        let [_, high, middle, low] = ((t - base) as u32).to_be_bytes();
        let polarity = u8::from(events.on[i]) << 7;
        bytes.extend([x as u8, y as u8, polarity | high, middle, low]);
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &[u8]) -> Result<Events> {
        parse(bytes, [34, 34], Path::new("a.bin"))
    }

    #[test]
    fn records_are_decoded_bit_by_bit() {
        let events = read(&[
            0, 0, 0x00, 0x00, 0x00, // all zero
            33, 33, 0x80, 0x00, 0x01, // largest coordinates, ON
            5, 7, 0x7f, 0xff, 0xff, // OFF, latest time
        ])
        .unwrap();
        assert_eq!(events.t_us, [0, 1, 8_388_607]);
        assert_eq!((events.x, events.y), (vec![0, 33, 5], vec![0, 33, 7]));
        assert_eq!(events.on, [false, true, false]);
        assert!(read(&[]).unwrap().is_empty());
    }

    #[test]
    fn overflow_records_add_their_time_and_vanish() {
        let events = read(&[
            1, 2, 0x7f, 0xff, 0xff, //
            9, 240, 0x80, 0x00, 0x07, //
            1, 2, 0x7f, 0xff, 0xff, //
        ])
        .unwrap();
        assert_eq!(events.t_us, [8_388_607, 8_388_607 + 8192]);
    }

    #[test]
    fn both_ways_of_decoding_agree() {
        for n in [0, 1, 2, 1000] {
            let record = |i: u32| {
                let [_, high, middle, low] = (i * 5000).to_be_bytes();
                [(i * 7 % 34) as u8, (i * i % 34) as u8, high | ((i % 3) << 7) as u8, middle, low]
            };
            let mut records: Vec<[u8; 5]> = (0..n).map(record).collect();
            let slow = |records: &[[u8; 5]]| decode(records, [34, 34], Path::new("a.bin"));
            assert_eq!(decode_plain(&records, [34, 34]).unwrap(), slow(&records).unwrap());
            if n == 1000 {
                records[500][1] = OVERFLOW_Y;
                assert_eq!(decode_plain(&records, [34, 34]), None);
                assert_eq!(decode_plain(&records, [255, 34]), None, "240 is no row");
                records[500] = records[400];
                assert_eq!(decode_plain(&records, [34, 34]), None);
                assert_eq!(slow(&records).unwrap().disorder.unwrap().first, 500);
            }
        }
    }

    #[test]
    fn damage_is_refused_at_its_byte() {
        let message = |bytes: &[u8]| read(bytes).unwrap_err().to_string();
        assert_eq!(
            message(&[1, 2, 0, 0, 9, 3]),
            "a.bin: byte 5: expected a record of 5 bytes, found the end after 1"
        );
        assert_eq!(
            message(&[1, 2, 0, 0, 9, 34, 0, 0, 0, 9]),
            "a.bin: byte 5: expected an event on the 34x34 sensor (rows x columns), \
             found one at x = 34, y = 0"
        );
    }

    #[test]
    fn writing_and_reading_gives_the_same_events() {
        let mut events = Events::new([34, 34]);
        for (i, t) in [0, 5, 5, 8_388_607, 8_388_608, 20_000_000].into_iter().enumerate() {
            events.push(t, i as u16, 33 - i as u16, i % 2 == 1);
        }
        assert_eq!(read(&to_bytes(&events, Path::new("a.bin")).unwrap()).unwrap(), events);
        events.push(0, 1, 1, true);
        assert!(to_bytes(&events, Path::new("a.bin")).is_err());
    }
}

//! Whether bytes are still the ones that were written.

use std::fmt;
use std::io::Read;
use std::str::FromStr;

use crc::{CRC_64_XZ, Crc, Digest, Table};

static CRC: Crc<u64, Table<16>> = Crc::<u64, Table<16>>::new(&CRC_64_XZ);

/// CRC-64/XZ (ECMA-182) of some bytes: it differs for any error of up to three bits and any burst of
/// up to 64 bits, and for other errors with probability 1 − 2⁻⁶⁴. It protects from damage, not from
/// forgery. Written as 16 hexadecimal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Checksum(u64);

impl Checksum {
    /// The checksum of `bytes`.
    pub fn of(bytes: &[u8]) -> Self {
        Self(CRC.checksum(bytes))
    }

    /// The checksum of several pieces, one after the other; the same as of all of them joined.
    pub fn of_pieces<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Self {
        let mut digest: Digest<'_, u64, Table<16>> = CRC.digest();
        for piece in pieces {
            digest.update(piece);
        }
        Self(digest.finalize())
    }

    /// The checksum of all that `input` gives, without keeping it.
    ///
    /// # Errors
    /// If reading fails.
    pub fn of_reader(mut input: impl Read) -> std::io::Result<Self> {
        let mut digest: Digest<'_, u64, Table<16>> = CRC.digest();
        let mut buffer = vec![0; 1 << 16];
        loop {
            match input.read(&mut buffer) {
                Ok(0) => return Ok(Self(digest.finalize())),
                Ok(n) => digest.update(&buffer[..n]),
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// As a number, for binary headers.
    pub fn to_u64(self) -> u64 {
        self.0
    }
}

/// The checksum of bytes that come one after the other.
#[derive(Clone)]
pub struct RunningChecksum(Digest<'static, u64, Table<16>>);

impl RunningChecksum {
    /// Of no bytes.
    pub fn new() -> Self {
        Self(CRC.digest())
    }

    /// Adds bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// Of all bytes so far.
    pub fn checksum(&self) -> Checksum {
        Checksum(self.0.clone().finalize())
    }
}

impl Default for RunningChecksum {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for RunningChecksum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("RunningChecksum").field(&self.checksum()).finish()
    }
}

impl From<u64> for Checksum {
    fn from(value: u64) -> Self {
        Self(value)
    }
}

impl fmt::Display for Checksum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl FromStr for Checksum {
    type Err = std::num::ParseIntError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        u64::from_str_radix(text, 16).map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::{Checksum, RunningChecksum};

    #[test]
    fn a_running_checksum_is_that_of_all_bytes_so_far() {
        let mut running = RunningChecksum::new();
        assert_eq!(running.checksum(), Checksum::of(b""));
        running.update(b"1234");
        assert_eq!(running.checksum(), Checksum::of(b"1234"));
        running.update(b"56789");
        assert_eq!(running.checksum(), Checksum::of(b"123456789"));
    }

    #[test]
    fn it_is_the_published_crc_64_xz() {
        assert_eq!(Checksum::of(b"123456789").to_u64(), 0x995d_c9bb_df19_39fa);
    }

    #[test]
    fn pieces_count_as_joined() {
        let pieces: [&[u8]; 3] = [b"1234", b"", b"56789"];
        assert_eq!(Checksum::of_pieces(pieces), Checksum::of(b"123456789"));
    }

    #[test]
    fn what_is_read_counts_as_if_it_were_in_memory() {
        let bytes: Vec<u8> = (0..200_000_u32).map(|i| (i * 7) as u8).collect();
        assert_eq!(Checksum::of_reader(bytes.as_slice()).unwrap(), Checksum::of(&bytes));
    }

    #[test]
    fn text_and_back() {
        let sum = Checksum::from(0x0012_3456_789a_bcde);
        assert_eq!(sum.to_string(), "00123456789abcde");
        assert_eq!(sum.to_string().parse(), Ok(sum));
    }

    #[test]
    fn any_flipped_bit_changes_it() {
        let mut bytes: Vec<u8> = (0..=255).collect();
        let sum = Checksum::of(&bytes);
        for bit in 0..bytes.len() * 8 {
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert_ne!(Checksum::of(&bytes), sum);
            bytes[bit / 8] ^= 1 << (bit % 8);
        }
    }
}

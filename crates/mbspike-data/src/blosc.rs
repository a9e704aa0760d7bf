//! Blosc, which compresses the events of DSEC: blocks of bytes, shuffled, each compressed by another codec
//! (Blosc 1, "Blosc chunk format").
//!
//! A chunk begins with 16 bytes: the version, that of the codec, flags, the size of a number, then as little-endian
//! `u32` the bytes that it unpacks to, the bytes of a block and its own. Then come the places of the blocks, and each
//! block as one stream or, unless a flag says otherwise, one stream for each byte of a number, each with its size in front.

use std::io::Read;

/// Bytes in front of the places of the blocks.
const HEADER_BYTES: usize = 16;
const SHUFFLED: u8 = 1;
const COPIED: u8 = 2;
const BIT_SHUFFLED: u8 = 4;
const NOT_DIVIDED: u8 = 16;
/// Of streams with fewer bytes, and of wider numbers, a block has only one.
const MIN_STREAM_BYTES: usize = 128;
const MAX_STREAMS: usize = 16;

/// Unpacks a chunk that is known to hold `n_bytes`.
pub(crate) fn unpack(chunk: &[u8], n_bytes: usize) -> Result<Vec<u8>, String> {
    let Some((header, _)) = chunk.split_first_chunk::<HEADER_BYTES>() else {
        return Err(format!(
            "expected {HEADER_BYTES} bytes of a Blosc chunk, found {}",
            chunk.len()
        ));
    };
    let [flags, type_size] = [header[2], header[3]];
    let type_size = usize::from(type_size).max(1);
    let [unpacked, block_bytes, packed] = [4, 8, 12].map(|at| number(header, at));
    if unpacked != n_bytes || packed != chunk.len() || (unpacked > 0 && block_bytes == 0) {
        return Err(format!(
            "expected a Blosc chunk of {} bytes for {n_bytes}, found one that says {packed} for {unpacked}",
            chunk.len()
        ));
    }
    if flags & COPIED != 0 {
        let copied = chunk.get(HEADER_BYTES..HEADER_BYTES + n_bytes);
        return copied.map(<[u8]>::to_vec).ok_or_else(|| "the chunk ends early".to_owned());
    }
    if flags & BIT_SHUFFLED != 0 {
        return Err("is shuffled bit by bit, which is not undone".to_owned());
    }
    let codec = Codec::of(flags >> 5)?;
    let mut out = Vec::with_capacity(n_bytes);
    for block in 0..n_bytes.div_ceil(block_bytes.max(1)) {
        let at = HEADER_BYTES + 4 * block;
        let start = chunk.get(at..at + 4).map(|bytes| number(bytes, 0));
        let mut rest = start.and_then(|start| chunk.get(start..)).ok_or("the chunk ends early")?;
        let size = block_bytes.min(n_bytes - out.len());
        // What is left at the end is one stream.
        let is_divided = flags & NOT_DIVIDED == 0
            && type_size <= MAX_STREAMS
            && size / type_size >= MIN_STREAM_BYTES
            && size == block_bytes
            && size % type_size == 0;
        let n_streams = if is_divided { type_size } else { 1 };
        let mut bytes = Vec::with_capacity(size);
        for _ in 0..n_streams {
            let wanted = size / n_streams;
            let n = rest.get(..4).map(|bytes| number(bytes, 0)).ok_or("the chunk ends early")?;
            let stream = rest.get(4..4 + n).ok_or("the chunk ends early")?;
            rest = &rest[4 + n..];
            if n == wanted {
                bytes.extend_from_slice(stream);
            } else {
                bytes.extend(codec.unpack(stream, wanted)?);
            }
        }
        if flags & SHUFFLED != 0 && type_size > 1 {
            unshuffle(&bytes, type_size, &mut out);
        } else {
            out.extend_from_slice(&bytes);
        }
    }
    Ok(out)
}

fn number(bytes: &[u8], at: usize) -> usize {
    u32::from_le_bytes([0, 1, 2, 3].map(|i| bytes[at + i])) as usize
}

/// From all first bytes of the numbers, then all second ones, to number after number; what is left over at the
/// end is as it was.
fn unshuffle(bytes: &[u8], type_size: usize, out: &mut Vec<u8>) {
    let n = bytes.len() / type_size;
    for i in 0..n {
        out.extend((0..type_size).map(|byte| bytes[byte * n + i]));
    }
    out.extend_from_slice(&bytes[n * type_size..]);
}

/// What compresses the streams.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Codec {
    Lz4,
    Zlib,
    Zstandard,
}

impl Codec {
    fn of(code: u8) -> Result<Self, String> {
        match code {
            1 => Ok(Self::Lz4),
            3 => Ok(Self::Zlib),
            4 => Ok(Self::Zstandard),
            0 => Err("is compressed by Blosc's own codec BloscLZ, which is not read".to_owned()),
            2 => Err("is compressed by Blosc with Snappy, which is not read".to_owned()),
            _ => Err(format!("is compressed by Blosc with the unknown codec {code}")),
        }
    }

    /// Exactly `n_bytes` of a stream.
    fn unpack(self, stream: &[u8], n_bytes: usize) -> Result<Vec<u8>, String> {
        let mut out = Vec::with_capacity(n_bytes);
        let limit = n_bytes as u64 + 1;
        match self {
            Self::Lz4 => {
                out = lz4_flex::block::decompress(stream, n_bytes).map_err(|e| e.to_string())?;
            }
            Self::Zlib => {
                let mut reader = flate2::read::ZlibDecoder::new(stream).take(limit);
                reader.read_to_end(&mut out).map_err(|error| error.to_string())?;
            }
            Self::Zstandard => {
                let decoder = ruzstd::decoding::StreamingDecoder::new(stream);
                let mut reader = decoder.map_err(|error| error.to_string())?.take(limit);
                reader.read_to_end(&mut out).map_err(|error| error.to_string())?;
            }
        }
        if out.len() == n_bytes {
            return Ok(out);
        }
        Err(format!("a stream unpacks to {} bytes instead of {n_bytes}", out.len()))
    }
}

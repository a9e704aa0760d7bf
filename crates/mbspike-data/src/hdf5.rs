//! HDF5 files, as far as recordings need them: columns of numbers, tables, and sequences in the global
//! heap.
//!
//! The format is read by `hdf5-pure`; of sequences of numbers it gives where they are, and what is there
//! is decoded here (HDF5 File Format Specification 3.0, section III.E, "Disk Format: Global Heap").

use std::io::{BufReader, Read, Seek, SeekFrom};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use fs_err::File;
use hdf5_pure::{Dataset, Datatype, DatatypeByteOrder};

use crate::{Error, Result, blosc};

/// How an HDF5 file begins.
pub(crate) const SIGNATURE: &[u8] = b"\x89HDF\r\n\x1a\n";
/// The best that deflate can do: a file cannot hold more than this many bytes for each of its own.
const DEFLATE_RATIO: u64 = 1032;
/// The most that a dataset may unpack to.
const MAX_UNPACKED: u64 = 1 << 34;
/// Filters that are undone: deflate, shuffle, Fletcher's checksum, scale-offset and LZF.
const KNOWN_FILTERS: [u16; 5] = [1, 2, 3, 6, 32_000];
const BLOSC: u16 = 32_001;
/// Bytes that a sequence has in its dataset: its length, where its heap is, its number in there.
const REFERENCE_BYTES: usize = 16;
const HEAP_SIGNATURE: &[u8] = b"GCOL\x01";
/// Bytes in front of a heap's objects, and of each object.
const HEADER_BYTES: u64 = 16;

/// An HDF5 file that is open.
pub(crate) struct Hdf5 {
    file: hdf5_pure::File,
    path: PathBuf,
    n_bytes: u64,
}

/// Numbers of a table's columns, by name.
pub(crate) type Columns = Vec<(String, Vec<i64>)>;

impl Hdf5 {
    /// Opens a file. Nothing but its structure is read.
    pub(crate) fn open(path: &Path) -> Result<Self> {
        let n_bytes = fs_err::metadata(path)?.len();
        let file = guarded(path, "", || hdf5_pure::File::open_streaming(path))?;
        Ok(Self { file, path: path.to_owned(), n_bytes })
    }

    /// The dataset of this name; `None` where there is none.
    fn dataset(&self, name: &str) -> Option<Dataset> {
        catch_unwind(AssertUnwindSafe(|| self.file.dataset(name).ok())).ok().flatten()
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.dataset(name).is_some()
    }

    /// The whole numbers of a dataset of one axis; `None` where there is none of this name.
    pub(crate) fn integers(&self, name: &str) -> Result<Option<Vec<i64>>> {
        let Some(dataset) = self.dataset(name) else { return Ok(None) };
        let bytes = self.bytes(&dataset, name)?;
        let datatype = guarded(&self.path, name, || dataset.datatype())?;
        let Some(number) = Number::of(&datatype) else {
            return Err(self.refuse(name, format!("expected whole numbers, found {datatype:?}")));
        };
        number.integers(&bytes).map(Some).map_err(|message| self.refuse(name, message))
    }

    /// The texts of a dataset; `None` where there is none of this name.
    pub(crate) fn texts(&self, name: &str) -> Result<Option<Vec<String>>> {
        let Some(dataset) = self.dataset(name) else { return Ok(None) };
        self.check_size(&dataset, name)?;
        guarded(&self.path, name, || dataset.read_string().map(Some))
    }

    /// The columns of a table, which must be whole numbers; `None` where there is none of this name, or
    /// it is no table.
    pub(crate) fn table(&self, name: &str) -> Result<Option<Columns>> {
        let Some(dataset) = self.dataset(name) else { return Ok(None) };
        let datatype = guarded(&self.path, name, || dataset.datatype())?;
        let Datatype::Compound { size, members } = &datatype else { return Ok(None) };
        let bytes = self.bytes(&dataset, name)?;
        let mut columns = Columns::new();
        for member in members {
            let place = format!("{name}.{}", member.name);
            let Some(number) = Number::of(&member.datatype) else {
                let message = format!("expected whole numbers, found {:?}", member.datatype);
                return Err(self.refuse(&place, message));
            };
            let (start, row) = (member.byte_offset as usize, *size as usize);
            if row == 0 || start.checked_add(number.size).is_none_or(|end| end > row) {
                return Err(self.refuse(&place, format!("lies outside of its row of {row} bytes")));
            }
            let column: Vec<u8> = bytes
                .chunks_exact(row)
                .flat_map(|bytes| &bytes[start..start + number.size])
                .copied()
                .collect();
            let column =
                number.integers(&column).map_err(|message| self.refuse(&place, message))?;
            columns.push((member.name.clone(), column));
        }
        Ok(Some(columns))
    }

    /// A text that is an attribute of the file.
    pub(crate) fn attribute(&self, name: &str) -> Option<String> {
        let attributes =
            catch_unwind(AssertUnwindSafe(|| self.file.root().attrs().ok())).ok()??;
        attributes.get(name)?.as_str().map(str::to_owned)
    }

    /// Where the sequences of a dataset are, and of what numbers.
    pub(crate) fn sequences(&self, name: &str) -> Result<Sequences> {
        let Some(dataset) = self.dataset(name) else {
            return Err(self.refuse(name, "is not there".to_owned()));
        };
        let datatype = guarded(&self.path, name, || dataset.datatype())?;
        let number = match &datatype {
            Datatype::VariableLength { is_string: false, base_type, .. } => Number::of(base_type),
            _ => None,
        };
        let Some(number) = number else {
            let message = format!("expected sequences of numbers, found {datatype:?}");
            return Err(self.refuse(name, message));
        };
        let bytes = self.bytes(&dataset, name)?;
        let size = guarded(&self.path, name, || dataset.element_size())?;
        if size != REFERENCE_BYTES as u64 {
            let message = format!("expected references of {REFERENCE_BYTES} bytes, found {size}");
            return Err(self.refuse(name, message));
        }
        let (references, _) = bytes.as_chunks::<REFERENCE_BYTES>();
        let place = |bytes: &[u8; REFERENCE_BYTES]| {
            let word =
                |at: usize| u64::from(u32::from_le_bytes([0, 1, 2, 3].map(|i| bytes[at + i])));
            Sequence { n: word(0), heap: word(4) | word(8) << 32, object: word(12) as u32 }
        };
        Ok(Sequences {
            name: name.to_owned(),
            number,
            places: references.iter().map(place).collect(),
        })
    }

    /// What is in a dataset, unpacked.
    fn bytes(&self, dataset: &Dataset, name: &str) -> Result<Vec<u8>> {
        self.check_size(dataset, name)?;
        let filters = dataset.filters();
        if filters == [BLOSC] {
            return self.unpack_blosc(dataset, name);
        }
        if let Some(filter) = filters.iter().find(|filter| !KNOWN_FILTERS.contains(filter)) {
            return Err(self.refuse(name, unknown_filter(*filter)));
        }
        guarded(&self.path, name, || dataset.read_raw())
    }

    /// Unpacks the chunks of a dataset of one axis that Blosc compressed.
    fn unpack_blosc(&self, dataset: &Dataset, name: &str) -> Result<Vec<u8>> {
        let (shape, element, sizes, chunks) = guarded(&self.path, name, || {
            let sizes = dataset.chunk_shape()?.unwrap_or_default();
            Ok((dataset.shape()?, dataset.element_size()?, sizes, dataset.chunks()?))
        })?;
        let ([n], [per_chunk]) = (shape.as_slice(), sizes.as_slice()) else {
            let message = format!("expected one axis of what Blosc compressed, found {shape:?}");
            return Err(self.refuse(name, message));
        };
        let [all, whole] = [n * element, per_chunk * element].map(|n| n as usize);
        let mut out = vec![0; all];
        let mut file = File::open(&self.path)?;
        for chunk in chunks {
            let start = chunk.offset.first().and_then(|at| at.checked_mul(element));
            let place = start.and_then(|start| out.get_mut(start as usize..));
            let (Some(place), true) = (place, chunk.storage_size <= self.n_bytes) else {
                return Err(self.refuse(name, format!("a chunk lies outside: {chunk:?}")));
            };
            let mut bytes = vec![0; chunk.storage_size as usize];
            file.seek(SeekFrom::Start(chunk.address))?;
            if let Err(error) = file.read_exact(&mut bytes) {
                return Err(self.refuse(name, format!("{error}: {chunk:?}")));
            }
            // A chunk that the filter could not make smaller is as it is.
            if chunk.filter_mask == 0 {
                bytes =
                    blosc::unpack(&bytes, whole).map_err(|message| self.refuse(name, message))?;
            }
            let n = bytes.len().min(place.len());
            place[..n].copy_from_slice(&bytes[..n]);
        }
        Ok(out)
    }

    /// Refuses a dataset that declares more than its file can hold.
    fn check_size(&self, dataset: &Dataset, name: &str) -> Result<()> {
        let (shape, element, chunk) = guarded(&self.path, name, || {
            let chunk = dataset.chunk_shape()?.unwrap_or_default();
            Ok((dataset.shape()?, dataset.element_size()?, chunk))
        })?;
        let bytes_of =
            |sizes: &[u64]| sizes.iter().try_fold(element, |bytes, &size| bytes.checked_mul(size));
        let most = self.n_bytes.saturating_mul(DEFLATE_RATIO).min(MAX_UNPACKED);
        match (bytes_of(&shape), bytes_of(&chunk)) {
            (Some(all), Some(chunk)) if all.max(chunk) <= most => Ok(()),
            _ => {
                let message = format!(
                    "declares the shape {shape:?} of {element} bytes each, of which a file of {} bytes has at \
                     most {most}",
                    self.n_bytes
                );
                Err(self.refuse(name, message))
            }
        }
    }

    pub(crate) fn refuse(&self, name: &str, message: String) -> Error {
        Error::Array { file: self.path.clone(), array: name.to_owned(), message }
    }
}

/// What compresses a dataset that is not read, and what to do.
fn unknown_filter(filter: u16) -> String {
    let name = match filter {
        4 => "szip",
        BLOSC => "Blosc with other filters",
        32_004 => "LZ4",
        32_015 => "Zstandard",
        32_026 => "Blosc2",
        36_559 => "Prophesee's ECF",
        _ => "a filter that is not known",
    };
    format!(
        "is compressed by {name} (HDF5 filter {filter}), which is not read; write the file again with gzip, by \
         h5py with hdf5plugin, or by `h5repack -f GZIP=4` with that filter's plugin"
    )
}

/// Runs what reads a file. The reader checks what it reads; where a damaged file still gets past its
/// checks, its panic must not become the caller's.
fn guarded<T>(
    path: &Path,
    name: &str,
    read: impl FnOnce() -> std::result::Result<T, hdf5_pure::Error>,
) -> Result<T> {
    let message = match catch_unwind(AssertUnwindSafe(read)) {
        Ok(Ok(value)) => return Ok(value),
        Ok(Err(error)) => error.to_string(),
        Err(_) => "the file is damaged".to_owned(),
    };
    Err(Error::Array { file: path.to_owned(), array: name.to_owned(), message })
}

/// A type of numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Number {
    kind: NumberKind,
    size: usize,
    is_big_endian: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum NumberKind {
    Signed,
    Unsigned,
    Float,
}

impl Number {
    fn of(datatype: &Datatype) -> Option<Self> {
        let (kind, size, order) = match datatype {
            Datatype::FixedPoint { size, byte_order, layout } => {
                let is_whole = layout.bit_offset == 0
                    && Some(u32::from(layout.bit_precision)) == size.checked_mul(8);
                let kind = if layout.signed { NumberKind::Signed } else { NumberKind::Unsigned };
                (is_whole.then_some(kind)?, *size, byte_order)
            }
            Datatype::FloatingPoint { size, byte_order, layout } => {
                let is_ieee = matches!(
                    (size, layout.exponent_size, layout.mantissa_size),
                    (2, 5, 10) | (4, 8, 23) | (8, 11, 52)
                );
                (is_ieee.then_some(NumberKind::Float)?, *size, byte_order)
            }
            // Truth values of h5py.
            Datatype::Enumeration { base_type, .. } => return Self::of(base_type),
            _ => return None,
        };
        let is_big_endian = match order {
            DatatypeByteOrder::LittleEndian => false,
            DatatypeByteOrder::BigEndian => true,
            DatatypeByteOrder::Vax => return None,
        };
        let size = size as usize;
        matches!(size, 1 | 2 | 4 | 8).then_some(Self { kind, size, is_big_endian })
    }

    /// The bits of a number, its sign extended.
    fn bits(self, bytes: &[u8]) -> u64 {
        let mut word = 0_u64;
        for i in 0..self.size {
            let byte = if self.is_big_endian { bytes[i] } else { bytes[self.size - 1 - i] };
            word = word << 8 | u64::from(byte);
        }
        if self.kind == NumberKind::Signed {
            let shift = 64 - 8 * self.size as u32;
            return ((word << shift) as i64 >> shift) as u64;
        }
        word
    }

    fn integers(self, bytes: &[u8]) -> std::result::Result<Vec<i64>, String> {
        let integer = |bytes: &[u8]| {
            let bits = self.bits(bytes);
            match self.kind {
                NumberKind::Signed => Ok(bits as i64),
                NumberKind::Unsigned => {
                    i64::try_from(bits).map_err(|_| format!("holds {bits}, which is beyond 2^63"))
                }
                NumberKind::Float => Err("expected whole numbers, found floating point".to_owned()),
            }
        };
        bytes.chunks_exact(self.size).map(integer).collect()
    }

    fn floats(self, bytes: &[u8]) -> Vec<f64> {
        let float = |bytes: &[u8]| {
            let bits = self.bits(bytes);
            match (self.kind, self.size) {
                (NumberKind::Float, 2) => half::f16::from_bits(bits as u16).to_f64(),
                (NumberKind::Float, 4) => f32::from_bits(bits as u32).into(),
                (NumberKind::Float, _) => f64::from_bits(bits),
                (NumberKind::Signed, _) => bits as i64 as f64,
                (NumberKind::Unsigned, _) => bits as f64,
            }
        };
        bytes.chunks_exact(self.size).map(float).collect()
    }
}

/// Where a sequence is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Sequence {
    /// Numbers in it.
    n: u64,
    /// The byte at which its heap begins.
    heap: u64,
    /// Which object of the heap it is.
    object: u32,
}

/// Sequences of numbers that stay in their file until they are needed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Sequences {
    name: String,
    number: Number,
    places: Vec<Sequence>,
}

impl Sequences {
    pub(crate) fn len(&self) -> usize {
        self.places.len()
    }

    /// Reads sequence `index` as floating-point numbers.
    pub(crate) fn floats(&self, file: &Path, index: usize) -> Result<Vec<f64>> {
        Ok(self.number.floats(&self.read(file, index)?))
    }

    /// Reads sequence `index` as whole numbers.
    pub(crate) fn integers(&self, file: &Path, index: usize) -> Result<Vec<i64>> {
        let bytes = self.read(file, index)?;
        self.number.integers(&bytes).map_err(|message| Error::Array {
            file: file.to_owned(),
            array: format!("{}[{index}]", self.name),
            message,
        })
    }

    /// Walks through the heap to the object. Memory is bounded by what the file has.
    fn read(&self, path: &Path, index: usize) -> Result<Vec<u8>> {
        let Sequence { n, heap, object } = self.places[index];
        if n == 0 {
            return Ok(Vec::new());
        }
        let refuse = |offset: u64, expected: String, found: String| Error::Format {
            file: path.to_owned(),
            offset,
            expected,
            found,
        };
        let file = File::open(path)?;
        let n_file = file.metadata()?.len();
        let mut input = BufReader::new(file);
        let missing = |offset| {
            let expected = format!("the numbers of {}[{index}]", self.name);
            refuse(offset, expected, "the end of the file or of the heap".to_owned())
        };
        if heap.checked_add(HEADER_BYTES).is_none_or(|end| end > n_file) {
            return Err(missing(heap));
        }
        input.seek(SeekFrom::Start(heap))?;
        let header = read_header(&mut input).map_err(|_| missing(heap))?;
        if !header.starts_with(HEAP_SIGNATURE) {
            let found = format!("{:02x?}", &header[..HEAP_SIGNATURE.len()]);
            return Err(refuse(heap, "a global heap (GCOL, version 1)".to_owned(), found));
        }
        let size = word(&header, 8);
        let end =
            heap.checked_add(size).filter(|end| *end <= n_file).ok_or_else(|| missing(heap))?;
        let mut at = heap + HEADER_BYTES;
        while at + HEADER_BYTES <= end {
            let header = read_header(&mut input).map_err(|_| missing(at))?;
            let found = u32::from(u16::from_le_bytes([header[0], header[1]]));
            let n_bytes = word(&header, 8);
            at += HEADER_BYTES;
            // Object 0 is what is free, and the last.
            if found == 0 || n_bytes > end - at {
                break;
            }
            if found == object {
                let wanted = n * self.number.size as u64;
                if wanted > n_bytes {
                    let expected = format!("{wanted} bytes of {}[{index}]", self.name);
                    return Err(refuse(at, expected, format!("an object of {n_bytes}")));
                }
                let mut bytes = vec![0; wanted as usize];
                input.read_exact(&mut bytes).map_err(|_| missing(at))?;
                return Ok(bytes);
            }
            let padded = n_bytes.next_multiple_of(8);
            input.seek_relative(padded as i64)?;
            at += padded;
        }
        Err(missing(at))
    }
}

fn read_header(input: &mut impl Read) -> std::io::Result<[u8; 16]> {
    let mut header = [0; 16];
    input.read_exact(&mut header)?;
    Ok(header)
}

fn word(bytes: &[u8; 16], at: usize) -> u64 {
    u64::from_le_bytes(std::array::from_fn(|i| bytes[at + i]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_every_size_and_order_are_told() {
        let number = |kind, size, is_big_endian| Number { kind, size, is_big_endian };
        let signed = number(NumberKind::Signed, 2, true);
        assert_eq!(signed.integers(&[0xff, 0xfe, 0, 3]).unwrap(), [-2, 3]);
        let unsigned = number(NumberKind::Unsigned, 2, false);
        assert_eq!(unsigned.integers(&[0xfe, 0xff]).unwrap(), [65_534]);
        let wide = number(NumberKind::Unsigned, 8, false);
        assert!(wide.integers(&[0xff; 8]).unwrap_err().contains("beyond 2^63"));
        let half = number(NumberKind::Float, 2, false);
        assert_eq!(half.floats(&half::f16::from_f32(0.25).to_le_bytes()), [0.25]);
        let double = number(NumberKind::Float, 8, true);
        assert_eq!(double.floats(&1.5_f64.to_be_bytes()), [1.5]);
        assert!(double.integers(&[0; 8]).is_err());
    }

    #[test]
    fn filters_that_are_not_undone_say_what_to_do() {
        for (filter, name) in [(BLOSC, "Blosc"), (36_559, "Prophesee's ECF"), (9, "not known")] {
            let message = unknown_filter(filter);
            assert!(message.contains(name) && message.contains("gzip"), "{message}");
        }
    }
}

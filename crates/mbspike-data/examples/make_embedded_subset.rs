//! Writes the embedded part of Fashion-MNIST from the full dataset.
//!
//! `cargo run -p mbspike-data --example make_embedded_subset -- FOLDER OUT` reads the four files of
//! Fashion-MNIST in FOLDER and writes the first 600 training and 100 test images of each class to
//! OUT, gzipped, in the order of the full files. Running it on the published files gives the files
//! of `data/fashion-mnist-subset` byte for byte.

use std::error::Error;
use std::io::Write;
use std::path::{Path, PathBuf};

use flate2::{Compression, GzBuilder};
use mbspike_data::catalog::DatasetName;
use mbspike_data::idx::{IdxImages, images_to_bytes, labels_to_bytes};
use mbspike_data::{DatasetConfig, ImageSet, SampleSet};

fn main() -> Result<(), Box<dyn Error>> {
    let [_, folder, out] = <[String; 3]>::try_from(std::env::args().collect::<Vec<_>>())
        .map_err(|_| "usage: make_embedded_subset FOLDER OUT")?;
    let dataset = mbspike_data::load(&DatasetConfig {
        path: Some(PathBuf::from(folder)),
        train_size: Some(6_000),
        test_size: Some(1_000),
        ..DatasetConfig::new(DatasetName::FashionMnist)
    })?;
    let out = PathBuf::from(out);
    for (set, prefix) in [(&dataset.train, "train"), (&dataset.test, "t10k")] {
        let SampleSet::Images(set) = set else { return Err("not images".into()) };
        write(&out, prefix, set)?;
    }
    Ok(())
}

fn write(out: &Path, prefix: &str, set: &ImageSet) -> Result<(), Box<dyn Error>> {
    let [_, height, width] = set.shape;
    let images = IdxImages { n_images: set.len(), height, width, pixels: set.images.clone() };
    compress(&out.join(format!("{prefix}-images-idx3-ubyte.gz")), &images_to_bytes(&images))?;
    compress(&out.join(format!("{prefix}-labels-idx1-ubyte.gz")), &labels_to_bytes(&set.labels))
}

/// Writes without name and time, so that the file depends on its content only.
fn compress(file: &Path, content: &[u8]) -> Result<(), Box<dyn Error>> {
    let file = std::io::BufWriter::new(fs_err::File::create(file)?);
    let mut encoder = GzBuilder::new().mtime(0).write(file, Compression::best());
    encoder.write_all(content)?;
    encoder.finish()?.flush()?;
    Ok(())
}

//! Any files in the [idx](crate::idx) format: EMNIST, KMNIST, and whatever else is written like MNIST.

use std::path::{Path, PathBuf};

use super::labelled::{Labelled, Samples};
use super::split::Parts;
use crate::idx::{read_images, read_labels};
use crate::{DatasetConfig, Error, Result};

/// The names of MNIST's files, which many data sets keep: training images and labels, test images and
/// labels.
const NAMES: [&str; 4] = [
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
];

pub(super) fn load(path: &Path, config: &DatasetConfig) -> Result<Parts> {
    let find = |key: &str, given: Option<&String>, name: &str| {
        let name = given.map_or(name, String::as_str);
        find_file(path, name).ok_or_else(|| {
            let message = format!("there is no {name} (or {name}.gz) in {}", path.display());
            Error::config(&format!("dataset.{key}"), message)
        })
    };
    let images = find("samples", config.samples.as_ref(), NAMES[0])?;
    let labels = find("labels", config.labels.as_ref(), NAMES[1])?;
    let train = read(&images, &labels, config)?;
    if config.is_divided() {
        return Ok(Parts { train, test: None });
    }
    if config.test_path.is_some() {
        let message =
            "is of no use to \"idx\": its files are named by test_samples and test_labels";
        return Err(Error::config("dataset.test_path", message));
    }
    let images = find("test_samples", config.test_samples.as_ref(), NAMES[2])?;
    let labels = find("test_labels", config.test_labels.as_ref(), NAMES[3])?;
    Ok(Parts { train, test: Some((read(&images, &labels, config)?, images)) })
}

fn find_file(folder: &Path, name: &str) -> Option<PathBuf> {
    [folder.join(name), folder.join(format!("{name}.gz"))].into_iter().find(|file| file.is_file())
}

fn read(images: &Path, labels: &Path, config: &DatasetConfig) -> Result<Labelled> {
    let numbers = read_labels(labels, 1 << 8)?;
    let found = read_images(images)?;
    if found.n_images != numbers.len() {
        let message = format!("{} images, {} labels", found.n_images, numbers.len());
        return Err(Error::Mismatch { files: [images.to_owned(), labels.to_owned()], message });
    }
    let (mut pixels, mut shape) = (found.pixels, [1, found.height, found.width]);
    if config.transpose == Some(true) {
        let [_, height, width] = shape;
        for image in pixels.chunks_exact_mut(height * width) {
            let rows = image.to_vec();
            for (i, pixel) in image.iter_mut().enumerate() {
                *pixel = rows[i % height * width + i / height];
            }
        }
        shape = [1, width, height];
    }
    let first = config.first_label.unwrap_or(0);
    let mut names = Vec::with_capacity(numbers.len());
    for (i, number) in numbers.iter().enumerate() {
        let class = i64::from(*number) - first;
        if class < 0 {
            // The labels follow a header of 8 bytes.
            return Err(Error::Format {
                file: labels.to_owned(),
                offset: 8 + i as u64,
                expected: format!("labels from first_label = {first} on"),
                found: number.to_string(),
            });
        }
        names.push(class.to_string());
    }
    let places = (0..names.len()).map(|i| format!("image {i} of {}", images.display())).collect();
    Ok(Labelled { samples: Samples::Images { shape, pixels }, labels: names, places })
}

//! MNIST (LeCun et al. 1998) and Fashion-MNIST (Xiao, Rasul, Vollgraf 2017, MIT licence): 60,000 +
//! 10,000 grey images of 28×28 pixels in ten classes, as four [idx](crate::idx) files.

use std::path::{Path, PathBuf};

use crate::catalog::{DatasetInfo, DatasetName};
use crate::idx::{IdxImages, parse_images, parse_labels, read_images_up_to, read_labels};
use crate::locate::find_files;
use crate::{Dataset, Error, ImageSet, Result, SampleSet, Split};

/// The embedded files, written by `examples/make_embedded_subset.rs` from the full dataset.
const EMBEDDED: [(&str, &[u8]); 4] = [
    (
        "embedded train-images-idx3-ubyte.gz",
        include_bytes!("../data/fashion-mnist-subset/train-images-idx3-ubyte.gz"),
    ),
    (
        "embedded train-labels-idx1-ubyte.gz",
        include_bytes!("../data/fashion-mnist-subset/train-labels-idx1-ubyte.gz"),
    ),
    (
        "embedded t10k-images-idx3-ubyte.gz",
        include_bytes!("../data/fashion-mnist-subset/t10k-images-idx3-ubyte.gz"),
    ),
    (
        "embedded t10k-labels-idx1-ubyte.gz",
        include_bytes!("../data/fashion-mnist-subset/t10k-labels-idx1-ubyte.gz"),
    ),
];

/// Loads MNIST or Fashion-MNIST from `path` or from where it is found.
pub(crate) fn load(name: DatasetName, path: Option<&Path>) -> Result<Dataset> {
    let info = name.info();
    let names: Vec<_> = info.files.iter().map(|file| file.name).collect();
    let (folder, files) = find_files(name, path, &names)?;
    let read = |split, images: &PathBuf, labels: &PathBuf| {
        let files = [images.clone(), labels.clone()];
        let labels = read_labels(labels, info.class_names.len()).map_err(|error| match error {
            Error::Format { file, offset, expected, found } if expected.starts_with("a label") => {
                let expected = format!(
                    "{expected}, as {name} has them (files of other classes, such as EMNIST's, are read by \
                     dataset.name = \"idx\")"
                );
                Error::Format { file, offset, expected, found }
            }
            other => other,
        })?;
        // One more, so that too many are counted.
        let [_, height, width] = info.shape;
        let images = read_images_up_to(images, labels.len() + 1, [height, width])?;
        image_set(info, split, images, labels, files)
    };
    Ok(Dataset {
        name: name.to_string(),
        train: read(Split::Train, &files[0], &files[1])?,
        test: read(Split::Test, &files[2], &files[3])?,
        class_names: info.class_names.iter().map(|&name| name.to_owned()).collect(),
        source: folder.display().to_string(),
        simulated: false,
    })
}

/// Loads the part of Fashion-MNIST that is embedded in the program.
pub(crate) fn load_embedded() -> Result<Dataset> {
    let name = DatasetName::FashionMnistSubset;
    let info = name.info();
    let read =
        |split, (images, image_bytes): (&str, &[u8]), (labels, label_bytes): (&str, &[u8])| {
            parse_set(info, split, [image_bytes, label_bytes], [images, labels].map(PathBuf::from))
        };
    Ok(Dataset {
        name: name.to_string(),
        train: read(Split::Train, EMBEDDED[0], EMBEDDED[1])?,
        test: read(Split::Test, EMBEDDED[2], EMBEDDED[3])?,
        class_names: info.class_names.iter().map(|&name| name.to_owned()).collect(),
        source: "embedded subset".to_owned(),
        simulated: false,
    })
}

/// Reads a set from the contents of an image and a label file; `files` are their names in errors.
pub(crate) fn parse_set(
    info: &DatasetInfo,
    split: Split,
    [images, labels]: [&[u8]; 2],
    files: [PathBuf; 2],
) -> Result<SampleSet> {
    let labels = parse_labels(labels, &files[1], info.class_names.len())?;
    image_set(info, split, parse_images(images, &files[0])?, labels, files)
}

fn image_set(
    info: &DatasetInfo,
    split: Split,
    images: IdxImages,
    labels: Vec<u8>,
    files: [PathBuf; 2],
) -> Result<SampleSet> {
    let shape = [1, images.height, images.width];
    if shape != info.shape {
        return Err(Error::Format {
            file: files[0].clone(),
            offset: 8,
            expected: format!("images of {}x{}", info.shape[1], info.shape[2]),
            found: format!("{}x{}", shape[1], shape[2]),
        });
    }
    if images.n_images != labels.len() {
        let message = format!("{} images, {} labels", images.n_images, labels.len());
        return Err(Error::Mismatch { files, message });
    }
    if labels.is_empty() {
        let [file, _] = files;
        let (expected, found) = ("at least one image".to_owned(), "none".to_owned());
        return Err(Error::Format { file, offset: 4, expected, found });
    }
    Ok(SampleSet::Images(ImageSet { images: images.pixels, labels, shape, split }.into()))
}

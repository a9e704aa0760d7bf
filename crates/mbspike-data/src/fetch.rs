//! Downloads of datasets. They need the feature `hub`.

use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::catalog::DatasetName;
use crate::{Error, Result};

/// What [`fetch`] did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Fetched {
    /// The dataset.
    pub name: DatasetName,
    /// The folder that now holds it.
    pub folder: PathBuf,
}

/// Downloads a dataset into `folder`, which is made if it is not there, in its published format.
///
/// The images come from the Hugging Face Hub through candle-datasets; the files written are
/// compared with the published checksums of their content.
pub fn fetch(name: DatasetName, folder: &Path) -> Result<Fetched> {
    if name.info().files.is_empty() {
        return Err(refusal(name, "it is part of this program and needs no download"));
    }
    download(name, folder)?;
    Ok(Fetched { name, folder: folder.to_owned() })
}

fn refusal(name: DatasetName, message: impl Into<String>) -> Error {
    Error::Download { dataset: name.to_string(), message: message.into() }
}

#[cfg(not(feature = "hub"))]
fn download(name: DatasetName, folder: &Path) -> Result<()> {
    let how = name.info().how_to_get;
    let files: Vec<_> = name.info().files.iter().map(|file| file.name).collect();
    Err(refusal(
        name,
        format!(
            "this program was built without the feature \"hub\"; to use it from {}: {how} ({})",
            folder.display(),
            files.join(", ")
        ),
    ))
}

#[cfg(feature = "hub")]
fn download(name: DatasetName, folder: &Path) -> Result<()> {
    use candle_core::{DType, Tensor};
    use candle_datasets::vision;

    use crate::idx::{IdxImages, images_to_bytes, labels_to_bytes};
    use crate::verify::{Verdict, verify};

    let loaded = match name {
        DatasetName::Mnist => vision::mnist::load(),
        DatasetName::FashionMnist => vision::fashion_mnist::load(),
        _ => {
            let how = name.info().how_to_get;
            return Err(refusal(
                name,
                format!("it is not on the hub in its published form; {how}"),
            ));
        }
    };
    let how = name.info().how_to_get;
    let set = loaded.map_err(|error| refusal(name, format!("{error}; by hand: {how}")))?;
    // candle gives intensities 0..=1 in f32; the pixel is the integer nearest to 255 times that.
    let bytes = |tensor: &Tensor, scale: f64| {
        ((tensor.to_dtype(DType::F32)? * scale)? + 0.5)?
            .to_dtype(DType::U8)?
            .flatten_all()?
            .to_vec1()
    };
    let [_, height, width] = name.info().shape;
    fs_err::create_dir_all(folder)?;
    for (prefix, images, labels) in [
        ("train", &set.train_images, &set.train_labels),
        ("t10k", &set.test_images, &set.test_labels),
    ] {
        let (pixels, labels): (Vec<u8>, Vec<u8>) = (bytes(images, 255.0)?, bytes(labels, 1.0)?);
        let images = IdxImages { n_images: labels.len(), height, width, pixels };
        for (kind, content) in
            [("images-idx3", images_to_bytes(&images)), ("labels-idx1", labels_to_bytes(&labels))]
        {
            let file = folder.join(format!("{prefix}-{kind}-ubyte"));
            let partial = folder.join(format!("{prefix}-{kind}-ubyte.part"));
            fs_err::write(&partial, content)?;
            fs_err::rename(&partial, &file)?;
        }
    }
    let checks = verify(name, Some(folder))?;
    match checks.iter().find(|check| check.verdict == Verdict::Different) {
        None => Ok(()),
        Some(check) => Err(refusal(
            name,
            format!("{} is not the published content (MD5 {})", check.file.display(), check.md5),
        )),
    }
}

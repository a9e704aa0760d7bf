//! One folder a class, with pictures in it: PNG, JPEG or PNM (PBM, PGM, PPM).

use std::path::{Path, PathBuf};

use image::imageops::FilterType;
use image::{DynamicImage, ImageReader, Limits};
use rayon::prelude::*;

use super::folders::{folders_in, two_folders};
use super::labelled::{Labelled, Samples};
use super::split::Parts;
use crate::{DatasetConfig, Error, Result};

/// Endings of pictures.
const ENDINGS: [&str; 7] = ["png", "jpg", "jpeg", "pgm", "ppm", "pbm", "pnm"];
/// The largest side of a picture, and the most memory for decoding one.
const MAX_SIDE: u32 = 1 << 14;
const MAX_DECODED_BYTES: u64 = 1 << 30;

pub(super) fn load(path: &Path, config: &DatasetConfig) -> Result<Parts> {
    let (train, test) = two_folders(path, config)?;
    let read = |folder: &Path| read_folder(folder, config);
    let test = match test {
        Some(folder) => Some((read(&folder)?, folder)),
        None => None,
    };
    Ok(Parts { train: read(&train)?, test })
}

fn read_folder(folder: &Path, config: &DatasetConfig) -> Result<Labelled> {
    let (mut files, mut labels): (Vec<PathBuf>, Vec<String>) = (Vec::new(), Vec::new());
    for class in folders_in(folder)? {
        let mut entries: Vec<_> =
            fs_err::read_dir(folder.join(&class))?.collect::<std::io::Result<_>>()?;
        entries.sort_by_key(fs_err::DirEntry::file_name);
        for entry in entries {
            let file = entry.path();
            let ending = file.extension().unwrap_or_default().to_string_lossy().to_lowercase();
            if ENDINGS.contains(&ending.as_str()) && file.is_file() {
                files.push(file);
                labels.push(class.clone());
            }
        }
    }
    if files.is_empty() {
        let message = format!(
            "{} has no folders with pictures in them (.{}), one a class",
            folder.display(),
            ENDINGS.join(", .")
        );
        return Err(Error::config("dataset.path", message));
    }
    let is_grey = config.grey == Some(true);
    let images: Vec<([usize; 2], Vec<u8>)> =
        files.par_iter().map(|file| decode(file, is_grey, config.size)).collect::<Result<_>>()?;
    let (size, _) = images[0];
    if let Some(other) = images.iter().position(|(other, _)| *other != size) {
        let of = |i: usize| {
            let [height, width] = images[i].0;
            format!("{} has {height}x{width}", files[i].display())
        };
        let message = format!("is missing: the pictures differ in size, {}, {}", of(0), of(other));
        return Err(Error::config("dataset.size", message));
    }
    let shape = [if is_grey { 1 } else { 3 }, size[0], size[1]];
    let pixels = images.into_iter().flat_map(|(_, pixels)| pixels).collect();
    let places = files.iter().map(|file| file.display().to_string()).collect();
    Ok(Labelled { samples: Samples::Images { shape, pixels }, labels, places })
}

/// Height and width of a picture, and its pixels `[C, H, W]`.
fn decode(file: &Path, is_grey: bool, size: Option<[usize; 2]>) -> Result<([usize; 2], Vec<u8>)> {
    let damaged = |error: &dyn std::fmt::Display| Error::Format {
        file: file.to_owned(),
        offset: 0,
        expected: "a whole PNG, JPEG or PNM picture".to_owned(),
        found: error.to_string(),
    };
    let input = std::io::BufReader::new(fs_err::File::open(file)?);
    // By what is in it: names lie more often.
    let mut reader = ImageReader::new(input).with_guessed_format()?;
    let mut limits = Limits::no_limits();
    limits.max_image_width = Some(MAX_SIDE);
    limits.max_image_height = Some(MAX_SIDE);
    limits.max_alloc = Some(MAX_DECODED_BYTES);
    reader.limits(limits);
    let mut picture: DynamicImage = reader.decode().map_err(|error| damaged(&error))?;
    if let Some([height, width]) = size
        && [picture.height() as usize, picture.width() as usize] != [height, width]
    {
        picture = picture.resize_exact(width as u32, height as u32, FilterType::Triangle);
    }
    let size = [picture.height() as usize, picture.width() as usize];
    if is_grey {
        return Ok((size, picture.into_luma8().into_raw()));
    }
    let colours = picture.into_rgb8().into_raw();
    let plane = |channel: usize| colours.iter().skip(channel).step_by(3);
    Ok((size, (0..3).flat_map(plane).copied().collect()))
}

//! What is in a dataset: sizes, class counts, statistics and a picture of samples.

use serde::Serialize;

use crate::{Dataset, Result, SampleSet};

/// What [`inspect`] finds.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Inspection {
    /// The dataset's name.
    pub name: String,
    /// Where it came from.
    pub source: String,
    /// Whether the recordings are simulated.
    pub simulated: bool,
    /// Names of the classes, in the order of the labels.
    pub class_names: Vec<String>,
    /// The training set.
    pub train: SetInspection,
    /// The test set.
    pub test: SetInspection,
}

/// What [`inspect`] finds in one set.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SetInspection {
    /// Number of samples.
    pub n_samples: usize,
    /// Channels, height and width of a sample.
    pub shape: [usize; 3],
    /// Samples of each class.
    pub class_counts: Vec<usize>,
    /// Mean intensity (0 to 1) of each channel.
    pub mean: Vec<f64>,
    /// Standard deviation of the intensities of each channel.
    pub std: Vec<f64>,
    /// Share of the values that are not 0.
    pub nonzero_share: f64,
}

/// Counts and statistics of a dataset.
pub fn inspect(dataset: &Dataset) -> Inspection {
    Inspection {
        name: dataset.name.clone(),
        source: dataset.source.clone(),
        simulated: dataset.simulated,
        class_names: dataset.class_names.clone(),
        train: inspect_set(&dataset.train, dataset.n_classes()),
        test: inspect_set(&dataset.test, dataset.n_classes()),
    }
}

fn inspect_set(set: &SampleSet, n_classes: usize) -> SetInspection {
    let mut class_counts = vec![0; n_classes];
    for &label in set.labels() {
        class_counts[usize::from(label)] += 1;
    }
    let shape @ [n_channels, height, width] = set.shape();
    let SampleSet::Images(images) = set;
    let mut counts = vec![[0_u64; 256]; n_channels];
    for (plane, pixels) in images.images.chunks_exact(height * width).enumerate() {
        for &pixel in pixels {
            counts[plane % n_channels][usize::from(pixel)] += 1;
        }
    }
    let n = (set.len() * height * width) as f64;
    let moment = |counts: &[u64; 256], power: i32| {
        let terms = counts.iter().enumerate();
        terms.map(|(v, &count)| count as f64 * (v as f64 / 255.0).powi(power)).sum::<f64>() / n
    };
    let mean: Vec<f64> = counts.iter().map(|counts| moment(counts, 1)).collect();
    let deviation = |(counts, mean): (&[u64; 256], &f64)| (moment(counts, 2) - mean * mean).sqrt();
    let std = counts.iter().zip(&mean).map(deviation).collect();
    let n_zero: u64 = counts.iter().map(|counts| counts[0]).sum();
    let nonzero_share = 1.0 - n_zero as f64 / (n * n_channels as f64);
    SetInspection { n_samples: set.len(), shape, class_counts, mean, std, nonzero_share }
}

/// Space between the samples of a sheet, in pixels.
const GAP: usize = 2;
/// Grey of the space.
const BACKGROUND: u8 = 96;

/// A sheet of samples as a PNG picture: one row per class in the order of the labels, with the
/// first `n_columns` samples of the class, each pixel `scale` pixels wide.
pub fn contact_sheet(set: &SampleSet, n_columns: usize, scale: usize) -> Result<Vec<u8>> {
    let SampleSet::Images(images) = set;
    let [n_channels, height, width] = set.shape();
    let n_rows = set.labels().iter().max().map_or(0, |&label| usize::from(label) + 1);
    let scale = scale.max(1);
    let cell = [height * scale + GAP, width * scale + GAP];
    let mut picture = Picture::new([n_rows * cell[0] + GAP, n_columns * cell[1] + GAP]);
    let mut filled = vec![0; n_rows];
    for (i, &label) in set.labels().iter().enumerate() {
        let row = usize::from(label);
        if filled[row] == n_columns {
            continue;
        }
        let corner = [GAP + row * cell[0], GAP + filled[row] * cell[1]];
        filled[row] += 1;
        let image = images.image(i);
        let plane = height * width;
        picture.paint(corner, [height, width], scale, |y, x| {
            // Grey images have one channel, colour images three.
            [0, 1, 2].map(|channel| image[channel % n_channels * plane + y * width + x])
        });
    }
    picture.to_png()
}

/// An RGB picture.
pub(crate) struct Picture {
    pixels: Vec<u8>,
    size: [usize; 2],
}

impl Picture {
    /// A grey picture of height and width `size`.
    pub(crate) fn new(size @ [height, width]: [usize; 2]) -> Self {
        Self { pixels: vec![BACKGROUND; height * width * 3], size }
    }

    /// Paints an image of height and width `size` with its upper left corner at `corner`.
    pub(crate) fn paint(
        &mut self,
        [top, left]: [usize; 2],
        [height, width]: [usize; 2],
        scale: usize,
        colour: impl Fn(usize, usize) -> [u8; 3],
    ) {
        for y in 0..height * scale {
            for x in 0..width * scale {
                let at = ((top + y) * self.size[1] + left + x) * 3;
                self.pixels[at..at + 3].copy_from_slice(&colour(y / scale, x / scale));
            }
        }
    }

    /// The picture as a PNG file.
    pub(crate) fn to_png(&self) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        let [height, width] = self.size.map(|size| size as u32);
        let mut encoder = png::Encoder::new(&mut bytes, width, height);
        encoder.set_color(png::ColorType::Rgb);
        encoder.set_depth(png::BitDepth::Eight);
        encoder.write_header()?.write_image_data(&self.pixels)?;
        Ok(bytes)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::{ImageSet, Split};

    fn set() -> SampleSet {
        let images = vec![0, 0, 0, 0, 255, 255, 255, 255, 0, 255, 0, 255];
        let (labels, shape) = (vec![1, 0, 1], [1, 2, 2]);
        SampleSet::Images(Arc::new(ImageSet { images, labels, shape, split: Split::Train }))
    }

    #[test]
    fn statistics_are_those_of_the_intensities() {
        let found = inspect_set(&set(), 3);
        assert_eq!(found.class_counts, [1, 2, 0]);
        assert_eq!(found.mean, [0.5]);
        assert_eq!(found.std, [0.5]);
        assert_eq!(found.nonzero_share, 0.5);
    }

    #[test]
    fn sheet_has_a_row_per_class_and_can_be_read_back() {
        let bytes = contact_sheet(&set(), 2, 1).unwrap();
        let mut reader = png::Decoder::new(std::io::Cursor::new(bytes)).read_info().unwrap();
        let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
        let info = reader.next_frame(&mut pixels).unwrap();
        assert_eq!((info.width, info.height), (10, 10));
        let grey = |y: usize, x: usize| pixels[(y * 10 + x) * 3];
        assert_eq!([grey(2, 2), grey(2, 6)], [255, BACKGROUND]); // one sample of class 0
        assert_eq!([grey(6, 2), grey(6, 6), grey(6, 7)], [0, 0, 255]); // two of class 1
    }
}

use std::path::Path;
use std::sync::Arc;

use crate::{ArraySet, Error, EventSet, ImageSet, Recording, Result, SampleSet, Split};

/// Samples of one kind, with what messages call them and the names of their classes.
#[derive(Debug, Clone)]
pub(crate) struct Labelled {
    pub(crate) samples: Samples,
    /// The class of each sample, by name.
    pub(crate) labels: Vec<String>,
    /// Where each sample is, for messages.
    pub(crate) places: Vec<String>,
}

/// What the samples are.
#[derive(Debug, Clone)]
pub(crate) enum Samples {
    /// `[N, C, H, W]`, 0 to 255.
    Images { shape: [usize; 3], pixels: Vec<u8> },
    /// `[N, T, C, H, W]`, with the number of steps that are not padding.
    Arrays { shape: [usize; 3], n_steps: usize, values: Vec<f32>, lengths: Vec<usize> },
    /// Recordings of two polarities or, of spikes of lines, one.
    Events { sensor: [usize; 2], n_polarities: usize, recordings: Vec<Recording> },
}

impl Labelled {
    pub(crate) fn len(&self) -> usize {
        self.labels.len()
    }

    /// What decides whether two samples are one; `None` for samples without content, which are equal
    /// by nature.
    pub(crate) fn content(&self, index: usize) -> Result<Option<u128>> {
        use md5::{Digest, Md5};
        let digest = |bytes: &[u8]| u128::from_le_bytes(Md5::digest(bytes).into());
        Ok(match &self.samples {
            Samples::Images { shape, pixels } => {
                let n: usize = shape.iter().product();
                let image = &pixels[index * n..][..n];
                let is_blank = image.iter().all(|pixel| *pixel == image[0]);
                (!is_blank).then(|| digest(image))
            }
            Samples::Arrays { shape, n_steps, values, .. } => {
                let n = shape.iter().product::<usize>() * n_steps;
                let sample = &values[index * n..][..n];
                let is_blank = sample.iter().all(|value| *value == sample[0]);
                let bytes: Vec<u8> = sample.iter().flat_map(|value| value.to_le_bytes()).collect();
                (!is_blank).then(|| digest(&bytes))
            }
            Samples::Events { sensor, recordings, .. } => {
                let events = recordings[index].read(*sensor)?;
                let mut bytes = Vec::with_capacity(events.len() * 13);
                let first = events.t_us.first().copied().unwrap_or(0);
                for i in 0..events.len() {
                    bytes.extend((events.t_us[i] - first).to_le_bytes());
                    bytes.extend(events.x[i].to_le_bytes());
                    bytes.extend(events.y[i].to_le_bytes());
                    bytes.push(events.on[i].into());
                }
                (!events.is_empty()).then(|| digest(&bytes))
            }
        })
    }

    /// The samples of `chosen`, with their labels as numbers.
    pub(crate) fn select(&self, chosen: &[usize], labels: &[u8], split: Split) -> SampleSet {
        let labels = chosen.iter().map(|&i| labels[i]).collect();
        match &self.samples {
            Samples::Images { shape, pixels } => {
                let n: usize = shape.iter().product();
                let images = chosen.iter().flat_map(|&i| &pixels[i * n..][..n]).copied().collect();
                SampleSet::Images(Arc::new(ImageSet { images, labels, shape: *shape, split }))
            }
            Samples::Arrays { shape, n_steps, values, lengths } => {
                let n = shape.iter().product::<usize>() * n_steps;
                SampleSet::Arrays(Arc::new(ArraySet {
                    values: chosen.iter().flat_map(|&i| &values[i * n..][..n]).copied().collect(),
                    lengths: chosen.iter().map(|&i| lengths[i]).collect(),
                    labels,
                    shape: *shape,
                    n_steps: *n_steps,
                    split,
                }))
            }
            Samples::Events { sensor, n_polarities, recordings } => {
                SampleSet::Events(Arc::new(EventSet {
                    recordings: chosen.iter().map(|&i| recordings[i].clone()).collect(),
                    labels,
                    sensor: *sensor,
                    n_polarities: *n_polarities,
                    split,
                }))
            }
        }
    }

    /// Refuses samples of another kind or size than `other`'s, which are of the same data.
    pub(crate) fn check_like(&self, other: &Self, files: [&Path; 2]) -> Result<()> {
        let described = |samples: &Samples| match samples {
            Samples::Images { shape, .. } => format!("images of {shape:?}"),
            Samples::Arrays { shape, n_steps, .. } => format!("{n_steps} steps of {shape:?}"),
            Samples::Events { sensor, n_polarities, .. } => {
                format!("recordings of {n_polarities} polarities of a sensor of {sensor:?}")
            }
        };
        let (a, b) = (described(&self.samples), described(&other.samples));
        if a == b {
            return Ok(());
        }
        let files = files.map(Path::to_path_buf);
        Err(Error::Mismatch { files, message: format!("{a}, {b}") })
    }
}

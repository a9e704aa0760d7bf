use std::sync::Arc;

use crate::EventSet;
use crate::split::{Split, class_balanced_prefix};

/// A dataset in memory, or within reach: a training and a test set.
#[derive(Debug, Clone)]
pub struct Dataset {
    /// Its name, as in configs.
    pub name: String,
    /// Samples to train on.
    pub train: SampleSet,
    /// Samples to test on.
    pub test: SampleSet,
    /// Names of the classes, in the order of the labels.
    pub class_names: Vec<String>,
    /// Where the data came from: a folder, "embedded subset", …
    pub source: String,
    /// Whether the samples are simulated or synthetic, not measured.
    pub simulated: bool,
}

impl Dataset {
    /// Number of classes.
    pub fn n_classes(&self) -> usize {
        self.class_names.len()
    }
}

/// Labelled samples of one kind; a clone shares them.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum SampleSet {
    /// Still images.
    Images(Arc<ImageSet>),
    /// Recordings of an event camera.
    Events(Arc<EventSet>),
    /// Arrays of numbers: sequences, or still images whose intensities are no bytes.
    Arrays(Arc<ArraySet>),
}

/// What the samples of a set are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SampleKind {
    /// Still images, with intensities in `[0, 1]`.
    Images,
    /// Recordings of an event camera.
    Events,
    /// Sequences of so many steps of any numbers; one step: still images.
    Sequences {
        /// T.
        n_steps: usize,
    },
}

impl SampleSet {
    /// Number of samples.
    pub fn len(&self) -> usize {
        self.labels().len()
    }

    /// Whether there is no sample.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The class of each sample.
    pub fn labels(&self) -> &[u8] {
        match self {
            Self::Images(set) => &set.labels,
            Self::Events(set) => &set.labels,
            Self::Arrays(set) => &set.labels,
        }
    }

    /// What the samples are.
    pub fn kind(&self) -> SampleKind {
        match self {
            Self::Images(_) => SampleKind::Images,
            Self::Events(_) => SampleKind::Events,
            Self::Arrays(set) => SampleKind::Sequences { n_steps: set.n_steps },
        }
    }

    /// Channels, height and width of a sample: of an image, or of the sensor of an event camera with
    /// its polarities.
    pub fn shape(&self) -> [usize; 3] {
        match self {
            Self::Images(set) => set.shape,
            Self::Events(set) => [set.n_polarities, set.sensor[0], set.sensor[1]],
            Self::Arrays(set) => set.shape,
        }
    }

    /// Which half of its dataset this is.
    pub fn split(&self) -> Split {
        match self {
            Self::Images(set) => set.split,
            Self::Events(set) => set.split,
            Self::Arrays(set) => set.split,
        }
    }

    /// The set's class-balanced part of `n` samples (see [`class_balanced_prefix`]); all of it if
    /// `n` is not smaller.
    #[must_use]
    pub fn subset(&self, n: usize) -> Self {
        match self {
            Self::Images(set) => Self::Images(Arc::new(set.subset(n))),
            Self::Events(set) => Self::Events(Arc::new(set.subset(n))),
            Self::Arrays(set) => Self::Arrays(Arc::new(set.subset(n))),
        }
    }
}

/// Still images with labels.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageSet {
    /// `[N, C, H, W]`, 0 to 255.
    pub images: Vec<u8>,
    /// The class of each image, `[N]`.
    pub labels: Vec<u8>,
    /// Channels, height, width.
    pub shape: [usize; 3],
    /// Which half of its dataset this is.
    pub split: Split,
}

impl ImageSet {
    /// Number of images.
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// Whether there is no image.
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }

    /// The pixels of image `index`, `[C, H, W]`.
    pub fn image(&self, index: usize) -> &[u8] {
        let n: usize = self.shape.iter().product();
        &self.images[index * n..][..n]
    }

    /// Writes the intensities of image `index`, `[C, H, W]` in `[0, 1]`, into `out`.
    ///
    /// # Panics
    /// If there is no such image, or `out` has another size.
    pub fn intensities_into(&self, index: usize, out: &mut [f32]) {
        let pixels = self.image(index);
        assert_eq!(out.len(), pixels.len(), "room for one image");
        for (out, &pixel) in out.iter_mut().zip(pixels) {
            *out = f32::from(pixel) / 255.0;
        }
    }

    fn subset(&self, n: usize) -> Self {
        let chosen = class_balanced_prefix(&self.labels, n);
        Self {
            images: chosen.iter().flat_map(|&i| self.image(i)).copied().collect(),
            labels: chosen.iter().map(|&i| self.labels[i]).collect(),
            shape: self.shape,
            split: self.split,
        }
    }
}

/// Arrays of numbers with labels.
#[derive(Debug, Clone, PartialEq)]
pub struct ArraySet {
    /// `[N, T, C, H, W]`.
    pub values: Vec<f32>,
    /// Steps of each sample that are not padding, `[N]`.
    pub lengths: Vec<usize>,
    /// The class of each sample, `[N]`.
    pub labels: Vec<u8>,
    /// Channels, height, width.
    pub shape: [usize; 3],
    /// T.
    pub n_steps: usize,
    /// Which half of its dataset this is.
    pub split: Split,
}

impl ArraySet {
    /// Number of samples.
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// Whether there is no sample.
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }

    /// The numbers of sample `index`, `[T, C, H, W]`.
    pub fn sample(&self, index: usize) -> &[f32] {
        let n = self.n_steps * self.shape.iter().product::<usize>();
        &self.values[index * n..][..n]
    }

    fn subset(&self, n: usize) -> Self {
        let chosen = class_balanced_prefix(&self.labels, n);
        Self {
            values: chosen.iter().flat_map(|&i| self.sample(i)).copied().collect(),
            lengths: chosen.iter().map(|&i| self.lengths[i]).collect(),
            labels: chosen.iter().map(|&i| self.labels[i]).collect(),
            ..*self
        }
    }
}

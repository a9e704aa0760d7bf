//! Batches, prepared ahead of training by a thread of their own.

use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use candle_core::{Device, Tensor};
use mbspike_core::InputCode;
use mbspike_core::philox::Place;
use rayon::ThreadPool;
use rayon::prelude::*;

use crate::encode::{EncodeKey, EncoderConfig};
use crate::event_transforms::EventTransforms;
use crate::frame_cache::FrameCache;
use crate::{AugmentConfig, Error, EventSet, Result, SampleSet, Split, shuffled};

/// How a [`Loader`] makes batches.
#[derive(Debug, Clone, PartialEq)]
pub struct LoaderConfig {
    /// From samples to sequences.
    pub encoder: EncoderConfig,
    /// Augmentations; none for evaluation.
    pub augment: AugmentConfig,
    /// Samples in a batch; the last batch of an epoch may have fewer.
    pub batch_size: usize,
    /// Number of classes of the targets.
    pub n_classes: usize,
    /// Keys order, augmentation and encoding.
    pub seed: u64,
    /// Whether the order is a new permutation in each epoch, or that of the set.
    pub shuffle: bool,
}

/// Samples, encoded, with their targets.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Batch {
    /// Input of the network, `[T, B, C, H, W]`.
    pub x_seq: Vec<f32>,
    /// Class probabilities, `[B, n_classes]`.
    pub targets: Vec<f32>,
    /// Labels before mixing and smoothing, `[B]`.
    pub labels: Vec<u8>,
    /// Index of each sample in its set, `[B]`.
    pub samples: Vec<u32>,
    /// T, B, C, H, W.
    pub dims: [usize; 5],
    /// What the numbers of `x_seq` are.
    pub code: InputCode,
    /// Position of the batch in its epoch.
    pub index: usize,
}

impl Batch {
    /// Number of samples.
    pub fn len(&self) -> usize {
        self.samples.len()
    }

    /// Whether there is no sample.
    pub fn is_empty(&self) -> bool {
        self.samples.is_empty()
    }

    /// The input `[T, B, C, H, W]` and the targets `[B, n_classes]` as tensors. On the CPU the
    /// buffers move into the tensors without a copy.
    pub fn into_tensors(self, device: &Device) -> Result<(Tensor, Tensor)> {
        let [t, b, c, h, w] = self.dims;
        let n_classes = self.targets.len() / b.max(1);
        let batch = self.index;
        let named = |source| Error::Tensor { batch, source: Box::new(source) };
        let x_seq = Tensor::from_vec(self.x_seq, (t, b, c, h, w), device).map_err(named)?;
        let targets = Tensor::from_vec(self.targets, (b, n_classes), device).map_err(named)?;
        Ok((x_seq, targets))
    }
}

/// Makes the batches of a set. Which samples a batch holds and every number in it depend only on
/// the configuration, the epoch and the batch's position, not on threads or on what came before.
#[derive(Debug, Clone)]
pub struct Loader {
    set: SampleSet,
    config: LoaderConfig,
    pool: Option<Arc<ThreadPool>>,
    frames: Option<Arc<FrameCache>>,
}

impl Loader {
    /// A loader of `set`.
    pub fn new(set: SampleSet, config: LoaderConfig) -> Result<Self> {
        config.encoder.fits(&set)?;
        config.augment.validate()?;
        if config.batch_size == 0 {
            return Err(Error::config("train.batch_size", "must be at least 1: 0"));
        }
        if let Some(&label) = set.labels().iter().find(|&&l| usize::from(l) >= config.n_classes) {
            let message =
                format!("the data have label {label}, the network {} classes", config.n_classes);
            return Err(Error::config("network", message));
        }
        let loader = Self { set, config, pool: None, frames: None };
        loader.check_sizes()?;
        Ok(loader)
    }

    /// Refuses batches whose sizes cannot even be multiplied.
    fn check_sizes(&self) -> Result<()> {
        let config = &self.config;
        let n_samples = config.batch_size.min(self.set.len());
        let mut sizes =
            [config.encoder.time_steps, n_samples].into_iter().chain(self.input_shape());
        let n = sizes.try_fold(size_of::<f32>(), usize::checked_mul);
        if n.is_some_and(|n| isize::try_from(n).is_ok()) {
            return Ok(());
        }
        let (t, [c, h, w]) = (config.encoder.time_steps, self.input_shape());
        let message =
            format!("a batch of {t}x{n_samples}x{c}x{h}x{w} numbers is beyond any memory");
        Err(Error::config("train.batch_size", message))
    }

    /// Prepares batches in `pool` instead of rayon's global one.
    #[must_use]
    pub fn with_pool(self, pool: Arc<ThreadPool>) -> Self {
        Self { pool: Some(pool), ..self }
    }

    /// Reads event frames from a cache in `folder`, which is built now if it is not there;
    /// `on_progress` then hears how many of how many recordings are done. Images have no cache, nor
    /// have event frames with transforms, which are new in each epoch.
    ///
    /// A program killed while it builds leaves no cache, and programs that build the same one at
    /// once do not disturb each other.
    pub fn with_frame_cache(
        self,
        folder: &Path,
        on_progress: &mut dyn FnMut(usize, usize),
    ) -> Result<Self> {
        match &self.set {
            SampleSet::Events(set) if self.transforms().is_none() => {
                let cache =
                    FrameCache::open_or_build(folder, set, &self.config.encoder, on_progress)?;
                Ok(Self { frames: Some(Arc::new(cache)), ..self })
            }
            _ => Ok(self),
        }
    }

    /// The transforms of the set's events; only training samples have any.
    fn transforms(&self) -> Option<&EventTransforms> {
        let is_train = self.set.split() == Split::Train;
        self.config.encoder.transforms.as_ref().filter(|_| is_train)
    }

    /// Channels, height and width of the network's input.
    pub fn input_shape(&self) -> [usize; 3] {
        self.config.encoder.output_shape(self.set.shape())
    }

    /// What the numbers of its batches are: those of the encoder, but where samples are mixed
    /// before they become currents or counts.
    pub fn code(&self) -> InputCode {
        let LoaderConfig { encoder, augment, .. } = &self.config;
        encoder.code_of_mixed(self.set.kind(), augment)
    }

    /// The set that is loaded.
    pub fn set(&self) -> &SampleSet {
        &self.set
    }

    /// How batches are made.
    pub fn config(&self) -> &LoaderConfig {
        &self.config
    }

    /// Number of batches in an epoch.
    pub fn n_batches(&self) -> usize {
        self.set.len().div_ceil(self.config.batch_size)
    }

    /// The order of samples in `epoch`.
    pub fn order(&self, epoch: u32) -> Vec<u32> {
        if self.config.shuffle {
            shuffled(self.set.len(), self.config.seed, epoch)
        } else {
            (0..self.set.len() as u32).collect()
        }
    }

    /// The batches of `epoch` from number `first` on, prepared by a thread that stays one batch
    /// ahead.
    pub fn epoch(&self, epoch: u32, first: usize) -> Batches {
        let (batches, receiver) = sync_channel(1);
        let (recycle, recycled) = channel();
        let loader = self.clone();
        let failed = batches.clone();
        let thread = std::thread::Builder::new()
            .name("loader".to_owned())
            .spawn(move || loader.run(epoch, first, &batches, &recycled));
        let thread = match thread {
            Ok(thread) => Some(thread),
            Err(error) => {
                let message = format!("cannot start the thread that prepares batches: {error}");
                // There is room for one, and the receiver is here.
                let _ = failed.send(Err(Error::Loader(message)));
                None
            }
        };
        Batches { receiver: Some(receiver), recycle, thread, waited: Duration::ZERO }
    }

    fn run(
        &self,
        epoch: u32,
        first: usize,
        batches: &SyncSender<Result<Batch>>,
        recycled: &Receiver<Batch>,
    ) {
        let order = self.order(epoch);
        let mut values = Vec::new();
        for (index, samples) in order.chunks(self.config.batch_size).enumerate().skip(first) {
            let mut batch = recycled.try_recv().unwrap_or_default();
            let mut prepare = || self.prepare(&mut batch, &mut values, epoch, index, samples);
            let result = match &self.pool {
                Some(pool) => pool.install(prepare),
                None => prepare(),
            };
            let is_last = result.is_err();
            // The other end is gone when training stopped; then so does this thread.
            if batches.send(result.map(|()| batch)).is_err() || is_last {
                return;
            }
        }
    }

    /// Makes batch `index` of `epoch` from `samples`, reusing the buffers of `batch`.
    fn prepare(
        &self,
        batch: &mut Batch,
        values: &mut Vec<f32>,
        epoch: u32,
        index: usize,
        samples: &[u32],
    ) -> Result<()> {
        let LoaderConfig { encoder, augment, n_classes, seed, .. } = &self.config;
        let shape @ [_, height, width] = encoder.values_shape(self.set.shape());
        let n: usize = shape.iter().product();
        let input @ [channels, ..] = self.input_shape();
        let n_input: usize = input.iter().product();
        let (batch_size, split) = (samples.len(), self.set.split());

        let (planes, min_len) = match &self.set {
            SampleSet::Images(_) => (n, 16),
            SampleSet::Arrays(set) => (set.n_steps * n, 16),
            SampleSet::Events(_) => (encoder.time_steps * n, 1),
        };
        resize(values, batch_size * planes)?;
        let rows = values.par_chunks_exact_mut(planes).zip(samples).with_min_len(min_len);
        rows.try_for_each(|(out, &sample)| {
            let place = split.place(epoch, sample);
            match &self.set {
                SampleSet::Images(set) => set.intensities_into(sample as usize, out),
                SampleSet::Arrays(set) => out.copy_from_slice(set.sample(sample as usize)),
                SampleSet::Events(set) => self.frames_into(set, sample as usize, place, out)?,
            }
            augment.sample(out, [height, width], *seed, place);
            Ok::<_, Error>(())
        })?;

        batch.labels.clear();
        batch.labels.extend(samples.iter().map(|&sample| self.set.labels()[sample as usize]));
        batch.targets.resize(batch_size * n_classes, 0.0);
        augment.targets(&mut batch.targets, &batch.labels, *n_classes);
        let place = [epoch, index as u32];
        let size = [height, width];
        augment.mix(values, &mut batch.targets, size, batch_size, *seed, place)?;

        resize(&mut batch.x_seq, encoder.time_steps * batch_size * n_input)?;
        let key = EncodeKey { seed: *seed, epoch, split };
        encoder.encode_into(&mut batch.x_seq, values, shape, samples, key)?;
        batch.samples.clear();
        batch.samples.extend_from_slice(samples);
        batch.dims = [encoder.time_steps, batch_size, channels, height, width];
        batch.index = index;
        batch.code = self.code();
        Ok(())
    }

    /// Writes the frames `[T, 2, H, W]` of a recording into `out`.
    fn frames_into(
        &self,
        set: &EventSet,
        sample: usize,
        place: Place,
        out: &mut [f32],
    ) -> Result<()> {
        if let Some(cache) = &self.frames {
            return cache.read_into(sample, out);
        }
        let mut events = set.read(sample)?;
        if let Some(transforms) = self.transforms() {
            transforms.apply(&mut events, self.config.seed, place)?;
        }
        self.config.encoder.frames_into(&events, out)
    }
}

/// Gives `values` a length of `n`; memory that is not there is an error, not the end of the program.
fn resize(values: &mut Vec<f32>, n: usize) -> Result<()> {
    if values.try_reserve_exact(n.saturating_sub(values.len())).is_err() {
        let n_bytes = n * size_of::<f32>();
        let message = format!("the system has no {n_bytes} bytes of memory for a batch");
        return Err(Error::config("train.batch_size", message));
    }
    values.resize(n, 0.0);
    Ok(())
}

/// The batches of an epoch, in order. Dropping it stops the thread that prepares them.
#[derive(Debug)]
pub struct Batches {
    /// `None` only while being dropped.
    receiver: Option<Receiver<Result<Batch>>>,
    recycle: Sender<Batch>,
    thread: Option<JoinHandle<()>>,
    waited: Duration,
}

impl Batches {
    /// Time spent so far in waiting for batches that were not ready.
    pub fn waited(&self) -> Duration {
        self.waited
    }

    /// Gives the buffers of a batch back, so that a later one needs no memory of its own.
    pub fn recycle(&self, batch: Batch) {
        // The thread may have prepared its last batch; then the buffers are simply freed.
        let _ = self.recycle.send(batch);
    }
}

impl Iterator for Batches {
    type Item = Result<Batch>;

    fn next(&mut self) -> Option<Self::Item> {
        let start = Instant::now();
        let received = self.receiver.as_ref()?.recv();
        self.waited += start.elapsed();
        if let Ok(batch) = received {
            return Some(batch);
        }
        // The thread has ended: after its last batch, or by a panic, which is passed on as an error.
        let message = self.thread.take()?.join().err()?;
        let text = message.downcast_ref::<String>().cloned();
        let text = text.or_else(|| message.downcast_ref::<&str>().map(ToString::to_string));
        Some(Err(Error::Loader(text.unwrap_or_else(|| "for an unknown reason".to_owned()))))
    }
}

impl Drop for Batches {
    fn drop(&mut self) {
        // The thread ends when it finds no receiver; only then can it be waited for.
        self.receiver = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

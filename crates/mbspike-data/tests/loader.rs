//! What a training loop relies on: batches are complete, reproducible and independent of how they
//! were made.
#![allow(
    clippy::unwrap_used,
    clippy::naive_bytecount,
    reason = "tests may panic and need not be fast"
)]

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use mbspike_data::catalog::DatasetName;
use mbspike_data::{
    AugmentConfig, Batch, DatasetConfig, EncoderConfig, FrameSplit, ImageSet, InputCode, Loader,
    LoaderConfig, SampleSet, Split, load,
};

fn images(n: usize, split: Split) -> SampleSet {
    let shape = [2, 5, 7];
    let images = (0..n * 70).map(|i| (i * 37 % 251) as u8).collect();
    let labels = (0..n).map(|i| (i % 3) as u8).collect();
    SampleSet::Images(Arc::new(ImageSet { images, labels, shape, split }))
}

fn config(batch_size: usize) -> LoaderConfig {
    LoaderConfig {
        encoder: EncoderConfig::poisson(4),
        augment: AugmentConfig::default(),
        batch_size,
        n_classes: 3,
        seed: 9,
        shuffle: true,
    }
}

fn epoch(loader: &Loader, epoch: u32) -> Vec<Batch> {
    loader.epoch(epoch, 0).map(Result::unwrap).collect()
}

/// The spike train of each sample, `[T, C, H, W]`.
fn by_sample(batches: &[Batch]) -> HashMap<u32, Vec<f32>> {
    let mut trains: HashMap<u32, Vec<f32>> = HashMap::new();
    for batch in batches {
        let [t, b, c, h, w] = batch.dims;
        let n = c * h * w;
        for step in 0..t {
            for (i, &sample) in batch.samples.iter().enumerate() {
                let train = trains.entry(sample).or_default();
                train.extend_from_slice(&batch.x_seq[(step * b + i) * n..][..n]);
            }
        }
    }
    trains
}

#[test]
fn an_epoch_has_every_sample_once_with_its_label() {
    let set = images(23, Split::Train);
    let loader = Loader::new(set.clone(), config(5)).unwrap();
    let batches = epoch(&loader, 1);
    assert_eq!(batches.len(), loader.n_batches());
    assert_eq!(batches.iter().map(Batch::len).collect::<Vec<_>>(), [5, 5, 5, 5, 3]);
    assert_eq!(batches[4].dims, [4, 3, 2, 5, 7]);
    let mut seen: Vec<u32> = batches.iter().flat_map(|batch| batch.samples.clone()).collect();
    assert_eq!(seen, loader.order(1));
    for batch in &batches {
        for (i, &sample) in batch.samples.iter().enumerate() {
            assert_eq!(batch.labels[i], set.labels()[sample as usize]);
            assert_eq!(batch.targets[i * 3 + usize::from(batch.labels[i])], 1.0);
        }
    }
    seen.sort_unstable();
    assert_eq!(seen, (0..23).collect::<Vec<_>>());
}

#[test]
fn spikes_of_a_sample_do_not_depend_on_batch_size_order_or_threads() {
    let set = images(23, Split::Train);
    let want = by_sample(&epoch(&Loader::new(set.clone(), config(5)).unwrap(), 2));
    for batch_size in [1, 4, 23, 100] {
        let loader = Loader::new(set.clone(), config(batch_size)).unwrap();
        assert_eq!(by_sample(&epoch(&loader, 2)), want, "batch size {batch_size}");
    }
    let in_order = LoaderConfig { shuffle: false, ..config(5) };
    assert_eq!(by_sample(&epoch(&Loader::new(set.clone(), in_order).unwrap(), 2)), want);
    for n_threads in [1, 2, 5] {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(n_threads).build().unwrap();
        let loader = Loader::new(set.clone(), config(5)).unwrap().with_pool(Arc::new(pool));
        assert_eq!(by_sample(&epoch(&loader, 2)), want, "{n_threads} threads");
    }
    assert_ne!(by_sample(&epoch(&Loader::new(set, config(5)).unwrap(), 3)), want, "next epoch");
}

#[test]
fn train_and_test_samples_fire_independently() {
    let train = epoch(&Loader::new(images(5, Split::Train), config(5)).unwrap(), 0);
    let test = epoch(&Loader::new(images(5, Split::Test), config(5)).unwrap(), 0);
    assert_ne!(by_sample(&train), by_sample(&test));
}

#[test]
fn an_epoch_entered_in_the_middle_equals_the_rest_of_it() {
    let augment = AugmentConfig {
        random_crop: 1,
        horizontal_flip: 0.5,
        random_erasing: 0.5,
        mixup_alpha: 0.2,
        cutmix_alpha: 1.0,
        label_smoothing: 0.1,
    };
    let loader =
        Loader::new(images(23, Split::Train), LoaderConfig { augment, ..config(5) }).unwrap();
    let whole = epoch(&loader, 4);
    let rest: Vec<Batch> = loader.epoch(4, 3).map(Result::unwrap).collect();
    assert_eq!(rest, whole[3..]);
    for batch in &whole {
        for target in batch.targets.chunks(3) {
            assert!((target.iter().sum::<f32>() - 1.0).abs() < 1e-5);
        }
    }
}

#[test]
fn recycled_buffers_change_nothing() {
    let loader = Loader::new(images(23, Split::Train), config(5)).unwrap();
    let whole = epoch(&loader, 0);
    let mut batches = loader.epoch(0, 0);
    for want in &whole {
        let got = batches.next().unwrap().unwrap();
        assert_eq!(&got, want);
        batches.recycle(got);
    }
    assert!(batches.next().is_none());
}

#[test]
fn an_epoch_left_early_ends_its_thread() {
    let loader = Loader::new(images(500, Split::Train), config(2)).unwrap();
    let mut batches = loader.epoch(0, 0);
    batches.next().unwrap().unwrap();
    drop(batches); // waits for the thread; would hang if it went on or blocked
}

#[test]
fn waiting_for_the_loader_is_measured() {
    let loader = Loader::new(images(500, Split::Train), config(100)).unwrap();
    let mut batches = loader.epoch(0, 0);
    assert_eq!(batches.waited(), Duration::ZERO);
    batches.next().unwrap().unwrap();
    assert!(batches.waited() > Duration::ZERO);
}

#[test]
fn direct_encoding_repeats_normalized_pixels() {
    let set = images(3, Split::Train);
    let encoder = EncoderConfig {
        mean: Some(vec![0.5, 0.25]),
        std: Some(vec![2.0, 4.0]),
        ..EncoderConfig::direct(3)
    };
    let loader =
        Loader::new(set.clone(), LoaderConfig { encoder, shuffle: false, ..config(3) }).unwrap();
    let batch = &epoch(&loader, 0)[0];
    let SampleSet::Images(set) = set else { unreachable!("made of images") };
    for (i, x) in batch.x_seq.iter().enumerate() {
        let pixel = f32::from(set.images[i % set.images.len()]) / 255.0;
        let want = if i / 35 % 2 == 0 { (pixel - 0.5) / 2.0 } else { (pixel - 0.25) / 4.0 };
        assert_eq!(*x, want);
    }
}

#[test]
fn batches_become_tensors_of_the_same_values() {
    let loader = Loader::new(images(3, Split::Train), config(3)).unwrap();
    let batch = epoch(&loader, 0).remove(0);
    let (want_x, want_targets) = (batch.x_seq.clone(), batch.targets.clone());
    let (x_seq, targets) = batch.into_tensors(&candle_core::Device::Cpu).unwrap();
    assert_eq!(x_seq.dims(), [4, 3, 2, 5, 7]);
    assert_eq!(targets.dims(), [3, 3]);
    assert_eq!(x_seq.flatten_all().unwrap().to_vec1::<f32>().unwrap(), want_x);
    assert_eq!(targets.flatten_all().unwrap().to_vec1::<f32>().unwrap(), want_targets);
}

#[test]
fn settings_that_cannot_work_are_refused_with_their_key() {
    let refused = |change: &dyn Fn(&mut LoaderConfig)| {
        let mut config = config(5);
        change(&mut config);
        Loader::new(images(5, Split::Train), config).unwrap_err().to_string()
    };
    assert_eq!(refused(&|c| c.batch_size = 0), "train.batch_size: must be at least 1: 0");
    assert_eq!(refused(&|c| c.encoder.time_steps = 0), "encoder.time_steps: must be at least 1: 0");
    assert!(refused(&|c| c.n_classes = 2).starts_with("network: the data have label 2"));
    assert!(refused(&|c| c.encoder.mean = Some(vec![0.0; 2])).contains("encoder.kind"));
    assert!(refused(&|c| c.encoder = EncoderConfig { std: Some(vec![1.0]), ..EncoderConfig::direct(2) })
        .contains("2 channels"));
    assert!(refused(&|c| c.augment.mixup_alpha = -1.0).starts_with("augment.mixup_alpha"));
}

#[test]
fn embedded_subset_is_balanced_and_named() {
    let dataset = load(&DatasetConfig::new(DatasetName::FashionMnistSubset)).unwrap();
    assert_eq!((dataset.train.len(), dataset.test.len()), (6_000, 1_000));
    assert_eq!(dataset.source, "embedded subset");
    for (set, per_class) in [(&dataset.train, 600), (&dataset.test, 100)] {
        assert_eq!(set.shape(), [1, 28, 28]);
        for class in 0..10 {
            let n = set.labels().iter().filter(|&&label| label == class).count();
            assert_eq!(n, per_class, "class {class}");
        }
    }
    let SampleSet::Images(train) = &dataset.train else { unreachable!("images") };
    let mean = train.images.iter().map(|&p| f64::from(p)).sum::<f64>() / train.images.len() as f64;
    // The mean intensity of the whole training set is 0.2860.
    assert!((mean / 255.0 - 0.286).abs() < 0.005, "{mean}");
}

#[test]
fn batches_say_what_their_numbers_are() {
    let code = |encoder: EncoderConfig, augment: AugmentConfig| {
        let config = LoaderConfig { encoder, augment, ..config(3) };
        let loader = Loader::new(images(3, Split::Train), config).unwrap();
        let batch = epoch(&loader, 0).remove(0);
        assert_eq!(batch.code, loader.code());
        for value in batch.x_seq {
            match batch.code {
                InputCode::Binary => assert!(value == 0.0 || value == 1.0),
                InputCode::Levels { levels: 255 } => {
                    assert_eq!(batch.code.code_of(value).unwrap() as f32 / 255.0, value);
                }
                _ => {}
            }
        }
        batch.code
    };
    let (none, mixed) =
        (AugmentConfig::default(), AugmentConfig { mixup_alpha: 0.5, ..AugmentConfig::default() });
    assert_eq!(code(EncoderConfig::poisson(2), none), InputCode::Binary);
    assert_eq!(code(EncoderConfig::poisson(2), mixed), InputCode::Binary);
    assert_eq!(code(EncoderConfig::direct(2), none), InputCode::levels_of_bits(8));
    assert_eq!(code(EncoderConfig::direct(2), mixed), InputCode::Analog);
    let normalized = |mean, std| EncoderConfig {
        mean: Some(vec![mean; 2]),
        std: Some(vec![std; 2]),
        ..EncoderConfig::direct(2)
    };
    assert_eq!(code(normalized(0.5, 1.0), none), InputCode::Analog);
    assert_eq!(code(normalized(0.0, 1.0), none), InputCode::levels_of_bits(8));
    let frames = EncoderConfig::event_frame(FrameSplit::Time, 2);
    assert_eq!(frames.code(), InputCode::Counts);
    assert_eq!(EncoderConfig { binary: true, ..frames }.code(), InputCode::Binary);
}

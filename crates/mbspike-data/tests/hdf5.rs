//! Spikes and recordings in HDF5: made-up files in published layouts, written by
//! `scripts/golden/hdf5_recordings.py`.

use std::path::{Path, PathBuf};

use mbspike_data::heidelberg::SpikeFile;
use mbspike_data::{
    Dataset, DatasetConfig, EncoderConfig, EventSet, Events, FrameSplit, Loader, LoaderConfig,
    OwnKind, SampleSet, load, read_recording,
};

fn case(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases/hdf5").join(name)
}

fn digits() -> DatasetConfig {
    DatasetConfig {
        path: Some(case("shd_train.h5")),
        test_path: Some(case("shd_test.h5")),
        ..DatasetConfig::new(OwnKind::SpikesHdf5)
    }
}

fn events_of(set: &SampleSet) -> &EventSet {
    let SampleSet::Events(set) = set else { panic!("recordings") };
    set
}

/// As the script's rules say.
fn sample(number: usize) -> Events {
    let mut events = Events::new([1, 700]);
    for k in 0..3 * number + 2 {
        let t_us = (k as f64 / 1024.0 * 1e6) as i64;
        events.push(t_us, ((37 * k + number) % 700) as u16, 0, true);
    }
    events
}

#[test]
fn digits_in_the_layout_of_heidelberg_are_read_as_they_were_written() {
    let Dataset { train, test, class_names, .. } = load(&digits()).unwrap();
    assert_eq!(class_names, ["zero", "one", "null", "eins"], "in the order of the file");
    assert_eq!((train.len(), test.len()), (12, 8));
    assert_eq!(train.shape(), [1, 1, 700]);
    for (set, first) in [(&train, 0), (&test, 12)] {
        for i in 0..set.len() {
            assert_eq!(events_of(set).read(i).unwrap(), sample(first + i), "{i} of {first}");
            assert_eq!(usize::from(set.labels()[i]), (first + i) % 4);
        }
    }
    let named = DatasetConfig {
        class_names: Some(["a", "b", "c", "d"].map(str::to_owned).to_vec()),
        test_path: None,
        test_fraction: Some(0.25),
        ..digits()
    };
    let named = load(&named).unwrap();
    assert_eq!(named.class_names, ["a", "b", "c", "d"]);
    assert_eq!((named.train.len(), named.test.len()), (8, 4));
}

#[test]
fn frames_of_a_fixed_duration_end_with_the_recording_and_are_cut_at_the_last_step() {
    let set = load(&digits()).unwrap().train;
    let batch = |encoder: EncoderConfig| {
        let config = LoaderConfig {
            encoder,
            augment: mbspike_data::AugmentConfig::default(),
            batch_size: 12,
            n_classes: 4,
            seed: 1,
            shuffle: false,
        };
        Loader::new(set.clone(), config).unwrap().epoch(0, 0).next().unwrap().unwrap()
    };
    let zero = Some(mbspike_data::frames::Origin::Zero);
    // A spike each 1/1024 s: four in the first frame of 4 ms, and sample n has 3n + 2 of them.
    let frames = batch(EncoderConfig { origin: zero, ..EncoderConfig::event_frame_of(4000, 6) });
    assert_eq!(frames.dims, [6, 12, 1, 1, 700]);
    let count = |step: usize, sample: usize| -> f32 {
        frames.x_seq[(step * 12 + sample) * 700..][..700].iter().sum()
    };
    for sample in 0..12 {
        for step in 0..6 {
            let n = 3 * sample + 2;
            let times = (0..n).map(|k| (k as f64 / 1024.0 * 1e6) as usize);
            let last = times.clone().next_back().unwrap();
            // What is at the very end of a recording is in its last frame.
            let n_frames = last.div_ceil(4000).max(1);
            let frame = |t: usize| (t / 4000).min(n_frames - 1);
            let expected = times.filter(|t| frame(*t) == step).count();
            assert_eq!(count(step, sample), expected as f32, "sample {sample}, step {step}");
        }
    }
    assert_eq!(count(5, 0), 0.0);
    let message = |encoder: EncoderConfig| encoder.validate(1).unwrap_err().to_string();
    assert!(message(EncoderConfig::event_frame_of(0, 6)).starts_with("encoder.frame_us: must be"));
    let missing = EncoderConfig::event_frame(FrameSplit::Duration, 6);
    assert!(message(missing).starts_with("encoder.frame_us: is missing"));
    let other =
        EncoderConfig { frame_us: Some(5), ..EncoderConfig::event_frame(FrameSplit::Time, 6) };
    assert!(message(other).contains("needs encoder.split = \"duration\""));
}

#[test]
fn frames_of_spikes_are_cached_as_they_are_made() {
    let set = load(&digits()).unwrap().train;
    let folder = tempfile::tempdir().unwrap();
    let config = LoaderConfig {
        encoder: EncoderConfig::event_frame_of(4000, 6),
        augment: mbspike_data::AugmentConfig::default(),
        batch_size: 5,
        n_classes: 4,
        seed: 1,
        shuffle: false,
    };
    let plain = Loader::new(set, config).unwrap();
    let cached = plain.clone().with_frame_cache(folder.path(), &mut |_, _| {}).unwrap();
    let all = |loader: &Loader| -> Vec<f32> {
        loader.epoch(0, 0).flat_map(|batch| batch.unwrap().x_seq).collect()
    };
    assert_eq!(all(&plain), all(&cached));
}

#[test]
fn recordings_of_dsec_and_metavision_are_read_with_their_sensors() {
    for (name, sensor) in [
        ("dsec.h5", [480, 640]),
        ("dsec_blosc.h5", [480, 640]),
        ("dsec_blosc_lz4.h5", [480, 640]),
        ("dsec_blosc_zlib.h5", [480, 640]),
        ("metavision.h5", [720, 1280]),
    ] {
        let events = read_recording(&case(name), None).unwrap();
        assert_eq!((events.len(), events.sensor), (300, sensor), "{name}");
        for k in 0..300_usize {
            let found = (events.t_us[k], events.x[k], events.y[k], events.on[k]);
            let expected = (10 * k as i64, (k * 7 % 640) as u16, (k * 5 % 480) as u16, k % 2 == 1);
            assert_eq!(found, expected, "{name}: {k}");
        }
    }
    let told = read_recording(&case("dsec.h5"), Some([500, 700])).unwrap();
    assert_eq!(told.sensor, [500, 700]);
    let small = read_recording(&case("dsec.h5"), Some([34, 34])).unwrap_err().to_string();
    assert!(small.contains("event 5: expected an event on the 34x34 sensor"), "{small}");
}

#[test]
fn what_is_not_read_says_what_it_is_and_what_to_do() {
    let message = |name: &str| read_recording(&case(name), None).unwrap_err().to_string();
    assert!(message("shd_test.h5").contains("expected an HDF5 file with events/t"));
    assert!(message("dsec_blosclz.h5").contains("Blosc's own codec BloscLZ"));
    let spikes = SpikeFile::open(&case("dsec.h5")).unwrap_err().to_string();
    assert!(spikes.contains("array \"spikes/times\": is not there"), "{spikes}");
    let wrong = DatasetConfig { sensor: Some([1, 20]), ..digits() };
    let set = load(&wrong).unwrap_err().to_string();
    assert!(set.contains("expected an event on the 1x20 sensor"), "{set}");
    let rows = DatasetConfig { sensor: Some([2, 350]), ..digits() };
    assert!(load(&rows).unwrap_err().to_string().starts_with("dataset.sensor: of lines"));
}

/// Every file cut short, and with single bytes changed, is read or refused with its name.
#[test]
fn damaged_files_are_refused_with_their_name() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("damaged.h5");
    let try_all = |bytes: &[u8]| {
        std::fs::write(&file, bytes).unwrap();
        let refused = |error: mbspike_data::Error| {
            let message = error.to_string();
            assert!(message.contains("damaged.h5") || message.contains("sensor"), "{message}");
        };
        match SpikeFile::open(&file) {
            Ok((spikes, _)) => {
                for i in 0..spikes.len().min(20) {
                    if let Err(error) = spikes.read(i, [1, 700]) {
                        refused(error);
                    }
                }
            }
            Err(error) => refused(error),
        }
        if let Err(error) = read_recording(&file, None) {
            refused(error);
        }
    };
    for name in ["shd_test.h5", "dsec_blosc_lz4.h5", "metavision.h5"] {
        let whole = std::fs::read(case(name)).unwrap();
        for n in (0..whole.len()).step_by(239) {
            try_all(&whole[..n]);
        }
        for at in (0..whole.len()).step_by(31) {
            let mut changed = whole.clone();
            changed[at] ^= 0xff;
            try_all(&changed);
        }
    }
}

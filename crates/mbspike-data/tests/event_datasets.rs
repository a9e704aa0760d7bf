//! Event datasets in their published layouts, from files to batches.

#![allow(clippy::unwrap_used, reason = "tests may panic")]

use std::io::Write;
use std::path::Path;
use std::sync::Arc;

use mbspike_data::catalog::DatasetName;
use mbspike_data::frames::{Slicing, View, integrate};
use mbspike_data::{
    AugmentConfig, Batch, Dataset, DatasetConfig, EncoderConfig, EventTransforms, Events,
    FrameSplit, Loader, LoaderConfig, SampleSet, aedat, atis, inspect, load,
};

/// `n` events on a sensor, the same for the same `kind`.
fn events(n: usize, sensor: [usize; 2], kind: usize) -> Events {
    let mut events = Events::new(sensor);
    let [height, width] = sensor;
    for i in 0..n {
        let (x, y) = ((i * 7 + kind) % width, (i * i + kind) % height);
        events.push((i * 31 + i % 5) as i64, x as u16, y as u16, (i + kind).is_multiple_of(3));
    }
    events
}

fn write(file: &Path, bytes: &[u8]) {
    fs_err::create_dir_all(file.parent().unwrap()).unwrap();
    fs_err::write(file, bytes).unwrap();
}

/// The files of a small N-MNIST: recordings 1 to 6 in Train, 7 and 8 in Test.
fn nmnist_files() -> Vec<(String, Events)> {
    (1..=8)
        .map(|number| {
            let split = if number <= 6 { "Train" } else { "Test" };
            let name = format!("{split}/{}/{number:05}.bin", number % 3);
            (name, events(100 + number, [34, 34], number))
        })
        .collect()
}

fn nmnist_folder(folder: &Path) {
    for (name, events) in nmnist_files() {
        write(&folder.join(name), &atis::to_bytes(&events, Path::new("made")).unwrap());
    }
}

fn load_from(name: DatasetName, path: &Path) -> mbspike_data::Result<Dataset> {
    load(&DatasetConfig { path: Some(path.to_owned()), ..DatasetConfig::new(name) })
}

fn recordings(set: &SampleSet) -> Vec<Events> {
    let SampleSet::Events(set) = set else { panic!("not recordings") };
    (0..set.len()).map(|index| set.read(index).unwrap()).collect()
}

fn loader(set: &SampleSet, encoder: EncoderConfig, batch_size: usize) -> Loader {
    let augment = AugmentConfig::default();
    let config =
        LoaderConfig { encoder, augment, batch_size, n_classes: 11, seed: 5, shuffle: true };
    Loader::new(set.clone(), config).unwrap()
}

fn epoch(loader: &Loader) -> Vec<Batch> {
    loader.epoch(1, 0).map(Result::unwrap).collect()
}

#[test]
fn nmnist_is_read_from_folders_and_from_archives_alike() {
    let folder = tempfile::tempdir().unwrap();
    nmnist_folder(folder.path());
    let dataset = load_from(DatasetName::Nmnist, folder.path()).unwrap();
    let files = nmnist_files();
    let want: Vec<Events> = files.iter().map(|(_, events)| events.clone()).collect();
    assert_eq!(dataset.train.labels(), [1, 2, 0, 1, 2, 0]);
    assert_eq!(dataset.test.labels(), [1, 2]);
    assert_eq!(recordings(&dataset.train), want[..6]);
    assert_eq!(recordings(&dataset.test), want[6..]);
    assert!(!dataset.simulated);

    let archive = folder.path().join("both.zip");
    let mut zip = zip::ZipWriter::new(fs_err::File::create(&archive).unwrap());
    let options =
        zip::write::SimpleFileOptions::default().compression_method(zip::CompressionMethod::Stored);
    for (name, events) in &files {
        zip.start_file(name.as_str(), options).unwrap();
        zip.write_all(&atis::to_bytes(events, Path::new("made")).unwrap()).unwrap();
    }
    zip.finish().unwrap();
    let zipped = load_from(DatasetName::Nmnist, &archive).unwrap();
    assert_eq!(zipped.train.labels(), dataset.train.labels());
    assert_eq!(recordings(&zipped.train), want[..6]);

    // A bit of a recording within the archive is wrong.
    let mut bytes = fs_err::read(&archive).unwrap();
    let SampleSet::Events(set) = &zipped.train else { unreachable!("recordings") };
    bytes[60] ^= 0x10;
    fs_err::write(&archive, bytes).unwrap();
    let message = set.read(0).unwrap_err().to_string();
    assert!(message.contains("both.zip/Train/1/00001.bin") && message.contains("CRC"), "{message}");
}

#[test]
fn half_a_dataset_and_a_marker_of_simulation_are_noticed() {
    let folder = tempfile::tempdir().unwrap();
    nmnist_folder(folder.path());
    fs_err::write(folder.path().join("simulated.toml"), "").unwrap();
    assert!(load_from(DatasetName::Nmnist, folder.path()).unwrap().simulated);
    fs_err::remove_dir_all(folder.path().join("Test")).unwrap();
    let message = load_from(DatasetName::Nmnist, folder.path()).unwrap_err().to_string();
    assert!(message.contains("Test/<digit>/<number>.bin"), "{message}");
}

#[test]
fn gestures_are_cut_from_their_recordings_by_the_tables() {
    let folder = tempfile::tempdir().unwrap();
    let whole = events(3000, [128, 128], 1);
    for trial in ["user01_led", "user24_lab"] {
        write(&folder.path().join(format!("{trial}.aedat")), &aedat::to_bytes(&whole, 100));
        let table = b"class,startTime_usec,endTime_usec\n8,1000,20000\n11,15000,90000\n";
        write(&folder.path().join(format!("{trial}_labels.csv")), table);
    }
    write(&folder.path().join("trials_to_train.txt"), b"user01_led.aedat\n\n");
    write(&folder.path().join("trials_to_test.txt"), b"user24_lab.aedat\r\n");
    let dataset = load_from(DatasetName::DvsGesture, folder.path()).unwrap();
    assert_eq!(dataset.train.labels(), [7, 10]);
    for (cut, times) in recordings(&dataset.train).iter().zip([1000..20_000, 15_000..90_000]) {
        let first = whole.t_us.partition_point(|&t| t < times.start);
        let end = whole.t_us.partition_point(|&t| t < times.end);
        // A gesture begins where its row says, for whoever counts time from zero.
        assert_eq!(*cut, Events { start_us: times.start, ..whole.slice(first..end) });
    }
    let found = inspect(&dataset).unwrap();
    assert_eq!(found.train.recordings.unwrap().n_recordings, 2);

    write(&folder.path().join("trials_to_test.txt"), b"../user24_lab.aedat\n");
    let message = load_from(DatasetName::DvsGesture, folder.path()).unwrap_err().to_string();
    assert!(message.contains("trials_to_test.txt: line 1: expected the name of an .aedat file"));
}

#[test]
fn batches_hold_the_frames_of_their_recordings() {
    let folder = tempfile::tempdir().unwrap();
    nmnist_folder(folder.path());
    let dataset = load_from(DatasetName::Nmnist, folder.path()).unwrap();
    let all = recordings(&dataset.train);
    for (split, slicing) in [
        (FrameSplit::Number, Slicing::Number { n_frames: 3 }),
        (FrameSplit::Time, Slicing::Time { n_frames: 3 }),
    ] {
        let loader = loader(&dataset.train, EncoderConfig::event_frame(split, 3), 4);
        let batches = epoch(&loader);
        assert_eq!(batches[0].dims, [3, 4, 2, 34, 34]);
        for batch in &batches {
            let n = 2 * 34 * 34;
            for (b, &sample) in batch.samples.iter().enumerate() {
                let events = &all[sample as usize];
                let want = integrate(events, &slicing, &View::whole([34, 34])).unwrap();
                for step in 0..3 {
                    let got = &batch.x_seq[(step * batch.len() + b) * n..][..n];
                    assert_eq!(got, &want[step * n..][..n]);
                }
            }
        }
    }
}

#[test]
fn a_frame_cache_changes_nothing_and_notices_changed_files_and_settings() {
    let folder = tempfile::tempdir().unwrap();
    let cache = tempfile::tempdir().unwrap();
    nmnist_folder(folder.path());
    // More than 255 events on one pixel need wide values.
    let mut busy = Events::new([34, 34]);
    (0..1000).for_each(|t| busy.push(t, 3, 4, true));
    write(
        &folder.path().join("Train/9/00009.bin"),
        &atis::to_bytes(&busy, Path::new("b")).unwrap(),
    );
    let set = load_from(DatasetName::Nmnist, folder.path()).unwrap().train;
    let encoder = EncoderConfig::event_frame(FrameSplit::Number, 2);
    let n_files = || fs_err::read_dir(cache.path()).unwrap().count();

    let want = epoch(&loader(&set, encoder.clone(), 4));
    for _ in 0..2 {
        let cached = loader(&set, encoder.clone(), 4)
            .with_frame_cache(cache.path(), &mut |_, _| {})
            .unwrap();
        assert_eq!(epoch(&cached), want);
        assert_eq!(n_files(), 1);
    }
    let other = EncoderConfig { binary: true, ..encoder.clone() };
    let binary = loader(&set, other, 4).with_frame_cache(cache.path(), &mut |_, _| {}).unwrap();
    assert!(epoch(&binary)[0].x_seq.iter().all(|&value| value == 0.0 || value == 1.0));
    assert_eq!(n_files(), 2);

    busy.push(2000, 0, 0, false);
    write(
        &folder.path().join("Train/9/00009.bin"),
        &atis::to_bytes(&busy, Path::new("b")).unwrap(),
    );
    let fresh = epoch(&loader(&set, encoder.clone(), 4));
    let cached = loader(&set, encoder, 4).with_frame_cache(cache.path(), &mut |_, _| {}).unwrap();
    assert_eq!(epoch(&cached), fresh);
    assert_eq!(n_files(), 3);
}

#[test]
fn a_damaged_cache_is_built_again() {
    let folder = tempfile::tempdir().unwrap();
    let cache = tempfile::tempdir().unwrap();
    nmnist_folder(folder.path());
    let set = load_from(DatasetName::Nmnist, folder.path()).unwrap().train;
    let encoder = EncoderConfig::event_frame(FrameSplit::Time, 2);
    let cached =
        || loader(&set, encoder.clone(), 4).with_frame_cache(cache.path(), &mut |_, _| {}).unwrap();
    let want = epoch(&cached());
    let file = fs_err::read_dir(cache.path()).unwrap().next().unwrap().unwrap().path();
    let new = cache.path().join(".partial-new");
    let old = cache.path().join(".partial-old");
    fs_err::write(&new, "being written").unwrap();
    let ago = std::time::SystemTime::now() - std::time::Duration::from_secs(7200);
    std::fs::File::create(&old).unwrap().set_modified(ago).unwrap();
    for damaged in [Vec::new(), b"junk".to_vec(), fs_err::read(&file).unwrap()[..100].to_vec()] {
        fs_err::write(&file, damaged).unwrap();
        assert_eq!(epoch(&cached()), want);
        assert!(new.exists() && !old.exists(), "only what a kill left is removed");
    }
}

#[test]
fn a_bit_that_changed_in_a_cache_is_found_wherever_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let cache = tempfile::tempdir().unwrap();
    nmnist_folder(folder.path());
    let set = load_from(DatasetName::Nmnist, folder.path()).unwrap().train;
    let encoder =
        EncoderConfig { downsample: Some(17), ..EncoderConfig::event_frame(FrameSplit::Time, 2) };
    let mut n_built = 0;
    let mut cached = || {
        let mut is_built = false;
        let loader = loader(&set, encoder.clone(), 4)
            .with_frame_cache(cache.path(), &mut |_, _| is_built = true)
            .unwrap();
        n_built += usize::from(is_built);
        epoch(&loader)
    };
    let want = cached();
    let file = fs_err::read_dir(cache.path()).unwrap().next().unwrap().unwrap().path();
    let whole = fs_err::read(&file).unwrap();
    assert!(whole.len() < 2000, "{}", whole.len());
    let n_flipped = (0..whole.len()).step_by(7).inspect(|&at| {
        let mut bytes = whole.clone();
        bytes[at] ^= 1 << (at % 8);
        fs_err::write(&file, bytes).unwrap();
        assert_eq!(cached(), want, "byte {at}");
        assert_eq!(fs_err::read(&file).unwrap(), whole, "byte {at} is mended");
    });
    assert_eq!(n_flipped.count(), n_built - 1);
    // While a program has it open there is no one to build it again.
    let open =
        loader(&set, encoder.clone(), 4).with_frame_cache(cache.path(), &mut |_, _| {}).unwrap();
    let mut bytes = whole;
    bytes[8] ^= 1;
    fs_err::OpenOptions::new().write(true).open(&file).unwrap().write_all(&bytes).unwrap();
    let message = open.epoch(0, 0).find_map(Result::err).unwrap().to_string();
    assert!(
        message.contains(".frames: byte 8: expected the frames as they were written"),
        "{message}"
    );
}

#[test]
fn a_cache_goes_by_the_content_of_recordings_and_not_by_their_dates() {
    let folder = tempfile::tempdir().unwrap();
    let cache = tempfile::tempdir().unwrap();
    nmnist_folder(folder.path());
    let encoder = EncoderConfig::event_frame(FrameSplit::Time, 2);
    let cached = |folder: &Path| {
        let set = load_from(DatasetName::Nmnist, folder).unwrap().train;
        epoch(
            &loader(&set, encoder.clone(), 4)
                .with_frame_cache(cache.path(), &mut |_, _| {})
                .unwrap(),
        )
    };
    let want = cached(folder.path());
    let file = SampleSet::clone(&load_from(DatasetName::Nmnist, folder.path()).unwrap().train);
    let SampleSet::Events(set) = file else { panic!("recordings") };
    let file = set.recordings[0].file().to_owned();
    let (bytes, date) =
        (fs_err::read(&file).unwrap(), fs_err::metadata(&file).unwrap().modified().unwrap());
    // The first event at another pixel: the same size, and the same date.
    let mut changed = bytes.clone();
    changed[0] = (changed[0] + 1) % 34;
    fs_err::write(&file, &changed).unwrap();
    std::fs::File::open(&file).unwrap().set_modified(date).unwrap();
    assert_ne!(cached(folder.path()), want);
    // As it was, under a new date and in another folder: the first cache again.
    fs_err::write(&file, &bytes).unwrap();
    assert_eq!(cached(folder.path()), want);
    let moved = folder.path().with_extension("moved");
    fs_err::rename(folder.path(), &moved).unwrap();
    assert_eq!(cached(&moved), want);
    assert_eq!(fs_err::read_dir(cache.path()).unwrap().count(), 2);
    fs_err::remove_dir_all(moved).unwrap();
}

#[test]
fn transforms_change_training_recordings_only() {
    let folder = tempfile::tempdir().unwrap();
    nmnist_folder(folder.path());
    let dataset = load_from(DatasetName::Nmnist, folder.path()).unwrap();
    let plain = EncoderConfig::event_frame(FrameSplit::Number, 2);
    let transforms = EventTransforms { drop: 0.5, ..Default::default() };
    let changed = EncoderConfig { transforms: Some(transforms), ..plain.clone() };
    let run = |set, encoder: &EncoderConfig| epoch(&loader(set, encoder.clone(), 8));
    assert_ne!(run(&dataset.train, &changed), run(&dataset.train, &plain));
    assert_eq!(run(&dataset.train, &changed), run(&dataset.train, &changed));
    assert_eq!(run(&dataset.test, &changed), run(&dataset.test, &plain));
}

#[test]
fn cropping_and_down_sampling_gather_pixels() {
    let mut recording = Events::new([34, 34]);
    for (x, y) in [(0, 0), (3, 3), (4, 3), (5, 4), (30, 30), (33, 0)] {
        recording.push(0, x, y, true);
    }
    let encoder = EncoderConfig {
        crop: Some([28, 28]),
        downsample: Some(2),
        ..EncoderConfig::event_frame(FrameSplit::Number, 1)
    };
    assert_eq!(encoder.output_shape([2, 34, 34]), [2, 14, 14]);
    let mut frame = vec![0.0; 2 * 14 * 14];
    encoder.frames_into(&recording, &mut frame).unwrap();
    // The middle begins at (3, 3) and ends before (31, 31).
    assert_eq!(frame[196], 2.0); // (3, 3), (4, 3)
    assert_eq!(frame[197], 1.0); // (5, 4)
    assert_eq!(frame[196 + 13 * 14 + 13], 1.0); // (30, 30)
    assert_eq!(frame.iter().sum::<f32>(), 4.0);
}

#[test]
fn encoders_that_do_not_fit_their_data_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    nmnist_folder(folder.path());
    let set = load_from(DatasetName::Nmnist, folder.path()).unwrap().train;
    let refused = |encoder: EncoderConfig| encoder.fits(&set).unwrap_err().to_string();
    assert!(refused(EncoderConfig::poisson(4)).starts_with("encoder.kind"));
    let frames = EncoderConfig::event_frame(FrameSplit::Time, 4);
    let cropped = EncoderConfig { crop: Some([35, 34]), ..frames.clone() };
    assert!(refused(cropped).starts_with("encoder.crop"));
    assert!(refused(EncoderConfig { downsample: Some(35), ..frames.clone() }).contains("no pixel"));
    assert!(refused(EncoderConfig { split: None, ..frames }).starts_with("encoder.split"));
    let parse = |text: &str| toml::from_str::<EncoderConfig>(text);
    let text = "kind = \"event-frame\"\nsplit = \"tonic-time-bins\"\ntime_steps = 10";
    assert_eq!(parse(text).unwrap().split, Some(FrameSplit::TonicTimeBins));
    assert!(parse("kind = \"event-frame\"\nsplit = \"halves\"\ntime_steps = 10").is_err());
}

#[test]
fn cifar10_records_are_read_and_damage_is_refused_at_its_byte() {
    let folder = tempfile::tempdir().unwrap();
    let record = |label: u8| -> Vec<u8> {
        std::iter::once(label).chain((0..3072).map(|i| (i % 256) as u8)).collect()
    };
    for batch in 1..=5 {
        write(&folder.path().join(format!("data_batch_{batch}.bin")), &record(batch));
    }
    let test = folder.path().join("test_batch.bin");
    write(&test, &[record(0), record(9)].concat());
    let dataset = load_from(DatasetName::Cifar10, folder.path()).unwrap();
    assert_eq!(dataset.train.labels(), [1, 2, 3, 4, 5]);
    assert_eq!(dataset.test.labels(), [0, 9]);
    assert_eq!(dataset.train.shape(), [3, 32, 32]);
    let SampleSet::Images(images) = &dataset.test else { unreachable!("images") };
    assert_eq!(images.image(1)[1024..1027], [0, 1, 2]);

    let message = || load_from(DatasetName::Cifar10, folder.path()).unwrap_err().to_string();
    write(&test, &[record(0), record(10)].concat());
    assert!(message().ends_with("byte 3073: expected a label below 10, found 10"));
    write(&test, &record(0)[..3000]);
    assert!(message().contains("byte 0: expected a record of 3073 bytes"));
}

/// SpikingJelly's `split_by='time'` as it is written: masks over all events.
#[test]
fn time_slices_equal_masks_over_all_events() {
    let recording = events(1013, [34, 34], 2);
    for n_frames in [1, 2, 10, 16] {
        let ranges = Slicing::Time { n_frames }.ranges(&recording.t_us).unwrap();
        let (first, last) = (recording.t_us[0], recording.t_us[1012]);
        let dt = (last - first) / n_frames as i64;
        for (i, range) in ranges.iter().enumerate() {
            let (low, high) = (first + i as i64 * dt, first + (i as i64 + 1) * dt);
            let is_in = |&t: &i64| low <= t && (t < high || i + 1 == n_frames);
            let inside: Vec<i64> = recording.t_us.iter().copied().filter(is_in).collect();
            assert_eq!(recording.t_us[range.clone()], inside);
        }
        let numbers = Slicing::Number { n_frames }.ranges(&recording.t_us).unwrap();
        assert!(numbers[..n_frames - 1].iter().all(|range| range.len() == 1013 / n_frames));
        assert_eq!(numbers.iter().map(ExactSizeIterator::len).sum::<usize>(), 1013);
    }
}

#[test]
fn recordings_with_few_or_simultaneous_events_give_empty_frames_not_failures() {
    let simultaneous = vec![7; 5];
    for t_us in [&[] as &[i64], &[3], &simultaneous] {
        for slicing in [
            Slicing::Number { n_frames: 4 },
            Slicing::Time { n_frames: 4 },
            Slicing::TonicTimeBins { n_frames: 4, overlap: 0.0 },
            Slicing::TonicEventBins { n_frames: 4, overlap: 0.5 },
        ] {
            assert_eq!(slicing.ranges(t_us).unwrap().len(), 4);
        }
        Slicing::Duration { us: 5 }.ranges(t_us).unwrap();
        let window = Slicing::TonicTimeWindow { us: 5, overlap_us: 1, include_incomplete: true };
        window.ranges(t_us).unwrap();
        Slicing::TonicEventCount { count: 9, overlap: 8, include_incomplete: true }
            .ranges(t_us)
            .unwrap();
    }
    assert!(Slicing::Duration { us: 1 }.ranges(&[0, 1 << 40]).is_err());
    assert!(Slicing::Number { n_frames: 0 }.ranges(&[]).is_err());
}

#[test]
fn a_loader_of_a_damaged_recording_names_the_file_and_the_byte() {
    let folder = tempfile::tempdir().unwrap();
    nmnist_folder(folder.path());
    write(&folder.path().join("Train/1/00001.bin"), &[1, 2, 3]);
    let set = load_from(DatasetName::Nmnist, folder.path()).unwrap().train;
    let loader = loader(&set, EncoderConfig::event_frame(FrameSplit::Number, 2), 8);
    let pool = rayon::ThreadPoolBuilder::new().num_threads(2).build().unwrap();
    let mut batches = loader.with_pool(Arc::new(pool)).epoch(0, 0);
    let message = batches.next().unwrap().unwrap_err().to_string();
    assert!(message.contains("00001.bin: byte 0: expected a record of 5 bytes"), "{message}");
    assert!(batches.next().is_none());
}

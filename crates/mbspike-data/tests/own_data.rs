//! A user's own data, from files to labelled samples.

#![allow(clippy::unwrap_used, reason = "tests may panic")]

use std::collections::HashMap;
use std::path::Path;

use mbspike_data::{
    Dataset, DatasetConfig, EncoderConfig, FrameSplit, OwnKind, SampleKind, SampleSet, load,
};

fn case(name: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases").join(name)
}

fn config(kind: OwnKind, path: &Path) -> DatasetConfig {
    DatasetConfig { path: Some(path.to_owned()), ..DatasetConfig::new(kind) }
}

fn refusal(config: &DatasetConfig) -> String {
    load(config).unwrap_err().to_string()
}

fn write(file: &Path, content: impl AsRef<[u8]>) {
    fs_err::create_dir_all(file.parent().unwrap()).unwrap();
    fs_err::write(file, content).unwrap();
}

/// A PGM picture whose pixels count up from `start`.
fn pgm(size: [usize; 2], start: u8) -> Vec<u8> {
    let [height, width] = size;
    let mut bytes = format!("P5\n{width} {height}\n255\n").into_bytes();
    bytes.extend((0..height * width).map(|i| start.wrapping_add(i as u8)));
    bytes
}

fn png(size: [u32; 2], colour: [u8; 3]) -> Vec<u8> {
    let [height, width] = size;
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, width, height);
    encoder.set_color(png::ColorType::Rgb);
    let mut pixels = colour.repeat((height * width) as usize);
    pixels[0] = 7;
    encoder.write_header().unwrap().write_image_data(&pixels).unwrap();
    bytes
}

fn images(set: &SampleSet) -> &mbspike_data::ImageSet {
    let SampleSet::Images(images) = set else { panic!("images") };
    images
}

#[test]
fn folders_of_pictures_are_classes() {
    let folder = tempfile::tempdir().unwrap();
    let inside = |name: &str| folder.path().join(name);
    for part in ["train", "test"] {
        let start = if part == "train" { 0 } else { 100 };
        write(&inside(&format!("{part}/cats/a.pgm")), pgm([4, 6], start));
        write(&inside(&format!("{part}/dogs/b.PGM")), pgm([4, 6], start + 50));
        write(&inside(&format!("{part}/dogs/c.png")), png([4, 6], [start, 10, 20]));
        write(&inside(&format!("{part}/dogs/notes.txt")), "no picture");
        write(&inside(&format!("{part}/.hidden/x.pgm")), "no picture");
    }
    let own = DatasetConfig { grey: Some(true), ..config(OwnKind::ImageFolder, folder.path()) };
    let Dataset { train, test, class_names, .. } = load(&own).unwrap();
    assert_eq!(class_names, ["cats", "dogs"]);
    assert_eq!((train.labels(), test.labels()), (&[0, 1, 1][..], &[0, 1, 1][..]));
    assert_eq!(train.shape(), [1, 4, 6]);
    assert_eq!(images(&train).image(0), (0..24).collect::<Vec<u8>>());
    let colour = load(&config(OwnKind::ImageFolder, folder.path())).unwrap();
    let colour = images(&colour.test).image(2).to_vec();
    assert_eq!((colour[0], colour[1], colour[24], colour[48]), (7, 100, 10, 20), "[C, H, W]");

    // Of another size, by a part of it, and damaged.
    write(&inside("train/cats/z.pgm"), pgm([9, 9], 3));
    let message = refusal(&own);
    assert!(
        message.starts_with("dataset.size: is missing: the pictures differ in size, "),
        "{message}"
    );
    let resized = DatasetConfig { size: Some([8, 8]), ..own.clone() };
    assert_eq!(load(&resized).unwrap().train.shape(), [1, 8, 8]);
    let half =
        DatasetConfig { test_fraction: Some(0.5), path: Some(inside("train")), ..resized.clone() };
    let half = load(&half).unwrap();
    assert_eq!((half.train.len(), half.test.len()), (2, 2));
    write(&inside("train/cats/z.pgm"), &pgm([9, 9], 3)[..40]);
    assert!(refusal(&resized).contains("z.pgm: byte 0: expected a whole PNG, JPEG or PNM picture"));
    write(&inside("train/cats/z.pgm"), "P5\n100000 100000\n255\n");
    assert!(refusal(&resized).contains("z.pgm: byte 0"));
    // A picture in both sets.
    write(&inside("train/cats/z.pgm"), pgm([4, 6], 150));
    let message = refusal(&own);
    assert!(message.contains("b.PGM as ") && message.contains("allow_shared"), "{message}");
    assert!(
        refusal(&config(OwnKind::ImageFolder, &inside("test/cats")))
            .contains("no folders with pictures")
    );
}

#[test]
fn idx_files_with_labels_from_one_and_transposed_images_are_read() {
    let letters =
        DatasetConfig { first_label: Some(1), ..config(OwnKind::Idx, &case("emnist-letters")) };
    let Dataset { train, test, class_names, .. } = load(&letters).unwrap();
    assert_eq!((train.len(), test.len(), class_names.len()), (52, 52, 26));
    assert_eq!(train.labels()[..3], [0, 1, 2]);
    let names: Vec<String> = ('a'..='z').map(String::from).collect();
    let named =
        load(&DatasetConfig { class_names: Some(names.clone()), ..letters.clone() }).unwrap();
    assert_eq!(named.class_names, names);
    let message = refusal(&DatasetConfig { first_label: Some(2), ..letters });
    assert!(
        message.contains("byte 8: expected labels from first_label = 2 on, found 1"),
        "{message}"
    );
    let mnist = DatasetConfig {
        path: Some(case("emnist-letters")),
        ..DatasetConfig::new(mbspike_data::catalog::DatasetName::Mnist)
    };
    let message = refusal(&mnist);
    assert!(message.contains("dataset.name = \"idx\""), "{message}");

    let folder = tempfile::tempdir().unwrap();
    let image = mbspike_data::idx::IdxImages {
        n_images: 2,
        height: 2,
        width: 3,
        pixels: (0..12).collect(),
    };
    write(&folder.path().join("x"), mbspike_data::idx::images_to_bytes(&image));
    write(&folder.path().join("y"), mbspike_data::idx::labels_to_bytes(&[3, 5]));
    let own = DatasetConfig {
        samples: Some("x".to_owned()),
        labels: Some("y".to_owned()),
        transpose: Some(true),
        folds: Some(2),
        fold: Some(0),
        ..config(OwnKind::Idx, folder.path())
    };
    let message = refusal(&own);
    assert!(message.contains("leaves no sample for the training set"), "{message}");
    let own = DatasetConfig {
        test_samples: own.samples.clone(),
        test_labels: own.labels.clone(),
        folds: None,
        fold: None,
        allow_shared: Some(true),
        ..own
    };
    let loaded = load(&own).unwrap();
    assert_eq!(loaded.train.shape(), [1, 3, 2]);
    assert_eq!(images(&loaded.train).image(0), [0, 3, 1, 4, 2, 5]);
    assert_eq!(loaded.class_names, ["3", "5"]);
}

fn npy(descr: &str, shape: &str, data: &[u8]) -> Vec<u8> {
    let header = format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}\n");
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend((header.len() as u16).to_le_bytes());
    bytes.extend(header.bytes());
    bytes.extend(data);
    bytes
}

fn npz(arrays: &[(&str, Vec<u8>)]) -> Vec<u8> {
    use std::io::Write;
    let mut archive = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    for (name, content) in arrays {
        let options = zip::write::SimpleFileOptions::default();
        archive.start_file(format!("{name}.npy"), options).unwrap();
        archive.write_all(content).unwrap();
    }
    archive.finish().unwrap().into_inner()
}

fn floats(n: usize) -> Vec<u8> {
    (0..n).flat_map(|i| (i as f32 / 8.0).to_be_bytes()).collect()
}

#[test]
fn arrays_of_images_and_of_sequences_are_read_from_each_format() {
    let folder = tempfile::tempdir().unwrap();
    let inside = |name: &str| folder.path().join(name);
    let bytes: Vec<u8> = (0..24).collect();
    let others: Vec<u8> = (100..112).collect();
    write(
        &inside("mnist.npz"),
        npz(&[
            ("x_train", npy("|u1", "(2, 3, 4)", &bytes)),
            ("y_train", npy("|u1", "(2,)", &[1, 0])),
            ("x_test", npy("|u1", "(1, 3, 4)", &others)),
            ("y_test", npy("<i8", "(1,)", &1_i64.to_le_bytes())),
        ]),
    );
    let keras = load(&config(OwnKind::Arrays, &inside("mnist.npz"))).unwrap();
    assert_eq!((keras.train.kind(), keras.train.shape()), (SampleKind::Images, [1, 3, 4]));
    assert_eq!((keras.train.labels(), keras.test.labels()), (&[1, 0][..], &[1][..]));
    assert_eq!(images(&keras.train).image(1), &bytes[12..]);

    // Sequences [N, T, C], big-endian, with labels beside.
    write(&inside("x.npy"), npy(">f4", "(4, 3, 2)", &floats(24)));
    write(&inside("y.npy"), npy("|i1", "(4,)", &[5, 6, 5, 6]));
    let own = DatasetConfig {
        labels: Some("y.npy".to_owned()),
        test_fraction: Some(0.5),
        ..config(OwnKind::Arrays, &inside("x.npy"))
    };
    let sequences = load(&own).unwrap();
    assert_eq!(sequences.train.kind(), SampleKind::Sequences { n_steps: 3 });
    assert_eq!(
        (sequences.train.shape(), &*sequences.class_names),
        ([2, 1, 1], &["5".to_owned(), "6".to_owned()][..])
    );
    let described = own.describe().unwrap();
    assert_eq!((described.kind, described.class_names.len()), (sequences.train.kind(), 2));
    assert!(EncoderConfig::direct(3).fits(&sequences.train).is_ok());
    let fits = |encoder: EncoderConfig| encoder.fits(&sequences.train).unwrap_err().to_string();
    assert!(
        fits(EncoderConfig::direct(4))
            .starts_with("encoder.time_steps: must be 3, the steps of the sequences")
    );
    assert!(fits(EncoderConfig::poisson(3)).starts_with("encoder.kind: sequences need \"direct\""));
    assert!(fits(EncoderConfig::event_frame(FrameSplit::Time, 3)).starts_with("encoder.kind"));
    assert!(fits(EncoderConfig::latency(3)).starts_with("encoder.kind: sequences need \"direct\""));
    assert!(fits(EncoderConfig::delta(0.0, 3)).starts_with("encoder.threshold: must be above 0"));
    assert!(fits(EncoderConfig::population(1, 3)).starts_with("encoder.neurons: must be in 2..="));
    let range = Some([1.0, 1.0]);
    let empty = EncoderConfig { range, ..EncoderConfig::population(4, 3) };
    assert!(fits(empty).starts_with("encoder.range"));
    let elsewhere = EncoderConfig { neurons: Some(3), ..EncoderConfig::direct(3) };
    assert!(fits(elsewhere).contains("needs encoder.kind = \"population\""));
    for (encoder, n_channels) in
        [(EncoderConfig::delta(0.2, 3), 4), (EncoderConfig::population(5, 3), 10)]
    {
        encoder.fits(&sequences.train).unwrap();
        assert_eq!(encoder.output_shape([2, 1, 1]), [n_channels, 1, 1]);
        let config = mbspike_data::LoaderConfig {
            encoder,
            augment: mbspike_data::AugmentConfig::default(),
            batch_size: 2,
            n_classes: 2,
            seed: 1,
            shuffle: false,
        };
        let loader = mbspike_data::Loader::new(sequences.train.clone(), config).unwrap();
        let batch = loader.epoch(0, 0).next().unwrap().unwrap();
        assert_eq!(batch.dims, [3, 2, n_channels, 1, 1]);
        // Each signal rises by a quarter a step: ON from the second step on, never OFF.
        if n_channels == 4 {
            let step = |t: usize| &batch.x_seq[t * 8..][..8];
            assert_eq!(step(0), [0.0; 8]);
            assert_eq!(step(1), [0.0, 0.0, 1.0, 1.0, 0.0, 0.0, 1.0, 1.0]);
            assert_eq!(step(2), step(1));
        }
    }

    // The same numbers as safetensors.
    let little: Vec<u8> = (0..24).flat_map(|i| (i as f32 / 8.0).to_le_bytes()).collect();
    let labels: Vec<u8> = [5_i64, 6, 5, 6].into_iter().flat_map(i64::to_le_bytes).collect();
    let tensors = HashMap::from([
        (
            "data",
            safetensors::tensor::TensorView::new(safetensors::Dtype::F32, vec![4, 3, 2], &little)
                .unwrap(),
        ),
        (
            "labels",
            safetensors::tensor::TensorView::new(safetensors::Dtype::I64, vec![4], &labels)
                .unwrap(),
        ),
    ]);
    write(&inside("s.safetensors"), safetensors::serialize(tensors, None).unwrap());
    let safe = DatasetConfig { labels: None, path: Some(inside("s.safetensors")), ..own.clone() };
    let (SampleSet::Arrays(a), SampleSet::Arrays(b)) =
        (load(&safe).unwrap().train, sequences.train)
    else {
        panic!("arrays")
    };
    assert_eq!(a, b);

    let message = |arrays: &[(&str, Vec<u8>)]| {
        write(&inside("bad.npz"), npz(arrays));
        refusal(&DatasetConfig { path: Some(inside("bad.npz")), labels: None, ..own.clone() })
    };
    let x = ("x", npy("<f4", "(2, 1, 1)", &[0; 8]));
    assert!(message(std::slice::from_ref(&x)).starts_with("dataset.labels: names no array of "));
    let three = message(&[x.clone(), ("y", npy("|u1", "(3,)", &[0, 1, 2]))]);
    assert!(
        three.contains("bad.npz: array \"y\": has 3 labels, but \"x\" has 2 samples"),
        "{three}"
    );
    let half = message(&[x.clone(), ("y", npy("<f4", "(2,)", &[0, 0, 0, 63, 0, 0, 0, 0]))]);
    assert!(half.contains("array \"y\": expected whole numbers"), "{half}");
    let nan = message(&[
        ("x", npy("<f4", "(1, 1, 1)", &f32::NAN.to_le_bytes())),
        ("y", npy("|u1", "(1,)", &[0])),
    ]);
    assert!(nan.contains("array \"x\": expected finite numbers, found NaN at 0"), "{nan}");
    let pickled =
        message(&[("x", npy("|O", "(1,)", b"\x80\x04K\x01.")), ("y", npy("|u1", "(1,)", &[0]))]);
    assert!(
        pickled.contains("array \"x\": the type is \"O\", pickled Python objects"),
        "{pickled}"
    );
    let flat = message(&[("x", npy("<f4", "(2,)", &[0; 8])), ("y", npy("|u1", "(2,)", &[0, 1]))]);
    assert!(flat.contains("expected [N, T, C]"), "{flat}");
    write(&inside("cut.safetensors"), [255; 9]);
    let cut = refusal(&DatasetConfig { path: Some(inside("cut.safetensors")), ..safe });
    assert!(cut.contains("cut.safetensors: byte 0: expected a safetensors file"), "{cut}");
}

#[test]
fn recordings_are_read_from_folders_and_from_a_table() {
    let folder = tempfile::tempdir().unwrap();
    let inside = |name: &str| folder.path().join(name);
    let table = |x: u16| format!("t,x,y,p\n0,{x},0,1\n500,{x},1,0\n1000,{x},2,1\n1500,{x},3,0\n");
    for (i, name) in ["left/a.csv", "left/b.csv", "right/c.csv", "right/d.csv"].iter().enumerate() {
        write(&inside(name), table(i as u16));
    }
    let own = DatasetConfig {
        test_fraction: Some(0.5),
        sensor: Some([4, 6]),
        ..config(OwnKind::EventsFolder, folder.path())
    };
    let loaded = load(&own).unwrap();
    assert_eq!(loaded.class_names, ["left", "right"]);
    assert_eq!((loaded.train.shape(), loaded.train.len(), loaded.test.len()), ([2, 4, 6], 2, 2));
    let untold = refusal(&DatasetConfig { sensor: None, ..own.clone() });
    assert!(untold.starts_with("dataset.sensor: is missing: "), "{untold}");

    write(
        &inside("parts.csv"),
        "file,label,start_us,end_us\nleft/a.csv,up,0,1000\nleft/a.csv,down,1000,2000\nright/c.csv,up,0,600\nright/d.csv,down,0,400\n",
    );
    let parts = DatasetConfig { table: Some("parts.csv".to_owned()), ..own.clone() };
    let loaded = load(&parts).unwrap();
    assert_eq!(loaded.class_names, ["down", "up"]);
    let SampleSet::Events(train) = &loaded.train else { panic!("recordings") };
    let SampleSet::Events(test) = &loaded.test else { panic!("recordings") };
    let mut times: Vec<(i64, Vec<i64>)> = Vec::new();
    for set in [train, test] {
        for i in 0..set.len() {
            let events = set.read(i).unwrap();
            times.push((events.start_us, events.t_us));
        }
    }
    times.sort();
    assert_eq!(
        times,
        [(0, vec![0]), (0, vec![0, 500]), (0, vec![0, 500]), (1000, vec![1000, 1500])]
    );
    let message = |text: &str| {
        write(&inside("parts.csv"), text);
        refusal(&parts)
    };
    assert!(
        message("file,class\n").contains("parts.csv: line 1: expected the columns file and label")
    );
    assert!(message("file,label\nnone.csv,a\n").contains("parts.csv: line 2: there is no file"));
    assert!(
        message("file,label,start_us,end_us\nleft/a.csv,a,5,5\n").contains("line 2: ends at 5 us")
    );
    assert!(
        message("file,label,start_us,end_us\nleft/a.csv,a,x,5\n")
            .contains("line 2: expected whole microseconds")
    );
    assert!(message("file,label,start_us\nleft/a.csv,a,1\n").contains("expected both"));
}

#[test]
fn series_of_the_archives_are_found_in_their_folder() {
    let folder = tempfile::tempdir().unwrap();
    let inside = |name: &str| folder.path().join(name);
    let head = "@problemName p\n@timeStamps false\n@classLabel true a b\n@data\n";
    write(&inside("P_TRAIN.ts"), format!("{head}1,2,3:4,5,6:a\n7,8:9,10:b\n"));
    write(&inside("P_TEST.ts"), format!("{head}1,2,3,4:5,6,7,8:b\n"));
    let own = config(OwnKind::Ts, folder.path());
    let loaded = load(&own).unwrap();
    assert_eq!(loaded.train.kind(), SampleKind::Sequences { n_steps: 4 });
    let SampleSet::Arrays(train) = &loaded.train else { panic!("arrays") };
    assert_eq!(train.sample(0), [1.0, 4.0, 2.0, 5.0, 3.0, 6.0, 0.0, 0.0]);
    assert_eq!((&*train.lengths, &*train.labels), (&[3, 2][..], &[0, 1][..]));
    let cut = load(&DatasetConfig { length: Some(2), ..own.clone() }).unwrap();
    assert_eq!(cut.test.kind(), SampleKind::Sequences { n_steps: 2 });
    let huge = refusal(&DatasetConfig { length: Some(usize::MAX / 2), ..own.clone() });
    assert!(huge.starts_with("dataset.length: "), "{huge}");
    write(&inside("P_TEST.ts"), format!("{head}1,2,3,4:b\n"));
    assert!(refusal(&own).contains("P_TEST.ts: line 5: expected 2 channels, found 1"));
    fs_err::remove_file(inside("P_TEST.ts")).unwrap();
    assert!(refusal(&own).contains("expected one file *_TEST.ts in"));
    assert!(refusal(&config(OwnKind::Csv, &inside("P_TRAIN.ts"))).contains("P_TRAIN.ts: line 1: "));
}

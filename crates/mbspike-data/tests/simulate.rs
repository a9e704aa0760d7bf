//! Simulated recordings, from their settings through the published formats to the loaders.

#![allow(clippy::unwrap_used, reason = "tests may panic")]

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Mutex;

use mbspike_data::catalog::DatasetName;
use mbspike_data::simulate::{
    GestureSimulation, MARKER, NmnistSimulation, Plan, Simulated, simulate_dvs_gesture,
    simulate_nmnist,
};
use mbspike_data::{Dataset, DatasetConfig, Events, ImageSet, SampleSet, Split, atis, load};

/// Six training and three test digits: bars of different lengths.
fn digits() -> Dataset {
    let set = |split, n: u8| {
        let image = |label: u8| {
            let is_ink =
                move |i: usize| (8..20).contains(&(i / 28)) && i % 28 < 6 + usize::from(label);
            (0..28 * 28).map(move |i| if is_ink(i) { 255 } else { 0 })
        };
        let images = (0..n).flat_map(image).collect();
        let labels = (0..n).collect();
        SampleSet::Images(ImageSet { images, labels, shape: [1, 28, 28], split }.into())
    };
    Dataset {
        name: "bars".to_owned(),
        train: set(Split::Train, 6),
        test: set(Split::Test, 3),
        class_names: (0..10).map(|i| i.to_string()).collect(),
        source: "made here".to_owned(),
        simulated: false,
    }
}

fn plan(folder: &Path) -> Plan {
    Plan { out: folder.join("out"), seed: 3, n_train: 5, n_test: 2 }
}

fn simulate(plan: &Plan) -> mbspike_data::Result<Simulated> {
    simulate_nmnist(&NmnistSimulation::default(), plan, &digits(), &|_, _| {})
}

fn load_from(name: DatasetName, path: &Path) -> mbspike_data::Result<Dataset> {
    load(&DatasetConfig { path: Some(path.to_owned()), ..DatasetConfig::new(name) })
}

/// All files below a folder with their contents.
fn contents(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(inner) = folders.pop() {
        for entry in fs_err::read_dir(inner).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let name = path.strip_prefix(folder).unwrap().display().to_string();
                found.insert(name, fs_err::read(&path).unwrap());
            }
        }
    }
    found
}

fn on_threads<T: Send>(n: usize, act: impl FnOnce() -> T + Send) -> T {
    rayon::ThreadPoolBuilder::new().num_threads(n).build().unwrap().install(act)
}

fn recordings(set: &SampleSet) -> Vec<Events> {
    let SampleSet::Events(set) = set else { panic!("not recordings") };
    (0..set.len()).map(|index| set.read(index).unwrap()).collect()
}

#[test]
fn simulated_digits_are_read_as_nmnist_and_say_that_they_are_simulated() {
    let folder = tempfile::tempdir().unwrap();
    let plan = plan(folder.path());
    assert_eq!(simulate(&plan).unwrap().n_files, 7);
    let dataset = load_from(DatasetName::Nmnist, &plan.out).unwrap();
    assert!(dataset.simulated);
    assert_eq!(dataset.train.labels(), [0, 1, 2, 3, 4]);
    assert_eq!(dataset.test.labels(), [0, 1]);
    let train = recordings(&dataset.train);
    for events in &train {
        assert!(events.len() > 500, "{}", events.len());
        assert!((250_000..308_000).contains(&events.duration_us()));
        let on_share = events.on.iter().filter(|&&on| on).count() as f64 / events.len() as f64;
        assert!((0.45..0.6).contains(&on_share), "{on_share}");
        // What was read is what is written.
        let bytes = atis::to_bytes(events, Path::new("again")).unwrap();
        assert_eq!(atis::parse(&bytes, [34, 34], Path::new("again")).unwrap(), *events);
    }
    // A test digit is another recording than the training digit with its number.
    assert_ne!(recordings(&dataset.test)[0], train[0]);
}

#[test]
fn the_files_do_not_depend_on_threads_or_on_interruptions() {
    let folder = tempfile::tempdir().unwrap();
    let once = plan(&folder.path().join("once"));
    on_threads(1, || simulate(&once)).unwrap();
    let want = contents(&once.out);
    assert_eq!(want.len(), 8);
    let marker = String::from_utf8(want[MARKER].clone()).unwrap();
    assert!(marker.starts_with("# The recordings in this folder are simulated, not measured."));

    let again = plan(&folder.path().join("again"));
    on_threads(4, || simulate(&again)).unwrap();
    assert_eq!(contents(&again.out), want);

    // As a kill leaves it: some files, one of them half written under its temporary name.
    fs_err::rename(again.out.join(MARKER), again.out.join("simulated.unfinished.toml")).unwrap();
    fs_err::remove_file(again.out.join("Train/3/00004.bin")).unwrap();
    fs_err::create_dir(again.out.join(".unfinished")).unwrap();
    fs_err::write(again.out.join(".unfinished/Train-3-00004.bin"), [1, 2]).unwrap();
    let message = load_from(DatasetName::Nmnist, &again.out).unwrap_err().to_string();
    assert!(message.contains("was interrupted"), "{message}");
    let seen = Mutex::new(vec![]);
    let progress = |n_done, n| seen.lock().unwrap().push((n_done, n));
    let config = NmnistSimulation::default();
    let simulated = simulate_nmnist(&config, &again, &digits(), &progress).unwrap();
    assert_eq!((simulated.n_files, simulated.n_found), (7, 6));
    assert_eq!(seen.into_inner().unwrap(), [(6, 7), (7, 7)]);
    assert_eq!(contents(&again.out), want);

    // What is there already is not done again.
    assert_eq!(simulate(&again).unwrap().n_found, 7);
    assert_eq!(contents(&again.out), want);
}

#[test]
fn a_simulation_killed_at_any_moment_is_continued() {
    let folder = tempfile::tempdir().unwrap();
    let once = plan(&folder.path().join("once"));
    simulate(&once).unwrap();
    let want = contents(&once.out);
    let unfinished = "simulated.unfinished.toml";
    // What there is after each file operation of the first moments, and of any later one.
    let moments: [&[(&str, &[u8])]; 7] = [
        &[],
        &[(".lock", b"")],
        &[(".lock", b""), (".partial-x", b"")],
        &[(".lock", b""), (".partial-x", b"# The rec")],
        &[(".lock", b""), (unfinished, &want[MARKER])],
        &[(".lock", b""), (unfinished, &want[MARKER]), ("Train/0/.partial-y", b"ab")],
        &[(".lock", b""), (".unfinished/left", b"by the version before")],
    ];
    for (i, files) in moments.iter().enumerate() {
        let again = plan(&folder.path().join(i.to_string()));
        fs_err::create_dir_all(&again.out).unwrap();
        for (name, content) in *files {
            let file = again.out.join(name);
            fs_err::create_dir_all(file.parent().unwrap()).unwrap();
            fs_err::write(file, content).unwrap();
        }
        simulate(&again).unwrap();
        assert_eq!(contents(&again.out), want, "moment {i}");
    }
}

#[test]
fn a_folder_of_anything_else_is_refused_and_left_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let plan = plan(folder.path());
    simulate(&plan).unwrap();
    let want = contents(&plan.out);
    let message = |plan: &Plan| simulate(plan).unwrap_err().to_string();
    assert!(message(&Plan { seed: 4, ..plan.clone() }).contains("seed = 3, not 4"));
    assert!(message(&Plan { n_train: 6, ..plan.clone() }).contains("train = 5, not 6"));
    let too_many = message(&Plan { n_test: 4, ..plan.clone() });
    assert_eq!(too_many, "test: bars has only 3 images: 4");
    let mut config = NmnistSimulation::default();
    config.camera.refractory_ms = 0.0;
    let refused = simulate_nmnist(&config, &plan, &digits(), &|_, _| {}).unwrap_err().to_string();
    assert!(refused.contains("camera.refractory_ms = 1.7, not 0.0"), "{refused}");
    assert_eq!(contents(&plan.out), want);

    let other = Plan { out: folder.path().join("other"), ..plan };
    fs_err::create_dir(&other.out).unwrap();
    fs_err::write(other.out.join("mine.txt"), "keep").unwrap();
    assert!(message(&other).contains("holds other files"));
    assert_eq!(contents(&other.out).len(), 1);
}

/// Gestures of a tenth of a second.
fn short_gestures() -> GestureSimulation {
    let mut config = GestureSimulation::default();
    config.scene.gesture_s = 0.1;
    config.scene.rest_s = 0.04;
    config
}

#[test]
fn simulated_gestures_are_read_as_dvs_gesture() {
    let folder = tempfile::tempdir().unwrap();
    let plan = Plan { out: folder.path().join("out"), seed: 8, n_train: 1, n_test: 1 };
    on_threads(2, || simulate_dvs_gesture(&short_gestures(), &plan, &|_, _| {})).unwrap();
    let dataset = load_from(DatasetName::DvsGesture, &plan.out).unwrap();
    assert!(dataset.simulated);
    assert_eq!(dataset.train.len(), 60);
    assert_eq!(dataset.test.labels()[..12], [0, 1, 2, 3, 4, 5, 6, 7, 7, 8, 9, 10]);
    let train = recordings(&dataset.train);
    for (events, &label) in train.iter().zip(dataset.train.labels()) {
        let rate = events.len() as f64 / 0.1;
        assert!((3e3..5e5).contains(&rate), "{rate} events a second of class {label}");
    }
    // One person, one gesture, two lights: not the same recording.
    assert_ne!(train[0], train[12]);

    let again = Plan { out: folder.path().join("again"), ..plan.clone() };
    on_threads(1, || simulate_dvs_gesture(&short_gestures(), &again, &|_, _| {})).unwrap();
    assert!(contents(&again.out) == contents(&plan.out), "the threads make a difference");
}

#[test]
fn settings_out_of_range_are_refused_by_their_keys() {
    let folder = tempfile::tempdir().unwrap();
    let plan = plan(folder.path());
    let mut config = short_gestures();
    config.lights.led.level = 0.0;
    let refused = simulate_dvs_gesture(&config, &plan, &|_, _| {}).unwrap_err().to_string();
    assert_eq!(refused, "lights.led.level: must be above 0: 0");
    let mut config = NmnistSimulation::default();
    config.camera.threshold_on = f64::NAN;
    let refused = simulate_nmnist(&config, &plan, &digits(), &|_, _| {}).unwrap_err().to_string();
    assert_eq!(refused, "camera.threshold_on: must be above 0: NaN");
    assert!(!plan.out.exists());
}

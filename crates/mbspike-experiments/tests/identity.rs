//! Which run a run is, and that it is done once.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use mbspike_experiments::observer::NullObserver;
use mbspike_experiments::run::{Error, Options, Report, run_sweep};
use mbspike_experiments::sweep::Sweep;
use mbspike_results::{RunSet, read_summaries};

const BASE: &str = r#"
name = "tiny"
seed = 11
[dataset]
name = "fashion-mnist-subset"
train_size = 20
test_size = 10
[encoder]
kind = "poisson"
time_steps = 2
[network]
arch = "28x28-1c3-4a-10o"
[neuron]
bits = 2
surrogate = { kind = "sigmoid", alpha = 4.0 }
[train]
epochs = 1
batch_size = 20
optimizer = { kind = "rmsprop", lr = 5e-3, alpha = 0.9 }
"#;

fn parse(sweep: &str) -> Result<Sweep, String> {
    let text = format!("{BASE}{sweep}");
    Sweep::parse(Path::new("tiny.toml"), &text, &[]).map_err(|error| error.to_string())
}

fn run(out: &Path, sweep: &str) -> Report {
    let options = Options { out: out.to_owned(), ..Options::default() };
    run_sweep(&parse(sweep).unwrap(), &options, &NullObserver, &AtomicBool::new(false)).unwrap()
}

/// The folders of runs in a folder.
fn folders(out: &Path) -> BTreeSet<PathBuf> {
    let entries = std::fs::read_dir(out.join("tiny")).unwrap();
    entries.map(|entry| entry.unwrap().path()).filter(|path| path.is_dir()).collect()
}

#[test]
fn a_single_run_extended_to_a_sweep_over_its_own_value_is_not_trained_again() {
    let out = tempfile::tempdir().unwrap();
    run(out.path(), "");
    let alone = folders(out.path());
    let report = run(out.path(), "[sweep]\n\"neuron.bits\" = [1, 2]\n");
    assert_eq!(report.summaries.len(), 2);
    assert_eq!(folders(out.path()).len(), 2);
    assert!(folders(out.path()).is_superset(&alone));
    let runs = RunSet::read(&out.path().join("tiny")).unwrap();
    assert_eq!(runs.labels(), ["1 bit", "2 bits"]);
    assert!(runs.groups.iter().all(|group| group.runs.len() == 1), "each counts once");
    // And back, and by another key.
    for sweep in ["", "[sweep]\n\"train.batch_size\" = [20]\n", "[sweep]\nrepeats = 1\n"] {
        assert_eq!(run(out.path(), sweep).summaries.len(), 1, "{sweep}");
        assert_eq!(folders(out.path()).len(), 2, "{sweep}");
    }
}

#[test]
fn more_repeats_are_added_to_the_one_that_is_there() {
    let out = tempfile::tempdir().unwrap();
    run(out.path(), "");
    run(out.path(), "[sweep]\nrepeats = 3\n");
    assert_eq!(folders(out.path()).len(), 3);
    let runs = RunSet::read(&out.path().join("tiny")).unwrap();
    assert_eq!((runs.groups.len(), runs.groups[0].runs.len()), (1, 3));
}

#[test]
fn what_decides_no_result_makes_no_other_run() {
    let out = tempfile::tempdir().unwrap();
    let settings = |settings: &[&str]| {
        let settings: Vec<String> = settings.iter().map(|&setting| setting.to_owned()).collect();
        let sweep = Sweep::parse(Path::new("tiny.toml"), BASE, &settings).unwrap();
        let options = Options { out: out.path().to_owned(), ..Options::default() };
        run_sweep(&sweep, &options, &NullObserver, &AtomicBool::new(false))
    };
    settings(&[]).unwrap();
    settings(&["train.checkpoint_every=1", "train.tensorboard=true"]).unwrap();
    assert_eq!(folders(out.path()).len(), 1);
    let error = settings(&["train.epochs=2"]).unwrap_err();
    assert!(matches!(error, Error::OtherConfig { .. }), "{error}");
}

#[test]
fn a_start_that_failed_does_not_keep_the_name() {
    let out = tempfile::tempdir().unwrap();
    let start = |settings: &[&str]| {
        let settings: Vec<String> = settings.iter().map(|&setting| setting.to_owned()).collect();
        let sweep = Sweep::parse(Path::new("tiny.toml"), BASE, &settings).unwrap();
        let options = Options { out: out.path().to_owned(), ..Options::default() };
        run_sweep(&sweep, &options, &NullObserver, &AtomicBool::new(false))
    };
    start(&["dataset.name=fashion-mnist", "dataset.path=/nowhere"]).unwrap_err();
    assert_eq!(start(&[]).unwrap().summaries.len(), 1);
    assert!(start(&["train.epochs=2"]).is_err(), "now it is taken");
}

#[test]
fn one_run_asked_for_twice_is_refused_with_both_places() {
    for (sweep, line, other) in [
        ("[sweep]\n\"neuron.bits\" = [1, 2, 1]\n", 21, 21),
        ("[sweep]\n\"neuron.tau\" = [2, 2.0]\n", 21, 21),
        ("[[sweep.point]]\n\"neuron.bits\" = 1\n[[sweep.point]]\n\"neuron.bits\" = 1\n", 23, 21),
        (
            "[[sweep.point]]\n\"train.epochs\" = 1\n[[sweep.point]]\n\"train.batch_size\" = 20\n",
            23,
            21,
        ),
        (
            "[[sweep.point]]\n\"neuron.layer_bits\" = [2, 2]\n[[sweep.point]]\n\"neuron.bits\" = 2\n",
            23,
            21,
        ),
    ] {
        let error = parse(sweep).unwrap_err();
        assert!(error.starts_with(&format!("tiny.toml:{line}:")), "{sweep}: {error}");
        assert!(error.contains(&format!("line {other}, ")), "{sweep}: {error}");
        assert!(error.contains("twice"), "{sweep}: {error}");
    }
}

#[test]
fn swept_keys_that_overlap_are_refused_with_both_places() {
    let table = "\"train.optimizer\" = [{ kind = \"adam\", lr = 1e-3 }]\n";
    for sweep in [
        format!("[sweep]\n{table}\"train.optimizer.lr\" = [1e-3, 2e-3]\n"),
        format!("[sweep]\n\"train.optimizer.lr\" = [1e-3, 2e-3]\n{table}"),
        "[[sweep.point]]\n\"train.optimizer.lr\" = 1e-3\n\"train.optimizer\" = { kind = \"adam\", lr = 1 }\n"
            .to_owned(),
    ] {
        let error = parse(&sweep).unwrap_err();
        assert!(error.starts_with("tiny.toml:22:"), "{sweep}: {error}");
        assert!(error.contains("line 21, column 1") && error.contains("is a part of"), "{error}");
    }
    let error =
        parse("[sweep]\n\"neuron.bits\" = [1, 2]\n\"neuron.layer_bits\" = [[1, 2], [2, 1]]\n");
    let error = error.unwrap_err();
    assert!(error.starts_with("tiny.toml:21:1: ") && error.contains("line 22, "), "{error}");
}

#[test]
fn names_of_folders_are_bounded_and_stay_apart() {
    let arch = vec!["12"; 120].join("-");
    let sweep = format!(
        "[sweep]\n\"network.arch\" = [\"28x28-{arch}-10o\", \"28x28-{arch}-13-10o\"]\n\
         \"train.optimizer.alpha\" = [0.9, 0.8]\n"
    );
    let sweep = parse(&sweep).unwrap();
    let ids: BTreeSet<&str> = sweep.points.iter().map(|point| point.id.as_str()).collect();
    assert_eq!(ids.len(), 4);
    assert!(ids.iter().all(|id| id.len() <= 200), "{ids:?}");
}

#[test]
fn keys_with_one_last_word_make_groups_of_their_own() {
    let out = tempfile::tempdir().unwrap();
    let sweep = "[[sweep.point]]\n\"neuron.surrogate.alpha\" = 2\n\
                 [[sweep.point]]\n\"train.optimizer.alpha\" = 0.5\n";
    run(out.path(), sweep);
    let runs = RunSet::read(&out.path().join("tiny")).unwrap();
    assert_eq!(runs.labels(), ["surrogate alpha 2", "optimizer alpha 0.5"]);
    let names = folders(out.path());
    assert!(names.iter().any(|path| path.to_str().unwrap().contains("surrogate.alpha-2")));
}

#[test]
fn a_config_edited_in_its_folder_is_not_taken_for_the_run() {
    let out = tempfile::tempdir().unwrap();
    run(out.path(), "");
    let run_folder = folders(out.path()).pop_first().unwrap();
    let config = run_folder.join("config.toml");
    let text = std::fs::read_to_string(&config).unwrap();
    std::fs::write(&config, text.replace("bits = 2", "bits = 3")).unwrap();
    let options = Options { out: out.path().to_owned(), ..Options::default() };
    let again = run_sweep(&parse("").unwrap(), &options, &NullObserver, &AtomicBool::new(false));
    let error = again.unwrap_err().to_string();
    assert!(error.contains("config.toml") && error.contains("edited"), "{error}");
    // What decides no result may change.
    std::fs::write(&config, text.replace("[dataset]", "[dataset]\nframe_cache = true")).unwrap();
    run(out.path(), "");
    assert_eq!(read_summaries(&out.path().join("tiny")).unwrap().len(), 1);
}

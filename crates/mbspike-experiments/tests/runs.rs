//! Runs: the same bits whatever happens on the way.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use mbspike_core::DeviceName;
use mbspike_experiments::observer::{Iteration, NullObserver, Observer};
use mbspike_experiments::run::{Error, Options, Report, collect, plan_sweep, run_sweep};
use mbspike_experiments::sweep::{Point, Shard, Sweep};
use mbspike_results::files::{METRICS_FILE, SUMMARY_FILE};
use mbspike_results::tensorboard::{EVENTS_FILE, TENSORBOARD_FOLDER};
use mbspike_results::{Lock, Record, Status, read_metrics, read_summary};

const TINY: &str = r#"
name = "tiny"
seed = 11
[dataset]
name = "fashion-mnist-subset"
train_size = 120
test_size = 40
[encoder]
kind = "poisson"
time_steps = 3
[network]
arch = "28x28-2c3-4a-10o"
[neuron]
bits = 2
[train]
epochs = 3
batch_size = 25
optimizer = { kind = "adam", lr = 5e-3 }
scheduler = { kind = "cosine" }
mixup_alpha = 0.2
ema = 0.9
log_every = 2
"#;

fn sweep(settings: &[&str]) -> Sweep {
    let settings: Vec<String> = settings.iter().map(|&setting| setting.to_owned()).collect();
    Sweep::parse(Path::new("tiny.toml"), TINY, &settings).unwrap()
}

fn options(out: &Path) -> Options {
    Options { out: out.to_owned(), ..Options::default() }
}

fn run(sweep: &Sweep, options: &Options) -> Report {
    run_sweep(sweep, options, &NullObserver, &AtomicBool::new(false)).unwrap()
}

fn folder(out: &Path, sweep: &Sweep, point: usize) -> PathBuf {
    out.join(&sweep.name).join(&sweep.points[point].id)
}

/// Weights, state without times, and records without times.
fn outcome(folder: &Path) -> (Vec<u8>, Vec<Record>) {
    let mut records = read_metrics(&folder.join(METRICS_FILE), None).unwrap();
    for record in &mut records {
        match record {
            Record::Window(window) => (window.step_time_s, window.loader_share) = (0.0, 0.0),
            Record::Epoch(epoch) => {
                (epoch.epoch_time_s, epoch.step_time_s, epoch.loader_share) = (0.0, 0.0, 0.0);
            }
        }
    }
    (std::fs::read(folder.join("checkpoint.safetensors")).unwrap(), records)
}

/// Sets a flag after a given iteration.
struct StopAt {
    iteration: u64,
    stop: Arc<AtomicBool>,
}

impl Observer for StopAt {
    fn on_iteration(&self, _: &Point, iteration: &Iteration) {
        if iteration.iteration >= self.iteration {
            self.stop.store(true, Ordering::Relaxed);
        }
    }
}

#[test]
fn a_run_stopped_anywhere_and_resumed_ends_with_the_same_bits() {
    let out = tempfile::tempdir().unwrap();
    let sweep = sweep(&[]);
    let whole = options(&out.path().join("whole"));
    let report = run(&sweep, &whole);
    assert_eq!(report.summaries.len(), 1);
    let expected = outcome(&folder(&whole.out, &sweep, 0));
    // 5 iterations an epoch: in the middle of a window, at the end of one, at the end of epochs.
    for stops in [&[1, 2, 3][..], &[4, 5, 6], &[7, 10, 13], &[5, 10, 15]] {
        let name = format!("stopped at {stops:?}");
        let parts = Options { resume: true, ..options(&out.path().join(&name)) };
        for &iteration in stops {
            let stop = Arc::new(AtomicBool::new(false));
            let observer = StopAt { iteration, stop: Arc::clone(&stop) };
            let report = run_sweep(&sweep, &parts, &observer, &stop).unwrap();
            assert_eq!(report.stopped.len(), 1, "{name}");
            assert!(!folder(&parts.out, &sweep, 0).join(SUMMARY_FILE).exists(), "{name}");
        }
        assert!(run(&sweep, &parts).stopped.is_empty());
        assert!(outcome(&folder(&parts.out, &sweep, 0)) == expected, "{name}");
    }
}

/// A run that was stopped in its second iteration.
fn interrupted(out: &Path) -> Sweep {
    let sweep = sweep(&[]);
    let stop = Arc::new(AtomicBool::new(false));
    let observer = StopAt { iteration: 2, stop: Arc::clone(&stop) };
    run_sweep(&sweep, &options(out), &observer, &stop).unwrap();
    sweep
}

#[test]
fn an_interrupted_run_is_resumed_only_if_asked() {
    let out = tempfile::tempdir().unwrap();
    let sweep = interrupted(out.path());
    let again = run_sweep(&sweep, &options(out.path()), &NullObserver, &AtomicBool::new(false));
    assert!(matches!(again, Err(Error::Interrupted(_))), "{again:?}");
}

#[test]
fn a_run_goes_on_on_the_kind_of_device_it_was_begun_on_alone() {
    let out = tempfile::tempdir().unwrap();
    let sweep = interrupted(out.path());
    let run_folder = folder(out.path(), &sweep, 0);
    let run_json = std::fs::read_to_string(run_folder.join("run.json")).unwrap();
    assert!(run_json.contains(r#""device": "cpu""#), "{run_json}");

    // Before the device is looked for, so that it is said where there is no GPU, too.
    let on_gpu = Options { device: DeviceName::Cuda(0), resume: true, ..options(out.path()) };
    let plan = std::fs::read(out.path().join(&sweep.name).join("plan.json")).unwrap();
    let again = run_sweep(&sweep, &on_gpu, &NullObserver, &AtomicBool::new(false));
    let message = again.unwrap_err().to_string();
    assert!(message.contains(&run_folder.display().to_string()), "{message}");
    assert!(message.contains("begun on cpu and cannot go on on cuda"), "{message}");
    assert!(message.contains("--device cpu"), "{message}");
    assert_eq!(std::fs::read(out.path().join(&sweep.name).join("plan.json")).unwrap(), plan);

    // Planned on a GPU, the run is another, in a folder of its own.
    let names = plan_sweep(&sweep, out.path(), DeviceName::Cuda(0)).unwrap();
    assert_ne!(names[0], run_folder.file_name().unwrap().to_str().unwrap());

    let on_cpu = Options { resume: true, ..options(out.path()) };
    assert!(run(&sweep, &on_cpu).stopped.is_empty());
    let summary = std::fs::read_to_string(run_folder.join(SUMMARY_FILE)).unwrap();
    assert!(summary.contains(r#""device": "cpu""#), "{summary}");
    // Beside one that is over it can be computed on another device, if that is there.
    let again = run_sweep(&sweep, &on_gpu, &NullObserver, &AtomicBool::new(false));
    assert!(!matches!(again, Err(Error::OtherDevice { .. })), "{again:?}");
}

#[test]
fn a_run_that_is_over_is_never_run_again() {
    let out = tempfile::tempdir().unwrap();
    // 0.1 has no exact f32: what was written must still be taken for the same config.
    let sweep = sweep(&["train.random_erasing=0.1"]);
    run(&sweep, &options(out.path()));
    let summary = folder(out.path(), &sweep, 0).join(SUMMARY_FILE);
    let written = std::fs::metadata(&summary).unwrap().modified().unwrap();
    let report = run(&sweep, &options(out.path()));
    assert_eq!(report.summaries.len(), 1);
    assert_eq!(std::fs::metadata(&summary).unwrap().modified().unwrap(), written);
}

#[test]
fn jobs_and_threads_do_not_change_a_bit() {
    let out = tempfile::tempdir().unwrap();
    let sweep = sweep(&["sweep.neuron.bits=[1, 3]"]);
    let one = options(&out.path().join("one"));
    let two = Options { jobs: 2, ..options(&out.path().join("two")) };
    let pool = |n| rayon::ThreadPoolBuilder::new().num_threads(n).build().unwrap();
    // A sweep takes as many threads as the pool it is called in.
    pool(1).install(|| run(&sweep, &one));
    pool(4).install(|| run(&sweep, &two));
    for point in 0..2 {
        let [a, b] = [&one, &two].map(|options| outcome(&folder(&options.out, &sweep, point)));
        assert!(a == b, "{}", sweep.points[point].id);
    }
    let threads = |options: &Options| {
        let summary = read_summary(&folder(&options.out, &sweep, 0).join(SUMMARY_FILE)).unwrap();
        summary.environment.threads
    };
    assert_eq!((threads(&one), threads(&two)), (1, 2));
}

#[test]
fn shards_share_the_runs_and_fill_one_table() {
    let out = tempfile::tempdir().unwrap();
    let sweep = sweep(&["sweep.neuron.bits=[1, 2, 3]", "train.epochs=1"]);
    let shard = |text: &str| Options { shard: text.parse().unwrap(), ..options(out.path()) };
    assert_eq!(run(&sweep, &shard("1/2")).summaries.len(), 2);
    assert_eq!(run(&sweep, &shard("2/2")).summaries.len(), 1);
    let csv = std::fs::read_to_string(out.path().join("tiny/results.csv")).unwrap();
    assert_eq!(csv.lines().count(), 4, "{csv}");
    assert!(csv.lines().next().unwrap().contains("neuron.bits"), "{csv}");
    for wrong in ["0/2", "3/2", "2", "a/b"] {
        assert!(wrong.parse::<Shard>().is_err(), "{wrong}");
    }
}

#[test]
fn the_parquet_table_has_the_rows_of_the_csv_table() {
    use parquet::file::reader::{FileReader, SerializedFileReader};
    let out = tempfile::tempdir().unwrap();
    let sweep = sweep(&["sweep.neuron.bits=[1, 2]", "train.epochs=1"]);
    run(&sweep, &options(out.path()));
    let file = std::fs::File::open(out.path().join("tiny/results.parquet")).unwrap();
    let reader = SerializedFileReader::new(file).unwrap();
    let csv = std::fs::read_to_string(out.path().join("tiny/results.csv")).unwrap();
    let names = csv.lines().next().unwrap().split(',').collect::<Vec<_>>();
    let rows: Vec<_> = reader.get_row_iter(None).unwrap().map(Result::unwrap).collect();
    assert_eq!(rows.len(), 2);
    for (row, line) in rows.iter().zip(csv.lines().skip(1)) {
        for ((name, value), (expected_name, expected)) in
            row.get_column_iter().zip(names.iter().zip(line.split(',')))
        {
            assert_eq!(name, expected_name);
            let value = match value {
                parquet::record::Field::Null => String::new(),
                parquet::record::Field::Str(text) => text.clone(),
                parquet::record::Field::Double(number) => number.to_string(),
                parquet::record::Field::Long(number) => number.to_string(),
                other => panic!("{name}: {other}"),
            };
            assert_eq!(value, *expected, "{name}");
        }
    }
}

#[test]
fn a_diverging_point_keeps_its_checkpoint_and_does_not_stop_the_others() {
    let out = tempfile::tempdir().unwrap();
    let sweep = sweep(&[
        "sweep.train.optimizer.lr=[1e38, 5e-3]",
        "train.optimizer.kind=sgd",
        "train.clip_grad_norm=1e30",
        "network.readout=last-membrane",
    ]);
    let report = run(&sweep, &options(out.path()));
    let statuses: Vec<_> = report.summaries.iter().map(|summary| summary.status).collect();
    assert_eq!(statuses, [Status::Diverged, Status::Finished]);
    assert!(report.summaries[0].cause.as_ref().unwrap().contains("iteration"));
    assert_eq!(report.diverged().collect::<Vec<_>>(), [sweep.points[0].id.as_str()]);
}

#[test]
fn a_folder_of_another_config_is_refused_by_the_differing_key() {
    let out = tempfile::tempdir().unwrap();
    run(&sweep(&["train.epochs=1"]), &options(out.path()));
    let other = sweep(&["train.epochs=2"]);
    let error = run_sweep(&other, &options(out.path()), &NullObserver, &AtomicBool::new(false));
    let message = error.unwrap_err().to_string();
    assert!(message.contains("`train.epochs` is 1 there, but 2 here"), "{message}");
}

#[test]
fn a_sweep_may_grow() {
    let out = tempfile::tempdir().unwrap();
    run(&sweep(&["sweep.neuron.bits=[1]", "train.epochs=1"]), &options(out.path()));
    let report = run(&sweep(&["sweep.neuron.bits=[1, 2]", "train.epochs=1"]), &options(out.path()));
    assert_eq!(report.summaries.len(), 2);
}

#[test]
fn a_damaged_checkpoint_is_named() {
    let out = tempfile::tempdir().unwrap();
    let sweep = sweep(&[]);
    let stop = Arc::new(AtomicBool::new(false));
    let observer = StopAt { iteration: 2, stop: Arc::clone(&stop) };
    run_sweep(&sweep, &options(out.path()), &observer, &stop).unwrap();
    let state = folder(out.path(), &sweep, 0).join("state.safetensors");
    let bytes = std::fs::read(&state).unwrap();
    std::fs::write(&state, &bytes[..bytes.len() / 2]).unwrap();
    let report = run(&sweep, &Options { resume: true, ..options(out.path()) });
    let message = report.failed[0].1.to_string();
    assert!(message.contains("state.safetensors: damaged"), "{message}");
}

#[test]
fn two_processes_do_not_write_to_one_run() {
    let out = tempfile::tempdir().unwrap();
    let sweep = sweep(&[]);
    let folder = folder(out.path(), &sweep, 0);
    std::fs::create_dir_all(&folder).unwrap();
    let lock = Lock::try_lock(&folder).unwrap();
    let report = run(&sweep, &options(out.path()));
    let (id, error) = &report.elsewhere[0];
    assert!(report.summaries.is_empty() && report.failed.is_empty() && *id == sweep.points[0].id);
    let me = format!("process {} on ", std::process::id());
    assert!(error.to_string().contains(&me), "{error}");
    drop(lock);
    assert_eq!(run(&sweep, &options(out.path())).summaries.len(), 1);
}

#[test]
fn a_summary_says_what_the_records_say() {
    let out = tempfile::tempdir().unwrap();
    let sweep = sweep(&["target.accuracy=0.01", "train.epochs=2"]);
    let report = run(&sweep, &options(out.path()));
    let summary = &report.summaries[0];
    let records = read_metrics(&folder(out.path(), &sweep, 0).join(METRICS_FILE), None).unwrap();
    let epochs: Vec<_> = records
        .iter()
        .filter_map(|record| match record {
            Record::Epoch(epoch) => Some(epoch),
            Record::Window(_) => None,
        })
        .collect();
    assert_eq!(epochs.len(), 2);
    assert_eq!(summary.final_test_accuracy, Some(epochs[1].test_accuracy));
    assert_eq!(summary.epochs_to_target, Some(1));
    // Ten iterations are no full window of a hundred.
    assert_eq!((summary.n_iterations, summary.iterations_to_target), (10, None));
    assert_eq!(summary.positions, ["input", "lif1", "lif2"]);
    assert_eq!(summary.n_parameters, 2 * 9 + 10 * 2 * 49);
    let n_iterations: u64 = records
        .iter()
        .map(|record| match record {
            Record::Window(window) => window.n_iterations,
            Record::Epoch(_) => 0,
        })
        .sum();
    assert_eq!(n_iterations, 10);
    let (mut time_s, mut waited_s) = (0.0, 0.0);
    for record in &records {
        if let Record::Window(window) = record {
            assert!((0.0..=1.0).contains(&window.loader_share), "{}", window.loader_share);
            time_s += window.step_time_s * window.n_iterations as f64;
            waited_s += window.step_time_s * window.n_iterations as f64 * window.loader_share;
        }
    }
    let share = summary.loader_share.unwrap();
    assert!((share - waited_s / time_s).abs() < 1e-9, "{share}");
    assert!(waited_s > 0.0, "the first batch is never ready at once");
}

/// Step, tag and value of every scalar of an event file, by a reader of the format's definition.
fn events(folder: &Path) -> Vec<(u64, String, f32)> {
    /// Number and content of each field of a protocol buffer.
    fn fields(mut bytes: &[u8]) -> Vec<(u64, Vec<u8>)> {
        fn varint(bytes: &mut &[u8]) -> u64 {
            let n = bytes.iter().position(|byte| *byte < 0x80).unwrap() + 1;
            let (value, rest) = bytes.split_at(n);
            *bytes = rest;
            value.iter().rev().fold(0, |sum, byte| sum << 7 | u64::from(byte & 0x7f))
        }
        let mut fields = Vec::new();
        while !bytes.is_empty() {
            let key = varint(&mut bytes);
            let length = match key & 7 {
                0 => {
                    fields.push((key >> 3, varint(&mut bytes).to_le_bytes().to_vec()));
                    continue;
                }
                1 => 8,
                2 => varint(&mut bytes) as usize,
                5 => 4,
                kind => panic!("wire type {kind}"),
            };
            let (value, rest) = bytes.split_at(length);
            fields.push((key >> 3, value.to_vec()));
            bytes = rest;
        }
        fields
    }
    let bytes = std::fs::read(folder.join(TENSORBOARD_FOLDER).join(EVENTS_FILE)).unwrap();
    let mut rest = bytes.as_slice();
    let mut events = Vec::new();
    while !rest.is_empty() {
        let length = u64::from_le_bytes(rest[..8].try_into().unwrap()) as usize;
        let mut step = 0;
        for (field, value) in fields(&rest[12..12 + length]) {
            match field {
                2 => step = u64::from_le_bytes(value.try_into().unwrap()),
                5 => events.extend(fields(&value).into_iter().map(|(_, scalar)| {
                    let [(1, tag), (2, value)] = &fields(&scalar)[..] else { panic!("{scalar:?}") };
                    let value = f32::from_le_bytes(value[..].try_into().unwrap());
                    (step, String::from_utf8(tag.clone()).unwrap(), value)
                })),
                _ => {}
            }
        }
        rest = &rest[16 + length..];
    }
    events
}

#[test]
fn events_for_tensorboard_are_the_records_also_of_a_run_that_was_stopped() {
    let out = tempfile::tempdir().unwrap();
    let (with, without) = (sweep(&["train.tensorboard=true"]), sweep(&[]));
    assert_eq!(with.points[0].id, without.points[0].id, "what is written decides no result");
    // Started without events, stopped within windows, and what was written after the last
    // checkpoint lost.
    let parts = Options { resume: true, ..options(out.path()) };
    for (sweep, iteration) in [(&without, 3), (&with, 4), (&with, 9)] {
        let stop = Arc::new(AtomicBool::new(false));
        let observer = StopAt { iteration, stop: Arc::clone(&stop) };
        run_sweep(sweep, &parts, &observer, &stop).unwrap();
    }
    let folder = folder(out.path(), &with, 0);
    let mut log = std::fs::OpenOptions::new().append(true).open(folder.join(METRICS_FILE)).unwrap();
    let lost = std::fs::read_to_string(folder.join(METRICS_FILE)).unwrap();
    std::io::Write::write_all(&mut log, lost.lines().last().unwrap().as_bytes()).unwrap();
    run(&with, &parts);

    let records = read_metrics(&folder.join(METRICS_FILE), None).unwrap();
    let events = events(&folder);
    let of = |tag: &str| -> Vec<(u64, f32)> {
        let chosen = events.iter().filter(|(_, other, _)| other == tag);
        chosen.map(|(step, _, value)| (*step, *value)).collect()
    };
    let (mut windows, mut epochs) = (vec![], vec![]);
    for record in &records {
        match record {
            Record::Window(window) => windows.push(window),
            Record::Epoch(epoch) => epochs.push(epoch),
        }
    }
    assert_eq!((windows.len(), epochs.len()), (9, 3));
    let expected: Vec<_> = windows.iter().map(|w| (w.iteration, w.loss as f32)).collect();
    assert_eq!(of("window/loss"), expected);
    let expected: Vec<_> =
        windows.iter().map(|w| (w.iteration, w.nonzero_rate[1] as f32)).collect();
    assert_eq!(of("window/nonzero_rate/lif1"), expected);
    let expected: Vec<_> = epochs.iter().map(|e| (e.iteration, e.test_accuracy as f32)).collect();
    assert_eq!(of("epoch/test_accuracy"), expected);
    // 5 numbers and 2 of each of 3 positions in a window, 7 and 4 of each position in an epoch.
    assert_eq!(events.len(), 9 * (5 + 2 * 3) + 3 * (7 + 4 * 3));
}

/// Takes note of what is said of the time that is left.
#[derive(Default)]
struct Watch {
    left_s: std::sync::Mutex<Vec<(f64, f64)>>,
}

impl Observer for Watch {
    fn on_time_left(&self, _: &Point, run_s: f64, sweep_s: f64) {
        self.left_s.lock().unwrap().push((run_s, sweep_s));
    }
}

#[test]
fn the_time_of_the_sweep_is_known_from_the_first_iteration_on_and_ends_at_zero() {
    let out = tempfile::tempdir().unwrap();
    let watch = Watch::default();
    let sweep = sweep(&["sweep.neuron.bits=[1, 2, 3]"]);
    run_sweep(&sweep, &options(out.path()), &watch, &AtomicBool::new(false)).unwrap();
    let left_s = watch.left_s.into_inner().unwrap();
    let (run_s, sweep_s) = left_s[0];
    assert!(run_s > 0.0 && sweep_s > 2.0 * run_s, "three runs, of which one has begun: {left_s:?}");
    let last = left_s.last().unwrap();
    assert!(last.0 <= 1e-9 && last.1 <= 1e-9, "{last:?}");
}

#[test]
fn runs_of_a_plan_need_no_look_at_the_others_and_leave_the_tables_to_collect() {
    let out = tempfile::tempdir().unwrap();
    let sweep = sweep(&["sweep.neuron.bits=[1, 2, 3]", "train.epochs=1"]);
    let only = |names: &[String]| Options { only: Some(names.to_vec()), ..options(out.path()) };
    let none = run_sweep(&sweep, &only(&["x".to_owned()]), &NullObserver, &AtomicBool::new(false));
    assert!(matches!(none, Err(Error::NotPlanned { .. })), "{none:?}");
    let names = plan_sweep(&sweep, out.path(), DeviceName::Cpu).unwrap();
    // A folder that cannot be read is of no interest to the others.
    let other = out.path().join("tiny").join(&names[2]);
    std::fs::create_dir_all(&other).unwrap();
    std::fs::write(other.join("config.toml"), "no config").unwrap();
    std::fs::write(other.join("summary.json"), "no summary").unwrap();
    let report = run(&sweep, &only(&names[..2]));
    assert_eq!(report.summaries.len(), 2);
    assert!(!out.path().join("tiny/results.csv").exists());
    std::fs::remove_dir_all(&other).unwrap();
    assert_eq!(collect(&out.path().join("tiny")).unwrap().len(), 2);
    assert!(out.path().join("tiny/results.csv").exists());
}

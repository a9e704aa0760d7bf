//! The program killed, or its disk failing, at each of its file operations.
#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicUsize, Ordering};

const SWEEP: &str = r#"
name = "tiny"
seed = 11
[dataset]
name = "fashion-mnist-subset"
train_size = 40
test_size = 20
[encoder]
kind = "poisson"
time_steps = 2
[network]
arch = "28x28-1c3-4a-10o"
[neuron]
bits = 2
[train]
epochs = 1
batch_size = 20
log_every = 1
checkpoint_every = 1
ema = 0.5
tensorboard = true
optimizer = { kind = "adam", lr = 5e-3 }
[sweep]
"neuron.bits" = [1, 2]
"#;

const SIGKILL: i32 = 9;
const EIO: i32 = 5;
const ENOSPC: i32 = 28;

/// The library that counts file operations and ends the program at one of them.
static SHIM: LazyLock<PathBuf> = LazyLock::new(|| {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/faults/shim.c");
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let library = folder.join(format!("faults-{}.so", std::process::id()));
    let status = Command::new("cc")
        .args(["-shared", "-fPIC", "-O1", "-o"])
        .args([&library, &source])
        .arg("-ldl")
        .status()
        .unwrap();
    assert!(status.success(), "a C compiler is needed");
    library
});

/// What happens at an operation.
#[derive(Clone, Copy)]
struct Fault {
    /// Which, counted from 1; 0 for none.
    at: usize,
    /// The number of the error that it fails with; 0 to be killed.
    error: i32,
}

const NONE: Fault = Fault { at: 0, error: 0 };

/// Runs the program in `folder`, below which its file operations count.
fn run(folder: &Path, arguments: &[&str], fault: Fault) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mbspike"));
    command.args(arguments).current_dir(folder);
    command.env("RAYON_NUM_THREADS", "1").env("LD_PRELOAD", &*SHIM);
    command.env("FAULT_FOLDER", folder).env("FAULT_AT", fault.at.to_string());
    command.env("FAULT_ERROR", fault.error.to_string());
    command.output().unwrap()
}

/// How many operations a command has that ends well.
fn count(folder: &Path, arguments: &[&str]) -> usize {
    let log = folder.with_extension("log");
    let mut command = Command::new(env!("CARGO_BIN_EXE_mbspike"));
    command.args(arguments).current_dir(folder);
    command.env("RAYON_NUM_THREADS", "1").env("LD_PRELOAD", &*SHIM);
    command.env("FAULT_FOLDER", folder).env("FAULT_LOG", &log);
    let output = command.output().unwrap();
    assert!(output.status.success(), "{arguments:?}: {}", stderr(&output));
    let n = std::fs::metadata(&log).unwrap().len() as usize;
    std::fs::remove_file(&log).unwrap();
    n
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// A number in text with everything that a clock decides.
const TIMES: [&str; 5] =
    ["finished", "first_steps_median_s", "last_steps_median_s", "loader_share", "time_s"];

/// Removes what a clock decides, and checksums of it.
fn without_times(value: &mut serde_json::Value) {
    match value {
        serde_json::Value::Object(entries) => {
            entries.retain(|key, _| {
                !TIMES.contains(&key.as_str())
                    && !key.ends_with("_time_s")
                    && !["checksum", "metrics"].contains(&key.as_str())
            });
            entries.values_mut().for_each(without_times);
        }
        serde_json::Value::Array(values) => values.iter_mut().for_each(without_times),
        _ => {}
    }
}

/// All files below a folder by their names, without what a clock decides.
fn content(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    fn visit(root: &Path, folder: &Path, into: &mut BTreeMap<String, Vec<u8>>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                visit(root, &path, into);
                continue;
            }
            // A folder of frames is shared by programs that do not know of each other: what a killed one
            // left there goes when it is old.
            if path.parent().unwrap().ends_with("frames")
                && mbspike_files::is_partial(path.file_name().unwrap())
            {
                continue;
            }
            let mut name = path.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
            if let Some((split, _)) = name.rsplit_once('-').filter(|_| name.ends_with(".frames")) {
                // Recordings in other places are other recordings.
                name.truncate(split.len());
            }
            let bytes = std::fs::read(&path).unwrap();
            into.insert(name, timeless(&path, bytes));
        }
    }
    let mut files = BTreeMap::new();
    visit(folder, folder, &mut files);
    files
}

fn timeless(path: &Path, bytes: Vec<u8>) -> Vec<u8> {
    let json = |text: &[u8]| {
        let mut value: serde_json::Value = serde_json::from_slice(text).unwrap();
        without_times(&mut value);
        value.to_string()
    };
    match path.file_name().unwrap().to_str().unwrap() {
        "summary.json" => json(&bytes).into_bytes(),
        "metrics.jsonl" => {
            let lines = bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
            lines.map(json).collect::<Vec<_>>().join("\n").into_bytes()
        }
        "state.safetensors" => {
            // The tensors; the header has the progress, with its times.
            let header = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
            bytes[8 + header..].to_vec()
        }
        "results.csv" => bytes.iter().filter(|byte| **byte == b'\n').copied().collect(),
        "results.parquet" => bytes[..4].to_vec(),
        name if name.ends_with(".frames") => (bytes.len() as u64).to_le_bytes().to_vec(),
        // A time in each event.
        name if name.starts_with("events.out") => vec![(bytes.len() > 100).into()],
        _ => bytes,
    }
}

/// Holds what a folder has against what it should have.
fn check(found: &BTreeMap<String, Vec<u8>>, expected: &BTreeMap<String, Vec<u8>>, when: &str) {
    let names = |files: &BTreeMap<String, Vec<u8>>| files.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(found), names(expected), "{when}");
    for (name, bytes) in found {
        assert!(*bytes == expected[name], "{when}: {name} differs");
    }
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let target = to.join(path.file_name().unwrap());
        if path.is_dir() {
            copy(&path, &target);
        } else {
            std::fs::copy(&path, &target).unwrap();
        }
    }
}

/// Kills `first` at every operation (of many, at every `stride`-th) in a copy of `start`, and lets `again`
/// end what it left: the result must be that of never having been killed. Then the same with a full disk
/// and a failing one, where the program must say so, with the file, whose path has `named` in it, and lose
/// nothing.
fn killed_anywhere(start: &Path, first: &[&str], again: &[&str], named: &str, at_most: usize) {
    let scratch = tempfile::tempdir().unwrap();
    let scratch = scratch.path().canonicalize().unwrap();
    let whole = scratch.join("whole");
    copy(start, &whole);
    let n_operations = count(&whole, first);
    let expected = content(&whole);
    assert!(n_operations > 3, "{first:?} has {n_operations} file operations");
    let stride = n_operations.div_ceil(at_most);
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        let worker = || loop {
            let i = next.fetch_add(1, Ordering::Relaxed);
            let at = 1 + (i / 2) * stride;
            if at > n_operations {
                return;
            }
            // Each operation is killed; every other one fails, too, and errors take turns.
            let error = match (i % 2, at % 4) {
                (0, _) => 0,
                (_, 1) => ENOSPC,
                (_, 3) => EIO,
                _ => continue,
            };
            let folder = scratch.join(format!("{at}-{error}"));
            copy(start, &folder);
            let when = format!("{first:?}, error {error} at operation {at} of {n_operations}");
            let output = run(&folder, first, Fault { at, error });
            if error == 0 {
                assert_eq!(output.status.signal(), Some(SIGKILL), "{when}: {}", stderr(&output));
            } else {
                let message = stderr(&output);
                assert_eq!(output.status.signal(), None, "{when}: {message}");
                let reason = if error == EIO { "Input/output error" } else { "No space left" };
                let is_named = message.contains(reason) && message.contains(named);
                // What could not be removed is not worth a failure.
                assert!(output.status.success() || is_named, "{when}: {message}");
            }
            let output = run(&folder, again, NONE);
            assert!(output.status.success(), "{when}, then {again:?}: {}", stderr(&output));
            check(&content(&folder), &expected, &when);
            std::fs::remove_dir_all(&folder).unwrap();
        };
        let workers = [scope.spawn(worker), scope.spawn(worker)];
        for worker in workers {
            if let Err(panic) = worker.join() {
                std::panic::resume_unwind(panic);
            }
        }
    });
}

/// A folder with a config in it.
fn start() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("tiny.toml"), SWEEP).unwrap();
    folder
}

/// A folder with a sweep that is over, and the first of its runs.
fn trained() -> (tempfile::TempDir, String) {
    let start = start();
    let folder = start.path().canonicalize().unwrap();
    let output = run(&folder, &["run", "tiny.toml", "--no-figures"], NONE);
    assert!(output.status.success(), "{}", stderr(&output));
    let mut runs: Vec<String> = std::fs::read_dir(folder.join("runs/tiny"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.starts_with("bits-2"))
        .collect();
    runs.sort();
    (start, format!("runs/tiny/{}", runs[0]))
}

const ALL: usize = usize::MAX;

#[test]
fn a_sweep_killed_at_any_file_operation_and_resumed_ends_with_the_same_bytes() {
    let start = start();
    let first = ["run", "tiny.toml", "--no-figures", "--quiet"];
    let again = ["run", "tiny.toml", "--no-figures", "--quiet", "--resume"];
    killed_anywhere(start.path(), &first, &again, "runs", ALL);
}

#[test]
fn plot_killed_anywhere_leaves_nothing_that_the_next_does_not_mend() {
    let (start, _) = trained();
    killed_anywhere(start.path(), &["plot", "runs/tiny"], &["plot", "runs/tiny"], "runs/tiny", 12);
}

#[test]
fn report_killed_anywhere_leaves_nothing_that_the_next_does_not_mend() {
    let (start, _) = trained();
    killed_anywhere(
        start.path(),
        &["report", "runs/tiny"],
        &["report", "runs/tiny"],
        "runs/tiny",
        ALL,
    );
}

#[test]
fn quantize_killed_anywhere_leaves_nothing_that_the_next_does_not_mend() {
    let (start, run) = trained();
    killed_anywhere(start.path(), &["quantize", &run], &["quantize", &run], "runs/tiny", ALL);
}

#[test]
fn energy_killed_anywhere_leaves_nothing_that_the_next_does_not_mend() {
    let (start, _) = trained();
    let command = ["energy", "runs/tiny", "--no-figures"];
    killed_anywhere(start.path(), &command, &command, "runs/tiny", ALL);
}

/// A folder `mnist` with three images of each split.
fn write_mnist(folder: &Path) {
    const N: u8 = 3;
    let folder = folder.join("mnist");
    std::fs::create_dir_all(&folder).unwrap();
    for split in ["train", "t10k"] {
        let mut images = [[0, 0, 8, 3], [0, 0, 0, N], [0, 0, 0, 28], [0, 0, 0, 28]].concat();
        for image in 0..u32::from(N) {
            // A bar, at another place in each.
            let inside = |i: u32| (i % 28).abs_diff(10 + image) < 3 && (5..22).contains(&(i / 28));
            images.extend((0..28 * 28).map(|i| if inside(i) { 250 } else { 0 }));
        }
        let labels = [&[0, 0, 8, 1, 0, 0, 0, N], &(0..N).collect::<Vec<_>>()[..]].concat();
        std::fs::write(folder.join(format!("{split}-images-idx3-ubyte")), images).unwrap();
        std::fs::write(folder.join(format!("{split}-labels-idx1-ubyte")), labels).unwrap();
    }
}

const SIMULATE: [&str; 12] = [
    "data", "simulate", "nmnist", "--out", "nmnist", "--mnist", "mnist", "--train", "2", "--test",
    "1", "--quiet",
];

#[test]
fn a_simulation_killed_anywhere_is_continued() {
    let start = tempfile::tempdir().unwrap();
    write_mnist(start.path());
    killed_anywhere(start.path(), &SIMULATE, &SIMULATE, "nmnist", ALL);
}

#[test]
fn a_frame_cache_killed_anywhere_is_built_again() {
    let start = tempfile::tempdir().unwrap();
    let folder = start.path().canonicalize().unwrap();
    write_mnist(&folder);
    let output = run(&folder, &SIMULATE, NONE);
    assert!(output.status.success(), "{}", stderr(&output));
    let config = SWEEP
        .replace(
            "\"fashion-mnist-subset\"",
            "\"nmnist\"\npath = \"nmnist\"\nframe_cache = \"frames\"",
        )
        .replace("train_size = 40\ntest_size = 20\n", "")
        .replace("kind = \"poisson\"", "kind = \"event-frame\"\nsplit = \"number\"")
        .replace("28x28-1c3-4a-10o", "34x34x2-1c3-2a-10o")
        .replace("tensorboard = true\n", "")
        .replace("checkpoint_every = 1\n", "")
        .replace("[1, 2]", "[2]");
    std::fs::write(folder.join("tiny.toml"), config).unwrap();
    let first = ["run", "tiny.toml", "--no-figures", "--quiet"];
    let again = ["run", "tiny.toml", "--no-figures", "--quiet", "--resume"];
    killed_anywhere(&folder, &first, &again, "", ALL);
}

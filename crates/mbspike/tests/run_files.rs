//! Files of runs: of versions before, damaged, and gone.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

const TINY: &str = r#"
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
optimizer = { kind = "adam", lr = 5e-3 }
"#;

fn run(folder: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mbspike"));
    command.args(arguments).current_dir(folder).output().unwrap()
}

fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[track_caller]
fn done(folder: &Path, arguments: &[&str]) -> String {
    let output = run(folder, arguments);
    assert!(output.status.success(), "{arguments:?}: {}", stderr(&output));
    stdout(&output)
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

/// A folder with runs of version 0.1 and the configs that they were started with.
fn before() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let there = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/before_0_2");
    for name in ["tiny", "interrupted"] {
        copy(&there.join(name), &folder.path().join("runs").join(name));
        let config = format!("{name}.toml");
        std::fs::copy(there.join(&config), folder.path().join(&config)).unwrap();
    }
    folder
}

fn sub_folders(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut folders: Vec<PathBuf> = entries.filter(|path| path.is_dir()).collect();
    folders.sort();
    folders
}

fn evaluated(folder: &Path, run: &Path) -> serde_json::Value {
    serde_json::from_str(&done(folder, &["eval", run.to_str().unwrap(), "--json"])).unwrap()
}

#[test]
fn runs_of_version_0_1_open_go_on_and_are_not_done_again() {
    let folder = before();
    let folder = folder.path();
    let old = sub_folders(&folder.join("runs/tiny"));
    assert_eq!(evaluated(folder, &old[1])["test_accuracy"], 0.1);
    done(folder, &["run", "tiny.toml", "--no-figures"]);
    assert_eq!(sub_folders(&folder.join("runs/tiny")), old, "nothing was trained again");
    done(folder, &["plot", "runs/tiny"]);
    done(folder, &["report", "runs/tiny"]);
    done(folder, &["energy", "runs/tiny", "--no-figures"]);
    done(folder, &["eval", old[1].to_str().unwrap(), "--quantized"]);

    // An interrupted run goes on to the same weights as one that this version trained alone.
    done(folder, &["run", "interrupted.toml", "--no-figures", "--resume"]);
    let runs = sub_folders(&folder.join("runs/interrupted"));
    assert_eq!(runs.len(), 1);
    done(folder, &["run", "interrupted.toml", "--no-figures", "--out", "anew"]);
    let anew = sub_folders(&folder.join("anew/interrupted"));
    let weights = |run: &Path| std::fs::read(run.join("checkpoint.safetensors")).unwrap();
    assert!(weights(&runs[0]) == weights(&anew[0]));
}

#[test]
fn migrated_runs_have_checksums_and_what_their_records_lacked() {
    let folder = before();
    let folder = folder.path();
    for name in ["tiny", "interrupted"] {
        let sweep = format!("runs/{name}");
        let files = done(folder, &["migrate", &sweep]);
        assert!(files.contains("state.safetensors") && files.contains("run.json"), "{files}");
        assert_eq!(done(folder, &["migrate", &sweep]), "", "nothing is left to do");
    }
    let runs = sub_folders(&folder.join("runs/tiny"));
    let summary = std::fs::read_to_string(runs[0].join("summary.json")).unwrap();
    for key in ["\"checksum\"", "\"dense_macs\"", "\"group\"", "\"weights\"", "\"metrics\""] {
        assert!(summary.contains(key), "{key}: {summary}");
    }
    done(folder, &["run", "tiny.toml", "--no-figures"]);
    done(folder, &["run", "interrupted.toml", "--no-figures", "--resume"]);
    for name in ["tiny", "interrupted"] {
        let n = if name == "tiny" { 2 } else { 1 };
        assert_eq!(sub_folders(&folder.join("runs").join(name)).len(), n);
    }
    let message = stderr(&run(folder, &["migrate", "."]));
    assert!(message.contains("no run"), "{message}");
}

/// A folder with one trained run.
fn trained() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("tiny.toml"), TINY).unwrap();
    done(folder.path(), &["run", "tiny.toml", "--no-figures"]);
    let run = sub_folders(&folder.path().join("runs/tiny")).remove(0);
    (folder, run)
}

/// Flips single bits all over a file, one at a time; `commands` must all end with 1 and name it.
#[track_caller]
fn flips_are_found(folder: &Path, file: &Path, commands: &[&[&str]]) {
    const N_PLACES: usize = 24;
    let whole = std::fs::read(file).unwrap();
    let name = file.file_name().unwrap().to_str().unwrap();
    for i in 0..N_PLACES {
        let byte = i * (whole.len() - 1) / (N_PLACES - 1);
        let mut damaged = whole.clone();
        damaged[byte] ^= 1 << (i % 8);
        std::fs::write(file, &damaged).unwrap();
        for arguments in commands {
            let output = run(folder, arguments);
            let message = stderr(&output);
            let when = format!("{arguments:?} with byte {byte} of {name} damaged: {message}");
            assert_eq!(output.status.code(), Some(1), "{when}");
            assert!(message.contains(name), "{when}");
        }
    }
    std::fs::write(file, &whole).unwrap();
}

#[test]
fn a_flipped_bit_anywhere_in_a_file_of_a_run_is_found_and_the_file_named() {
    let (folder, trained) = trained();
    let folder = folder.path();
    let path = trained.to_str().unwrap();
    done(folder, &["quantize", path]);
    done(folder, &["energy", "runs/tiny", "--no-figures"]);
    let file = |name: &str| trained.join(name);
    flips_are_found(
        folder,
        &file("checkpoint.safetensors"),
        &[&["eval", path], &["quantize", path]],
    );
    flips_are_found(folder, &file("quantized.safetensors"), &[&["eval", path, "--quantized"]]);
    flips_are_found(folder, &file("quantized.json"), &[&["report", "runs/tiny"]]);
    flips_are_found(folder, &file("summary.json"), &[&["plot", "runs/tiny"], &["energy", path]]);
    flips_are_found(folder, &file("metrics.jsonl"), &[&["plot", "runs/tiny"]]);
    flips_are_found(folder, &file("operations.json"), &[&["report", "runs/tiny"]]);
    flips_are_found(folder, &file("run.json"), &[&["run", "tiny.toml"]]);
    flips_are_found(folder, &folder.join("runs/tiny/plan.json"), &[&["report", "runs/tiny"]]);
    // Of a run that goes on.
    std::fs::remove_file(file("summary.json")).unwrap();
    let resume = ["run", "tiny.toml", "--no-figures", "--resume"];
    flips_are_found(folder, &file("state.safetensors"), &[&resume]);
    flips_are_found(folder, &file("metrics.jsonl"), &[&resume]);
    done(folder, &resume);
}

#[test]
fn an_edited_record_is_not_believed() {
    let (folder, trained) = trained();
    let summary = trained.join("summary.json");
    let text = std::fs::read_to_string(&summary).unwrap();
    std::fs::write(&summary, text.replace("\"n_epochs\": 1", "\"n_epochs\": 9")).unwrap();
    let message = stderr(&run(folder.path(), &["plot", "runs/tiny"]));
    assert!(message.contains("summary.json") && message.contains("edited"), "{message}");
    assert!(message.contains("--resume"), "it says what to do: {message}");
}

#[test]
fn weights_that_are_gone_or_damaged_are_written_anew_from_the_state() {
    let (folder, trained) = trained();
    let weights = trained.join("checkpoint.safetensors");
    let whole = std::fs::read(&weights).unwrap();
    let resume = ["run", "tiny.toml", "--no-figures", "--resume"];
    for is_over in [true, false] {
        if !is_over {
            std::fs::remove_file(trained.join("summary.json")).unwrap();
        }
        for content in [None, Some(&whole[..whole.len() / 2]), Some(b"".as_slice())] {
            match content {
                None => std::fs::remove_file(&weights).unwrap(),
                Some(content) => std::fs::write(&weights, content).unwrap(),
            }
            done(folder.path(), &resume);
            assert!(std::fs::read(&weights).unwrap() == whole, "over: {is_over}");
        }
    }
}

#[test]
fn converting_twice_gives_the_same_bytes() {
    let (folder, trained) = trained();
    let path = trained.to_str().unwrap();
    let convert = || {
        done(folder.path(), &["quantize", path]);
        std::fs::read(trained.join("quantized.safetensors")).unwrap()
    };
    let first = convert();
    assert!((0..3).all(|_| convert() == first));
}

#[test]
fn a_loss_that_is_not_a_number_is_an_error() {
    let (folder, trained) = trained();
    let path = trained.join("checkpoint.safetensors");
    // Weights of NaN in a file that is otherwise whole, as another program may write.
    let bytes = std::fs::read(&path).unwrap();
    let header = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    let text = std::str::from_utf8(&bytes[8..8 + header]).unwrap();
    let mut tensors: serde_json::Value = serde_json::from_str(text).unwrap();
    tensors.as_object_mut().unwrap().remove("__metadata__");
    let mut text = tensors.to_string().into_bytes();
    text.resize(text.len().next_multiple_of(8), b' ');
    let mut file = (text.len() as u64).to_le_bytes().to_vec();
    file.extend(text);
    file.extend(bytes[8 + header..].chunks(4).flat_map(|_| f32::NAN.to_le_bytes()));
    std::fs::write(&path, file).unwrap();
    let output = run(folder.path(), &["eval", trained.to_str().unwrap(), "--json"]);
    assert_eq!(output.status.code(), Some(1));
    let message = stderr(&output);
    assert!(message.contains("checkpoint.safetensors") && message.contains("NaN"), "{message}");
    assert!(output.stdout.is_empty());
}

/// The files of a folder, by name.
fn files_in(folder: &Path) -> std::collections::BTreeMap<String, Vec<u8>> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let name = |path: &Path| path.file_name().unwrap().to_str().unwrap().to_owned();
    entries.map(|path| (name(&path), std::fs::read(&path).unwrap())).collect()
}

#[test]
fn three_programs_that_draw_into_one_folder_at_once_leave_the_figures_of_one_fifty_times() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    std::fs::write(folder.join("tiny.toml"), TINY).unwrap();
    done(folder, &["run", "tiny.toml", "--quiet"]);
    let figures = folder.join("runs/tiny/figures");
    let alone = files_in(&figures);
    assert!(alone.len() >= 4, "{:?}", alone.keys());
    for round in 0..50 {
        let plot = || {
            let mut command = Command::new(env!("CARGO_BIN_EXE_mbspike"));
            command.args(["plot", "runs/tiny", "--quiet"]).current_dir(folder);
            command.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::piped());
            command.spawn().unwrap()
        };
        for child in [plot(), plot(), plot()] {
            let output = child.wait_with_output().unwrap();
            assert!(output.status.success(), "round {round}: {}", stderr(&output));
        }
        let together = files_in(&figures);
        assert_eq!(together.keys().collect::<Vec<_>>(), alone.keys().collect::<Vec<_>>());
        for (name, bytes) in together {
            assert!(bytes == alone[&name], "round {round}: {name} differs");
        }
    }
}

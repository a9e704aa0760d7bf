//! Sweeps that are watched, stopped, shared between machines and cleared up, through the program.
#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use support::{Case, stderr};

const TINY: &str = r#"
name = "tiny"
seed = 11
[dataset]
name = "fashion-mnist-subset"
train_size = 400
test_size = 50
[encoder]
kind = "poisson"
time_steps = 4
[network]
arch = "28x28-2c3-4a-10o"
[neuron]
bits = 2
[train]
epochs = 2
batch_size = 20
optimizer = { kind = "adam", lr = 5e-3 }
checkpoint_every = 3
[sweep]
"neuron.bits" = [1, 2]
"#;

impl Case {
    /// What a command prints that ends well.
    fn done(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        assert_eq!(output.status.code(), Some(0), "{arguments:?}: {}", stderr(&output));
        String::from_utf8(output.stdout).unwrap()
    }

    fn json(&self, arguments: &[&str]) -> serde_json::Value {
        serde_json::from_str(&self.done(arguments)).unwrap()
    }

    fn sweep(&self) -> PathBuf {
        self.folder.path().join("runs/tiny")
    }

    /// The folder of the run whose name begins so.
    fn run_folder(&self, start: &str) -> PathBuf {
        let entries = std::fs::read_dir(self.sweep()).unwrap();
        let mut paths = entries.map(|entry| entry.unwrap().path());
        paths.find(|path| path.file_name().unwrap().to_str().unwrap().starts_with(start)).unwrap()
    }

    /// The states of the runs, in the order of the sweep.
    fn states(&self) -> Vec<String> {
        let status = self.json(&["status", "runs/tiny", "--json"]);
        let runs = status["runs"].as_array().unwrap();
        runs.iter().map(|run| run["state"].as_str().unwrap().to_owned()).collect()
    }

    fn spawn(&self, arguments: &[&str]) -> Child {
        let mut command = self.command(arguments);
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    }

    /// Waits for the first checkpoint of any run.
    fn wait_for_checkpoint(&self) {
        let is_there = || {
            let mut entries = std::fs::read_dir(self.sweep()).into_iter().flatten().flatten();
            entries.any(|entry| entry.path().join("state.safetensors").exists())
        };
        wait_until("a checkpoint", is_there);
    }
}

fn wait_until(what: &str, is_so: impl Fn() -> bool) {
    let start = Instant::now();
    while !is_so() {
        assert!(start.elapsed() < Duration::from_secs(120), "no {what} in two minutes");
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn signal(child: &Child, name: &str) {
    let status = Command::new("kill").args([name, &child.id().to_string()]).status().unwrap();
    assert!(status.success());
}

#[test]
fn status_names_every_state_and_collect_can_be_repeated() {
    let six = TINY.replace("[1, 2]", "[1, 2, 3, 4, 5, 6]");
    let case = Case::new(&six);
    // The plan, and nothing done.
    case.done(&["slurm", "tiny.toml"]);
    assert_eq!(case.states(), ["missing"; 6]);
    let status = case.json(&["status", "runs/tiny", "--json"]);
    let ids: Vec<String> = status["runs"]
        .as_array()
        .unwrap()
        .iter()
        .map(|run| run["id"].as_str().unwrap().to_owned())
        .collect();

    case.done(&["run", "tiny.toml", "--only", &ids[0]]);
    assert!(!case.sweep().join("results.csv").exists(), "tables are left to collect");
    // Stopped by a signal; by two, in a row, as of a scheduler that means it.
    let long = case.spawn(&["run", "tiny.toml", "--only", &ids[1]]);
    wait_until("a checkpoint", || case.sweep().join(&ids[1]).join("state.safetensors").exists());
    signal(&long, "-STOP");
    let status = case.json(&["status", "runs/tiny", "--json"]);
    let running = &status["runs"][1];
    assert_eq!(running["state"], "running", "{running}");
    assert_eq!(running["process"], long.id());
    signal(&long, "-TERM");
    signal(&long, "-TERM");
    signal(&long, "-CONT");
    let output = long.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(75), "{}", stderr(&output));
    // An error, left as a note.
    let failed = case.sweep().join(&ids[2]);
    std::fs::create_dir_all(failed.join("metrics.jsonl")).unwrap();
    let output = case.run(&["run", "tiny.toml", "--only", &ids[2]]);
    assert_eq!(output.status.code(), Some(1));
    // Numbers that are none.
    let summary = std::fs::read_to_string(case.sweep().join(&ids[0]).join("summary.json")).unwrap();
    let mut diverged: serde_json::Value = serde_json::from_str(&summary).unwrap();
    for key in ["checksum", "checksum_kind"] {
        diverged.as_object_mut().unwrap().remove(key);
    }
    diverged["status"] = "diverged".into();
    diverged["cause"] = "the loss is NaN in iteration 7".into();
    diverged["id"] = ids[3].clone().into();
    std::fs::create_dir_all(case.sweep().join(&ids[3])).unwrap();
    for file in ["config.toml", "metrics.jsonl"] {
        std::fs::copy(case.sweep().join(&ids[0]).join(file), case.sweep().join(&ids[3]).join(file))
            .unwrap();
    }
    std::fs::write(case.sweep().join(&ids[3]).join("summary.json"), diverged.to_string()).unwrap();
    // Killed.
    let mut killed = case.spawn(&["run", "tiny.toml", "--only", &ids[4]]);
    wait_until("a checkpoint", || case.sweep().join(&ids[4]).join("state.safetensors").exists());
    killed.kill().unwrap();
    assert_eq!(
        case.states(),
        ["done", "interrupted", "failed", "diverged", "interrupted", "missing"]
    );
    killed.wait().unwrap();
    let text = case.done(&["status", "runs/tiny"]);
    assert!(
        text.starts_with(
            "tiny: 1 of 6 runs done\n2 interrupted, 1 diverged, 1 failed, 1 missing\n"
        ),
        "{text}"
    );
    assert!(
        text.contains("metrics.jsonl") && text.contains("the loss is NaN in iteration 7"),
        "{text}"
    );

    let csv = case.sweep().join("results.csv");
    let files = case.done(&["collect", "runs/tiny"]);
    assert!(files.contains("results.csv") && files.contains("report.html"), "{files}");
    let first = std::fs::read(&csv).unwrap();
    assert_eq!(case.done(&["collect", "runs/tiny"]), files);
    assert_eq!(std::fs::read(&csv).unwrap(), first);
    assert_eq!(String::from_utf8(first).unwrap().lines().count(), 3, "two runs are over");

    // What failed goes on when its cause is gone, and its note with it.
    std::fs::remove_dir_all(failed.join("metrics.jsonl")).unwrap();
    std::fs::remove_dir_all(case.sweep().join(&ids[3])).unwrap();
    case.done(&["run", "tiny.toml", "--resume", "--no-figures"]);
    assert_eq!(case.states(), ["done"; 6]);
    assert!(!failed.join("failure.json").exists());
    assert_eq!(case.done(&["status", "runs/tiny", "--watch"]).lines().count(), 10);
}

#[test]
fn a_run_told_to_end_twice_goes_on_from_where_it_was_and_ends_with_the_same_bits() {
    let whole = Case::new(TINY);
    whole.done(&["run", "tiny.toml", "--no-figures"]);
    let case = Case::new(&TINY.replace("checkpoint_every = 3\n", ""));
    let mut n_stopped = 0;
    loop {
        let child = case.spawn(&["run", "tiny.toml", "--no-figures", "--resume"]);
        std::thread::sleep(Duration::from_millis(150));
        signal(&child, "-TERM");
        signal(&child, "-USR1");
        signal(&child, "-TERM");
        let output = child.wait_with_output().unwrap();
        match output.status.code() {
            Some(75) => n_stopped += 1,
            code => {
                assert_eq!(code, Some(0), "{}", stderr(&output));
                break;
            }
        }
        assert!(n_stopped < 200, "a run told to end does an iteration at least");
    }
    assert!(n_stopped > 0);
    for id in ["bits-1", "bits-2"] {
        let weights = |case: &Case| {
            std::fs::read(case.run_folder(id).join("checkpoint.safetensors")).unwrap()
        };
        assert!(weights(&case) == weights(&whole), "{id} after {n_stopped} stops");
    }
}

#[test]
fn prune_says_what_it_would_remove_removes_it_and_leaves_what_can_be_evaluated() {
    let case = Case::new(TINY);
    case.done(&["run", "tiny.toml", "--no-figures"]);
    let (state, weights) = (
        case.run_folder("bits-1").join("state.safetensors"),
        case.run_folder("bits-1").join("checkpoint.safetensors"),
    );
    let found = case.json(&["prune", "runs/tiny", "--json"]);
    assert_eq!(
        (found["files"].as_array().unwrap().len(), found["removed"].as_bool()),
        (2, Some(false))
    );
    assert!(state.exists());
    // A state is all that damaged weights can be mended from.
    let whole = std::fs::read(&weights).unwrap();
    std::fs::write(&weights, &whole[..whole.len() / 2]).unwrap();
    let output = case.run(&["prune", "runs/tiny", "--yes"]);
    assert!(state.exists() && stderr(&output).contains("kept: "), "{}", stderr(&output));
    case.done(&["run", "tiny.toml", "--resume", "--no-figures"]);
    assert_eq!(std::fs::read(&weights).unwrap(), whole);
    case.done(&["prune", "runs/tiny", "--yes"]);
    assert!(!state.exists() && weights.exists());
    case.done(&["eval", case.run_folder("bits-1").to_str().unwrap()]);
    assert_eq!(case.json(&["prune", "runs/tiny", "--json"])["files"].as_array().unwrap().len(), 0);
    let before = std::fs::read(&weights).unwrap();
    case.done(&["run", "tiny.toml", "--no-figures"]);
    assert!(std::fs::read(&weights).unwrap() == before, "what is over is not run again");
    case.done(&["prune", "runs/tiny", "--weights", "--yes"]);
    assert!(!weights.exists());
}

#[test]
fn a_sweep_extended_by_values_and_repeats_keeps_its_runs() {
    let case = Case::new(TINY);
    case.done(&["run", "tiny.toml", "--no-figures"]);
    let inode =
        |path: &Path| std::os::unix::fs::MetadataExt::ino(&std::fs::metadata(path).unwrap());
    let summaries = ["bits-1", "bits-2"].map(|id| case.run_folder(id).join("summary.json"));
    let before = summaries.each_ref().map(|path| inode(path));
    let extended = ["--set", "sweep.neuron.bits=[3, 2, 1]", "--set", "sweep.repeats=2"];
    let output = case.run(&[&["run", "tiny.toml", "--no-figures"], &extended[..]].concat());
    assert!(stderr(&output).contains("2 of 6 runs are over already"), "{}", stderr(&output));
    assert_eq!(
        summaries.each_ref().map(|path| inode(path)),
        before,
        "their files are those of before"
    );
    let changed = case.run(&["run", "tiny.toml", "--set", "train.batch_size=40"]);
    assert_eq!(changed.status.code(), Some(2));
    assert!(stderr(&changed).contains("`train.batch_size` is 20 there, but 40 here"));
}

/// A Slurm that takes every script, and whose queue is a file.
fn fake_slurm(case: &Case) -> String {
    let bin = case.folder.path().join("bin");
    std::fs::create_dir(&bin).unwrap();
    let scripts = [
        ("sbatch", "echo \"$*\" >> sbatch.log; wc -l < sbatch.log"),
        ("squeue", "cat queue 2>/dev/null; exit 0"),
        ("scontrol", "echo 'MaxArraySize            = 4'"),
    ];
    for (name, text) in scripts {
        let path = bin.join(name);
        std::fs::write(&path, format!("#!/bin/sh\n{text}\n")).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    }
    format!("{}:{}", bin.display(), std::env::var("PATH").unwrap())
}

#[test]
fn submitting_again_submits_only_what_is_missing_until_the_sweep_is_collected() {
    let case = Case::new(&TINY.replace("[1, 2]", "[1, 2, 3, 4, 5]"));
    let path = fake_slurm(&case);
    std::fs::write(
        case.folder.path().join("cluster.toml"),
        "[slurm]\npartition = \"p\"\ntime = \"1:00:00\"\nthrottle = 2\nlines = [\"--exclusive\"]\n",
    )
    .unwrap();
    let slurm = |arguments: &[&str]| -> serde_json::Value {
        let mut command = case.command(&[&["slurm", "--json"], arguments].concat());
        let output = command.env("PATH", &path).output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
        serde_json::from_slice(&output.stdout).unwrap()
    };
    let submit = ["tiny.toml", "--submit", "--cluster", "cluster.toml", "--cpus", "2"];
    let first = slurm(&submit)["submission"].clone();
    // An array of this Slurm has at most three tasks.
    assert_eq!((&first["n_runs"], &first["n_tasks"]), (&5.into(), &3.into()), "{first}");
    assert_eq!((&first["array"], &first["next"]), (&"1".into(), &"2".into()));
    let script = std::fs::read_to_string(first["array_script"].as_str().unwrap()).unwrap();
    for line in [
        "--array=1-3%2",
        "--partition=p",
        "--time=1:00:00",
        "--cpus-per-task=2",
        "--exclusive",
        "--signal=B:TERM@120",
    ] {
        assert!(script.contains(&format!("#SBATCH {line}\n")), "{line}: {script}");
    }
    let log = std::fs::read_to_string(case.folder.path().join("sbatch.log")).unwrap();
    assert!(log.lines().nth(1).unwrap().contains("--dependency=afterany:1 "), "{log}");

    // Two tasks wait still; the other has done one of its runs.
    std::fs::write(case.folder.path().join("queue"), "1 2\n1 3\n").unwrap();
    let list = first["array_script"].as_str().unwrap().replace(".sh", ".txt");
    let tasks = std::fs::read_to_string(list).unwrap();
    let of_first: Vec<&str> = tasks.lines().next().unwrap().split(',').collect();
    case.done(&["run", "runs/tiny/sweep.toml", "--only", of_first[0]]);
    let second = slurm(&submit)["submission"].clone();
    assert_eq!(
        (&second["n_runs"], &second["n_queued"], &second["n_over"]),
        (&1.into(), &3.into(), &1.into())
    );
    let again = slurm(&["--continue", "runs/tiny"])["submission"].clone();
    assert_eq!(again["n_runs"], 1, "the fake queue knows nothing of the second: {again}");

    std::fs::remove_file(case.folder.path().join("queue")).unwrap();
    case.done(&["run", "tiny.toml", "--no-figures", "--resume"]);
    let last = slurm(&["--continue", "runs/tiny"]);
    assert_eq!(
        (&last["submission"]["n_runs"], &last["submission"]["n_over"]),
        (&0.into(), &5.into())
    );
    assert!(
        last["files"]
            .as_array()
            .unwrap()
            .iter()
            .any(|file| file.as_str().unwrap().ends_with("report.html"))
    );
}

#[test]
fn a_run_that_rounds_bring_no_further_is_given_up() {
    let case = Case::new(&TINY.replace("[1, 2]", "[1]"));
    let path = fake_slurm(&case);
    let slurm = |arguments: &[&str]| {
        let mut command = case.command(&[&["slurm"], arguments].concat());
        command.env("PATH", &path).output().unwrap()
    };
    assert_eq!(slurm(&["tiny.toml", "--submit"]).status.code(), Some(0));
    let codes: Vec<_> =
        (0..4).map(|_| slurm(&["--continue", "runs/tiny"]).status.code().unwrap()).collect();
    assert_eq!(codes, [0, 0, 1, 1]);
    assert_eq!(slurm(&["tiny.toml", "--submit"]).status.code(), Some(0), "a person may try again");
}

#[test]
fn without_slurm_it_is_said_what_is_missing() {
    let case = Case::new(TINY);
    let output =
        case.command(&["slurm", "tiny.toml", "--submit"]).env("PATH", "/nowhere").output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("is Slurm installed here"), "{}", stderr(&output));
}

#[test]
fn a_task_ends_with_its_own_code_after_several_signals() {
    let case = Case::new(&TINY.replace("epochs = 2", "epochs = 4000").replace("[1, 2]", "[1]"));
    let path = fake_slurm(&case);
    let output =
        case.command(&["slurm", "tiny.toml", "--requeue"]).env("PATH", &path).output().unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    let mut task = Command::new("bash");
    task.arg(case.sweep().join("slurm/round-0001.sh")).current_dir(case.folder.path());
    task.env("PATH", &path).env("SLURM_ARRAY_TASK_ID", "1");
    let task = task.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    case.wait_for_checkpoint();
    signal(&task, "-TERM");
    signal(&task, "-TERM");
    let output = task.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(75), "{}", stderr(&output));
    assert_eq!(case.states(), ["interrupted"]);
}

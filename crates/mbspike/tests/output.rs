//! What the program does where it cannot print, is told to stop, or is asked for what cannot be.
#![cfg(unix)]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking, in its helper functions too")]

mod support;

use std::ffi::OsStr;
use std::fs::File;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use support::Case;

const TINY: &str = r#"
name = "tiny"
seed = 11
[dataset]
name = "fashion-mnist-subset"
train_size = 100
test_size = 20
[encoder]
kind = "poisson"
time_steps = 3
[network]
arch = "28x28-2c3-4a-10o"
[neuron]
bits = 2
[train]
epochs = 1
batch_size = 20
optimizer = { kind = "adam", lr = 5e-3 }
"#;

impl Case {
    /// The program under a shell, which runs `before` first.
    fn shell(&self, before: &str, arguments: &str) -> Command {
        let mut command = Command::new("sh");
        let program = env!("CARGO_BIN_EXE_mbspike");
        command.arg("-c").arg(format!("{before} exec {program} {arguments}"));
        command.current_dir(self.folder.path());
        command
    }

    fn path(&self, relative: &str) -> PathBuf {
        self.folder.path().join(relative)
    }

    /// The folders of the runs below `out`.
    fn runs(&self, out: &str) -> Vec<PathBuf> {
        let entries = std::fs::read_dir(self.path(out).join("tiny")).into_iter().flatten();
        entries.flatten().map(|entry| entry.path()).filter(|path| path.is_dir()).collect()
    }

    fn has(&self, out: &str, file: &str) -> bool {
        self.runs(out).iter().any(|run| run.join(file).exists())
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn code(output: &Output) -> i32 {
    output.status.code().unwrap_or_else(|| panic!("killed: {}", text(&output.stderr)))
}

#[test]
fn a_run_whose_messages_nobody_reads_is_trained_to_its_end() {
    let case = Case::new(TINY);
    // Without bits swept there is one line of results on stdout and one on stderr.
    for (out, is_stderr) in [("gone", true), ("full", false)] {
        let mut command = case.command(&["run", "tiny.toml", "--no-figures", "--out", out]);
        command.stdout(Stdio::null());
        let status = if is_stderr {
            let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
            drop(child.stderr.take());
            child.wait().unwrap()
        } else {
            command.stderr(File::create("/dev/full").unwrap()).status().unwrap()
        };
        assert_eq!(status.code(), Some(0), "{out}");
        assert!(case.has(out, "summary.json"), "{out}");
    }
    let closed = case.shell("", "run tiny.toml --no-figures --out closed >&- 2>&-").status();
    assert_eq!(closed.unwrap().code(), Some(0));
    assert!(case.has("closed", "summary.json"));
    // Nor is an error of the config one of printing.
    let mut command = case.command(&["run", "tiny.toml", "--set", "train.epochs=0"]);
    let status = command.stderr(File::create("/dev/full").unwrap()).status().unwrap();
    assert_eq!(status.code(), Some(2));
}

#[test]
fn results_that_nobody_reads_end_quietly_with_the_exit_code_of_the_run() {
    let case = Case::new(TINY);
    assert_eq!(code(&case.run(&["run", "tiny.toml", "--no-figures"])), 0);
    let run = case.runs("runs").remove(0);
    let run = run.to_str().unwrap();
    let unread = |arguments: &[&str]| {
        let mut command = case.command(arguments);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        drop(child.stdout.take());
        let output = child.wait_with_output().unwrap();
        (code(&output), text(&output.stderr))
    };
    for arguments in [
        &["run", "tiny.toml", "--no-figures", "--json"][..],
        &["run", "tiny.toml", "--no-figures"],
        &["eval", run, "--json"],
        &["eval", run],
        &["info", "--json"],
        &["info"],
        &["data", "list", "--json"],
        &["check", "tiny.toml", "--json"],
        &["plot", "runs/tiny"],
        &["plot", "runs/tiny", "--json"],
    ] {
        let (code, message) = unread(&[arguments, &["--quiet"]].concat());
        assert_eq!((code, message.as_str()), (0, ""), "{arguments:?}");
    }
    // A run that diverged has failed, read or not.
    let diverging = [
        "run",
        "tiny.toml",
        "--out",
        "diverged",
        "--no-figures",
        "--set",
        "train.loss=mse",
        "--set",
        "train.optimizer={kind=\"sgd\", lr=1e38}",
        "--set",
        "network.readout=last-membrane",
    ];
    for json in [&[][..], &["--json"]] {
        let (code, message) = unread(&[&diverging, json].concat());
        assert!(code == 1 && message.contains("diverged"), "{code}: {message}");
    }
}

#[test]
fn results_that_do_not_fit_on_the_disk_are_an_error_and_the_run_is_kept() {
    let case = Case::new(TINY);
    for json in [&[][..], &["--json"]] {
        let mut command = case.command(&[&["run", "tiny.toml", "--no-figures"], json].concat());
        let full = File::create("/dev/full").unwrap();
        let output = command.stdout(full).stderr(Stdio::piped()).spawn().unwrap();
        let output = output.wait_with_output().unwrap();
        assert_eq!(code(&output), 1);
        let message = text(&output.stderr);
        assert!(message.contains("error: cannot print the results: "), "{message}");
        assert!(case.has("runs", "summary.json"));
    }
}

#[test]
fn a_folder_whose_name_is_no_text_is_printed_as_json() {
    let case = Case::new(TINY);
    let out = OsStr::from_bytes(b"out-\xff");
    let json = |arguments: &[&OsStr]| -> serde_json::Value {
        let output = case.command(&[]).args(arguments).arg("--json").output().unwrap();
        assert_eq!(code(&output), 0, "{arguments:?}: {}", text(&output.stderr));
        serde_json::from_slice(&output.stdout).unwrap()
    };
    let arg = OsStr::new;
    let report = json(&[arg("run"), arg("tiny.toml"), arg("--out"), out]);
    assert_eq!(report["folder"], "out-\u{fffd}/tiny");
    assert!(report["figures"][0].as_str().unwrap().starts_with("out-\u{fffd}/tiny/figures/"));
    let folder = Path::new(out).join("tiny");
    let plotted = json(&[arg("plot"), folder.as_os_str()]);
    assert_eq!(plotted, report["figures"]);
    let page = json(&[arg("report"), folder.as_os_str()]);
    assert_eq!(page["report"], "out-\u{fffd}/tiny/report.html");
    let entries = std::fs::read_dir(case.folder.path().join(&folder)).unwrap();
    let is_run = |path: &PathBuf| path.join("summary.json").exists();
    let run = entries.map(|entry| entry.unwrap().path()).find(is_run).unwrap();
    for command in ["eval", "quantize", "energy"] {
        json(&[arg(command), run.as_os_str()]);
    }
}

#[test]
fn names_with_control_characters_do_not_reach_the_terminal_as_they_are() {
    let case = Case::new(TINY);
    let named = "\u{1b}[31mred\u{7}.toml";
    std::fs::write(case.path(named), TINY.replace("bits = 2", "bits = \"\u{1b}]0;owned\u{7}\""))
        .unwrap_or_default();
    for arguments in [
        &["run", named][..],
        &["run", "\u{1b}[2Jmissing.toml"],
        &["run", "tiny.toml", "--set", "neuron.tau=\u{1b}[31m"],
        &["run", "tiny.toml", "--set", "dataset.name=mnist", "--set", "dataset.path=\u{1b}[1m"],
        &["eval", "\u{1b}[1mnowhere"],
        &["plot", "\u{9b}1mnowhere"],
    ] {
        let output = case.run(arguments);
        assert!(code(&output) > 0, "{arguments:?}");
        let message = text(&output.stderr);
        assert!(!message.is_empty());
        let acts = |c: char| c.is_control() && c != '\n';
        assert!(!message.contains(acts) && !text(&output.stdout).contains(acts), "{message:?}");
    }
}

#[test]
fn a_limit_on_threads_is_an_error_before_anything_is_created() {
    let case = Case::new(TINY);
    let limits = "ulimit -v 3000000; RAYON_NUM_THREADS=3000";
    let output = case.shell(limits, "run tiny.toml").output().unwrap();
    let message = text(&output.stderr);
    assert_eq!(code(&output), 1, "{message}");
    assert!(
        message.starts_with("error: cannot start 3000 threads; RAYON_NUM_THREADS"),
        "{message}"
    );
    assert!(!case.path("runs").exists());
}

/// Starts a long run and waits for its first checkpoint.
fn long_run(case: &Case, mut command: Command) -> Child {
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let start = Instant::now();
    while !case.has("runs", "state.safetensors") {
        assert!(start.elapsed() < Duration::from_secs(60), "no checkpoint in a minute");
        std::thread::sleep(Duration::from_millis(5));
    }
    child
}

fn send(child: &Child, signal: &str) {
    let pid = child.id().to_string();
    assert!(Command::new("kill").args([signal, &pid]).status().unwrap().success());
}

const LONG: &str = "run tiny.toml --no-figures --set train.epochs=100000";

#[test]
fn signals_that_come_twice_leave_a_checkpoint_and_only_a_second_ctrl_c_ends_at_once() {
    for signals in [&["-TERM", "-TERM", "-TERM"][..], &["-HUP"], &["-HUP", "-TERM"], &["-INT"]] {
        let case = Case::new(TINY);
        let child = long_run(&case, case.shell("", LONG));
        for signal in signals {
            send(&child, signal);
        }
        let output = child.wait_with_output().unwrap();
        let message = text(&output.stderr);
        assert_eq!(code(&output), 75, "{signals:?}: {message}");
        assert!(message.contains("--resume goes on from here"), "{signals:?}: {message}");
    }
}

#[test]
fn a_signal_that_was_ignored_at_the_start_stays_ignored() {
    let case = Case::new(TINY);
    // As `nohup` starts a program.
    let mut child = long_run(&case, case.shell("trap '' HUP;", LONG));
    send(&child, "-HUP");
    send(&child, "-HUP");
    std::thread::sleep(Duration::from_millis(300));
    assert!(child.try_wait().unwrap().is_none(), "SIGHUP ended it");
    send(&child, "-TERM");
    let output = child.wait_with_output().unwrap();
    assert_eq!(code(&output), 75);
    assert_eq!(text(&output.stderr).matches("stopping after this iteration").count(), 1);
}

#[test]
fn what_cannot_run_exits_with_2_and_creates_nothing() {
    let case = Case::new(TINY);
    for settings in [
        &["network.execution=fused", "train.precision=f64"][..],
        &["network.checkpoint_steps=2", "network.execution=layered"],
        &["encoder.time_steps=1000000000"],
        &["encoder.time_steps=9223372036854775807"],
        &["neuron.v_threshold=1e39"],
        &["train.optimizer.betas=[0.9, 0.99, 0.999]"],
        &["dataset.frame_cache=true"],
        &["network.arch=28x28-60000-60000-10o"],
        &["sweep.repeats=9223372036854775807"],
        // The first point is right.
        &["sweep.neuron.learnable_tau=[false, true]", "network.checkpoint_steps=2"],
        &["sweep.encoder.time_steps=[2, 1000000000]"],
    ] {
        let settings: Vec<&str> = settings.iter().flat_map(|s| ["--set", s]).collect();
        for command in ["run", "check"] {
            let output = case.run(&[&[command, "tiny.toml"], settings.as_slice()].concat());
            let message = text(&output.stderr);
            assert_eq!(code(&output), 2, "{settings:?}: {message}");
            assert!(message.starts_with("error: --set "), "{message}");
        }
        assert!(!case.path("runs").exists(), "{settings:?}");
    }
    let gpu = case.run(&["run", "tiny.toml", "--device", "cuda", "--set", "train.precision=f64"]);
    assert_eq!(code(&gpu), 2, "{}", text(&gpu.stderr));
}

#[test]
fn a_limit_on_memory_is_seen_and_a_key_overrides_it() {
    let case = Case::new(TINY);
    let limited = |arguments: &str| case.shell("ulimit -v 6000000;", arguments).output().unwrap();
    let long = "check tiny.toml --set encoder.time_steps=60000 --set train.batch_size=20";
    let output = limited(long);
    let message = text(&output.stderr);
    assert_eq!(code(&output), 2, "{message}");
    assert!(message.contains("encoder.time_steps: the run needs about "), "{message}");
    let output = limited(&format!("{long} --set train.memory_limit_mib=100000"));
    assert_eq!(code(&output), 0, "{}", text(&output.stderr));
    let limit = case.run(&["check", "tiny.toml", "--set", "train.memory_limit_mib=2"]);
    assert!(code(&limit) == 2 && text(&limit.stderr).contains("train.memory_limit_mib allows 2.0"));
}

#[test]
fn a_config_is_checked_without_being_run() {
    let case = Case::new(&format!("{TINY}[sweep]\nrepeats = 3\n\"neuron.bits\" = [1, 2]\n"));
    let output = case.run(&["check", "tiny.toml"]);
    assert_eq!(code(&output), 0, "{}", text(&output.stderr));
    assert!(text(&output.stdout).starts_with("tiny: 6 runs, at most "));
    let json: serde_json::Value =
        serde_json::from_slice(&case.run(&["check", "tiny.toml", "--json"]).stdout).unwrap();
    assert_eq!(json["runs"], 6);
    let info = case.run(&["info", "--config", "tiny.toml", "--json"]);
    let info: serde_json::Value = serde_json::from_slice(&info.stdout).unwrap();
    let runs = info["runs"].as_array().unwrap();
    assert_eq!((runs.len(), &runs[0]["memory"]["peak_bytes"]), (2, &json["peak_bytes"]));
    assert!(!case.path("runs").exists());
}

#[test]
fn a_resolved_config_is_printed_and_is_the_same_run() {
    let case = Case::new(TINY);
    let shown = case.run(&["config", "show", "tiny.toml", "--set", "neuron.tau=3"]);
    assert_eq!(code(&shown), 0, "{}", text(&shown.stderr));
    assert!(text(&shown.stdout).contains("tau = 3.0\n"));
    std::fs::write(case.path("again.toml"), &shown.stdout).unwrap();
    let again = case.run(&["config", "show", "again.toml"]);
    assert_eq!(text(&again.stdout), text(&shown.stdout));
    let sweep = ["config", "show", "tiny.toml", "--set", "sweep.neuron.bits=[1, 2]", "--json"];
    let runs: serde_json::Value = serde_json::from_slice(&case.run(&sweep).stdout).unwrap();
    assert_eq!(
        (runs.as_array().unwrap().len(), &runs[1]["config"]["neuron"]["bits"]),
        (2, &2.into())
    );
    // A new config runs as it is printed.
    let new = case.run(&["config", "new"]);
    std::fs::write(case.path("new.toml"), &new.stdout).unwrap();
    assert_eq!(code(&case.run(&["check", "new.toml"])), 0);
}

#[test]
fn a_start_that_failed_does_not_keep_the_name() {
    let case = Case::new(TINY);
    let mnist =
        ["run", "tiny.toml", "--set", "dataset.name=mnist", "--set", "dataset.path=nowhere"];
    let failed = case.run(&mnist);
    assert_eq!(code(&failed), 1, "{}", text(&failed.stderr));
    let other = case.run(&["run", "tiny.toml", "--no-figures", "--set", "neuron.tau=3"]);
    assert_eq!(code(&other), 0, "{}", text(&other.stderr));
    // A run that was trained does.
    let another = case.run(&["run", "tiny.toml", "--no-figures", "--set", "neuron.tau=4"]);
    assert_eq!(code(&another), 2, "{}", text(&another.stderr));
}

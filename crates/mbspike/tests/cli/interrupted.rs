//! Runs that are killed or interrupted.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::case::{Case, TINY, code, stderr, weights};

#[test]
fn a_sweep_killed_again_and_again_ends_with_the_same_bits() {
    let case = Case::new(TINY);
    let whole = case.run(&["run", "tiny.toml", "--out", "whole", "--no-figures"]);
    assert_eq!(code(&whole), 0, "{}", stderr(&whole));
    let resume = ["run", "tiny.toml", "--out", "killed", "--resume", "--no-figures"];
    let mut n_killed = 0;
    // Kill it later and later, wherever it is, until it is done before.
    for milliseconds in (40..).step_by(35) {
        let mut child =
            case.command(&resume).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let start = Instant::now();
        let status = loop {
            if let Some(status) = child.try_wait().unwrap() {
                break Some(status);
            }
            if start.elapsed() > Duration::from_millis(milliseconds) {
                break None;
            }
            std::thread::sleep(Duration::from_millis(1));
        };
        if let Some(status) = status {
            assert!(status.success());
            break;
        }
        child.kill().unwrap();
        child.wait().unwrap();
        n_killed += 1;
    }
    assert!(n_killed > 0);
    assert!(weights(&case, "killed") == weights(&case, "whole"), "after {n_killed} kills");
    let n_epochs = |id: &str| {
        let metrics = case.run_folder("killed", id).join("metrics.jsonl");
        let text = std::fs::read_to_string(metrics).unwrap();
        text.lines().filter(|line| line.contains("\"record\":\"epoch\"")).count()
    };
    assert_eq!((n_epochs("bits-1"), n_epochs("bits-2")), (6, 6));
}

#[test]
#[cfg(unix)]
fn ctrl_c_leaves_a_checkpoint_to_go_on_from() {
    let case = Case::new(&TINY.replace("epochs = 6", "epochs = 400"));
    let child = case
        .command(&["run", "tiny.toml", "--no-figures"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let started = |folder: &Path| {
        let entries = std::fs::read_dir(folder).into_iter().flatten();
        entries.flatten().any(|entry| entry.path().join("state.safetensors").exists())
    };
    let start = Instant::now();
    while !started(&case.path("runs/tiny")) {
        assert!(start.elapsed() < Duration::from_secs(60), "no checkpoint in a minute");
        std::thread::sleep(Duration::from_millis(5));
    }
    let pid = child.id().to_string();
    assert!(Command::new("kill").args(["-INT", &pid]).status().unwrap().success());
    let output = child.wait_with_output().unwrap();
    assert_eq!(code(&output), 1);
    assert!(stderr(&output).contains("--resume"), "{}", stderr(&output));
    let again = case.run(&["run", "tiny.toml", "--no-figures"]);
    assert_eq!(code(&again), 2);
    assert!(stderr(&again).contains("--resume"), "{}", stderr(&again));
}

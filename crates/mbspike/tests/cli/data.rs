//! `mbspike data`, and data shared by programs.

use std::process::Stdio;
use std::time::Duration;

use super::case::{Case, TINY, code, stderr, weights};

/// A recording of `n` events as N-MNIST has them: x, y, polarity and time in 5 bytes.
fn recording(n: u32, kind: u32) -> Vec<u8> {
    let event = |i: u32| {
        let [_, high, middle, low] = (i * 37 + kind).to_be_bytes();
        let (x, y) = ((i * 7 + kind) % 34, (i * i + kind) % 34);
        [x as u8, y as u8, high | (i % 2 * 128) as u8, middle, low]
    };
    (0..n).flat_map(event).collect()
}

#[test]
fn data_commands_answer_for_the_embedded_subset() {
    let case = Case::new("");
    let list = case.run(&["data", "list", "--json"]);
    let list: serde_json::Value = serde_json::from_slice(&list.stdout).unwrap();
    let subset = list.as_array().unwrap().iter().find(|d| d["name"] == "fashion-mnist-subset");
    assert_eq!(subset.unwrap()["is_available"], true);
    let inspect =
        case.run(&["data", "inspect", "fashion-mnist-subset", "--out", "sheet.png", "--json"]);
    let inspect: serde_json::Value = serde_json::from_slice(&inspect.stdout).unwrap();
    assert_eq!(inspect["train"]["n_samples"], 6000);
    assert!(std::fs::read(case.path("sheet.png")).unwrap().starts_with(b"\x89PNG"));
}

#[test]
fn recordings_are_inspected_drawn_and_integrated() {
    let case = Case::new("");
    std::fs::write(case.path("r.bin"), recording(1000, 3)).unwrap();
    let inspect = ["data", "inspect", "r.bin", "--out", "s.png", "--plot", "p.svg", "--json"];
    let output = case.run(&inspect);
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    let found: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&found["n_events"], &found["on_share"]), (&1000.into(), &0.5.into()));
    assert!(std::fs::read(case.path("s.png")).unwrap().starts_with(b"\x89PNG"));
    assert!(std::fs::read_to_string(case.path("p.svg")).unwrap().contains("time (ms)"));

    let frames = ["data", "frames", "r.bin", "--out", "f.safetensors", "--split"];
    let split = |more: &[&str]| case.run(&[&frames[..], more].concat());
    let output = split(&["number", "--time-steps", "4"]);
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    let bytes = std::fs::read(case.path("f.safetensors")).unwrap();
    let n = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    let header: serde_json::Value = serde_json::from_slice(&bytes[8..8 + n]).unwrap();
    assert_eq!(header["frames"]["shape"], serde_json::json!([4, 2, 34, 34]));
    let (values, _) = bytes[8 + n..].as_chunks::<4>();
    let sum: f32 = values.iter().map(|&value| f32::from_le_bytes(value)).sum();
    assert_eq!(sum, 1000.0);
    for wrong in [
        &["number"][..],
        &["number", "--time-steps", "4", "--us", "5"],
        &["time", "--time-steps", "4", "--overlap", "0.5"],
        &["tonic-event-count", "--count", "5", "--overlap", "5"],
        &["time", "--time-steps", "4", "--sensor", "34"],
        &["time", "--time-steps", "4", "--sensor", "32768x32768"],
        &["time", "--time-steps", "4", "--sensor", "18446744073709551615x2"],
        &["time", "--time-steps", "99999999999999"],
        &["number", "--time-steps", "9223372036854775807"],
        &["tonic-event-bins", "--time-steps", "18446744073709551615"],
        &["duration", "--us", "18446744073709551615"],
        &["tonic-time-window", "--us", "9223372036854775807"],
        &["number", "--time-steps", "4", "--origin", "zero"],
    ] {
        assert_eq!(code(&split(wrong)), 2, "{wrong:?}");
    }
    std::fs::write(case.path("r.bin"), &recording(9, 3)[..43]).unwrap();
    let output = split(&["time", "--time-steps", "4"]);
    assert_eq!(code(&output), 1);
    assert!(stderr(&output).contains("r.bin: byte 40: expected a record of 5 bytes"));
}

#[test]
fn late_events_and_silent_starts_are_told_and_can_be_refused_or_kept() {
    let case = Case::new("");
    std::fs::write(case.path("r.csv"), "t,x,y,p\n10,1,5,0\n20,2,6,1\n19,3,7,0\n40,4,8,1\n")
        .unwrap();
    let frames =
        ["data", "frames", "r.csv", "--sensor", "34x34", "--out", "f.safetensors", "--split"];
    let split = |more: &[&str]| case.run(&[&frames[..], more].concat());
    let output = split(&["time", "--time-steps", "2"]);
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    assert!(
        stderr(&output).contains("4 events, 1 out of order, sorted in 2 frames"),
        "{}",
        stderr(&output)
    );
    let strict = split(&["time", "--time-steps", "2", "--strict"]);
    assert_eq!(code(&strict), 1);
    assert!(
        stderr(&strict).contains("event 2: expected a timestamp of at least 20 us, found 19 us")
    );
    let inspect = ["data", "inspect", "r.csv", "--sensor", "34x34", "--json"];
    let found: serde_json::Value = serde_json::from_slice(&case.run(&inspect).stdout).unwrap();
    assert_eq!(found["n_out_of_order"], 1);
    assert_eq!(code(&case.run(&[&inspect[..], &["--strict"]].concat())), 1);

    let counts = |origin: &[&str]| {
        let output = split(&[&["duration", "--us", "20"], origin].concat());
        assert_eq!(code(&output), 0, "{}", stderr(&output));
        let bytes = std::fs::read(case.path("f.safetensors")).unwrap();
        let n = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
        let frame = 2 * 34 * 34 * 4;
        let sum = |frame: &[u8]| -> f32 {
            let (values, _) = frame.as_chunks::<4>();
            values.iter().map(|&value| f32::from_le_bytes(value)).sum()
        };
        let counts: Vec<f32> = bytes[8 + n..].chunks_exact(frame).map(sum).collect();
        assert_eq!(code(&split(&[&["duration", "--us", "20"], origin].concat())), 0);
        assert_eq!(
            std::fs::read(case.path("f.safetensors")).unwrap(),
            bytes,
            "the same bytes again"
        );
        counts
    };
    assert_eq!(counts(&[]), [3.0, 1.0]);
    assert_eq!(counts(&["--origin", "first-event"]), [3.0, 1.0]);
    assert_eq!(counts(&["--origin", "zero"]), [2.0, 2.0]);
}

#[test]
fn programs_that_share_a_frame_cache_and_are_killed_change_nothing() {
    let case = Case::new(
        &TINY
            .replace("fashion-mnist-subset\"", "nmnist\"\npath = \"data\"")
            .replace("\"poisson\"", "\"event-frame\"\nsplit = \"time\"")
            .replace("28x28-2c3-4a-10o", "34x34x2-2c3-2a-10o")
            .replace("epochs = 6", "epochs = 1"),
    );
    for i in 0..450 {
        let split = if i < 400 { "Train" } else { "Test" };
        let folder = case.path("data").join(split).join((i % 10).to_string());
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join(format!("{i:05}.bin")), recording(400, i)).unwrap();
    }
    let run = |out: &'static str, more: &[&'static str]| {
        case.command(&[&["run", "tiny.toml", "--no-figures", "--out", out], more].concat())
    };
    let output = run("plain", &[]).output().unwrap();
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    let cache = ["--set", "dataset.frame_cache=cache"];
    // Killed while it builds, or soon after.
    for milliseconds in [5, 15, 25, 40] {
        let mut child = run("killed", &cache).stderr(Stdio::null()).spawn().unwrap();
        std::thread::sleep(Duration::from_millis(milliseconds));
        child.kill().unwrap();
        child.wait().unwrap();
    }
    let both: Vec<_> = ["one", "two"]
        .map(|out| run(out, &cache).stderr(Stdio::piped()).spawn().unwrap())
        .into_iter()
        .map(|child| child.wait_with_output().unwrap())
        .collect();
    for output in &both {
        assert_eq!(code(output), 0, "{}", stderr(output));
    }
    let again = run("again", &cache).output().unwrap();
    assert_eq!(code(&again), 0, "{}", stderr(&again));
    for out in ["one", "two", "again"] {
        assert!(weights(&case, out) == weights(&case, "plain"), "{out}");
    }
    let names = std::fs::read_dir(case.path("cache")).unwrap();
    let names = names.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let whole: Vec<String> = names.filter(|name| !name.starts_with('.')).collect();
    assert_eq!(whole.len(), 2, "one of each set: {whole:?}");
}

#[test]
fn imports_and_downloads_that_fail_say_what_to_do() {
    let case = Case::new("");
    std::fs::write(case.path("package.tgz"), "<html>").unwrap();
    let output = case.run(&["data", "import", "cifar10", "package.tgz", "--path", "to"]);
    assert_eq!(code(&output), 1);
    assert!(stderr(&output).contains("package.tgz: byte 0: expected a tar archive"));
    let output = case.run(&["data", "import", "nmnist", "package.tgz", "--path", "to"]);
    assert_eq!(code(&output), 2);
    assert!(!case.path("to").exists());
    let output = case.run(&["data", "fetch", "dvs-gesture", "--path", "to"]);
    assert_eq!(code(&output), 1);
    let message = stderr(&output);
    assert!(message.contains("put it into to") && message.contains("DvsGesture.tar.gz"));
}

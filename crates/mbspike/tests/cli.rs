//! The program itself, as it is typed.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

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
epochs = 6
batch_size = 20
optimizer = { kind = "adam", lr = 5e-3 }
checkpoint_every = 3
[sweep]
"neuron.bits" = [1, 2]
"#;

/// A folder with a config, and the program in it.
struct Case {
    folder: tempfile::TempDir,
}

impl Case {
    fn new(config: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("tiny.toml"), config).unwrap();
        Self { folder }
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_mbspike"));
        command.args(arguments).current_dir(self.folder.path());
        command
    }

    fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    fn path(&self, relative: &str) -> PathBuf {
        self.folder.path().join(relative)
    }

    /// The folder of the run whose name starts with `id`.
    fn run_folder(&self, out: &str, id: &str) -> PathBuf {
        let entries = std::fs::read_dir(self.path(out).join("tiny")).unwrap();
        let mut paths = entries.map(|entry| entry.unwrap().path());
        paths.find(|path| path.file_name().unwrap().to_str().unwrap().starts_with(id)).unwrap()
    }
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

fn code(output: &Output) -> i32 {
    output.status.code().unwrap_or_else(|| panic!("killed: {}", stderr(output)))
}

#[test]
fn help_version_and_info_are_printed_on_stdout() {
    let case = Case::new("");
    for arguments in [&["--help"][..], &["run", "--help"], &["--version"], &["info"]] {
        let output = case.run(arguments);
        assert_eq!(code(&output), 0, "{arguments:?}");
        assert!(!output.stdout.is_empty() && output.stderr.is_empty(), "{arguments:?}");
    }
    let info = case.run(&["info", "--json"]);
    let info: serde_json::Value = serde_json::from_slice(&info.stdout).unwrap();
    assert_eq!(info["presets"]["fashion-mnist-net"], "28x28-8c5-2a-16c5-2a-10o");
}

#[test]
fn bad_usage_and_bad_configs_exit_with_2() {
    let case = Case::new(&TINY.replace("batch_size", "batchsize"));
    for arguments in [
        &["nonsense"][..],
        &["run"],
        &["run", "no-such-file.toml"],
        &["run", "tiny.toml"],
        &["run", "tiny.toml", "--jobs", "0"],
        &["run", "tiny.toml", "--shard", "3/2"],
        &["data", "inspect", "no-such-dataset"],
    ] {
        let output = case.run(arguments);
        assert_eq!(code(&output), 2, "{arguments:?}: {}", stderr(&output));
        assert!(output.stdout.is_empty(), "{arguments:?}");
    }
    let message = stderr(&case.run(&["run", "tiny.toml"]));
    assert!(message.contains("tiny.toml:17:1: unknown key `train.batchsize`"), "{message}");
    assert!(message.contains("did you mean `train.batch_size`?"), "{message}");
}

#[test]
fn a_device_that_is_not_there_is_an_error() {
    let case = Case::new(TINY);
    for arguments in [&["run", "tiny.toml"][..], &["bench", "step", "--config", "tiny.toml"]] {
        let with = |device| case.run(&[arguments, &["--device", device]].concat());
        let output = with("cuda:99");
        assert_eq!(code(&output), 1, "{}", stderr(&output));
        let message = stderr(&output);
        let reasons = if cfg!(feature = "cuda") {
            &["no CUDA driver found", "there are only"][..]
        } else {
            &["built without CUDA"][..]
        };
        assert!(message.contains("cuda:99: "), "{message}");
        assert!(reasons.iter().any(|reason| message.contains(reason)), "{message}");
        assert_eq!(code(&with("gpu")), 2);
    }
    assert!(!case.path("runs").exists(), "nothing is written before the device is opened");
}

#[test]
fn missing_data_exit_with_1_and_say_what_to_do() {
    let case = Case::new(&TINY.replace("fashion-mnist-subset", "mnist"));
    let output = case.run(&["run", "tiny.toml", "--set", "dataset.path=nowhere"]);
    assert_eq!(code(&output), 1);
    let message = stderr(&output);
    assert!(message.contains("nowhere") && message.contains("idx"), "{message}");
}

#[test]
fn energy_is_printed_saved_and_drawn() {
    let case = Case::new(TINY);
    let train = ["run", "tiny.toml", "--set", "train.epochs=1", "--no-figures", "--quiet"];
    assert_eq!(code(&case.run(&train)), 0);
    let output = case.run(&["energy", "runs/tiny"]);
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    let table = stdout(&output);
    for text in ["1 bit", "2 bits", "eq. 5.3", "chip, loihi2", "numbers are those of loihi1"] {
        assert!(table.contains(text), "{text}: {table}");
    }
    for file in ["energy.csv", "operations.csv", "figures/energy-models-normalized.png"] {
        assert!(case.path("runs/tiny").join(file).metadata().unwrap().len() > 0, "{file}");
    }

    // As JSON, of one run and a few samples, with a table of one's own.
    let table = "title = \"mine\"\n[spiking.synaptic_event_pj]\nvalue = 2.0\n\
                 source = \"a test\"\nprocess_node = \"none\"\n";
    std::fs::write(case.path("mine.toml"), table).unwrap();
    let run = case.run_folder("runs", "bits-2");
    let run = run.to_str().unwrap();
    let arguments = ["energy", run, "--hardware", "mine.toml", "--samples", "20", "--json"];
    let output = case.run(&arguments);
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let run = &report["groups"][0]["runs"][0];
    assert_eq!(run["counts"]["n_samples"], 20);
    let layers = run["counts"]["layers"].as_array().unwrap();
    let events: u64 = layers.iter().map(|l| l["synaptic_events"].as_u64().unwrap()).sum();
    let energy = run["estimates"][0]["total"].as_f64().unwrap();
    assert!((energy - 2.0 * events as f64 / 20.0).abs() < 1e-6 * energy);
}

#[test]
fn wrong_tables_of_hardware_are_named_with_their_place() {
    let case = Case::new(TINY);
    let output = case.run(&["energy", "runs", "--hardware", "loihi3"]);
    assert_eq!(code(&output), 2);
    assert!(stderr(&output).contains("no hardware `loihi3`; there are cmos-45nm"));
    std::fs::write(case.path("mine.toml"), "title = \"mine\"\n[spiking.hop_jp]\n").unwrap();
    let output = case.run(&["energy", "runs", "--hardware", "mine.toml"]);
    assert_eq!(code(&output), 2);
    let message = stderr(&output);
    assert!(message.contains("mine.toml:2:"), "{message}");
    assert!(message.contains("did you mean `spiking.hop_pj`?"), "{message}");
    let output = case.run(&["energy", "nowhere"]);
    assert_eq!(code(&output), 1);
    assert!(stderr(&output).contains("nowhere"));
}

#[test]
fn a_run_prints_its_results_and_names_its_figures() {
    let case = Case::new(TINY);
    let output = case.run(&["run", "tiny.toml", "--set", "train.epochs=2", "--json"]);
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["runs"].as_array().unwrap().len(), 2);
    let figures = report["figures"].as_array().unwrap();
    assert!(figures.len() >= 4, "{figures:?}");
    for figure in figures {
        assert!(case.path(figure.as_str().unwrap()).metadata().unwrap().len() > 0, "{figure}");
    }
    // A second time there is nothing to do, and plot draws the same figures from the results.
    let again = case.run(&["run", "tiny.toml", "--set", "train.epochs=2", "--quiet"]);
    assert_eq!(code(&again), 0);
    assert!(again.stderr.is_empty(), "{}", stderr(&again));
    let said = stdout(&again);
    assert!(said.contains("neuron.bits=2") && said.contains("2 bits "), "{said}");
    let last = "report runs/tiny/report.html; figures and results.csv beside it\n";
    assert!(said.ends_with(last), "{said}");
    assert!(
        said.lines().count() <= 16 && said.lines().all(|line| line.chars().count() <= 80),
        "{said}"
    );
    assert!(case.path("runs/tiny/report.html").is_file());
    let plot = case.run(&["plot", "runs/tiny", "--json"]);
    let plotted: serde_json::Value = serde_json::from_slice(&plot.stdout).unwrap();
    assert_eq!(plotted.as_array().unwrap(), figures);
    let report = case.run(&["report", "runs/tiny"]);
    assert_eq!(code(&report), 0, "{}", stderr(&report));
    assert_eq!(stdout(&report), "runs/tiny/report.html\n");
    let html = std::fs::read_to_string(case.path("runs/tiny/report.html")).unwrap();
    assert!(html.contains("fashion-mnist-subset: 400 training and 50 test samples"));
    let report = case.run(&["report", "runs", "--markdown", "--out", "tiny.md", "--json"]);
    let report: serde_json::Value = serde_json::from_slice(&report.stdout).unwrap();
    assert_eq!(report["report"], "tiny.md");
    assert!(case.path(report["figures"][0].as_str().unwrap()).is_file(), "{report}");
    let missing = case.run(&["report", "nowhere"]);
    assert_eq!(code(&missing), 1);
    assert!(stderr(&missing).contains("nowhere"), "{}", stderr(&missing));
    // What was evaluated while training is found again from the checkpoint.
    let folder = case.run_folder("runs", "bits-2");
    let eval = case.run(&["eval", folder.to_str().unwrap(), "--json"]);
    let eval: serde_json::Value = serde_json::from_slice(&eval.stdout).unwrap();
    let summary: serde_json::Value =
        serde_json::from_slice(&std::fs::read(folder.join("summary.json")).unwrap()).unwrap();
    assert_eq!(eval["test_accuracy"], summary["final_test_accuracy"]);
    assert_eq!(eval["nonzero_rate"], summary["final_nonzero_rate"]);
    let confusion: Vec<Vec<u64>> = serde_json::from_value(eval["confusion"].clone()).unwrap();
    assert_eq!(confusion.iter().flatten().sum::<u64>(), 50);
    let n_correct: u64 = confusion.iter().enumerate().map(|(class, row)| row[class]).sum();
    assert_eq!(eval["test_accuracy"], n_correct as f64 / 50.0);
    let table = stdout(&case.run(&["eval", folder.to_str().unwrap()]));
    assert!(table.contains("label \\ given  T-shirt/top  trouser"), "{table}");
    // A sweep's folder stands for all its runs.
    let table = stdout(&case.run(&["eval", "runs/tiny"]));
    assert_eq!(table.lines().count(), 3, "{table}");
    let all = case.run(&["eval", "runs/tiny", "--json"]);
    let all: Vec<serde_json::Value> = serde_json::from_slice(&all.stdout).unwrap();
    assert!(all.iter().any(|one| one["test_accuracy"] == eval["test_accuracy"]));
}

#[test]
fn a_quantized_run_has_the_accuracy_that_quantize_printed() {
    let case = Case::new(&TINY.replace("[sweep]\n\"neuron.bits\" = [1, 2]\n", ""));
    for (out, settings) in
        [("plain", "train.quantization=none"), ("int8", "train.quantization=int8")]
    {
        let run = case.run(&["run", "tiny.toml", "--no-figures", "--out", out, "--set", settings]);
        assert_eq!(code(&run), 0, "{}", stderr(&run));
        let folder = case.run_folder(out, "rep-01");
        let folder = folder.to_str().unwrap();
        let early = case.run(&["eval", folder, "--quantized"]);
        assert_eq!(code(&early), 1);
        assert!(stderr(&early).contains("quantized.safetensors"), "{}", stderr(&early));

        let report = case.run(&["quantize", folder, "--json"]);
        assert_eq!(code(&report), 0, "{}", stderr(&report));
        let report: serde_json::Value = serde_json::from_slice(&report.stdout).unwrap();
        let variants = report["variants"].as_array().unwrap();
        let kinds: Vec<&str> = variants.iter().map(|v| v["kind"].as_str().unwrap()).collect();
        let f32_again = if out == "int8" { &["f32"][..] } else { &[] };
        assert_eq!(
            kinds,
            [&["as-trained"], f32_again, &["bf16", "int8-weights", "integer"]].concat()
        );
        let accuracy = |variant: &serde_json::Value| variant["test_accuracy"].as_f64().unwrap();
        let summary = std::fs::read(Path::new(folder).join("summary.json")).unwrap();
        let summary: serde_json::Value = serde_json::from_slice(&summary).unwrap();
        assert_eq!(variants[0]["test_accuracy"], summary["final_test_accuracy"]);
        // 50 test samples: whole numbers may change the class of a few.
        let integer = variants.last().unwrap();
        assert!((accuracy(integer) - accuracy(&variants[0])).abs() <= 0.1, "{variants:?}");

        let eval = case.run(&["eval", folder, "--quantized", "--json"]);
        let eval: serde_json::Value = serde_json::from_slice(&eval.stdout).unwrap();
        assert_eq!(eval["test_accuracy"], integer["test_accuracy"]);
        let table = stdout(&case.run(&["quantize", folder]));
        assert!(table.contains("integers throughout"), "{table}");

        // A file cut short is refused by its name.
        let file = Path::new(folder).join("quantized.safetensors");
        let bytes = std::fs::read(&file).unwrap();
        std::fs::write(&file, &bytes[..bytes.len() - 7]).unwrap();
        let cut = case.run(&["eval", folder, "--quantized"]);
        assert_eq!(code(&cut), 1);
        assert!(stderr(&cut).contains("quantized.safetensors"), "{}", stderr(&cut));
    }
}

#[test]
fn a_diverged_run_is_named_and_exits_with_1() {
    let case = Case::new(TINY);
    let output = case.run(&[
        "run",
        "tiny.toml",
        "--set",
        "train.optimizer={kind=\"sgd\", lr=1e38}",
        "--set",
        "network.readout=last-membrane",
        "--no-figures",
    ]);
    assert_eq!(code(&output), 1);
    assert!(stderr(&output).contains("diverged"), "{}", stderr(&output));
}

#[test]
fn a_folder_of_another_config_exits_with_2() {
    let case = Case::new(TINY);
    let arguments = ["run", "tiny.toml", "--no-figures", "--set", "train.epochs=1"];
    assert_eq!(code(&case.run(&arguments)), 0);
    let output = case.run(&["run", "tiny.toml", "--no-figures"]);
    assert_eq!(code(&output), 2);
    assert!(
        stderr(&output).contains("`train.epochs` is 1 there, but 6 here"),
        "{}",
        stderr(&output)
    );
}

/// The bytes that must not depend on interruptions.
fn weights(case: &Case, out: &str) -> [Vec<u8>; 2] {
    ["bits-1", "bits-2"]
        .map(|id| std::fs::read(case.run_folder(out, id).join("checkpoint.safetensors")).unwrap())
}

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

#[test]
fn without_a_terminal_there_are_no_bars_and_no_colours() {
    let case = Case::new(TINY);
    let output = case.run(&["run", "tiny.toml", "--set", "train.epochs=1", "--no-figures"]);
    assert!(!output.stdout.contains(&0x1b) && !output.stderr.contains(&0x1b));
    assert!(!stderr(&output).contains('━'), "{}", stderr(&output));
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

#[test]
fn a_benchmark_prints_the_keys_it_promises() {
    let case = Case::new(TINY);
    let output = case.run(&["bench", "step", "--config", "tiny.toml", "--steps", "3", "--json"]);
    let times: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    for key in ["median_s", "forward_s", "backward_s", "samples_per_s", "peak_rss_bytes"] {
        assert!(times[key].is_number(), "{key}: {times}");
    }
    // The network that has been trained is the one that counts.
    assert_eq!(times["median_s"], times["trained"]["median_s"]);
    assert_eq!(times["n_warm_up"], 300);
    assert!(times["fresh"]["median_s"].is_number(), "{times}");
}

#[test]
fn a_benchmark_takes_a_fresh_network_one_after_a_warm_up_or_one_from_a_checkpoint() {
    let case = Case::new(TINY);
    let bench = |more: &[&str]| {
        let arguments = ["bench", "step", "--config", "tiny.toml", "--steps", "2", "--json"];
        case.run(&[&arguments[..], more].concat())
    };
    let times = |more: &[&str]| -> serde_json::Value {
        serde_json::from_slice(&bench(more).stdout).unwrap()
    };
    let fresh = times(&["--warm-up", "0"]);
    assert!(fresh["trained"].is_null() && fresh["median_s"] == fresh["fresh"]["median_s"]);
    let trained = times(&["--warm-up", "5"]);
    assert!(trained["n_warm_up"] == 5 && trained["trained"]["median_s"].is_number());

    let missing = bench(&["--checkpoint", "none.safetensors"]);
    assert_eq!(code(&missing), 1);
    assert!(stderr(&missing).contains("none.safetensors"), "{}", stderr(&missing));
    assert_eq!(code(&bench(&["--checkpoint", "a", "--warm-up", "3"])), 2);
    assert_eq!(code(&case.run(&["run", "tiny.toml", "--no-figures"])), 0);
    let checkpoint = case.run_folder("runs", "bits-1").join("checkpoint.safetensors");
    let loaded = times(&["--checkpoint", checkpoint.to_str().unwrap()]);
    assert!(loaded["trained"]["median_s"].is_number(), "{loaded}");
}

//! The program itself, as it is typed.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod bench;
mod case;
mod data;
mod energy;
mod interrupted;
#[path = "../support/mod.rs"]
mod support;

use std::path::Path;

use case::{Case, TINY, code, stderr, stdout};

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
fn a_publication_that_cannot_be_read_is_refused_at_its_line() {
    let case = Case::new(&format!("reference = \"nowhere.toml\"\n{TINY}"));
    let output = case.run(&["run", "tiny.toml"]);
    assert_eq!(code(&output), 2);
    let message = stderr(&output);
    assert!(message.contains("tiny.toml:1:13: reference: "), "{message}");
    assert!(!case.path("runs").exists());

    std::fs::write(case.path("nowhere.toml"), "name = \"us\"\nnumbers = 3\n").unwrap();
    let message = stderr(&case.run(&["run", "tiny.toml"]));
    assert!(message.contains("numbers"), "{message}");
    std::fs::write(case.path("nowhere.toml"), "name = \"us\"\n").unwrap();
    assert_eq!(code(&case.run(&["check", "tiny.toml"])), 0);
    let message = stderr(&case.run(&["check", "tiny.toml", "--set", "reference=3"]));
    assert!(message.contains("must be the path of a TOML file"), "{message}");
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
    assert!(said.lines().count() <= 16, "{said}");
    assert!(said.lines().all(|line| line.chars().count() <= 80), "{said}");
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
    for flag in ["--quantized", "--loihi"] {
        let refused = case.run(&["eval", "runs/tiny", flag]);
        assert_eq!(code(&refused), 1, "{flag}");
        let message = format!("runs/tiny: {flag} takes the folder of one run");
        assert!(stderr(&refused).contains(&message), "{}", stderr(&refused));
    }
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

#[test]
fn without_a_terminal_there_are_no_bars_and_no_colours() {
    let case = Case::new(TINY);
    let output = case.run(&["run", "tiny.toml", "--set", "train.epochs=1", "--no-figures"]);
    assert!(!output.stdout.contains(&0x1b) && !output.stderr.contains(&0x1b));
    assert!(!stderr(&output).contains('━'), "{}", stderr(&output));
}

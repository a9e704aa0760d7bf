//! `export` and `import` as they are typed.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::path::PathBuf;

use support::{Case, stderr};

const TINY: &str = r#"
name = "tiny"
seed = 11
[dataset]
name = "fashion-mnist-subset"
train_size = 200
test_size = 50
[encoder]
kind = "poisson"
time_steps = 4
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
    /// A folder with a trained run.
    fn trained(settings: &[&str]) -> Self {
        let case = Self::new(TINY);
        let mut arguments = vec!["run", "tiny.toml", "--no-figures", "--quiet"];
        arguments.extend(settings.iter().flat_map(|setting| ["--set", setting]));
        let output = case.run(&arguments);
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
        case
    }

    fn run_folder(&self) -> String {
        let entries = std::fs::read_dir(self.folder.path().join("runs/tiny")).unwrap();
        let mut folders = entries.map(|entry| entry.unwrap().path()).filter(|path| path.is_dir());
        let folder: PathBuf = folders.find(|path| path.join("config.toml").exists()).unwrap();
        folder.to_str().unwrap().to_owned()
    }

    fn json(&self, arguments: &[&str]) -> serde_json::Value {
        let output = self.run(arguments);
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
        serde_json::from_slice(&output.stdout).unwrap()
    }

    fn accuracy(&self, run: &str) -> f64 {
        self.json(&["eval", run, "--json", "--quiet"])["test_accuracy"].as_f64().unwrap()
    }
}

#[test]
fn a_run_goes_out_as_nir_and_comes_back_with_the_same_accuracy() {
    let hard = "neuron.reset={kind=\"hard\"}";
    for (settings, mode) in [
        (vec!["neuron.bits=1", hard], None),
        (vec!["neuron.bits=2"], Some("--exact")),
        (vec!["neuron.bits=2"], Some("--lossy")),
    ] {
        let case = Case::trained(&settings);
        let run = case.run_folder();
        let mut arguments = vec!["export", run.as_str(), "--out", "tiny.nir", "--json"];
        arguments.extend(mode);
        let report = case.json(&arguments);
        assert_eq!(report["format"], "nir");
        assert_eq!(report["dt"], 1e-4);
        let n_lost = report["lost"].as_array().unwrap().len();
        assert_eq!(n_lost, if mode == Some("--lossy") { 4 } else { 0 }, "{report}");
        let report = case.json(&["import", "tiny.nir", "--out", "again", "--json", "--quiet"]);
        assert_eq!(report["test_accuracy"].as_f64().unwrap(), case.accuracy(&run));
        assert_eq!(report["arch"], "28x28-2c3-4a-10o");
        assert_eq!(report["placed"][0]["parameter"], "conv1.weight");
    }
}

#[test]
fn an_export_that_would_lose_something_is_refused_and_writes_nothing() {
    let case = Case::trained(&[]);
    let run = case.run_folder();
    let output = case.run(&["export", &run, "--out", "tiny.nir"]);
    assert_eq!(output.status.code(), Some(2));
    let message = stderr(&output);
    assert!(message.contains("`lif1`: graded spikes of 3 levels (2 bits)"), "{message}");
    assert!(message.contains("--exact") && message.contains("--lossy"), "{message}");
    assert!(!case.folder.path().join("tiny.nir").exists());
}

#[test]
fn weights_go_out_as_safetensors_and_come_back_by_name() {
    let case = Case::trained(&[]);
    let run = case.run_folder();
    case.json(&["export", &run, "--format", "safetensors", "--out", "w.safetensors", "--json"]);
    let arguments =
        ["import", "w.safetensors", "--config", "tiny.toml", "--out", "again", "--json", "--quiet"];
    let report = case.json(&arguments);
    assert_eq!(report["test_accuracy"].as_f64().unwrap(), case.accuracy(&run));
    assert_eq!(report["placed"][1]["tensor"], "fc1.weight");
    assert_eq!(report["placed"][1]["shape"], serde_json::json!([10, 98]));

    // A second import does not write over the first.
    let output = case.run(&arguments);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("again: the folder is not empty"), "{}", stderr(&output));
}

#[test]
fn weights_that_do_not_fit_are_refused_and_no_run_is_made() {
    let case = Case::trained(&[]);
    let run = case.run_folder();
    case.json(&["export", &run, "--format", "safetensors", "--out", "w.safetensors", "--json"]);
    for (setting, expected) in [
        ("network.arch=28x28-3c3-4a-10o", "`conv1.weight` is [2, 1, 3, 3], but"),
        ("network.bias=true", "it has 4 parameters"),
    ] {
        let output = case.run(&[
            "import",
            "w.safetensors",
            "--config",
            "tiny.toml",
            "--out",
            "other",
            "--set",
            setting,
        ]);
        assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
        assert!(stderr(&output).contains(expected), "{}", stderr(&output));
        assert!(!case.folder.path().join("other").exists());
    }
    let output = case.run(&["import", "w.safetensors", "--out", "other"]);
    assert!(stderr(&output).contains("--config"), "{}", stderr(&output));
}

#[test]
fn files_that_are_no_networks_are_refused_with_their_names() {
    let folder = tempfile::tempdir().unwrap();
    let case = Case { folder };
    std::fs::write(case.folder.path().join("tiny.toml"), TINY).unwrap();
    for name in ["x.nir", "x.safetensors", "x.pth", "x.npz"] {
        std::fs::write(case.folder.path().join(name), b"nothing of the kind").unwrap();
        let output = case.run(&["import", name, "--config", "tiny.toml", "--out", "run"]);
        assert_eq!(output.status.code(), Some(1));
        assert!(stderr(&output).contains(&format!("{name}: ")), "{}", stderr(&output));
    }
}

#[test]
fn a_graded_network_goes_out_as_tensors_with_a_process_model_and_is_computed_as_the_chip_would() {
    let case = Case::trained(&[]);
    let run = case.run_folder();
    let report = case.json(&["export", &run, "--format", "loihi", "--json", "--quiet"]);
    assert_eq!(report["format"], "loihi2");
    assert!(PathBuf::from(report["file"].as_str().unwrap()).ends_with("loihi.safetensors"));
    let model = std::fs::read_to_string(report["beside"].as_str().unwrap()).unwrap();
    assert!(model.contains("class Staircase(AbstractProcess)"));

    let output = case.run(&["export", &run, "--format", "loihi", "--out", "x.net"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("`conv1` has graded spikes"), "{}", stderr(&output));
    assert!(!case.folder.path().join("x.net").exists());

    let report = case.json(&["eval", &run, "--loihi", "--json", "--quiet"]);
    assert_eq!(report["trained_accuracy"].as_f64().unwrap(), case.accuracy(&run));
    let off = report["test_accuracy"].as_f64().unwrap() - case.accuracy(&run);
    assert!(off.abs() <= 0.1, "{off}");
    for layer in report["layers"].as_array().unwrap() {
        assert_eq!(layer["n_safe"], layer["n_neurons"], "{layer}");
        for what in ["sums", "currents", "membranes"] {
            assert_eq!(layer["overflows"][what], 0, "{layer}");
        }
    }
}

#[test]
fn a_binary_network_goes_out_as_a_net_file_with_a_dataset_for_each_number() {
    let case = Case::trained(&["neuron.bits=1", "neuron.reset={kind=\"hard\"}"]);
    let run = case.run_folder();
    let report =
        case.json(&["export", &run, "--format", "loihi", "--out", "x.net", "--json", "--quiet"]);
    assert_eq!(report["format"], "net");
    let bytes = std::fs::read(case.folder.path().join("x.net")).unwrap();
    assert!(bytes.starts_with(b"\x89HDF"));
    let has = |name: &str| bytes.windows(name.len()).any(|window| window == name.as_bytes());
    for name in ["layer", "conv", "flatten", "dense", "weight", "CUBA", "vThMant", "iDecay"] {
        assert!(has(name), "no {name}");
    }
    let [plain, delayed] = [vec![], vec!["--synaptic-delay"]].map(|more| {
        let mut arguments = vec!["eval", run.as_str(), "--loihi", "--json", "--quiet"];
        arguments.extend(more);
        case.json(&arguments)["confusion"].clone()
    });
    assert_eq!(plain, delayed);
}

//! Conversion to whole numbers, runs that diverged, and the memory of counting, through the program.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use support::{Case, stderr};

const CONFIG: &str = r#"
name = "tiny"
seed = 5
[dataset]
name = "fashion-mnist-subset"
train_size = 400
test_size = 100
[encoder]
kind = "poisson"
time_steps = 4
[network]
arch = "28x28-4c3-2a-10o"
[neuron]
bits = 2
[train]
epochs = 2
batch_size = 20
optimizer = { kind = "adam", lr = 5e-3 }
"#;

impl Case {
    fn json(&self, arguments: &[&str]) -> Value {
        let output = self.run(arguments);
        assert!(output.status.success(), "{arguments:?}: {}", stderr(&output));
        serde_json::from_slice(&output.stdout).unwrap()
    }

    /// The folders of runs.
    fn runs(&self) -> Vec<PathBuf> {
        let entries = std::fs::read_dir(self.folder.path().join("runs/tiny")).unwrap();
        let mut runs: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
        runs.retain(|path| path.join("config.toml").is_file());
        runs.sort();
        runs
    }

    /// The one run of a config, trained.
    fn trained(&self) -> String {
        let run = self.run(&["run", "tiny.toml", "--no-figures"]);
        assert!(run.status.success(), "{}", stderr(&run));
        self.runs()[0].to_str().unwrap().to_owned()
    }
}

/// Header and data of a safetensors file.
fn parts(bytes: &[u8]) -> (Value, Vec<u8>) {
    let (length, rest) = bytes.split_first_chunk::<8>().unwrap();
    let (header, data) = rest.split_at(u64::from_le_bytes(*length) as usize);
    (serde_json::from_slice(header).unwrap(), data.to_vec())
}

/// Makes two weights of each channel of a tensor `factor` times the largest, one of either sign, and
/// writes the file as a program does that knows no checksums.
fn plant_outliers(file: &Path, tensor: &str, factor: f32) {
    let (mut header, mut data) = parts(&std::fs::read(file).unwrap());
    header.as_object_mut().unwrap().remove("__metadata__");
    let entry = &header[tensor];
    let n_out = entry["shape"][0].as_u64().unwrap() as usize;
    let [start, end] = [0, 1].map(|i| entry["data_offsets"][i].as_u64().unwrap() as usize);
    let n_in = (end - start) / 4 / n_out;
    for channel in data[start..end].chunks_exact_mut(4 * n_in) {
        let weights = channel.as_chunks::<4>().0.iter().map(|w| f32::from_le_bytes(*w));
        let largest = weights.fold(0.0_f32, |largest, w| largest.max(w.abs()));
        for (place, sign) in [(n_in / 3, 1.0), (n_in / 2, -1.0)] {
            let outlier = sign * factor * largest;
            channel[4 * place..][..4].copy_from_slice(&outlier.to_le_bytes());
        }
    }
    let header = serde_json::to_vec(&header).unwrap();
    let bytes = [&(header.len() as u64).to_le_bytes()[..], &header, &data].concat();
    std::fs::write(file, bytes).unwrap();
}

#[test]
fn converting_twice_gives_the_same_bytes_and_any_flipped_bit_is_found() {
    let case = Case::new(CONFIG);
    let run = case.trained();
    let file = Path::new(&run).join("quantized.safetensors");
    let convert = || {
        case.json(&["quantize", &run, "--json"]);
        std::fs::read(&file).unwrap()
    };
    let bytes = convert();
    assert_eq!(convert(), bytes);
    let eval = ["eval", &run, "--quantized", "--json"];
    case.json(&eval);
    // A prime, so that every place of a byte has its turn.
    for bit in (0..8 * bytes.len()).step_by(211) {
        let mut flipped = bytes.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        std::fs::write(&file, &flipped).unwrap();
        let output = case.run(&eval);
        assert_eq!(output.status.code(), Some(1), "bit {bit}");
        assert!(stderr(&output).contains("quantized.safetensors"), "{}", stderr(&output));
    }
}

#[test]
fn conversion_shows_loss_rates_and_confusion_before_and_after() {
    let case = Case::new(CONFIG);
    let run = case.trained();
    let report = case.json(&["quantize", &run, "--json"]);
    let eval = case.json(&["eval", &run, "--json"]);
    let quantized = case.json(&["eval", &run, "--quantized", "--json"]);
    let (first, last) = {
        let variants = report["variants"].as_array().unwrap();
        (&variants[0], &variants[variants.len() - 1])
    };
    for key in ["test_accuracy", "test_loss", "confusion", "nonzero_rate", "mean_spike"] {
        assert_eq!(first[key], eval[key], "{key}");
        assert_eq!(last[key], quantized[key], "{key}");
    }
    assert_eq!(report["positions"], eval["positions"]);
    assert_eq!(report["positions"], quantized["positions"]);
    assert_eq!(report["silent"], Value::Array(vec![]));
    // Nearly the same network: nearly the same loss and rates.
    let off = |key: &str| (first[key].as_f64().unwrap() - last[key].as_f64().unwrap()).abs();
    assert!(off("test_loss") < 0.05, "{first} {last}");
    for i in 0..3 {
        let rate = |of: &Value| of["nonzero_rate"][i].as_f64().unwrap();
        assert!((rate(first) - rate(last)).abs() < 0.02, "{first} {last}");
    }
    let table = String::from_utf8(case.run(&["quantize", &run]).stdout).unwrap();
    for text in ["test loss", "non-zero (%)", "lif2", "label \\ given"] {
        assert!(table.contains(text), "no {text} in {table}");
    }
}

#[test]
fn outliers_do_not_silence_the_weights_beside_them() {
    let case = Case::new(CONFIG);
    let run = case.trained();
    for (tensor, factor) in [("conv1.weight", 300.0), ("fc1.weight", 1e4)] {
        plant_outliers(&Path::new(&run).join("checkpoint.safetensors"), tensor, factor);
        let report = case.json(&["quantize", &run, "--json"]);
        let variants = report["variants"].as_array().unwrap();
        let accuracy = |i: usize| variants[i]["test_accuracy"].as_f64().unwrap();
        let (before, after) = (accuracy(0), accuracy(variants.len() - 1));
        assert!(after > before - 0.1, "{tensor}: {before} became {after}");
        assert_eq!(report["silent"], Value::Array(vec![]), "{tensor}");

        let file = std::fs::read(Path::new(&run).join("quantized.safetensors")).unwrap();
        let (header, data) = parts(&file);
        let [start, end] =
            [0, 1].map(|i| header[tensor]["data_offsets"][i].as_u64().unwrap() as usize);
        let zeros = data[start..end].split(|q| *q == 0).count() - 1;
        assert!(zeros * 4 < end - start, "{tensor}: {zeros} of {} are zero", end - start);
    }
}

#[test]
fn weights_that_are_no_numbers_are_refused_by_eval_and_quantize() {
    let case = Case::new(CONFIG);
    let run = case.trained();
    let file = Path::new(&run).join("checkpoint.safetensors");
    // Of a layer whose inputs all spike now and then: what is not computed is not seen.
    plant_outliers(&file, "conv1.weight", f32::NAN);
    for arguments in [&["eval", &run][..], &["quantize", &run]] {
        let output = case.run(arguments);
        assert_eq!(output.status.code(), Some(1), "{arguments:?}");
        assert!(stderr(&output).contains("NaN"), "{}", stderr(&output));
    }
}

#[test]
fn a_run_in_double_precision_says_how_it_could_be_converted() {
    let case = Case::new(&CONFIG.replace("epochs = 2", "epochs = 1\nprecision = \"f64\""));
    let folder = case.trained();
    let output = case.run(&["quantize", &folder]);
    assert_eq!(output.status.code(), Some(1));
    let message = stderr(&output);
    assert!(message.contains("train.precision must be f32 or bf16"), "{message}");
}

#[test]
fn a_run_that_diverged_before_its_first_checkpoint_breaks_nothing_of_its_folder() {
    let config = CONFIG.replace("{ kind = \"adam\", lr = 5e-3 }", "{ kind = \"sgd\", lr = 0.1 }")
        + "[target]\naccuracy = 0.2\n[sweep]\n\"train.optimizer.lr\" = [0.1, 1e38]\n";
    let case = Case::new(&config);
    let readout = ["--set", "network.readout=last-membrane"];
    let run = case.run(&[&["run", "tiny.toml", "--no-figures"][..], &readout].concat());
    assert_eq!(run.status.code(), Some(1));
    assert!(stderr(&run).contains("before its first checkpoint"), "{}", stderr(&run));
    assert!(!stderr(&run).contains("the last checkpoint is kept"), "{}", stderr(&run));
    let diverged: Vec<PathBuf> = case
        .runs()
        .into_iter()
        .filter(|run| !run.join("checkpoint.safetensors").exists())
        .collect();
    let [diverged] = diverged.as_slice() else { panic!("one run diverged: {diverged:?}") };
    let diverged = diverged.to_str().unwrap();

    let energy = case.json(&["energy", "runs/tiny", "--json"]);
    let groups = energy["groups"].as_array().unwrap();
    let lengths = |key: &str| -> Vec<usize> {
        groups.iter().map(|group| group[key].as_array().unwrap().len()).collect()
    };
    assert_eq!((lengths("runs"), lengths("diverged")), (vec![1, 0], vec![0, 1]));
    let table = String::from_utf8(case.run(&["energy", "runs/tiny"]).stdout).unwrap();
    assert!(table.contains("left out") && table.contains("diverged"), "{table}");
    for command in ["plot", "report"] {
        let output = case.run(&[command, "runs/tiny"]);
        assert!(output.status.success(), "{command}: {}", stderr(&output));
    }
    for arguments in [&["eval", diverged][..], &["quantize", diverged]] {
        let output = case.run(arguments);
        assert_eq!(output.status.code(), Some(1), "{arguments:?}");
        assert!(stderr(&output).contains("diverged"), "{}", stderr(&output));
    }
    let alone = case.run(&["energy", diverged]);
    assert!(String::from_utf8_lossy(&alone.stdout).contains("left out"), "{}", stderr(&alone));
}

/// The most memory that a command ever held, in KiB.
#[cfg(target_os = "linux")]
fn peak_kib(mut command: Command) -> u64 {
    use std::process::Stdio;
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let status = format!("/proc/{}/status", child.id());
    let mut peak = 0;
    loop {
        let text = std::fs::read_to_string(&status).unwrap_or_default();
        let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        if let Some(kib) = line.and_then(|line| line.trim().strip_suffix(" kB")) {
            peak = peak.max(kib.trim().parse().unwrap());
        }
        if let Some(status) = child.try_wait().unwrap() {
            assert!(status.success());
            return peak;
        }
        std::thread::sleep(std::time::Duration::from_millis(2));
    }
}

#[cfg(target_os = "linux")]
#[test]
fn counting_takes_no_more_memory_than_training() {
    let config = CONFIG
        .replace("time_steps = 4", "time_steps = 100")
        .replace("28x28-4c3-2a-10o", "28x28-8c5-2a-16c5-2a-10o")
        .replace("batch_size = 20", "batch_size = 100")
        .replace("train_size = 400", "train_size = 200")
        .replace("epochs = 2", "epochs = 1");
    let case = Case::new(&config);
    let training = peak_kib(case.command(&["run", "tiny.toml", "--no-figures"]));
    let counting = peak_kib(case.command(&["energy", "runs/tiny", "--no-figures"]));
    assert!(training > 50_000, "{training} KiB: nothing was measured");
    assert!(counting <= training, "{counting} KiB, but training took {training} KiB");
}

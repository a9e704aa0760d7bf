//! Own data from files to a confusion matrix, through the program.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fmt::Write as _;
use std::path::Path;
use std::process::{Command, Output};

fn mbspike(folder: &Path, arguments: &[&str]) -> Output {
    let program = env!("CARGO_BIN_EXE_mbspike");
    Command::new(program).args(arguments).current_dir(folder).output().unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn write(folder: &Path, name: &str, content: impl AsRef<[u8]>) {
    let file = folder.join(name);
    std::fs::create_dir_all(file.parent().unwrap()).unwrap();
    std::fs::write(file, content).unwrap();
}

fn config(name: &str, dataset: &str, encoder: &str, arch: &str) -> String {
    format!(
        "name = \"{name}\"\nseed = 1\n[dataset]\n{dataset}\n[encoder]\n{encoder}\n[network]\narch = \
         \"{arch}\"\n[neuron]\nbits = 2\n[train]\nepochs = 1\nbatch_size = 4\noptimizer = {{ kind = \
         \"adam\", lr = 1e-3 }}\n"
    )
}

/// The run's folder.
fn trained(folder: &Path, name: &str) -> std::path::PathBuf {
    let output = mbspike(folder, &["run", &format!("{name}.toml"), "--quiet"]);
    assert_eq!(output.status.code(), Some(0), "{name}: {}", stderr(&output));
    let runs = std::fs::read_dir(folder.join("runs").join(name)).unwrap();
    let mut runs = runs.map(|entry| entry.unwrap().path());
    // A single run is a folder of its own, a sweep one of folders.
    runs.find(|path| path.join("summary.json").is_file())
        .unwrap_or_else(|| folder.join("runs").join(name))
}

fn classes_of(folder: &Path, run: &Path) -> Vec<String> {
    let run = run.to_str().unwrap();
    let output = mbspike(folder, &["eval", run, "--json", "--quiet"]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let names: Vec<String> = serde_json::from_value(report["class_names"].clone()).unwrap();
    assert_eq!(report["confusion"].as_array().unwrap().len(), names.len());
    let table = mbspike(folder, &["eval", run, "--quiet"]);
    let table = String::from_utf8(table.stdout).unwrap();
    assert!(names.iter().all(|name| table.contains(name)), "{table}");
    names
}

fn pgm(start: u8) -> Vec<u8> {
    let mut bytes = b"P5\n8 8\n255\n".to_vec();
    bytes.extend((0..64).map(|i: u8| start.wrapping_mul(3).wrapping_add(i)));
    bytes
}

#[test]
fn pictures_in_folders_are_trained_on_and_named_in_the_confusion_matrix() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    for i in 0..12 {
        let class = ["cat", "dog"][usize::from(i % 2)];
        write(folder, &format!("pets/{class}/{i}.pgm"), pgm(i * 11));
    }
    let dataset = "name = \"image-folder\"\npath = \"pets\"\ngrey = true\ntest_fraction = 0.34";
    let encoder = "kind = \"poisson\"\ntime_steps = 3";
    write(folder, "pets.toml", config("pets", dataset, encoder, "8x8-4-2o"));
    assert_eq!(classes_of(folder, &trained(folder, "pets")), ["cat", "dog"]);
    let inspected = mbspike(folder, &["data", "inspect", "pets.toml", "--json"]);
    let inspected: serde_json::Value = serde_json::from_slice(&inspected.stdout).unwrap();
    assert_eq!(inspected["class_names"], serde_json::json!(["cat", "dog"]));
    assert_eq!(inspected["test"]["class_counts"], serde_json::json!([2, 2]));

    // What does not fit is found at its line, before anything is created.
    for (wrong, expected) in [
        ("network.arch=8x8-4-3o", "tells 3 classes apart, but image-folder has 2"),
        ("network.arch=9x8-4-2o", "takes samples of 9x8"),
        ("dataset.grey=false", "those of image-folder, as encoded, are 8x8x3"),
        ("dataset.path=nowhere", "nowhere"),
        ("dataset.test_fraction=1.5", "must be above 0 and below 1"),
        ("dataset.transpose=true", "is of no use to \"image-folder\""),
    ] {
        let output = mbspike(folder, &["run", "pets.toml", "--set", wrong, "--out", "other"]);
        assert_eq!(output.status.code(), Some(2), "{wrong}: {}", stderr(&output));
        assert!(stderr(&output).contains(expected), "{wrong}: {}", stderr(&output));
        assert!(!folder.join("other").exists(), "{wrong}");
    }
}

#[test]
fn folds_are_swept_over() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    for i in 0..12 {
        let class = ["cat", "dog"][usize::from(i % 2)];
        write(folder, &format!("pets/{class}/{i}.pgm"), pgm(i * 11));
    }
    let dataset = "name = \"image-folder\"\npath = \"pets\"\ngrey = true\nfolds = 3";
    let encoder = "kind = \"direct\"\ntime_steps = 2";
    let mut text = config("folds", dataset, encoder, "8x8-2o");
    text.push_str("[sweep]\n\"dataset.fold\" = [0, 1, 2]\n");
    write(folder, "folds.toml", text);
    let output = mbspike(folder, &["run", "folds.toml", "--quiet"]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let runs = std::fs::read_dir(folder.join("runs/folds")).unwrap();
    let runs = runs.filter(|entry| entry.as_ref().unwrap().path().join("summary.json").is_file());
    assert_eq!(runs.count(), 3);
}

fn npy(descr: &str, shape: &str, data: &[u8]) -> Vec<u8> {
    let header = format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}\n");
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend((header.len() as u16).to_le_bytes());
    bytes.extend(header.bytes());
    bytes.extend(data);
    bytes
}

#[test]
fn arrays_series_letters_and_recordings_are_trained_on() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let values: Vec<u8> = (0..8 * 5 * 2).flat_map(|i| (i as f32 / 80.0).to_le_bytes()).collect();
    write(folder, "x.npy", npy("<f4", "(8, 5, 2)", &values));
    write(folder, "y.npy", npy("|u1", "(8,)", &[0, 1, 0, 1, 0, 1, 0, 1]));
    let split = "test_fraction = 0.25";
    let direct = "kind = \"direct\"\ntime_steps = 5";
    let arrays = format!(
        "name = \"arrays\"\npath = \"x.npy\"\nlabels = \"y.npy\"\nclass_names = [\"low\", \"high\"]\n{split}"
    );
    write(folder, "arrays.toml", config("arrays", &arrays, direct, "1x1x2-6-2o"));
    assert_eq!(classes_of(folder, &trained(folder, "arrays")), ["low", "high"]);

    for (name, encoder, arch) in [
        ("delta", "kind = \"delta\"\nthreshold = [0.02]\ntime_steps = 5", "1x1x4-6-2o"),
        ("population", "kind = \"population\"\nneurons = 4\ntime_steps = 5", "1x1x8-6-2o"),
    ] {
        write(folder, &format!("{name}.toml"), config(name, &arrays, encoder, arch));
        trained(folder, name);
    }

    let series = |start: i32| -> String {
        let line = |i: i32| {
            format!("{i},{},{}:{i},1,0:{}\n", i + 1, i * 2, ["up", "down"][(i % 2) as usize])
        };
        (start..start + 6).map(line).collect()
    };
    let head = "@problemName p\n@timeStamps false\n@classLabel true up down\n@data\n";
    write(folder, "uea/P_TRAIN.ts", format!("{head}{}", series(0)));
    write(folder, "uea/P_TEST.ts", format!("{head}{}", series(10)));
    let three = "kind = \"direct\"\ntime_steps = 3";
    write(folder, "ts.toml", config("ts", "name = \"ts\"\npath = \"uea\"", three, "1x1x2-6-2o"));
    assert_eq!(classes_of(folder, &trained(folder, "ts")), ["down", "up"]);

    let row = |i: i32| format!("{i},1,2,3,{}\n", ["a", "b"][(i % 2) as usize]);
    let arff = |start: i32| {
        format!("@relation r\n@data\n{}", (start..start + 6).map(row).collect::<String>())
    };
    write(folder, "g.arff", arff(0));
    write(folder, "g_test.arff", arff(20));
    let four = "kind = \"direct\"\ntime_steps = 4";
    let dataset = "name = \"arff\"\npath = \"g.arff\"\ntest_path = \"g_test.arff\"";
    write(folder, "arff.toml", config("arff", dataset, four, "1x1-6-2o"));
    assert_eq!(classes_of(folder, &trained(folder, "arff")), ["a", "b"]);

    let mut table = "sample,label,u\n".to_owned();
    for i in 0..8 {
        for t in 0..3 {
            writeln!(table, "{i},{},{}", ["off", "on"][i % 2], i * 7 + t).unwrap();
        }
    }
    write(folder, "s.csv", table);
    write(
        folder,
        "csv.toml",
        config("csv", &format!("name = \"csv\"\npath = \"s.csv\"\n{split}"), three, "1x1-6-2o"),
    );
    assert_eq!(classes_of(folder, &trained(folder, "csv")), ["off", "on"]);

    let idx = |sizes: &[u32], magic: u32, body: &[u8]| {
        let head = std::iter::once(magic).chain(sizes.iter().copied());
        let mut bytes: Vec<u8> = head.flat_map(u32::to_be_bytes).collect();
        bytes.extend(body);
        bytes
    };
    for (i, part) in [(0_u8, "train"), (1, "t10k")] {
        let pixels: Vec<u8> =
            (0..4 * 8 * 8_u32).map(|at| (at * 7 + u32::from(i) * 3) as u8).collect();
        write(
            folder,
            &format!("letters/{part}-images-idx3-ubyte"),
            idx(&[4, 8, 8], 0x803, &pixels),
        );
        write(
            folder,
            &format!("letters/{part}-labels-idx1-ubyte"),
            idx(&[4], 0x801, &[1, 2, 3, 1]),
        );
    }
    let dataset = "name = \"idx\"\npath = \"letters\"\nfirst_label = 1\ntranspose = true\nallow_shared = true\nclass_names = [\"a\", \"b\", \"c\"]";
    write(
        folder,
        "idx.toml",
        config("idx", dataset, "kind = \"poisson\"\ntime_steps = 2", "8x8-3o"),
    );
    assert_eq!(classes_of(folder, &trained(folder, "idx")), ["a", "b", "c"]);

    for i in 0..8_u8 {
        let class = ["left", "right"][usize::from(i % 2)];
        let row = |t: u8| format!("{},{},{},{}\n", u32::from(t) * 90, (i + t) % 8, t % 8, t % 2);
        let text = format!("t,x,y,p\n{}", (0..30).map(row).collect::<String>());
        write(folder, &format!("events/{class}/{i}.csv"), text);
    }
    let dataset = format!(
        "name = \"events-folder\"\npath = \"events\"\nsensor = [8, 8]\nframe_cache = \"cache\"\n{split}"
    );
    let frames = "kind = \"event-frame\"\nsplit = \"time\"\norigin = \"zero\"\ntime_steps = 3";
    write(folder, "events.toml", config("events", &dataset, frames, "8x8x2-2o"));
    assert_eq!(classes_of(folder, &trained(folder, "events")), ["left", "right"]);
}

#[test]
fn a_recurrent_network_learns_a_synthetic_task_that_needs_memory() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let dataset =
        "name = \"delayed-xor\"\ntrain_size = 2000\ntest_size = 400\nlength = 12\nnoise = 0.02";
    let mut text = config("xor", dataset, "kind = \"direct\"\ntime_steps = 12", "4-48r-2o")
        .replace("[neuron]", "readout = \"last-membrane\"\n[neuron]")
        .replace("epochs = 1", "epochs = 4")
        .replace("batch_size = 4", "batch_size = 50")
        .replace("lr = 1e-3", "lr = 1e-2");
    text.push_str("[sweep]\n\"network.arch\" = [\"4-48r-2o\", \"4-48-2o\", \"4-48-48-2o\"]\n");
    write(folder, "xor.toml", text.replace("4-", "1x1x4-"));
    let output = mbspike(folder, &["run", "xor.toml", "--quiet", "--no-figures"]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let table = std::fs::read_to_string(folder.join("runs/xor/results.csv")).unwrap();
    let mut rows = table.lines().map(|line| line.split(',').collect::<Vec<_>>());
    let header = rows.next().unwrap();
    let column = |name: &str| header.iter().position(|known| *known == name).unwrap();
    let (accuracy, simulated) = (column("final_test_accuracy"), column("data_simulated"));
    let mut n_runs = 0;
    for row in rows {
        let is_recurrent = row.iter().any(|cell| cell.contains("48r"));
        let found: f64 = row[accuracy].parse().unwrap();
        let learned = if is_recurrent { found >= 0.95 } else { found <= 0.65 };
        assert!(learned, "{row:?}");
        assert_eq!(row[simulated], "true", "a synthetic task says that it is one");
        n_runs += 1;
    }
    assert_eq!(n_runs, 3);
    let inspected = mbspike(folder, &["data", "inspect", "xor.toml"]);
    let inspected = String::from_utf8(inspected.stdout).unwrap();
    assert!(inspected.contains("delayed-xor from synthetic (seed 0)"), "{inspected}");
}

#[test]
fn spikes_in_the_layout_of_heidelberg_are_trained_on() {
    let cases = Path::new(env!("CARGO_MANIFEST_DIR")).join("../mbspike-data/tests/cases/hdf5");
    // Not there where the crate is on its own.
    if !cases.is_dir() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    for name in ["shd_train.h5", "shd_test.h5"] {
        write(folder, &format!("data/shd/{name}"), std::fs::read(cases.join(name)).unwrap());
    }
    let dataset =
        "name = \"spikes-hdf5\"\npath = \"shd/shd_train.h5\"\ntest_path = \"shd/shd_test.h5\"";
    let frames = "kind = \"event-frame\"\nsplit = \"duration\"\nframe_us = 4000\norigin = \"zero\"\ntime_steps = 8";
    write(folder, "shd.toml", config("shd", dataset, frames, "1x700-8r-4o"));
    // Paths that are not there are looked for in the user's data folder.
    let run = |data: &str| {
        let program = env!("CARGO_BIN_EXE_mbspike");
        let mut command = Command::new(program);
        command.args(["run", "shd.toml", "--quiet", "--no-figures"]).current_dir(folder);
        command.env("MBSPIKE_DATA", folder.join(data)).output().unwrap()
    };
    let missing = run("elsewhere");
    assert_eq!(missing.status.code(), Some(2), "{}", stderr(&missing));
    assert!(stderr(&missing).contains("shd/shd_train.h5"), "{}", stderr(&missing));
    let output = run("data");
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
}

#[test]
fn every_snippet_of_the_documentation_is_a_config() {
    #[derive(serde::Deserialize)]
    struct Snippet {
        dataset: Option<mbspike_data::DatasetConfig>,
        encoder: Option<mbspike_data::EncoderConfig>,
    }
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/data.md");
    // Not there where the crate is on its own.
    let Ok(page) = std::fs::read_to_string(page) else { return };
    let snippets: Vec<&str> = page.split("```toml\n").skip(1).collect();
    assert!(snippets.len() >= 8, "{}", snippets.len());
    let mut n_whole = 0;
    for snippet in snippets {
        let text = snippet.split("```").next().unwrap();
        if text.starts_with("name = ") {
            n_whole += 1;
            // The config of the tutorial, on as many small recordings as it needs.
            let folder = tempfile::tempdir().unwrap();
            for i in 0..30_u32 {
                let class = ["left", "right"][(i % 2) as usize];
                let row = |t: u32| format!("{},{},{},{}\n", t * 90, (i * 5 + t) % 128, t, t % 2);
                let rows = format!("t,x,y,p\n{}", (0..100).map(row).collect::<String>());
                write(folder.path(), &format!("recordings/{class}/{i:04}.csv"), rows);
            }
            write(folder.path(), "mine.toml", text);
            let few = ["--set", "train.epochs=1", "--set", "sweep.repeats=1"];
            let arguments = ["run", "mine.toml", "--quiet", "--no-figures"].into_iter().chain(few);
            let output = mbspike(folder.path(), &arguments.collect::<Vec<_>>());
            assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
            let report = mbspike(folder.path(), &["report", "runs/mine", "--quiet"]);
            assert_eq!(report.status.code(), Some(0), "{}", stderr(&report));
            continue;
        }
        let parsed: Snippet =
            toml::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"));
        if let Some(dataset) = parsed.dataset {
            dataset.validate().unwrap_or_else(|error| panic!("{error}: {text}"));
        }
        if let Some(encoder) = parsed.encoder {
            encoder.validate(1).unwrap_or_else(|error| panic!("{error}: {text}"));
        }
    }
    assert_eq!(n_whole, 1, "the tutorial has a whole config");
}

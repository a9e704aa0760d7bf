//! Figures are drawn from saved results of every completeness.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::path::Path;

use mbspike_experiments::figure::{self, Options, draw_all};
use mbspike_experiments::results::{
    DatasetSummary, Environment, EpochRecord, METRICS_FILE, MetricsLog, Record, SUMMARY_FILE,
    Status, Summary, WindowRecord,
};
use serde_json::json;

/// Writes a run whose accuracy rises with the iterations, faster with more bits.
fn write_run(folder: &Path, bits: u32, time_steps: usize, repeat: u32, n_epochs: u64) {
    let id = format!("bits-{bits}_T-{time_steps}_rep-{repeat:02}");
    let run = folder.join(&id);
    std::fs::create_dir_all(&run).unwrap();
    let mut log = MetricsLog::open(&run.join(METRICS_FILE), 0).unwrap();
    let wobble = |i: u64| 0.03 * ((i * 37 + u64::from(repeat) * 11) as f64).sin();
    let accuracy = |i: u64| {
        let speed = 1.0 + 0.4 * f64::from(bits - 1).sqrt();
        0.1 + 0.75 * (1.0 - (-speed * i as f64 / 250.0).exp()) + wobble(i)
    };
    let rates = |i: u64| vec![0.29, 0.2 + 0.05 * f64::from(bits), 0.15 + wobble(i).abs(), 0.08];
    let per_epoch = 200;
    for epoch in 1..=n_epochs {
        for window in 1..=per_epoch / 10 {
            let iteration = (epoch - 1) * per_epoch + window * 10;
            let record = WindowRecord {
                epoch,
                iteration,
                n_iterations: 10,
                loss: 1.0,
                train_accuracy: accuracy(iteration),
                nonzero_rate: rates(iteration),
                mean_spike: rates(iteration),
                lr: 2e-3,
                step_time_s: 0.03,
                loader_share: 0.01,
            };
            log.append(&Record::Window(record)).unwrap();
        }
        let iteration = epoch * per_epoch;
        let record = EpochRecord {
            epoch,
            iteration,
            train_loss: 1.0,
            train_accuracy: accuracy(iteration),
            test_loss: 1.0,
            test_accuracy: accuracy(iteration) - 0.02,
            train_nonzero_rate: rates(iteration),
            train_mean_spike: rates(iteration),
            test_nonzero_rate: rates(iteration),
            test_mean_spike: rates(iteration),
            epoch_time_s: 6.0,
            step_time_s: 0.03,
            loader_share: 0.01,
        };
        log.append(&Record::Epoch(record)).unwrap();
    }
    let last = n_epochs * per_epoch;
    let reached = (1..=last).find(|i| accuracy(*i) >= 0.8);
    let summary = Summary {
        id,
        name: "test".into(),
        values: BTreeMap::from([
            ("neuron.bits".to_owned(), json!(bits)),
            ("encoder.time_steps".to_owned(), json!(time_steps)),
        ]),
        repeat,
        seed: 1,
        bits,
        time_steps,
        n_epochs,
        n_iterations: last,
        positions: ["input", "lif1", "lif2", "lif3"].map(str::to_owned).to_vec(),
        final_test_accuracy: (n_epochs > 0).then(|| accuracy(last) - 0.02),
        best_test_accuracy: (n_epochs > 0).then(|| accuracy(last) - 0.02),
        final_train_accuracy: (n_epochs > 0).then(|| accuracy(last)),
        target_accuracy: Some(0.8),
        iterations_to_target: reached,
        epochs_to_target: reached.map(|i| i.div_ceil(per_epoch)),
        final_nonzero_rate: rates(last),
        final_mean_spike: rates(last),
        median_step_time_s: Some(0.03),
        loader_share: Some(0.01),
        wall_time_s: 30.0,
        n_parameters: 11_240,
        status: Status::Finished,
        cause: None,
        dataset: DatasetSummary {
            name: "fashion-mnist".into(),
            source: "a folder".into(),
            simulated: false,
            n_train: 60_000,
            n_test: 10_000,
        },
        environment: Environment {
            version: "0.1.0".into(),
            commit: None,
            threads: 2,
            cpu_features: vec![],
        },
    };
    let text = serde_json::to_string(&summary).unwrap();
    std::fs::write(run.join(SUMMARY_FILE), text).unwrap();
}

fn names(files: &[std::path::PathBuf]) -> Vec<String> {
    let name = |f: &std::path::PathBuf| f.file_name().unwrap().to_string_lossy().into_owned();
    files.iter().map(name).collect()
}

#[test]
fn recordings_are_drawn_in_space_and_time() {
    let mut recording = mbspike_data::Events::new([34, 34]);
    assert!(figure::events(&recording).is_err(), "nothing to draw");
    recording.push(7, 33, 0, true);
    figure::events(&recording).unwrap().png().unwrap();
    for i in 0..20_000_i64 {
        recording.push(8 + i * 15, (i % 34) as u16, (i * i % 34) as u16, i % 3 == 0);
    }
    let svg = figure::events(&recording).unwrap().svg().to_owned();
    assert!(svg.contains("one in 3 of 20001 events"));
    assert_eq!(svg.matches("<circle").count(), 6667);
}

#[test]
fn a_whole_sweep_gives_every_figure_as_svg_and_png() {
    let folder = tempfile::tempdir().unwrap();
    for bits in 1..=8 {
        for repeat in 1..=3 {
            write_run(folder.path(), bits, 10, repeat, 4);
        }
    }
    let files = draw_all(folder.path(), &Options::default()).unwrap();
    for name in [
        "train-accuracy",
        "test-accuracy",
        "iterations-to-target",
        "epochs-to-target",
        "final-accuracy",
        "nonzero-rate",
        "final-nonzero-rate",
        "spike-function",
        "surrogate-gradient",
    ] {
        assert!(names(&files).contains(&format!("{name}.svg")), "{name}: {:?}", names(&files));
        assert!(names(&files).contains(&format!("{name}.png")), "{name}: {:?}", names(&files));
    }
    let svg =
        |name: &str| std::fs::read_to_string(folder.path().join("figures").join(name)).unwrap();
    let accuracy = svg("train-accuracy.svg");
    for text in ["iteration", "training accuracy (%)", "8 bit, T = 10", "target 80 %"] {
        assert!(accuracy.contains(text), "{text}");
    }
    assert!(svg("nonzero-rate.svg").contains("nnz4 (lif3)"));
    assert!(svg("final-nonzero-rate.svg").contains("non-zero rate on the test set (%)"));
    for file in files.iter().filter(|f| f.extension().is_some_and(|e| e == "png")) {
        let bytes = std::fs::read(file).unwrap();
        assert!(bytes.starts_with(b"\x89PNG") && bytes.len() > 5_000, "{}", file.display());
    }
}

#[test]
fn one_short_run_is_drawn_without_bands() {
    let folder = tempfile::tempdir().unwrap();
    write_run(folder.path(), 2, 4, 1, 1);
    let files = draw_all(folder.path(), &Options::default()).unwrap();
    assert!(names(&files).contains(&"final-accuracy.svg".to_owned()));
    let svg = std::fs::read_to_string(folder.path().join("figures/train-accuracy.svg")).unwrap();
    assert!(!svg.contains("<polygon"), "a single repeat has no interval");
}

#[test]
fn a_target_never_reached_is_said_to_be_a_lower_bound() {
    let folder = tempfile::tempdir().unwrap();
    write_run(folder.path(), 1, 10, 1, 1);
    write_run(folder.path(), 2, 10, 1, 4);
    let options = Options { target: Some(0.84), ..Options::default() };
    draw_all(folder.path(), &options).unwrap();
    let path = folder.path().join("figures/iterations-to-target.svg");
    assert!(std::fs::read_to_string(path).unwrap().contains("not reached by every repeat"));
}

#[test]
fn a_run_without_epochs_gives_the_figures_that_need_none() {
    let folder = tempfile::tempdir().unwrap();
    write_run(folder.path(), 1, 10, 1, 0);
    let files = draw_all(folder.path(), &Options::default()).unwrap();
    assert!(names(&files).contains(&"spike-function.svg".to_owned()));
    assert!(!names(&files).contains(&"test-accuracy.svg".to_owned()));
}

#[test]
fn a_folder_without_runs_is_an_error_that_names_it() {
    let folder = tempfile::tempdir().unwrap();
    let error = draw_all(folder.path(), &Options::default()).unwrap_err();
    assert!(matches!(error, figure::Error::NoRuns(_)), "{error}");
    assert!(error.to_string().contains(&folder.path().display().to_string()), "{error}");
}

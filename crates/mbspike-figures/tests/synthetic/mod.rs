//! Folders of runs that nobody trained.

use std::collections::BTreeMap;
use std::path::Path;

use mbspike_results::files::{METRICS_FILE, SUMMARY_FILE};
use mbspike_results::neuron::{Curve, NeuronCurves, SpikeCurves};
use mbspike_results::{
    DatasetSummary, Environment, EpochRecord, MetricsLog, Record, Status, Summary, WindowRecord,
    read_summary, write_json,
};
use serde_json::json;

/// Writes a run whose accuracy rises with the iterations, faster with more bits.
pub fn write_run(folder: &Path, bits: u32, time_steps: usize, repeat: u32, n_epochs: u64) {
    let id = format!("bits-{bits}_T-{time_steps}_rep-{repeat:02}");
    let run = folder.join(&id);
    std::fs::create_dir_all(&run).unwrap();
    let mut log = MetricsLog::open(&run.join(METRICS_FILE), None).unwrap();
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
                loss: 2.0 * (1.0 - accuracy(iteration)),
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
            train_loss: 2.0 * (1.0 - accuracy(iteration)),
            train_accuracy: accuracy(iteration),
            test_loss: 2.1 * (1.0 - accuracy(iteration)),
            test_accuracy: accuracy(iteration) - 0.02,
            train_nonzero_rate: rates(iteration),
            train_mean_spike: rates(iteration),
            test_nonzero_rate: rates(iteration),
            test_mean_spike: rates(iteration),
            epoch_time_s: 6.0,
            step_time_s: 0.03,
            loader_share: 0.01,
            test_confusion: (epoch == n_epochs).then(|| vec![vec![80, 20], vec![30, 70]]),
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
        seed: u64::from(repeat),
        group: format!("{bits} bits, {time_steps} steps"),
        device: "cpu".into(),
        bits,
        layer_bits: vec![],
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
        median_step_time_s: Some(0.03 + 0.001 * f64::from(bits)),
        first_steps_median_s: Some(0.03),
        last_steps_median_s: Some(0.03),
        loader_share: Some(0.01),
        wall_time_s: 30.0,
        n_parameters: 11_240,
        dense_macs: vec![156_800, 627_200, 7_840],
        metrics: Some(log.mark()),
        weights: None,
        status: Status::Finished,
        cause: None,
        dataset: DatasetSummary {
            name: "fashion-mnist".into(),
            source: "a folder".into(),
            simulated: false,
            n_train: 60_000,
            n_test: 10_000,
            class_names: vec![],
        },
        environment: Environment {
            version: "0.1.0".into(),
            commit: None,
            threads: 2,
            cpu_features: vec![],
            processor: None,
            finished: None,
        },
    };
    write_json(&run.join(SUMMARY_FILE), &summary).unwrap();
}

/// Changes the summary of a run.
pub fn change_summary(run: &Path, change: impl FnOnce(&mut Summary)) {
    let path = run.join(SUMMARY_FILE);
    let mut summary = read_summary(&path).unwrap();
    change(&mut summary);
    write_json(&path, &summary).unwrap();
}

/// Curves like those of a neuron.
pub fn neuron() -> NeuronCurves {
    let membranes: Vec<f64> = (0..=100).map(|i| f64::from(i) / 50.0 - 0.5).collect();
    let step = |x: &f64| if *x >= 1.0 { 1.0 } else { 0.0 };
    let values: Vec<f64> = membranes.iter().map(step).collect();
    let slope: Vec<f64> = membranes.iter().map(|x| 1.0 / (1.0 + x * x)).collect();
    NeuronCurves {
        spikes: vec![SpikeCurves {
            bits: 1,
            spike: values.clone(),
            at_threshold: slope.clone(),
            centred: slope.clone(),
        }],
        gradient_bits: 2,
        gradients: vec![Curve { label: "centred".to_owned(), values: slope }],
        membranes,
    }
}

//! Estimates of a small sweep, from its folder.

use std::path::Path;
use std::sync::atomic::AtomicBool;

use mbspike_core::DeviceName;
use mbspike_experiments::energy::{self, Options};
use mbspike_experiments::observer::NullObserver;
use mbspike_experiments::run::{self, evaluate_run, run_sweep};
use mbspike_experiments::sweep::Sweep;
use mbspike_results::energy::{EnergySweep, OPERATIONS_FILE, save};
use mbspike_results::files::CHECKPOINT_FILE;

const CONFIG: &str = r#"
name = "energy"
seed = 3
[dataset]
name = "fashion-mnist-subset"
train_size = 100
test_size = 30
[encoder]
kind = "poisson"
time_steps = 3
[network]
arch = "28x28-4c3-2a-6c3-2m-10o"
[neuron]
bits = 1
[train]
epochs = 1
batch_size = 20
optimizer = { kind = "adam", lr = 5e-3 }
[target]
accuracy = 0.9
[sweep]
repeats = 2
[[sweep.point]]
"neuron.bits" = 1
"encoder.time_steps" = 3
[[sweep.point]]
"neuron.bits" = 2
"encoder.time_steps" = 2
"#;

#[test]
fn a_sweep_is_counted_once_compared_with_one_bit_and_drawn() {
    let out = tempfile::tempdir().unwrap();
    let sweep = Sweep::parse(Path::new("energy.toml"), CONFIG, &[]).unwrap();
    let stop = AtomicBool::new(false);
    let options = run::Options { out: out.path().to_owned(), ..run::Options::default() };
    let folder = run_sweep(&sweep, &options, &NullObserver, &stop).unwrap().folder;
    let estimate = || {
        let folders = [folder.clone()];
        energy::estimate(&folders, &Options::default(), &NullObserver, &stop).unwrap().unwrap()
    };
    let runs = estimate();
    assert_eq!(runs.len(), 4);

    // The counts are those of the evaluation that the run's records come from.
    let run = &runs[3];
    let evaluation =
        evaluate_run(&run.folder, &[], DeviceName::Cpu, &NullObserver, &stop).unwrap().unwrap();
    let (layers, time_steps) = (&run.counts.layers, run.summary.time_steps as u64);
    assert_eq!((run.summary.bits, time_steps, run.counts.n_samples), (2, 2, 30));
    for (layer, rate) in layers.iter().zip(&evaluation.nonzero_rate[1..]) {
        let measured = layer.sent_spikes as f64 / layer.neuron_updates as f64;
        assert!((measured - rate).abs() < 5e-3, "{}: {measured}, {rate}", layer.name);
    }
    for layer in layers {
        let (most, steps) = (layer.n_synapses, time_steps * run.counts.n_samples);
        assert!(layer.effective_macs <= most * steps && layer.effective_macs > 0);
        assert!(layer.effective_macs <= layer.synaptic_events);
        assert!(layer.synaptic_events <= layer.serial_events);
    }
    // Max pooling does not fold into the weights, average pooling does.
    assert!(layers[1].synaptic_events > layers[1].effective_macs);
    assert_eq!(layers[2].synaptic_events, layers[2].effective_macs);

    // By hand from the records: Σ F · fr · T · 4.6 pJ.
    let dense = [28 * 28 * 4 * 9, 14 * 14 * 6 * 36, 7 * 7 * 6 * 10].map(f64::from);
    let rates = run.summary.final_nonzero_rate.iter();
    let operations: f64 = dense.iter().zip(rates).map(|(f, rate)| f * rate).sum();
    assert!((run.inference_mac.unwrap().0 / (operations * 2.0 * 4.6) - 1.0).abs() < 1e-9);
    let training = run.training.unwrap();
    assert_eq!((training.energy_c, training.reached), (2.0 * 5.0, false));

    // Nothing is counted twice.
    let kept = run.folder.join(OPERATIONS_FILE);
    let before = std::fs::metadata(&kept).unwrap().modified().unwrap();
    assert_eq!(estimate()[3].counts, run.counts);
    assert_eq!(std::fs::metadata(&kept).unwrap().modified().unwrap(), before);

    // Other weights are counted anew: here those of the run beside it, with as many bits and steps.
    let weights = run.folder.join(CHECKPOINT_FILE);
    let own = std::fs::read(&weights).unwrap();
    std::fs::copy(runs[2].folder.join(CHECKPOINT_FILE), &weights).unwrap();
    let others = estimate()[3].counts.clone();
    assert_ne!(others, run.counts);
    std::fs::write(&weights, own).unwrap();
    assert_eq!(estimate()[3].counts, run.counts);

    let [csv, operations] = save(&folder, &runs).unwrap();
    let n_lines = |path: &Path| std::fs::read_to_string(path).unwrap().lines().count();
    // Eqs. 5.1 to 5.3, two models on CMOS and three chips; three layers.
    assert_eq!((n_lines(&csv), n_lines(&operations)), (1 + 4 * 8, 1 + 4 * 3));
    let sweep = EnergySweep::of(runs);
    assert_eq!(sweep.labels(), ["1 bit, T = 3", "2 bits, T = 2"]);
    assert_eq!(sweep.reference_label(), "1 bit, T = 3");
    let inference = |i: usize| sweep.groups[i].repeats(|run| Some(run.inference_mac?.0));
    assert_eq!(inference(0).ratio_to(&inference(0)).unwrap().value, 1.0);
    let ratio = inference(1).ratio_to(&inference(0)).unwrap();
    assert!(ratio.n == 2 && ratio.half_width.is_some(), "{ratio:?}");
    // No run reaches 90 %: a ratio of two bounds says nothing.
    assert_eq!(sweep.groups[1].training().ratio_to(&sweep.groups[0].training()), None);
}

#[test]
fn a_folder_without_runs_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let stop = AtomicBool::new(false);
    let folders = [folder.path().to_owned()];
    let error = energy::estimate(&folders, &Options::default(), &NullObserver, &stop).unwrap_err();
    assert!(error.to_string().contains(&folder.path().display().to_string()), "{error}");
}

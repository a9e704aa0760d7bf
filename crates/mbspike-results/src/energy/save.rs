//! What is kept of estimates: tables as CSV.

use std::path::{Path, PathBuf};

use mbspike_energy::LayerCounts;

use super::estimate::RunEnergy;
use crate::error::{Error, Result};
use crate::lock::Lock;

/// The table of estimates, one row a run and model.
pub const CSV_FILE: &str = "energy.csv";
/// The table of counts, one row a run and layer.
pub const LAYERS_FILE: &str = "operations.csv";

/// Writes both tables into `folder` and returns their paths.
///
/// # Errors
/// If a file cannot be written.
pub fn save(folder: &Path, runs: &[RunEnergy]) -> Result<[PathBuf; 2]> {
    fs_err::create_dir_all(folder)?;
    let _lock = Lock::wait(folder)?;
    Ok([
        write(&folder.join(CSV_FILE), &estimates(runs))?,
        write(&folder.join(LAYERS_FILE), &layers(runs))?,
    ])
}

fn write(path: &Path, rows: &[Vec<String>]) -> Result<PathBuf> {
    let error = |source| Error::Csv { path: path.to_owned(), source };
    let mut csv = csv::Writer::from_writer(Vec::new());
    for row in rows {
        csv.write_record(row).map_err(error)?;
    }
    let csv = csv.into_inner().map_err(|e| std::io::Error::other(e.to_string()))?;
    mbspike_files::write(path, |file| file.write_all(&csv))?;
    Ok(path.to_owned())
}

fn of_run(run: &RunEnergy) -> Vec<String> {
    let s = &run.summary;
    vec![
        s.id.clone(),
        s.status.name().to_owned(),
        s.bits.to_string(),
        s.time_steps.to_string(),
        s.repeat.to_string(),
    ]
}

fn header(columns: &[&str]) -> Vec<String> {
    let of_run = ["id", "status", "bits", "time_steps", "repeat"];
    of_run.iter().chain(columns).map(|column| (*column).to_owned()).collect()
}

/// One row a run and model; energies in picojoules, times in nanoseconds, of one sample.
fn estimates(runs: &[RunEnergy]) -> Vec<Vec<String>> {
    let mut rows = vec![header(&[
        "test_accuracy",
        "model",
        "hardware",
        "energy",
        "synapses",
        "neurons",
        "addressing",
        "memory",
        "spikes",
        "payload",
        "leakage",
        "time",
        "time_work",
        "time_hops",
        "time_barriers",
    ])];
    let optional = |value: Option<f64>| value.map_or_else(String::new, |v| v.to_string());
    for run in runs {
        let mut add = |model: &str, hardware: &str, cells: Vec<String>| {
            let mut row = of_run(run);
            row.push(optional(run.summary.final_test_accuracy));
            row.extend([model.to_owned(), hardware.to_owned()]);
            row.extend(cells);
            row.resize(rows[0].len(), String::new());
            rows.push(row);
        };
        if let Some(training) = run.training {
            add("eq-5.1-training", "c", vec![training.energy_c.to_string()]);
        }
        for (equation, energy) in [("eq-5.2", run.inference_ac), ("eq-5.3", run.inference_mac)] {
            if let Some(energy) = energy {
                add(equation, "cmos-45nm", vec![energy.0.to_string()]);
            }
        }
        for estimate in &run.estimates {
            let p = estimate.estimate.parts;
            let time = estimate.estimate.time;
            let energies = [
                p.total(),
                p.synapses,
                p.neurons,
                p.addressing,
                p.memory,
                p.spikes,
                p.payload,
                p.leakage,
            ];
            let times = [
                time.map(|t| t.total_ns()),
                time.map(|t| t.work_ns),
                time.map(|t| t.hops_ns),
                time.map(|t| t.barriers_ns),
            ];
            let cells = energies.iter().map(|e| e.0.to_string()).chain(times.map(optional));
            add(estimate.model.name(), &estimate.hardware, cells.collect());
        }
    }
    rows
}

/// One row a run and layer; counts are sums over all samples and time steps.
fn layers(runs: &[RunEnergy]) -> Vec<Vec<String>> {
    type Column = (&'static str, fn(&LayerCounts) -> u64);
    let columns: [Column; 17] = [
        ("bits_sent", |l| l.bits.into()),
        ("bits_received", |l| l.input_bits.into()),
        ("neurons", |l| l.n_neurons),
        ("weights", |l| l.n_weights),
        ("biases", |l| l.n_biases),
        ("dense_macs_per_step", |l| l.dense_macs),
        ("synapses", |l| l.n_synapses),
        ("received_spikes", |l| l.received_spikes),
        ("synaptic_events", |l| l.synaptic_events),
        ("serial_events", |l| l.serial_events),
        ("effective_macs", |l| l.effective_macs),
        ("neuron_updates", |l| l.neuron_updates),
        ("sent_spikes", |l| l.sent_spikes),
        ("sent_ones", |l| l.sent_ones),
        ("sent_payload_bits", LayerCounts::sent_payload_bits),
        ("weight_reads", LayerCounts::weight_reads),
        ("membrane_reads", LayerCounts::membrane_accesses),
    ];
    let names: Vec<&str> =
        ["samples", "layer"].into_iter().chain(columns.map(|(name, _)| name)).collect();
    let mut rows = vec![header(&names)];
    for run in runs {
        for layer in &run.counts.layers {
            let mut row = of_run(run);
            row.extend([run.counts.n_samples.to_string(), layer.name.clone()]);
            row.extend(columns.iter().map(|(_, of)| of(layer).to_string()));
            rows.push(row);
        }
    }
    rows
}

//! What trading bits for time steps does to energy and time: one layer of 1,024 neurons with 100
//! inputs each, over ten steps of binary spikes and over four of 2-bit spikes.
//!
//! ```text
//! cargo run -p mbspike-energy --example bits_for_time_steps
//! ```
#![expect(clippy::print_stdout, reason = "an example prints")]

use mbspike_energy::{Hardware, LayerCounts, LayerKind, OperationCounts, chip};

/// A quarter of the inputs and of the neurons fire at each step.
fn counts(bits: u32, time_steps: u64) -> OperationCounts {
    let received = 25 * time_steps;
    let sent = 256 * time_steps;
    let layer = LayerCounts {
        name: "fc1".into(),
        kind: LayerKind::Dense,
        bits,
        input_bits: bits,
        n_neurons: 1024,
        n_weights: 102_400,
        n_biases: 0,
        dense_macs: 102_400,
        n_synapses: 102_400,
        received_spikes: received,
        synaptic_events: received * 1024,
        // Of the levels 1, 2 and 3, two have one 1 in their code and one has two.
        serial_events: received * 1024 * if bits == 2 { 4 } else { 3 } / 3,
        effective_macs: received * 1024,
        neuron_updates: 1024 * time_steps,
        sent_spikes: sent,
        sent_ones: sent * if bits == 2 { 4 } else { 3 } / 3,
    };
    OperationCounts { time_steps, n_samples: 1, layers: vec![layer] }
}

fn main() -> Result<(), mbspike_energy::Error> {
    for name in ["loihi1", "loihi2"] {
        let hardware = Hardware::builtin(name)?;
        for (bits, time_steps) in [(1, 10), (2, 4)] {
            let estimate = chip(&counts(bits, time_steps), &hardware)?;
            let time_us = estimate.time.map_or(f64::NAN, |time| 1e-3 * time.total_ns());
            println!(
                "{name}: {bits} bit, T = {time_steps}: {}, {time_us:.0} µs, {} numbers from another table",
                estimate.total,
                estimate.fallbacks.len()
            );
        }
    }
    Ok(())
}

use crate::used::Used;
use crate::{
    Breakdown, Estimate, Hardware, LayerCounts, OperationCounts, Picojoules, Result, Time,
};

const MODEL: &str = "chip";

/// Energy and time of the inference of one sample on a neuromorphic chip.
///
/// Each layer has cores of its own, as few as its neurons fit in, and shares its work evenly among
/// them; all layers work at once, one time step after the other, and a barrier ends each step. A
/// spike is sent to every core of the next layer, over the mean distance of two tiles in a square of
/// the tiles in use.
///
/// Where spikes carry more bits than the hardware's payload, each time step is split into as many
/// as it takes to send them part by part, with a barrier for each: what happens then is counted by
/// the ones in the spikes' binary codes.
///
/// Numbers that the hardware lacks are left out, and named in the estimate; the times are given only
/// if all of them are known.
///
/// # Errors
/// If the hardware lacks `spiking.synaptic_event_pj`.
pub fn chip(counts: &OperationCounts, hardware: &Hardware) -> Result<Estimate> {
    let mut used = Used::default();
    let event = hardware.require(MODEL, "spiking.synaptic_event_pj", &mut used)?;
    let mut cost = |key| hardware.optional(key, &mut used);
    let update = cost("spiking.neuron_update_pj").unwrap_or(0.0);
    let within_tile = cost("spiking.spike_within_tile_pj").unwrap_or(0.0);
    let hop = cost("spiking.hop_pj").unwrap_or(0.0);
    let leakage_mw = cost("spiking.static_power_per_core_mw").unwrap_or(0.0);
    let payload_bits = cost("layout.payload_bits");
    let payload_bit = match payload_bits {
        Some(bits) if bits <= 1.0 => 0.0,
        _ => cost("spiking.payload_bit_pj").unwrap_or(0.0),
    };
    let neurons_per_core = cost("layout.neurons_per_core");
    let cores_per_tile = cost("layout.cores_per_tile").unwrap_or(1.0);

    let cores = |layer: &LayerCounts| {
        neurons_per_core.map_or(1.0, |n| (layer.n_neurons as f64 / n).ceil().max(1.0))
    };
    let n_cores: f64 = counts.layers.iter().map(cores).sum();
    let n_tiles = (n_cores / cores_per_tile).ceil().max(1.0);
    let distance = mean_distance(n_tiles);

    // What is sent part by part, and into how many parts a step falls.
    let parts = |bits: u32| payload_bits.map_or(1.0, |p| (f64::from(bits) / p).ceil());
    let substeps = counts
        .layers
        .iter()
        .map(|layer| parts(layer.bits).max(parts(layer.input_bits)))
        .fold(1.0, f64::max);
    let events = |layer: &LayerCounts| {
        (if parts(layer.input_bits) > 1.0 { layer.serial_events } else { layer.synaptic_events })
            as f64
    };
    let sent = |layer: &LayerCounts| {
        (if parts(layer.bits) > 1.0 { layer.sent_ones } else { layer.sent_spikes }) as f64
    };

    let per_sample = 1.0 / counts.n_samples.max(1) as f64;
    let time = times(counts, hardware, &mut used).map(|t| {
        let steps = counts.time_steps as f64 * substeps;
        let busiest = counts.layers.iter().map(|layer| {
            let updates = layer.neuron_updates as f64 * substeps;
            (events(layer) * t.event + updates * t.update) / cores(layer)
        });
        let share = if t.tiles > 1.0 { (n_tiles - 1.0) / (t.tiles - 1.0) } else { 0.0 };
        let barrier = t.barrier_one + (t.barrier_all - t.barrier_one) * share;
        Time {
            work_ns: busiest.fold(0.0, f64::max) * per_sample,
            hops_ns: (t.within_tile + t.hop * distance) * steps,
            barriers_ns: barrier * steps,
        }
    });
    // A milliwatt for a nanosecond is a picojoule.
    let leakage = time.map_or(0.0, |t| t.total_ns()) * leakage_mw * counts.n_samples as f64;

    let layers = counts.layers.iter().enumerate().map(|(i, layer)| {
        // The output's spikes leave the chip.
        let destinations = counts.layers.get(i + 1).map_or(1.0, cores);
        let messages = sent(layer) * destinations;
        let payload = layer.sent_payload_bits() as f64 * destinations;
        Breakdown {
            synapses: Picojoules(event * events(layer)),
            neurons: Picojoules(update * layer.neuron_updates as f64 * substeps),
            spikes: Picojoules((within_tile + hop * distance) * messages),
            payload: Picojoules(payload_bit * payload),
            leakage: Picojoules(leakage * cores(layer)),
            ..Breakdown::default()
        }
    });
    let layers = layers.collect();
    Ok(Estimate { time, ..Estimate::of(counts, layers, used) })
}

struct Times {
    event: f64,
    update: f64,
    within_tile: f64,
    hop: f64,
    barrier_one: f64,
    barrier_all: f64,
    tiles: f64,
}

/// The times, if the hardware has all of them.
fn times(counts: &OperationCounts, hardware: &Hardware, used: &mut Used) -> Option<Times> {
    let mut number = |key| hardware.optional(key, used);
    // Every one is asked for, so that all that are missing are named.
    let event = number("time.synaptic_event_ns");
    let update = number("time.neuron_update_ns");
    let within_tile = number("time.spike_within_tile_ns");
    let hop = number("time.hop_ns");
    let barrier_one = number("time.barrier_one_tile_ns");
    let barrier_all = number("time.barrier_all_tiles_ns");
    let tiles = number("layout.tiles");
    let times = Times {
        event: event?,
        update: update?,
        within_tile: within_tile?,
        hop: hop?,
        barrier_one: barrier_one?,
        barrier_all: barrier_all?,
        tiles: tiles?,
    };
    (!counts.layers.is_empty()).then_some(times)
}

/// Mean number of hops between two places, drawn anew each time, of a square of `n_tiles` tiles:
/// `2 · (k² − 1) / (3k)` for a side of `k`.
fn mean_distance(n_tiles: f64) -> f64 {
    let side = n_tiles.sqrt();
    2.0 * (side * side - 1.0) / (3.0 * side)
}

#[cfg(test)]
mod tests {
    use super::mean_distance;

    #[test]
    fn distances_agree_with_all_pairs() {
        for side in 1..5_i32 {
            let places: Vec<(i32, i32)> = (0..side * side).map(|i| (i / side, i % side)).collect();
            let mut sum = 0;
            for a in &places {
                for b in &places {
                    sum += (a.0 - b.0).abs() + (a.1 - b.1).abs();
                }
            }
            let mean = f64::from(sum) / (places.len() * places.len()) as f64;
            assert!((mean_distance(f64::from(side * side)) - mean).abs() < 1e-12);
        }
    }
}

use crate::used::Used;
use crate::{Breakdown, Estimate, Hardware, LayerKind, OperationCounts, Picojoules, Result};

/// Messages that the queue of spikes into and out of a layer holds (Lemaire et al. 2022, section 4).
const QUEUE_MESSAGES: f64 = 1000.0;
/// Bytes of a weight, a membrane and a message.
const WORD_BYTES: f64 = 4.0;

const MODEL: &str = "memory-aware";

/// Energy of arithmetic, addressing and memory, after Lemaire et al. (2022), "An Analytical
/// Estimation of Spiking Neural Networks Energy Efficiency": 32-bit integers, each layer with its own
/// SRAM for weights, for membranes and for a queue of spikes, whose cost of an access grows with
/// their size.
///
/// Beyond the paper, an event of graded spikes is a multiply-add, the fan-outs are those counted,
/// not `K²` everywhere, and a memory larger than the largest SRAM of the table goes on along the
/// last line.
///
/// # Errors
/// If the hardware lacks the energy of 32-bit integers or of SRAM.
pub fn memory_aware(counts: &OperationCounts, hardware: &Hardware) -> Result<Estimate> {
    let mut used = Used::default();
    let mut number = |key| hardware.require(MODEL, key, &mut used);
    let add = Picojoules(number("arithmetic.int32_add_pj")?);
    let multiply_add = add + Picojoules(number("arithmetic.int32_mult_pj")?);
    let sram = Sram([
        (0.0, 0.0),
        (8.0 * 1024.0, number("memory.sram_8kib_pj")?),
        (32.0 * 1024.0, number("memory.sram_32kib_pj")?),
        (1024.0 * 1024.0, number("memory.sram_1mib_pj")?),
    ]);
    let queue = sram.access(QUEUE_MESSAGES * WORD_BYTES);
    let layers = counts.layers.iter().map(|layer| {
        let events = layer.synaptic_events as f64;
        let updates = layer.neuron_updates as f64;
        let sent = layer.sent_spikes as f64;
        let received = layer.received_spikes as f64;
        // The layer's biases are added in every time step.
        let steps = (counts.time_steps * counts.n_samples) as f64;
        let biased = if layer.n_biases > 0 { layer.n_neurons as f64 * steps } else { 0.0 };
        let event = if layer.multiplies() { multiply_add } else { add };
        let weights = sram.access((layer.n_weights + layer.n_biases) as f64 * WORD_BYTES);
        let membranes = sram.access(layer.n_neurons as f64 * WORD_BYTES);
        Breakdown {
            synapses: event * events + add * biased,
            // The leak is a multiply-add, the reset of a neuron that fires a subtraction.
            neurons: multiply_add * updates + add * sent,
            // Each event counts up an address; in a convolution each spike first finds its place.
            addressing: add * events
                + match layer.kind {
                    LayerKind::Convolution => multiply_add * (2.0 * received),
                    LayerKind::Dense => Picojoules(0.0),
                },
            memory: weights * (events + biased)
                + membranes * (2.0 * layer.membrane_accesses() as f64)
                + queue * (received + sent),
            ..Breakdown::default()
        }
    });
    let layers = layers.collect();
    Ok(Estimate::of(counts, layers, used))
}

/// Energy of an access by size of the memory, straight lines between points.
struct Sram([(f64, f64); 4]);

impl Sram {
    fn access(&self, bytes: f64) -> Picojoules {
        let [.., before_last, last] = self.0;
        let lines = self.0.windows(2).map(|w| (w[0], w[1]));
        let ((x0, y0), (x1, y1)) =
            lines.into_iter().find(|(_, (x1, _))| bytes <= *x1).unwrap_or((before_last, last));
        Picojoules(y0 + (y1 - y0) * (bytes - x0) / (x1 - x0))
    }
}

#[cfg(test)]
mod tests {
    use super::Sram;

    #[test]
    fn an_access_costs_what_lies_between_the_published_points() {
        let sram = Sram([(0.0, 0.0), (8192.0, 10.0), (32_768.0, 20.0), (1_048_576.0, 100.0)]);
        assert_eq!(sram.access(4096.0).0, 5.0);
        assert_eq!(sram.access(8192.0).0, 10.0);
        assert_eq!(sram.access(20_480.0).0, 15.0);
        assert_eq!(sram.access(540_672.0).0, 60.0);
        assert_eq!(sram.access(1_048_576.0 + 1_015_808.0).0, 180.0);
    }
}

//! Laws that hold whatever the counts.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use mbspike_energy::{
    Estimate, Hardware, LayerCounts, LayerKind, OperationCounts, Precision, arithmetic, chip,
    memory_aware,
};
use proptest::prelude::*;

fn layer() -> impl Strategy<Value = LayerCounts> {
    let sizes = (1_u64..5000, 1_u64..5000, 1_u32..9, 1_u32..9, any::<bool>());
    let counts = (0_u64..10_000, 0_u64..1_000_000, 0_u64..10_000);
    (sizes, counts).prop_map(|(sizes, (received, events, sent))| {
        let (n_neurons, n_weights, bits, input_bits, is_dense) = sizes;
        LayerCounts {
            name: "layer".into(),
            kind: if is_dense { LayerKind::Dense } else { LayerKind::Convolution },
            bits,
            input_bits,
            n_neurons,
            n_weights,
            n_biases: n_weights % 2,
            dense_macs: n_weights,
            n_synapses: n_weights,
            received_spikes: received,
            synaptic_events: events,
            serial_events: events * u64::from(input_bits),
            effective_macs: events,
            neuron_updates: n_neurons,
            sent_spikes: sent,
            sent_ones: sent * u64::from(bits),
        }
    })
}

fn counts() -> impl Strategy<Value = OperationCounts> {
    let layers = prop::collection::vec(layer(), 1..4);
    layers.prop_map(|layers| OperationCounts { time_steps: 5, n_samples: 1, layers })
}

fn all(counts: &OperationCounts) -> Vec<Estimate> {
    let hardware = |name| Hardware::builtin(name).unwrap();
    vec![
        arithmetic(counts, &hardware("cmos-45nm"), Precision::Fp32).unwrap(),
        memory_aware(counts, &hardware("cmos-45nm")).unwrap(),
        chip(counts, &hardware("loihi1")).unwrap(),
        chip(counts, &hardware("loihi2")).unwrap(),
        chip(counts, &hardware("truenorth")).unwrap(),
    ]
}

proptest! {
    /// Twice as much on twice as many samples is the same for each.
    #[test]
    fn energy_is_per_sample(counts in counts()) {
        let mut doubled = counts.clone();
        doubled.n_samples *= 2;
        for layer in &mut doubled.layers {
            for count in [
                &mut layer.received_spikes, &mut layer.synaptic_events, &mut layer.serial_events,
                &mut layer.effective_macs, &mut layer.neuron_updates, &mut layer.sent_spikes,
                &mut layer.sent_ones,
            ] {
                *count *= 2;
            }
        }
        for (one, two) in all(&counts).iter().zip(all(&doubled)) {
            prop_assert!((one.total.0 - two.total.0).abs() <= 1e-9 * one.total.0);
        }
    }

    /// More events never cost less, and nothing is negative or not a number.
    #[test]
    fn energy_grows_with_events(counts in counts(), more in 1_u64..1000) {
        let mut busier = counts.clone();
        busier.layers[0].synaptic_events += more;
        busier.layers[0].serial_events += more;
        for (few, many) in all(&counts).iter().zip(all(&busier)) {
            prop_assert!(few.total.0.is_finite() && few.total.0 >= 0.0);
            prop_assert!(many.total.0 > few.total.0);
        }
    }

    /// The parts of the layers are the whole.
    #[test]
    fn layers_add_up(counts in counts()) {
        for estimate in all(&counts) {
            let sum: f64 = estimate.layers.iter().map(|(_, parts)| parts.total().0).sum();
            prop_assert!((sum - estimate.total.0).abs() <= 1e-9 * sum);
        }
    }
}

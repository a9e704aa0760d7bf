//! The worked example of `docs/energy.md`: the network 28x28-8c5-2a-16c5-2a-10o over ten time steps,
//! every number computed by hand there.

use mbspike_energy::thesis::{self, RatedLayer};
use mbspike_energy::{
    ConvolutionShape, Hardware, LayerCounts, LayerKind, OperationCounts, Picojoules, Precision,
    arithmetic, chip, memory_aware, sensitivity,
};

/// Relative difference that the digits written in the document allow.
fn assert_close(got: f64, expected: f64) {
    assert!((got / expected - 1.0).abs() < 1e-7, "{got}, expected {expected}");
}

fn layer(
    name: &str,
    kind: LayerKind,
    bits: u32,
    [n_neurons, n_weights, dense_macs, received_spikes, fan_out, sent_spikes]: [u64; 6],
) -> LayerCounts {
    LayerCounts {
        name: name.into(),
        kind,
        bits,
        input_bits: if name == "conv1" { 1 } else { bits },
        n_neurons,
        n_weights,
        n_biases: 0,
        dense_macs,
        n_synapses: dense_macs,
        received_spikes,
        synaptic_events: received_spikes * fan_out,
        serial_events: if name == "conv1" { 1 } else { u64::from(bits) }
            * received_spikes
            * fan_out,
        effective_macs: received_spikes * fan_out,
        neuron_updates: 10 * n_neurons,
        sent_spikes,
        sent_ones: u64::from(bits) * sent_spikes,
    }
}

/// One sample: 30 % of the input, 20 % and 10 % of the neurons fire, away from the borders; the output
/// fires 20 times. At more than one bit every level has all ones.
fn example(bits: u32) -> OperationCounts {
    let (conv, dense) = (LayerKind::Convolution, LayerKind::Dense);
    OperationCounts {
        time_steps: 10,
        n_samples: 1,
        layers: vec![
            layer("conv1", conv, bits, [6272, 200, 156_800, 2352, 200, 12_544]),
            layer("conv2", conv, bits, [3136, 3200, 627_200, 12_544, 400, 3136]),
            layer("fc1", dense, bits, [10, 7840, 7840, 3136, 10, 20]),
        ],
    }
}

#[test]
fn the_thesis_models() {
    assert_eq!(thesis::training(10, 225), 2250.0);
    let rated: Vec<RatedLayer> = [(156_800, 0.3), (627_200, 0.2), (7840, 0.1)]
        .into_iter()
        .map(|(dense_operations, firing_rate)| RatedLayer { dense_operations, firing_rate })
        .collect();
    let (add, multiply_add) =
        Precision::Fp32.costs(&Hardware::builtin("cmos-45nm").unwrap()).unwrap();
    assert_eq!((add, multiply_add), (Picojoules(0.9), Picojoules(0.9 + 3.7)));
    assert_close(thesis::inference(&rated, 10, add).0, 1_559_376.0);
    assert_close(thesis::inference(&rated, 10, multiply_add).0, 7_970_144.0);
}

#[test]
fn synapses_without_padding() {
    let conv = |height, out_channels| ConvolutionShape {
        height,
        width: height,
        kernel: 5,
        padding: 2,
        stride: 1,
        dilation: 1,
        out_channels,
    };
    assert_eq!(conv(28, 8).fan_out().iter().sum::<u64>(), 143_648);
    assert_eq!(8 * conv(14, 16).fan_out().iter().sum::<u64>(), 524_288);
}

#[test]
fn arithmetic_of_events() {
    let cmos = Hardware::builtin("cmos-45nm").unwrap();
    let energy = |bits, precision| arithmetic(&example(bits), &cmos, precision).unwrap().total.0;
    assert_close(energy(1, Precision::Fp32), 4_967_424.0);
    assert_close(energy(2, Precision::Fp32), 23_648_576.0);
    // 8-bit weights: 0.1 pJ an addition, 0.3 pJ a multiply-add.
    assert_close(energy(1, Precision::Int8), 551_936.0);
    assert_close(energy(2, Precision::Int8), 1_561_728.0);
}

#[test]
fn memory_awareness() {
    let cmos = Hardware::builtin("cmos-45nm").unwrap();
    let estimate = memory_aware(&example(1), &cmos).unwrap();
    let (name, conv1) = &estimate.layers[0];
    assert_eq!(name, "conv1");
    assert_close(conv1.synapses.0, 47_040.0);
    assert_close(conv1.neurons.0, 201_958.4);
    assert_close(conv1.addressing.0, 62_092.8);
    assert_close(conv1.memory.0, 18_524_909.375);
    let layers: Picojoules = estimate.layers.iter().map(|(_, parts)| parts.total()).sum();
    assert_close(layers.0, estimate.total.0);
    assert_eq!(estimate.time, None);
}

#[test]
fn a_chip() {
    let loihi = Hardware::builtin("loihi1").unwrap();
    let estimate = chip(&example(1), &loihi).unwrap();
    assert_close(estimate.parts.synapses.0, 130_256_896.0);
    assert_close(estimate.parts.neurons.0, 7_628_580.0);
    assert_close(estimate.parts.spikes.0, 234_356.874_6);
    assert_eq!(estimate.parts.payload.0, 0.0);
    let time = estimate.time.unwrap();
    assert_close(time.work_ns, 4_456_256.0);
    assert_close(time.hops_ns, 61.799_419);
    assert_close(time.barriers_ns, 1_357.096_774);
    assert_close(estimate.parts.leakage.0, 0.815 * 12.0 * time.total_ns());
    assert!(estimate.fallbacks.is_empty() && estimate.left_out.is_empty());
}

#[test]
fn a_spike_without_payload_is_sent_bit_by_bit() {
    let at = |bits, name| chip(&example(bits), &Hardware::builtin(name).unwrap()).unwrap();
    let (binary, serial) = (at(1, "loihi1"), at(2, "loihi1"));
    let (time, serial_time) = (binary.time.unwrap(), serial.time.unwrap());
    assert_close(serial_time.barriers_ns, 2.0 * time.barriers_ns);
    assert_close(serial.parts.neurons.0, 2.0 * binary.parts.neurons.0);
    assert_close(serial.parts.spikes.0, 2.0 * binary.parts.spikes.0);
    // The input stays binary.
    let expected = 2.0 * binary.parts.synapses.0 - binary.layers[0].1.synapses.0;
    assert_close(serial.parts.synapses.0, expected);

    // With a payload of 32 bits a graded spike costs what a binary one does.
    let graded = at(2, "loihi2");
    assert_close(graded.total.0, binary.total.0);
    assert_eq!(graded.left_out, ["spiking.payload_bit_pj"]);
    assert!(graded.fallbacks.contains(&"spiking.synaptic_event_pj from loihi1".to_owned()));
}

#[test]
fn what_a_table_lacks_is_left_out_and_named() {
    let estimate = chip(&example(1), &Hardware::builtin("truenorth").unwrap()).unwrap();
    assert_close(estimate.total.0, 26.0 * 5_519_360.0);
    assert_eq!(estimate.time, None);
    assert!(estimate.left_out.contains(&"spiking.neuron_update_pj"));
    let error = chip(&example(1), &Hardware::builtin("cmos-45nm").unwrap()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the chip estimate needs `spiking.synaptic_event_pj`, which `cmos-45nm` does not have"
    );
}

#[test]
fn sensitivity_is_that_of_each_uncertain_number() {
    let loihi = Hardware::builtin("loihi1").unwrap();
    let swings = sensitivity(&loihi, |hardware| chip(&example(1), hardware)).unwrap();
    let keys: Vec<&str> = swings.iter().map(|swing| swing.key).collect();
    assert_eq!(keys[..2], ["spiking.static_power_per_core_mw", "spiking.neuron_update_pj"]);
    let nominal = chip(&example(1), &loihi).unwrap();
    assert_close(swings[0].at_low.0, nominal.total.0 - nominal.parts.leakage.0);
    assert_close(swings[0].at_high.0, nominal.total.0);
    assert_close(swings[1].at_low.0, nominal.total.0 - 29.0 * 94_180.0);
}

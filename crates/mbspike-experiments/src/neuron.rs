//! The spike function and its surrogates as curves, by the kernels' own functions, for figures.

use mbspike_core::lif::fire;
use mbspike_core::{Error, LifParams, Shift, Surrogate};
use mbspike_results::neuron::{Curve, NeuronCurves, SpikeCurves};

/// Points of a curve.
const N_POINTS: usize = 1201;
/// Membranes of a curve, in thresholds.
const RANGE: std::ops::Range<f64> = -0.75..1.75;

/// The curves of the thesis's figures 2.1, 3.1 and 3.2.
///
/// # Errors
/// If the kernels refuse a parameter, which is a fault of the program.
pub fn curves() -> Result<NeuronCurves, Error> {
    let width = RANGE.end - RANGE.start;
    let membranes: Vec<f64> =
        (0..N_POINTS).map(|i| RANGE.start + width * i as f64 / (N_POINTS - 1) as f64).collect();
    let shifted = |bits, shift| LifParams { shift, ..LifParams::new(bits) };
    let of_bits = |bits: u32| {
        let mut spike = vec![0.0; membranes.len()];
        fire(&mut spike, &membranes, &LifParams::new(bits))?;
        let sigmoid = |shift| {
            let p = shifted(bits, shift);
            let at =
                |h: &f64| p.surrogate.primitive(*h, p.n_levels(), p.v_threshold, p.shift_value());
            membranes.iter().map(at).collect()
        };
        let (at_threshold, centred) = (sigmoid(Shift::Unshifted), sigmoid(Shift::Centred));
        Ok(SpikeCurves { bits, spike, at_threshold, centred })
    };
    let spikes = [1, 2, 3].into_iter().map(of_bits).collect::<Result<_, Error>>()?;
    let bits = 2;
    let staircase =
        LifParams { surrogate: Surrogate::Staircase { alpha: 4.0 }, ..LifParams::new(bits) };
    let gradient = |(name, p): (&'static str, LifParams)| {
        let at = |h: &f64| p.surrogate.derivative(*h, p.n_levels(), p.v_threshold, p.shift_value());
        Curve { label: name.to_owned(), values: membranes.iter().map(at).collect() }
    };
    let gradients = [
        ("centred", shifted(bits, Shift::Centred)),
        ("at the threshold", shifted(bits, Shift::Unshifted)),
        ("shifted by θ", shifted(bits, Shift::By(1.0))),
        ("staircase", staircase),
    ]
    .map(gradient)
    .to_vec();
    Ok(NeuronCurves { membranes, spikes, gradient_bits: bits, gradients })
}

//! Encodings of intensities and signals as the times, the changes or the places of spikes.

use std::ops::Range;

/// Time to first spike (Thorpe, Delorme, Van Rullen 2001; the linear code of snnTorch's
/// `spikegen.latency`): an intensity v in (0, 1] fires once, at step round((1 − v)·(T − 1)), so that the
/// brightest fire first; 0 never fires. Writes step `step` of `n_steps` of `values` into `out`.
pub(super) fn latency(out: &mut [f32], values: &[f32], step: usize, n_steps: usize) {
    let last = (n_steps - 1) as f32;
    for (out, &value) in out.iter_mut().zip(values) {
        let time = ((1.0 - value.clamp(0.0, 1.0)) * last).round();
        *out = if value > 0.0 && time == step as f32 { 1.0 } else { 0.0 };
    }
}

/// Delta modulation (Corradi and Indiveri 2015; snnTorch's `spikegen.delta` with `padding = True` and
/// `off_spike = True`, whose −1 is a channel of its own here): where a value rose by at least its channel's
/// threshold θ since the step before, its ON channel fires; where it fell by as much, its OFF channel. There
/// is no spike at the first step. Channels of `out` are the OFF ones of all signals, then the ON ones;
/// `before` and `now` are `[C, H, W]` with `plane` = H·W.
pub(super) fn delta(
    out: &mut [f32],
    before: &[f32],
    now: &[f32],
    thresholds: &[f32],
    plane: usize,
) {
    let (off, on) = out.split_at_mut(now.len());
    for (i, (&before, &now)) in before.iter().zip(now).enumerate() {
        let threshold = thresholds[i / plane % thresholds.len()];
        let change = now - before;
        on[i] = if change >= threshold { 1.0 } else { 0.0 };
        off[i] = if -change >= threshold { 1.0 } else { 0.0 };
    }
}

/// Population coding with Gaussian receptive fields (Bohte, Kok, La Poutré 2002): each value v drives `n`
/// neurons, whose centres μᵢ divide `range` evenly from its one end to the other, by the current
/// exp(−(v − μᵢ)² / 2σ²), where σ is the distance between two centres over 1.5. Channels of `out` are the
/// neurons of the first signal, then those of the second, and so on; `values` are `[C, H, W]` with
/// `plane` = H·W.
pub(super) fn population(
    out: &mut [f32],
    values: &[f32],
    n: usize,
    range: &Range<f32>,
    plane: usize,
) {
    let step = (range.end - range.start) / (n - 1) as f32;
    let sigma = step / 1.5;
    for (fields, values) in out.chunks_exact_mut(n * plane).zip(values.chunks_exact(plane)) {
        for (i, out) in fields.chunks_exact_mut(plane).enumerate() {
            let centre = range.start + i as f32 * step;
            for (out, value) in out.iter_mut().zip(values) {
                *out = (-0.5 * ((value - centre) / sigma).powi(2)).exp();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bright_pixels_fire_first_and_each_once() {
        // round((1 − v)·4): snnTorch.spikegen.latency(v, num_steps=5, normalize=True, linear=True).
        let values = [1.0, 0.75, 0.5, 0.1, 0.0];
        let steps: Vec<Vec<f32>> = (0..5)
            .map(|step| {
                let mut out = vec![9.0; 5];
                latency(&mut out, &values, step, 5);
                out
            })
            .collect();
        let first = |i: usize| steps.iter().position(|out| out[i] == 1.0);
        assert_eq!([0, 1, 2, 3, 4].map(first), [Some(0), Some(1), Some(2), Some(4), None]);
        let n_spikes: f32 = steps.iter().flatten().sum();
        assert_eq!(n_spikes, 4.0);
    }

    #[test]
    fn changes_of_at_least_the_threshold_fire_on_and_off() {
        // The example of snnTorch's documentation: 1, 2, 2.9, 3, 3.9 with a threshold of 1.
        let signal = [1.0, 2.0, 2.9, 3.0, 3.9, 2.5];
        let mut spikes = Vec::new();
        for (t, now) in signal.iter().enumerate() {
            let mut out = [9.0; 2];
            delta(&mut out, &[signal[t.saturating_sub(1)]], &[*now], &[1.0], 1);
            spikes.push(out);
        }
        let quiet = [0.0, 0.0];
        assert_eq!(spikes, [quiet, [0.0, 1.0], quiet, quiet, quiet, [1.0, 0.0]]);
        // A threshold for each channel.
        let mut out = [9.0; 4];
        delta(&mut out, &[0.0, 0.0], &[1.0, 1.0], &[0.5, 2.0], 1);
        assert_eq!(out, [0.0, 0.0, 1.0, 0.0]);
    }

    #[test]
    fn a_value_drives_the_neurons_whose_fields_it_is_in() {
        let mut out = [9.0; 6];
        population(&mut out, &[0.5, 0.0], 3, &(0.0..1.0), 1);
        assert_eq!([out[1], out[3]], [1.0, 1.0]);
        // A neighbour is 1.5 standard deviations away: exp(−1.125).
        for at in [0, 2, 4] {
            assert!((out[at] - 0.324_652_5).abs() < 1e-6, "{at}: {}", out[at]);
        }
        assert!((out[5] - (-4.5_f32).exp()).abs() < 1e-7);
    }
}

//! Quantities over training: smoothing, the first time of reaching a target, means over repeats.

use crate::repeats::{Estimate, Measure};

/// Number of iterations over which training curves are averaged (the window of the thesis's
/// figures).
pub const SMOOTHING_WINDOW: u64 = 100;

/// The mean of a quantity over some consecutive iterations (or epochs), and where they end.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sample {
    /// Iterations (or epochs) done at the end of the span.
    pub at: u64,
    /// Iterations (or epochs) that `value` is the mean of.
    pub span: u64,
    /// The mean over the span.
    pub value: f64,
}

/// Trailing mean over `window` iterations, one sample for each one given.
///
/// The samples are consecutive means, as `metrics.jsonl` records them. Each counts by its span; the
/// oldest one that reaches into the window counts by the part inside. Near the start, where fewer
/// than `window` iterations are done, the mean is over those there are, and the returned
/// [`Sample::span`] says how many.
pub fn smooth(samples: &[Sample], window: u64) -> Vec<Sample> {
    (0..samples.len())
        .map(|last| {
            let mut span = 0;
            let mut sum = 0.0;
            for sample in samples[..=last].iter().rev() {
                let inside = sample.span.min(window - span);
                sum += sample.value * inside as f64;
                span += inside;
                if span == window {
                    break;
                }
            }
            let value = if span == 0 { samples[last].value } else { sum / span as f64 };
            Sample { at: samples[last].at, span, value }
        })
        .collect()
}

/// The first place where the mean over the last `window` iterations is at least `target`.
///
/// Only full windows count: a lucky first batch does not reach a target.
pub fn first_reaching(samples: &[Sample], window: u64, target: f64) -> Option<u64> {
    smooth(samples, window).iter().find(|s| s.span == window && s.value >= target).map(|s| s.at)
}

/// The mean over repeats at each place that some repeat has reached, in order of place.
///
/// Where the repeats are of different length (a sweep still running, a diverged run), each place
/// has the mean over the repeats that reached it, and [`Measure::n`] says how many.
pub fn mean_curve(repeats: &[Vec<Sample>]) -> Vec<(u64, Measure)> {
    let mut values: std::collections::BTreeMap<u64, Vec<f64>> = std::collections::BTreeMap::new();
    for sample in repeats.iter().flatten().filter(|s| s.value.is_finite()) {
        values.entry(sample.at).or_default().push(sample.value);
    }
    values.into_iter().filter_map(|(at, v)| Some((at, Estimate::of(&v)?.into()))).collect()
}

/// At most about `limit` of the points, evenly spaced, the first and the last among them: what a
/// line in a figure can show.
pub fn thin<T: Copy>(points: &[T], limit: usize) -> Vec<T> {
    let step = points.len().div_ceil(limit.max(1)).max(1);
    let last = points.len().saturating_sub(1);
    points
        .iter()
        .enumerate()
        .filter(|(i, _)| (last - i).is_multiple_of(step) || *i == 0)
        .map(|(_, p)| *p)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn samples(span: u64, values: &[f64]) -> Vec<Sample> {
        values.iter().zip(1..).map(|(&value, i)| Sample { at: i * span, span, value }).collect()
    }

    #[test]
    fn smoothing_averages_the_last_window() {
        let smoothed = smooth(&samples(10, &[0.0, 0.2, 0.4, 0.6]), 20);
        let values: Vec<f64> = smoothed.iter().map(|s| s.value).collect();
        for (got, expected) in values.iter().zip([0.0, 0.1, 0.3, 0.5]) {
            assert!((got - expected).abs() < 1e-12, "{values:?}");
        }
        assert_eq!(smoothed.iter().map(|s| s.span).collect::<Vec<_>>(), [10, 20, 20, 20]);
    }

    #[test]
    fn a_span_that_straddles_the_window_counts_by_its_part_inside() {
        // Window 40 over spans of 30: all of the last and a third of the one before.
        let smoothed = smooth(&samples(30, &[0.0, 0.3, 0.9]), 40);
        assert!((smoothed[2].value - (0.9 * 30.0 + 0.3 * 10.0) / 40.0).abs() < 1e-12);
    }

    #[test]
    fn a_target_counts_only_over_a_full_window() {
        let run = samples(50, &[0.9, 0.1, 0.7, 0.95]);
        // Full windows end at 100 (0.5), 150 (0.4) and 200 (0.825).
        assert_eq!(first_reaching(&run, 100, 0.8), Some(200));
        assert_eq!(first_reaching(&run, 100, 0.5), Some(100));
        assert_eq!(first_reaching(&run, 100, 0.9), None);
        assert_eq!(first_reaching(&run[..1], 100, 0.5), None);
    }

    #[test]
    fn repeats_of_different_length_are_averaged_where_they_are() {
        let curve = mean_curve(&[samples(10, &[0.2, 0.4, 0.6]), samples(10, &[0.4])]);
        assert_eq!(
            curve.iter().map(|(at, e)| (*at, e.n)).collect::<Vec<_>>(),
            [(10, 2), (20, 1), (30, 1)]
        );
        assert!((curve[0].1.value - 0.3).abs() < 1e-12);
        assert_eq!(mean_curve(&[]), []);
    }

    #[test]
    fn a_value_that_is_not_a_number_is_left_out_of_a_mean() {
        let curve = mean_curve(&[samples(10, &[0.2, f64::NAN]), samples(10, &[0.4, 0.5])]);
        assert_eq!((curve[1].1.n, curve[1].1.value), (1, 0.5));
    }

    #[test]
    fn thinning_keeps_both_ends() {
        let points: Vec<u32> = (0..1000).collect();
        let thinned = thin(&points, 100);
        assert!(thinned.len() <= 101 && thinned.len() >= 90);
        assert_eq!((thinned[0], *thinned.last().unwrap()), (0, 999));
        assert_eq!(thin(&points[..3], 100), [0, 1, 2]);
        assert_eq!(thin::<u32>(&[], 100), [] as [u32; 0]);
    }
}

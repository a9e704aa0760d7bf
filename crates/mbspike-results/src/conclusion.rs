//! What a folder of runs comes to, in a sentence.

use std::fmt::Write as _;

use crate::group::{Run, RunGroup, RunSet};
use crate::repeats::{Bound, Measure, Repeats};
use crate::target::{TargetKind, TargetOptions};

/// Repeats below which a difference is said without an interval.
const LEAST_FOR_INTERVAL: usize = 3;

impl RunSet {
    /// What the runs come to, in a sentence that a reader can take away: of one group its accuracy, of
    /// two how the second does beside the first, of more which end highest and which are fastest.
    /// `None` where nothing has been tested yet.
    pub fn conclusion(&self, options: &TargetOptions) -> Option<String> {
        let conclusion = Comparison { runs: self, options };
        match self.groups.as_slice() {
            [] => None,
            [group] => conclusion.of_one(group),
            [_, _] => conclusion.of_two(),
            groups => conclusion.of_many(groups),
        }
    }
}

/// Runs side by side.
struct Comparison<'a> {
    runs: &'a RunSet,
    options: &'a TargetOptions,
}

impl Comparison<'_> {
    fn times(&self, group: &RunGroup) -> Repeats {
        group.times_to_target(TargetKind::TrainIterations, self.options)
    }

    fn target(&self) -> Option<String> {
        let target = self.options.accuracy.or_else(|| self.runs.target())?;
        Some(format!("{} % training accuracy", (1e4 * target).round() / 100.0))
    }

    fn of_one(&self, group: &RunGroup) -> Option<String> {
        let subject = Subject::of(group);
        let accuracy = percent(&accuracies(group))?;
        let end = format!("{} {} at {accuracy} test accuracy", subject.name, subject.verb("end"));
        let (times, target) = (self.times(group), self.target());
        let (Some(time), Some(target)) = (times.measure(), target) else {
            return Some(format!("{end}."));
        };
        Some(match (time.n - time.n_censored, time.n) {
            (0, _) => format!("{end} and never {} {target}.", subject.verb("reach")),
            (n, all) if n < all => format!("{end}; {n} of {all} runs reach {target}."),
            _ => format!(
                "{end} and {} {target} after {:.0} steps.",
                subject.verb("reach"),
                time.value
            ),
        })
    }

    fn of_two(&self) -> Option<String> {
        let own = self.runs.groups.iter().find(|g| !std::ptr::eq(*g, self.runs.reference(g)))?;
        let reference = self.runs.reference(own);
        let subject = Subject::of(own);
        let parts = [self.speed(own, reference), Some(height(own, reference)?)];
        Some(format!("{} {}.", subject.name, join(parts)))
    }

    /// `reach 80 % training accuracy in 79 ± 10 % of the steps of 1 bit`.
    fn speed(&self, own: &RunGroup, reference: &RunGroup) -> Option<String> {
        let subject = Subject::of(own);
        let target = self.target()?;
        let (times, others) = (self.times(own), self.times(reference));
        let to = &reference.label;
        let reached = |measure: &Measure| measure.n - measure.n_censored;
        let (own, other) = (times.measure()?, others.measure()?);
        if reached(&own) == 0 {
            let also = if reached(&other) == 0 { ", like" } else { ", unlike" };
            return Some(format!("never {} {target}{also} {to},", subject.verb("reach")));
        }
        let ratio = times.ratio_to(&others)?.scaled(100.0);
        let bound = match ratio.bound {
            Bound::Exact => "",
            Bound::AtLeast => "at least ",
            Bound::AtMost => "at most ",
        };
        let of_all = |measure: &Measure, whose: &str| {
            let (n, all) = (reached(measure), measure.n);
            if n == all { String::new() } else { format!(" ({n} of {all} runs of {whose} do)") }
        };
        let name = &subject.name;
        Some(format!(
            "{} {target} in {bound}{} of the steps of {to}{}{}",
            subject.verb("reach"),
            with_interval(&ratio, 0, " %"),
            of_all(&own, name),
            of_all(&other, to),
        ))
    }

    fn of_many(&self, groups: &[RunGroup]) -> Option<String> {
        let mean = |group: &RunGroup| Some(accuracies(group).measure()?.value);
        let best = groups.iter().filter(|g| mean(g).is_some());
        let best = best.max_by(|a, b| mean(a).unwrap_or(0.0).total_cmp(&mean(b).unwrap_or(0.0)))?;
        let (subject, reference) = (Subject::of(best), self.runs.reference(best));
        let mut text = format!(
            "Of {} points, {} {} highest, at {} test accuracy",
            groups.len(),
            subject.name_inside(),
            subject.verb("end"),
            percent(&accuracies(best))?
        );
        if let Some(points) = difference(best, reference).filter(|_| !std::ptr::eq(best, reference))
        {
            let points = with_interval(&points, 1, " points");
            // Writing to a string cannot fail.
            let _ = write!(text, ", {points} above {}", reference.label);
        }
        let ratio = |group: &RunGroup| {
            let ratio = self.times(group).ratio_to(&self.times(self.runs.reference(group)))?;
            (ratio.bound == Bound::Exact).then_some(ratio.scaled(100.0))
        };
        let others = groups.iter().filter(|g| !std::ptr::eq(*g, self.runs.reference(g)));
        let ratios = others.filter_map(|group| Some((group, ratio(group)?)));
        let fastest = ratios.min_by(|(_, a), (_, b)| a.value.total_cmp(&b.value));
        if let (Some((group, ratio)), Some(target)) = (fastest, self.target()) {
            let subject = Subject::of(group);
            let _ = write!(
                text,
                "; {} {} {target} in {} of the steps of {}, the least",
                subject.name_inside(),
                subject.verb("reach"),
                with_interval(&ratio, 0, " %"),
                self.runs.reference(group).label
            );
        }
        Some(format!("{text}."))
    }
}

/// `end 0.9 ± 0.4 points higher on the test set`.
fn height(own: &RunGroup, reference: &RunGroup) -> Option<String> {
    let verb = Subject::of(own).verb("end");
    let points = difference(own, reference)?;
    let size = Measure { value: points.value.abs(), ..points };
    let side = if points.value < 0.0 { "lower" } else { "higher" };
    let doubt = match points.interval() {
        Some((low, high)) if points.n >= LEAST_FOR_INTERVAL && low <= 0.0 && high >= 0.0 => {
            ", which is within the spread of the repeats"
        }
        _ if points.n < LEAST_FOR_INTERVAL => ", with too few repeats to know the spread",
        _ => "",
    };
    let size = with_interval(&size, 1, " points");
    Some(format!("{verb} {size} {side} on the test set{doubt}"))
}

fn join(parts: [Option<String>; 2]) -> String {
    let parts: Vec<String> = parts.into_iter().flatten().collect();
    parts.join(" and ").replace(", and ", " and ")
}

/// Test accuracies at the end, in percent.
fn accuracies(group: &RunGroup) -> Repeats {
    group.repeats(|run: &Run| Some(100.0 * run.summary.final_test_accuracy?))
}

fn difference(own: &RunGroup, reference: &RunGroup) -> Option<Measure> {
    accuracies(own).difference_to(&accuracies(reference))
}

fn percent(repeats: &Repeats) -> Option<String> {
    Some(with_interval(&repeats.measure()?, 1, " %"))
}

/// A value with its interval, where there are repeats enough to know one, and its unit.
fn with_interval(measure: &Measure, digits: usize, unit: &str) -> String {
    let value = format!("{:.digits$}", measure.value);
    match measure.half_width.filter(|_| measure.n >= LEAST_FOR_INTERVAL) {
        Some(half_width) => format!("{value} ± {half_width:.digits$}{unit}"),
        None => format!("{value}{unit}"),
    }
}

/// Who a sentence is about.
struct Subject {
    /// As a sentence begins with it.
    name: String,
    is_plural: bool,
}

impl Subject {
    fn of(group: &RunGroup) -> Self {
        let label = &group.label;
        match label.strip_suffix(" bits").or_else(|| label.strip_suffix(" bit")) {
            Some(bits) if !label.contains(',') => {
                Self { name: label.clone(), is_plural: bits != "1" }
            }
            _ => Self { name: format!("Training with {label}"), is_plural: false },
        }
    }

    /// The same within a sentence.
    fn name_inside(&self) -> String {
        self.name.replacen("Training", "training", 1)
    }

    /// A verb in its form.
    fn verb(&self, verb: &str) -> String {
        match verb {
            verb if self.is_plural => verb.to_owned(),
            "reach" => "reaches".to_owned(),
            verb => format!("{verb}s"),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde_json::json;

    use super::*;
    use crate::record::{DatasetSummary, Environment, Status, Summary};

    /// A run of some bits that was to reach 80 %.
    fn run(bits: u32, seed: u64, accuracy: f64, reached: Option<u64>) -> Run {
        let summary = Summary {
            id: format!("{bits}-{seed}"),
            name: "test".into(),
            values: BTreeMap::from([("neuron.bits".to_owned(), json!(bits))]),
            repeat: seed as u32,
            seed,
            group: bits.to_string(),
            device: "cpu".into(),
            bits,
            layer_bits: vec![],
            time_steps: 4,
            n_epochs: 1,
            n_iterations: 500,
            positions: vec![],
            final_test_accuracy: Some(accuracy),
            best_test_accuracy: Some(accuracy),
            final_train_accuracy: Some(accuracy),
            target_accuracy: Some(0.8),
            iterations_to_target: reached,
            epochs_to_target: None,
            final_nonzero_rate: vec![],
            final_mean_spike: vec![],
            median_step_time_s: None,
            first_steps_median_s: None,
            last_steps_median_s: None,
            loader_share: None,
            wall_time_s: 1.0,
            n_parameters: 1,
            dense_macs: vec![],
            metrics: None,
            weights: None,
            status: Status::Finished,
            cause: None,
            dataset: DatasetSummary {
                name: "none".into(),
                source: "none".into(),
                simulated: false,
                n_train: 1,
                n_test: 1,
                class_names: vec![],
            },
            environment: Environment {
                version: "0".into(),
                commit: None,
                threads: 1,
                cpu_features: vec![],
                processor: None,
                finished: None,
            },
        };
        Run { summary, windows: vec![], epochs: vec![] }
    }

    fn said(runs: &[(u32, u64, f64, Option<u64>)]) -> String {
        let runs = runs
            .iter()
            .map(|(bits, seed, accuracy, reached)| run(*bits, *seed, *accuracy, *reached));
        RunSet::of(runs.collect()).conclusion(&TargetOptions::default()).unwrap()
    }

    #[test]
    fn runs_on_two_kinds_of_devices_are_in_no_mean_together_and_are_not_compared() {
        let on = |device: &str, bits, accuracy, group: &str| {
            let mut run = run(bits, 1, accuracy, Some(100));
            run.summary.device = device.to_owned();
            run.summary.group = group.to_owned();
            run
        };
        // Of this version, whose groups know the device, and of one before that did not write them.
        for groups in [["a", "b", "c", "d"], [""; 4]] {
            let set = RunSet::of(vec![
                on("cpu", 1, 0.84, groups[0]),
                on("cuda", 1, 0.5, groups[1]),
                on("cpu", 2, 0.86, groups[2]),
                on("cuda", 2, 0.6, groups[3]),
            ]);
            assert_eq!(
                set.labels(),
                [
                    "1 bit, device cpu",
                    "1 bit, device cuda",
                    "2 bits, device cpu",
                    "2 bits, device cuda"
                ]
            );
            for group in &set.groups {
                let device = &group.first().device;
                assert!(group.runs.iter().all(|run| run.summary.device == *device));
                assert_eq!(set.reference(group).first().device, *device);
            }
            assert!(set.grid().is_none());
            let titles: Vec<_> = set.panels().1.into_iter().map(|panel| panel.title).collect();
            assert_eq!(titles, [Some("device cpu".to_owned()), Some("device cuda".to_owned())]);
        }
        // Of one kind, it is said nowhere.
        let set = RunSet::of(vec![on("cuda", 1, 0.5, "a"), on("cuda", 2, 0.6, "b")]);
        assert_eq!(set.labels(), ["1 bit", "2 bits"]);
    }

    #[test]
    fn two_groups_are_compared_in_speed_and_height() {
        let runs = [
            (1, 1, 0.84, Some(200)),
            (1, 2, 0.842, Some(220)),
            (1, 3, 0.841, Some(210)),
            (2, 1, 0.86, Some(100)),
            (2, 2, 0.861, Some(110)),
            (2, 3, 0.862, Some(105)),
        ];
        assert_eq!(
            said(&runs),
            "2 bits reach 80 % training accuracy in 50 ± 0 % of the steps of 1 bit and end 2.0 ± 0.2 \
             points higher on the test set."
        );
    }

    #[test]
    fn what_repeats_cannot_tell_is_said() {
        let few = said(&[(1, 1, 0.84, Some(200)), (2, 1, 0.83, Some(100))]);
        assert!(few.contains("1.0 points lower"), "{few}");
        assert!(few.ends_with("with too few repeats to know the spread."), "{few}");
        let wide = [0.8, 0.9, 0.85].into_iter().zip(1..).map(|(a, seed)| (1, seed, a, None));
        let other = [0.9, 0.8, 0.86].into_iter().zip(1..).map(|(a, seed)| (2, seed, a, None));
        let wide = said(&wide.chain(other).collect::<Vec<_>>());
        assert!(wide.contains("never reach 80 % training accuracy, like 1 bit"), "{wide}");
        assert!(wide.ends_with("which is within the spread of the repeats."), "{wide}");
    }

    #[test]
    fn a_target_that_some_never_reach_gives_a_bound() {
        let text = said(&[
            (1, 1, 0.8, None),
            (1, 2, 0.8, Some(250)),
            (2, 1, 0.8, Some(100)),
            (2, 2, 0.8, Some(100)),
        ]);
        assert!(text.contains("in at most 27 % of the steps"), "{text}");
        assert!(text.contains("of the steps of 1 bit (1 of 2 runs of 1 bit do)"), "{text}");
    }

    #[test]
    fn of_many_points_the_highest_and_the_fastest_are_named() {
        let runs = [(1, 1, 0.8, Some(200)), (2, 1, 0.9, Some(150)), (3, 1, 0.85, Some(100))];
        assert_eq!(
            said(&runs),
            "Of 3 points, 2 bits end highest, at 90.0 % test accuracy, 10.0 points above 1 bit; 3 bits \
             reach 80 % training accuracy in 50 % of the steps of 1 bit, the least."
        );
    }

    #[test]
    fn one_point_is_said_alone() {
        assert_eq!(
            said(&[(1, 1, 0.8, Some(200))]),
            "1 bit ends at 80.0 % test accuracy and reaches 80 % training accuracy after 200 steps."
        );
    }
}

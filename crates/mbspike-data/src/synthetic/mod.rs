//! Tasks with known answers that need a memory. Nothing is measured: a rule and a seed make the samples.
//!
//! A sample is a sequence of spikes on some lines, `[T, C, 1, 1]` of zeros and ones:
//!
//! * `delayed-xor`: the exclusive or of two bits. The first is a spike on line 0 or 1 in the first two
//!   steps, the second one on line 2 or 3 in the last two.
//! * `temporal-order` (after Hochreiter and Schmidhuber 1997, task 6a): a symbol a step, each a line. Two
//!   of them are X or Y (lines 0 and 1), one in the second tenth of the sequence, one in the sixth; the others
//!   are of four kinds that mean nothing (lines 2 to 5). The classes are XX, XY, YX and YY.
//! * `store-recall` (after Bellec et al. 2018): a bit, new in every second step, is a spike on line 0 or 1. It
//!   is to be told as it was when line 2 (store) fired, once in the first third of the sequence, after line 3
//!   (recall) has fired in the last two steps.
//!
//! With `noise`, each line that is silent between the first two and the last two steps fires with
//! that probability, so that samples differ.

mod keys;
mod task;

use std::sync::Arc;

use mbspike_core::philox::{Domain, Stream};

pub use task::SyntheticTask;

use task::N_CUE;

use crate::{ArraySet, Dataset, DatasetConfig, SampleSet, Split};

/// Makes the samples.
pub(crate) fn make(task: SyntheticTask, config: &DatasetConfig) -> Dataset {
    let n_steps = config.length.unwrap_or(1);
    let seed = config.seed.unwrap_or(0);
    let set = |split: Split, n: Option<usize>| {
        SampleSet::Arrays(Arc::new(samples(
            task,
            n_steps,
            n.unwrap_or(0),
            config.noise,
            seed,
            split,
        )))
    };
    Dataset {
        name: task.as_str().to_owned(),
        train: set(Split::Train, config.train_size),
        test: set(Split::Test, config.test_size),
        class_names: class_names(task),
        source: format!("synthetic (seed {seed})"),
        simulated: true,
    }
}

fn class_names(task: SyntheticTask) -> Vec<String> {
    task.class_names().iter().map(|&name| name.to_owned()).collect()
}

fn samples(
    task: SyntheticTask,
    n_steps: usize,
    n: usize,
    noise: Option<f32>,
    seed: u64,
    split: Split,
) -> ArraySet {
    let n_channels = task.n_channels();
    let mut values = vec![0.0; n * n_steps * n_channels];
    let mut labels = Vec::with_capacity(n);
    for (i, out) in values.chunks_exact_mut(n_steps * n_channels).enumerate() {
        let stream = Stream::new(seed, Domain::Simulate, split.place(0, i as u32));
        let mut rng = stream.rng();
        labels.push(task.write(out, i % task.n_patterns(), &mut rng));
        if let Some(noise) = noise.filter(|noise| *noise > 0.0) {
            for value in &mut out[N_CUE * n_channels..(n_steps - N_CUE) * n_channels] {
                if rng.uniform() < noise {
                    *value = 1.0;
                }
            }
        }
    }
    let shape = [n_channels, 1, 1];
    ArraySet { values, lengths: vec![n_steps; n], labels, shape, n_steps, split }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(task: SyntheticTask) -> DatasetConfig {
        DatasetConfig {
            train_size: Some(40),
            test_size: Some(20),
            length: Some(20),
            ..DatasetConfig::new(task)
        }
    }

    fn arrays(set: &SampleSet) -> &ArraySet {
        let SampleSet::Arrays(arrays) = set else { panic!("arrays") };
        arrays
    }

    /// The answer, found from the sequence alone.
    fn answer(task: SyntheticTask, sample: &[f32]) -> u8 {
        let n_channels = task.n_channels();
        let steps: Vec<&[f32]> = sample.chunks_exact(n_channels).collect();
        let fired = |step: &[f32], line: usize| step[line] == 1.0;
        match task {
            SyntheticTask::DelayedXor => {
                u8::from(fired(steps[0], 1) != fired(steps[steps.len() - 1], 3))
            }
            SyntheticTask::TemporalOrder => {
                let symbols = steps.iter().filter(|step| fired(step, 0) || fired(step, 1));
                symbols.fold(0, |class, step| 2 * class + u8::from(fired(step, 1)))
            }
            SyntheticTask::StoreRecall => {
                let stored = steps.iter().find(|step| fired(step, 2)).unwrap();
                u8::from(fired(stored, 1))
            }
        }
    }

    #[test]
    fn the_classes_are_the_answers_and_equally_many() {
        for task in SyntheticTask::ALL {
            let dataset = make(task, &config(task));
            let set = arrays(&dataset.train);
            for i in 0..set.len() {
                assert_eq!(set.labels[i], answer(task, set.sample(i)), "{task:?} {i}");
                assert!(set.sample(i).iter().all(|value| [0.0, 1.0].contains(value)));
            }
            let n_classes = dataset.n_classes();
            for class in 0..n_classes {
                let n = set.labels.iter().filter(|label| usize::from(**label) == class).count();
                assert_eq!(n, 40 / n_classes, "{task:?}");
            }
            assert!(dataset.simulated && dataset.source == "synthetic (seed 0)");
        }
    }

    #[test]
    fn seeds_decide_the_samples_and_noise_leaves_the_answers() {
        for task in SyntheticTask::ALL {
            let of = |seed, noise| {
                make(task, &DatasetConfig { seed: Some(seed), noise, ..config(task) }).train
            };
            assert_eq!(arrays(&of(1, Some(0.1))), arrays(&of(1, Some(0.1))));
            let (noisy, other, clean) = (of(1, Some(0.1)), of(2, Some(0.1)), of(1, None));
            assert_ne!(arrays(&noisy), arrays(&other));
            assert_eq!(arrays(&clean).labels, arrays(&noisy).labels);
            let spikes = |set: &SampleSet| arrays(set).values.iter().sum::<f32>();
            assert!(spikes(&noisy) > spikes(&clean));
        }
    }

    #[test]
    fn samples_of_the_test_set_are_others() {
        let config = DatasetConfig { noise: Some(0.2), ..config(SyntheticTask::TemporalOrder) };
        let dataset = make(SyntheticTask::TemporalOrder, &config);
        let (train, test) = (arrays(&dataset.train), arrays(&dataset.test));
        let shared = |i| (0..train.len()).any(|j| train.sample(j) == test.sample(i));
        assert!(!(0..test.len()).any(shared));
    }

    #[test]
    fn what_no_sample_can_be_made_of_is_refused_by_key() {
        let message = |change: fn(&mut DatasetConfig)| {
            let mut config = config(SyntheticTask::DelayedXor);
            change(&mut config);
            config.validate().unwrap_err().to_string()
        };
        for (change, expected) in [
            (
                (|c| c.length = Some(9)) as fn(&mut DatasetConfig),
                "dataset.length: must be in 10..=",
            ),
            (|c| c.length = None, "dataset.length: is missing"),
            (|c| c.train_size = None, "dataset.train_size: is missing"),
            (|c| c.test_size = Some(3), "dataset.test_size: must be in 4..="),
            (|c| c.noise = Some(1.0), "dataset.noise: must be at least 0"),
            (|c| c.noise = Some(f32::NAN), "dataset.noise: must be at least 0"),
            (|c| c.path = Some("x".into()), "dataset.path: is of no use to \"delayed-xor\""),
            (|c| c.grey = Some(true), "dataset.grey: is of no use to \"delayed-xor\""),
        ] {
            assert!(message(change).starts_with(expected), "{}", message(change));
        }
    }
}

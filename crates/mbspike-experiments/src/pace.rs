//! How long runs, and a whole sweep, will take: from the first iterations on.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use mbspike_data::Dataset;
use mbspike_results::{EpochRecord, Lock, RunProgress};

use crate::observer::{Iteration, Observer};
use crate::summary::dense_macs;
use crate::sweep::Point;

/// What evaluating a sample takes of what training on it takes: a step is one pass forward and two back.
const EVALUATION: f64 = 1.0 / 3.0;

/// How far a sweep is, measured by the multiply-adds of its runs: runs with more time steps, wider layers
/// or more epochs count for more.
#[derive(Default)]
pub(crate) struct Pace {
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    /// The runs to do, by their names.
    runs: HashMap<String, Run>,
    /// When the first of them began here.
    begun: Option<Instant>,
}

/// A run, in multiply-adds of a pass forward.
#[derive(Debug, Default)]
struct Run {
    n_epochs: f64,
    n_batches: f64,
    /// Training of an epoch.
    training: f64,
    /// The evaluation after it.
    evaluation: f64,
    /// The epoch at hand, counted from 1.
    epoch: f64,
    done: f64,
    /// What was done before it began here.
    before: f64,
    begun: Option<Instant>,
    is_over: bool,
}

impl Run {
    fn new(point: &Point, dataset: &Dataset, macs: f64) -> Self {
        let sample = macs * point.config.encoder.time_steps as f64;
        let n_train = dataset.train.len();
        Self {
            n_epochs: point.config.train.epochs.into(),
            n_batches: n_train.div_ceil(point.config.train.batch_size.max(1)).max(1) as f64,
            training: sample * n_train as f64,
            evaluation: sample * EVALUATION * dataset.test.len() as f64,
            ..Self::default()
        }
    }

    /// The work of the epoch at hand and those before, of which the last has so much of its training and
    /// its evaluation done, in `0..=1`.
    fn work(&self, trained: f64, evaluated: f64) -> f64 {
        (self.epoch - 1.0) * (self.training + self.evaluation)
            + trained * self.training
            + evaluated * self.evaluation
    }

    fn left(&self) -> f64 {
        if self.is_over {
            return 0.0;
        }
        (self.n_epochs * (self.training + self.evaluation) - self.done).max(0.0)
    }

    fn left_s(&self, now: Instant) -> Option<f64> {
        seconds_of(self.left(), self.done - self.before, now.duration_since(self.begun?))
    }
}

/// Seconds for some work, if `done` took `elapsed`.
fn seconds_of(work: f64, done: f64, elapsed: Duration) -> Option<f64> {
    let seconds = work * elapsed.as_secs_f64() / done;
    (done > 0.0 && seconds.is_finite()).then_some(seconds)
}

/// Seconds that are left of a run, and of the sweep.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Left {
    run_s: Option<f64>,
    sweep_s: Option<f64>,
}

impl Pace {
    /// Of the runs to do, with the data of each.
    pub(crate) fn new<'a>(runs: impl Iterator<Item = (&'a Point, &'a Dataset)>) -> Self {
        // The networks of a sweep are few: each is counted once.
        let mut costs: HashMap<String, f64> = HashMap::new();
        let run = |(point, dataset): (&Point, &Dataset)| {
            let config = &point.config;
            let cost = costs.entry(format!("{:?}", config.network_config())).or_insert_with(|| {
                // This is for an estimate; what is wrong with the network, training says.
                let macs = dense_macs(config).map_or(0, |layers| layers.iter().sum::<u64>());
                macs.max(1) as f64
            });
            (point.id.clone(), Run::new(point, dataset, *cost))
        };
        let runs = runs.map(run).collect();
        Self { inner: Mutex::new(Inner { runs, begun: None }) }
    }

    fn begin(&self, id: &str, iteration: u64, now: Instant) {
        self.with(id, |inner_begun, run| {
            inner_begun.get_or_insert(now);
            run.begun = Some(now);
            let epochs = iteration as f64 / run.n_batches;
            run.epoch = epochs.floor() + 1.0;
            run.done = run.work(epochs.fract(), 0.0);
            run.before = run.done;
        });
    }

    fn trained(&self, id: &str, iteration: &Iteration, now: Instant) -> Left {
        self.with(id, |_, run| {
            run.epoch = iteration.epoch.into();
            run.done = run.work(iteration.batch as f64 / iteration.n_batches.max(1) as f64, 0.0);
        });
        self.left(id, now)
    }

    fn evaluated(&self, id: &str, n_done: usize, n: usize, now: Instant) -> Left {
        self.with(id, |_, run| run.done = run.work(1.0, n_done as f64 / n.max(1) as f64));
        self.left(id, now)
    }

    /// Takes note that a run ended here, however it did.
    pub(crate) fn end(&self, id: &str) {
        self.with(id, |_, run| run.is_over = true);
    }

    fn with(&self, id: &str, act: impl FnOnce(&mut Option<Instant>, &mut Run)) {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        let Inner { runs, begun } = &mut *inner;
        if let Some(run) = runs.get_mut(id) {
            act(begun, run);
        }
    }

    fn left(&self, id: &str, now: Instant) -> Left {
        let inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        let done: f64 = inner.runs.values().map(|run| run.done - run.before).sum();
        let left: f64 = inner.runs.values().map(Run::left).sum();
        let sweep_s =
            inner.begun.and_then(|begun| seconds_of(left, done, now.duration_since(begun)));
        Left { run_s: inner.runs.get(id).and_then(|run| run.left_s(now)), sweep_s }
    }
}

/// Hears of a run, measures its pace, notes its progress in its lock for those who look, and passes on
/// what it hears.
pub(crate) struct Paced<'a> {
    observer: &'a dyn Observer,
    pace: &'a Pace,
    lock: &'a Lock,
    progress: Mutex<RunProgress>,
}

impl<'a> Paced<'a> {
    pub(crate) fn new(
        point: &Point,
        observer: &'a dyn Observer,
        pace: &'a Pace,
        lock: &'a Lock,
    ) -> Self {
        let n_epochs = point.config.train.epochs.into();
        let progress = RunProgress { epoch: 1, n_epochs, ..RunProgress::default() };
        Self { observer, pace, lock, progress: Mutex::new(progress) }
    }

    fn note(&self, point: &Point, left: Left, act: impl FnOnce(&mut RunProgress)) {
        let mut progress = self.progress.lock().unwrap_or_else(PoisonError::into_inner);
        act(&mut progress);
        progress.left_s = left.run_s.or(progress.left_s);
        self.lock.set_progress(progress.clone());
        drop(progress);
        if let Some(seconds) = left.sweep_s {
            self.observer.on_time_left(point, left.run_s.unwrap_or(seconds), seconds);
        }
    }
}

impl Observer for Paced<'_> {
    fn on_run_start(&self, point: &Point, iteration: u64) {
        self.pace.begin(&point.id, iteration, Instant::now());
        self.observer.on_run_start(point, iteration);
    }

    fn on_frames(&self, point: &Point, n_done: usize, n: usize) {
        self.observer.on_frames(point, n_done, n);
    }

    fn on_iteration(&self, point: &Point, iteration: &Iteration) {
        let left = self.pace.trained(&point.id, iteration, Instant::now());
        self.observer.on_iteration(point, iteration);
        self.note(point, left, |progress| {
            progress.epoch = iteration.epoch.into();
            progress.iteration = iteration.iteration;
            progress.train_accuracy = Some(iteration.train_accuracy);
        });
    }

    fn on_evaluation(&self, point: &Point, n_done: usize, n: usize) {
        let left = self.pace.evaluated(&point.id, n_done, n, Instant::now());
        self.observer.on_evaluation(point, n_done, n);
        self.note(point, left, |_| {});
    }

    fn on_epoch_end(&self, point: &Point, record: &EpochRecord) {
        self.observer.on_epoch_end(point, record);
        let left = self.pace.left(&point.id, Instant::now());
        self.note(point, left, |progress| progress.test_accuracy = Some(record.test_accuracy));
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::{Inner, Left, Pace, Run};
    use crate::observer::Iteration;

    fn run(n_epochs: f64, training: f64, evaluation: f64) -> Run {
        Run { n_epochs, n_batches: 10.0, training, evaluation, ..Run::default() }
    }

    fn pace(runs: Vec<(&str, Run)>) -> Pace {
        let runs = runs.into_iter().map(|(id, run)| (id.to_owned(), run)).collect();
        Pace { inner: std::sync::Mutex::new(Inner { runs, begun: None }) }
    }

    fn after(epoch: u32, batch: usize) -> Iteration {
        let iteration = u64::from(epoch - 1) * 10 + batch as u64;
        Iteration { epoch, batch, n_batches: 10, iteration, loss: 1.0, train_accuracy: 0.5 }
    }

    fn close(found: Option<f64>, expected: f64) -> bool {
        found.is_some_and(|found| (found - expected).abs() <= 1e-9 * expected)
    }

    #[test]
    fn after_the_first_step_the_time_of_the_whole_sweep_is_known() {
        // The second has four times the work.
        let pace = pace(vec![("a", run(2.0, 90.0, 10.0)), ("b", run(2.0, 360.0, 40.0))]);
        let start = Instant::now();
        pace.begin("a", 0, start);
        let Left { run_s, sweep_s } =
            pace.trained("a", &after(1, 1), start + Duration::from_secs(9));
        // 9 of 200 units took 9 s.
        assert!(close(run_s, 191.0), "{run_s:?}");
        assert!(close(sweep_s, 991.0), "{sweep_s:?}");
    }

    #[test]
    fn a_resumed_run_is_paced_by_what_it_does_now_and_an_ended_one_takes_no_time() {
        let pace = pace(vec![("a", run(2.0, 100.0, 0.0)), ("b", run(1.0, 100.0, 0.0))]);
        let start = Instant::now();
        pace.begin("a", 15, start);
        let left = pace.trained("a", &after(2, 6), start + Duration::from_secs(20));
        // 10 units in 20 s; 40 are left of it, and 100 of the other.
        assert!(close(left.run_s, 80.0) && close(left.sweep_s, 280.0), "{left:?}");
        pace.end("a");
        assert!(close(pace.left("b", start + Duration::from_secs(20)).sweep_s, 200.0));
        assert_eq!(pace.left("b", start + Duration::from_secs(20)).run_s, None, "not begun");
    }
}

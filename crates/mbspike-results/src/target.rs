//! Time to a target accuracy.

use crate::curves::{SMOOTHING_WINDOW, Sample, first_reaching};
use crate::group::{Run, RunGroup};
use crate::repeats::{Repeat, Repeats};

/// What is counted until the target is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TargetKind {
    /// Iterations to a training accuracy, smoothed.
    TrainIterations,
    /// Epochs to a test accuracy.
    TestEpochs,
}

/// Which target, where the records leave it open.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TargetOptions {
    /// Iterations that training curves are smoothed over.
    pub window: u64,
    /// The accuracy to reach, in `0..=1`; `None` for each run's own.
    pub accuracy: Option<f64>,
}

impl Default for TargetOptions {
    fn default() -> Self {
        Self { window: SMOOTHING_WINDOW, accuracy: None }
    }
}

impl Run {
    /// When the run reached its target, in iterations or epochs, or how long it ran without; `None` if
    /// neither the options nor the run name a target.
    ///
    /// Iterations are counted to the first at which the training accuracy, averaged over the last
    /// `options.window` iterations, is at least the target; epochs to the first after which the test
    /// accuracy is.
    pub fn time_to_target(&self, kind: TargetKind, options: &TargetOptions) -> Option<Repeat> {
        let own = self.summary.target_accuracy;
        let target = options.accuracy.or(own)?;
        let (reached, length) = match kind {
            TargetKind::TrainIterations => {
                // The run's own count is exact to the iteration; others are found in windows.
                let is_own = own == Some(target) && options.window == SMOOTHING_WINDOW;
                let reached = if is_own {
                    self.summary.iterations_to_target
                } else {
                    let samples = self.windows.iter().map(|w| Sample {
                        at: w.iteration,
                        span: w.n_iterations,
                        value: w.train_accuracy,
                    });
                    first_reaching(&samples.collect::<Vec<_>>(), options.window, target)
                };
                (reached, self.summary.n_iterations)
            }
            TargetKind::TestEpochs => {
                let first = self.epochs.iter().find(|epoch| epoch.test_accuracy >= target);
                (first.map(|epoch| epoch.epoch), self.summary.n_epochs)
            }
        };
        Some(Repeat {
            seed: self.summary.seed,
            value: reached.unwrap_or(length) as f64,
            is_censored: reached.is_none(),
        })
    }
}

impl RunGroup {
    /// The repeats' [times to the target](Run::time_to_target); runs that diverged are left out.
    pub fn times_to_target(&self, kind: TargetKind, options: &TargetOptions) -> Repeats {
        self.runs.iter().filter_map(|run| run.time_to_target(kind, options)).collect()
    }
}

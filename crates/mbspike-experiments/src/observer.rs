//! What training tells about itself while it goes on. Drawing it is the business of whoever
//! listens.

use mbspike_results::{EpochRecord, Summary};

use crate::error::Error;
use crate::sweep::Point;

/// A training iteration that is done.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Iteration {
    /// Epoch, counted from 1.
    pub epoch: u32,
    /// Iterations of this epoch that are done.
    pub batch: usize,
    /// Iterations of an epoch.
    pub n_batches: usize,
    /// Iterations done over all epochs.
    pub iteration: u64,
    /// Loss of this iteration.
    pub loss: f64,
    /// Train accuracy over this epoch so far, in `0..=1`.
    pub train_accuracy: f64,
}

/// Listens to runs, from several threads if several runs go on at once. Every method does nothing
/// unless it is overridden.
pub trait Observer: Sync {
    /// A sweep starts: `n_finished` of its `n_points` runs were over before.
    fn on_sweep_start(&self, n_points: usize, n_finished: usize) {
        let _ = (n_points, n_finished);
    }

    /// A run starts, or goes on after `iteration` iterations.
    fn on_run_start(&self, point: &Point, iteration: u64) {
        let _ = (point, iteration);
    }

    /// Before the first iteration: the frames of `n_done` of `n` recordings are in the cache that is being built.
    fn on_frames(&self, point: &Point, n_done: usize, n: usize) {
        let _ = (point, n_done, n);
    }

    /// An iteration is done.
    fn on_iteration(&self, point: &Point, iteration: &Iteration) {
        let _ = (point, iteration);
    }

    /// The run, and the whole sweep, will still take so many seconds if they go on as they have so far.
    fn on_time_left(&self, point: &Point, run_s: f64, sweep_s: f64) {
        let _ = (point, run_s, sweep_s);
    }

    /// `n_done` of `n` test batches are evaluated.
    fn on_evaluation(&self, point: &Point, n_done: usize, n: usize) {
        let _ = (point, n_done, n);
    }

    /// A trained run is quantized: `n_done` of `n` batches of a part of that, `what`, are done.
    fn on_quantization(&self, point: &Point, what: &str, n_done: usize, n: usize) {
        let _ = (point, what, n_done, n);
    }

    /// The operations of `n_done` of `n` test batches of the run of that name are counted.
    fn on_count(&self, run: &str, n_done: usize, n: usize) {
        let _ = (run, n_done, n);
    }

    /// An epoch is done and evaluated.
    fn on_epoch_end(&self, point: &Point, record: &EpochRecord) {
        let _ = (point, record);
    }

    /// A run is over.
    fn on_run_end(&self, point: &Point, end: &RunEnd<'_>) {
        let _ = (point, end);
    }
}

/// How a run ended.
#[derive(Debug, Clone, Copy)]
pub enum RunEnd<'a> {
    /// All epochs are done, or it diverged: the summary says.
    Over {
        /// The run in one record.
        summary: &'a Summary,
        /// Whether it has left a checkpoint.
        has_checkpoint: bool,
    },
    /// Another process had done it by the time it was to begin.
    WasOver,
    /// It was asked to stop and has left a checkpoint.
    Stopped,
    /// Another process is at it, as the error says.
    Elsewhere(&'a Error),
    /// It failed.
    Failed(&'a Error),
}

/// Hears nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct NullObserver;

impl Observer for NullObserver {}

//! Progress bars on stderr: one for a sweep, one for each run at hand. Without a terminal, or with
//! `--quiet`, there are none.

use std::collections::{HashMap, VecDeque};
use std::io::IsTerminal;
use std::sync::{Mutex, PoisonError};

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};
use mbspike_experiments::observer::{Iteration, Observer, RunEnd};
use mbspike_experiments::sweep::Point;
use mbspike_results::{EpochRecord, Status};

use crate::printer::{self, printable};

const SWEEP_TEMPLATE: &str = "{prefix} {wide_bar:.cyan/dim} {msg}, {elapsed}, {eta} left";
/// What is said stands above the bar, which so has the whole width.
const RUN_TEMPLATE: &str = "{prefix} {msg}\n{wide_bar:.green/dim} {pos}/{len} {rate}";
/// Parts of a run that the sweep's bar counts, so that it moves, and its time left is known, from the
/// first steps on.
const PARTS: u64 = 1000;
/// Epochs whose test accuracy is shown.
const SHOWN_EPOCHS: usize = 4;

const BYTES_TEMPLATE: &str =
    "{prefix} {wide_bar:.cyan/dim} {bytes}/{total_bytes} {bytes_per_sec}, {eta} left";

/// One bar for downloads.
pub struct Bar {
    bar: ProgressBar,
    quiet: bool,
}

impl Bar {
    /// A bar that counts bytes.
    pub fn of_bytes(quiet: bool) -> Self {
        let bar = ProgressBar::with_draw_target(Some(0), target(quiet));
        bar.set_style(style(BYTES_TEMPLATE));
        Self { bar, quiet }
    }

    /// Shows how far `what` is.
    pub fn set(&mut self, what: &str, n_done: u64, n: Option<u64>) {
        if self.bar.prefix() != what {
            self.bar.set_prefix(printable(what).into_owned());
            self.bar.reset_eta();
        }
        self.bar.set_length(n.unwrap_or(n_done));
        self.bar.set_position(n_done);
    }

    /// Prints a line on stderr, above the bar if there is one.
    pub fn say(&self, line: &str) {
        self.bar.suspend(|| printer::say(self.quiet, line));
    }

    /// Takes the bar away.
    pub fn finish(self) {
        self.bar.finish_and_clear();
    }
}

/// Stderr where it is a terminal and may be written to.
fn target(quiet: bool) -> ProgressDrawTarget {
    if !quiet && std::io::stderr().is_terminal() {
        ProgressDrawTarget::stderr()
    } else {
        ProgressDrawTarget::hidden()
    }
}

/// A bar on stderr that counts `n` things, where stderr is a terminal; else nothing.
pub fn counter(what: &'static str, n: usize, quiet: bool) -> ProgressBar {
    if quiet || !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new(n as u64);
    bar.set_style(style("{prefix} {wide_bar:.cyan/dim} {pos}/{len}, {elapsed}, {eta} left"));
    bar.set_prefix(what);
    bar
}

/// Draws what runs tell.
pub struct Progress {
    bars: MultiProgress,
    state: Mutex<State>,
    /// Whether messages are printed at all.
    quiet: bool,
}

#[derive(Default)]
struct State {
    sweep: Option<SweepBar>,
    runs: HashMap<String, Run>,
}

struct SweepBar {
    bar: ProgressBar,
    n_runs: usize,
    n_over: usize,
}

impl State {
    /// Moves the sweep's bar to the runs that are over and the parts of those at hand.
    fn move_sweep(&self) {
        let Some(SweepBar { bar, n_runs, n_over }) = &self.sweep else { return };
        let parts: u64 = self.runs.values().map(|run| run.parts).sum();
        bar.set_position(*n_over as u64 * PARTS + parts);
        bar.set_message(format!("{n_over}/{n_runs} runs"));
    }
}

struct Run {
    bar: ProgressBar,
    /// What the last epochs came to.
    tests: VecDeque<String>,
    /// How much of it is done, in [`PARTS`].
    parts: u64,
}

impl Run {
    fn new(bar: ProgressBar) -> Self {
        Self { bar, tests: VecDeque::new(), parts: 0 }
    }

    /// The test accuracies of the last epochs.
    fn tested(&self) -> String {
        if self.tests.is_empty() {
            return String::new();
        }
        let tests: Vec<&str> = self.tests.iter().map(String::as_str).collect();
        format!(", test {} %", tests.join(" → "))
    }
}

impl Progress {
    /// Bars on stderr where it is a terminal.
    pub fn new(quiet: bool) -> Self {
        let bars = MultiProgress::with_draw_target(target(quiet));
        Self { bars, state: Mutex::default(), quiet }
    }

    /// Prints a line on stderr, above the bars if there are any.
    pub fn say(&self, line: &str) {
        self.bars.suspend(|| printer::say(self.quiet, line));
    }

    fn with_run(&self, point: &Point, act: impl FnOnce(&mut Run)) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(run) = state.runs.get_mut(&point.id) {
            act(run);
        }
    }
}

/// A style; the templates are constants, so that a bad one shows at the first use.
fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template)
        .unwrap_or_else(|_| ProgressStyle::default_bar())
        .progress_chars("━━─")
}

/// The style of a run, which counts these.
fn run_style(unit: &'static str) -> ProgressStyle {
    style(RUN_TEMPLATE).with_key(
        "rate",
        move |state: &ProgressState, text: &mut dyn std::fmt::Write| {
            // There is nobody to tell of a bar that cannot be written.
            let _ = write!(text, "{unit}, {:.1} {unit}/s", state.per_sec());
        },
    )
}

impl Observer for Progress {
    fn on_sweep_start(&self, n_points: usize, n_finished: usize) {
        if n_points > 1 {
            let bar = self.bars.add(ProgressBar::new(n_points as u64 * PARTS));
            bar.set_style(style(SWEEP_TEMPLATE));
            bar.set_prefix("sweep");
            let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            state.sweep = Some(SweepBar { bar, n_runs: n_points, n_over: n_finished });
            state.move_sweep();
            if let Some(sweep) = &state.sweep {
                sweep.bar.reset_eta();
            }
        }
        if n_finished > 0 {
            self.say(&format!("{n_finished} of {n_points} runs are over already"));
        }
    }

    fn on_run_start(&self, point: &Point, iteration: u64) {
        let bar = self.bars.add(ProgressBar::new(0));
        bar.set_style(run_style("steps"));
        bar.set_prefix(point.id.clone());
        if iteration > 0 {
            self.say(&format!("{}: goes on after iteration {iteration}", point.id));
        }
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.runs.insert(point.id.clone(), Run::new(bar));
    }

    fn on_frames(&self, point: &Point, n_done: usize, n: usize) {
        self.with_run(point, |run| {
            run.bar.set_length(n as u64);
            run.bar.set_position(n_done as u64);
            run.bar.set_message("recordings integrated");
        });
    }

    fn on_iteration(&self, point: &Point, iteration: &Iteration) {
        self.with_run(point, |run| {
            run.bar.set_length(iteration.n_batches as u64);
            run.bar.set_position(iteration.batch as u64);
            run.bar.set_message(format!(
                "epoch {}/{}, loss {:.3}, train {:.1} %{}",
                iteration.epoch,
                point.config.train.epochs,
                iteration.loss,
                100.0 * iteration.train_accuracy,
                run.tested()
            ));
            let epochs = f64::from(iteration.epoch) - 1.0
                + iteration.batch as f64 / iteration.n_batches.max(1) as f64;
            let share = epochs / f64::from(point.config.train.epochs.max(1));
            run.parts = (share * PARTS as f64) as u64;
        });
        self.state.lock().unwrap_or_else(PoisonError::into_inner).move_sweep();
    }

    fn on_evaluation(&self, point: &Point, n_done: usize, n: usize) {
        self.with_run(point, |run| {
            run.bar.set_message(format!("testing {n_done}/{n}{}", run.tested()));
        });
    }

    fn on_quantization(&self, point: &Point, what: &str, n_done: usize, n: usize) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let run = state.runs.entry(point.id.clone()).or_insert_with(|| {
            let bar = self.bars.add(ProgressBar::new(0));
            bar.set_style(run_style("samples"));
            bar.set_prefix(point.id.clone());
            Run::new(bar)
        });
        run.bar.set_length(n as u64);
        run.bar.set_position(n_done as u64);
        run.bar.set_message(what.to_owned());
    }

    fn on_count(&self, run: &str, n_done: usize, n: usize) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let counting = state.runs.entry(run.to_owned()).or_insert_with(|| {
            let bar = self.bars.add(ProgressBar::new(n as u64));
            bar.set_style(run_style("samples"));
            bar.set_prefix(run.to_owned());
            bar.set_message("counting operations");
            Run::new(bar)
        });
        counting.bar.set_position(n_done as u64);
        if n_done == n
            && let Some(run) = state.runs.remove(run)
        {
            run.bar.finish_and_clear();
            self.bars.remove(&run.bar);
        }
    }

    fn on_epoch_end(&self, point: &Point, record: &EpochRecord) {
        self.with_run(point, |run| {
            if run.tests.len() == SHOWN_EPOCHS {
                run.tests.pop_front();
            }
            run.tests.push_back(format!("{:.1}", 100.0 * record.test_accuracy));
        });
    }

    fn on_run_end(&self, point: &Point, end: &RunEnd<'_>) {
        {
            let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(run) = state.runs.remove(&point.id) {
                run.bar.finish_and_clear();
                self.bars.remove(&run.bar);
            }
            if let (Some(sweep), RunEnd::Over { .. }) = (&mut state.sweep, end) {
                sweep.n_over += 1;
            }
            state.move_sweep();
        }
        let id = &point.id;
        match end {
            RunEnd::Over { summary, has_checkpoint } => {
                match (summary.status, summary.final_test_accuracy) {
                    (Status::Diverged, _) => {
                        let cause = summary.cause.as_deref().unwrap_or("unknown");
                        let kept = if *has_checkpoint {
                            "the last checkpoint is kept"
                        } else {
                            "before its first checkpoint"
                        };
                        self.say(&format!("{id}: diverged: {cause}; {kept}"));
                    }
                    (Status::Finished, accuracy) => self.say(&format!(
                        "{id}: test accuracy {:.4} after {} epochs, {:.0} s",
                        accuracy.unwrap_or(f64::NAN),
                        summary.n_epochs,
                        summary.wall_time_s
                    )),
                }
            }
            RunEnd::Stopped => self.say(&format!("{id}: stopped; --resume goes on from here")),
            RunEnd::Failed(error) => self.say(&format!("{id}: failed: {error}")),
        }
    }
}

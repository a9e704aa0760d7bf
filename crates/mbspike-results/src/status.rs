//! How far a sweep is: what is done, what goes on, what failed, what remains.

use std::collections::BTreeMap;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::error::{Error, Result};
use crate::files::{
    CONFIG_FILE, FAILURE_FILE, Failure, METRICS_FILE, STATE_FILE, SUMMARY_FILE, read_json,
    read_summary, read_toml, sub_folders,
};
use crate::holder::{Holder, RunProgress};
use crate::lock::Lock;
use crate::plan::Plan;
use crate::record::{Record, Status, Summary};

/// How far a sweep is.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SweepStatus {
    /// Its name.
    pub name: String,
    /// Its folder.
    #[serde(serialize_with = "mbspike_files::serialize_path")]
    pub folder: PathBuf,
    /// How many runs there are of each state, in the order of [`RunState`]'s.
    pub counts: Counts,
    /// Seconds until all runs are over, if as many go on at once as now; unknown if none does or nothing is
    /// known of how long a run takes.
    pub left_s: Option<f64>,
    /// The runs, in the order of the sweep.
    pub runs: Vec<RunStatus>,
}

/// How many runs there are of each state.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Over, all epochs done.
    pub done: usize,
    /// At work.
    pub running: usize,
    /// Stopped or killed on the way.
    pub interrupted: usize,
    /// Over, as its numbers were no longer finite.
    pub diverged: usize,
    /// Ended by an error.
    pub failed: usize,
    /// Not begun.
    pub missing: usize,
}

/// How far a run is.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RunStatus {
    /// Name of its folder.
    pub id: String,
    /// The swept values: dotted key of the config to value.
    pub values: BTreeMap<String, serde_json::Value>,
    /// Which repeat it is, counted from 1.
    pub repeat: u32,
    /// How far.
    #[serde(flatten)]
    pub state: RunState,
}

/// The states of a run.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "state", rename_all = "kebab-case")]
pub enum RunState {
    /// All epochs are done.
    Done {
        /// Test accuracy after the last, in `0..=1`.
        test_accuracy: Option<f64>,
        /// How many there were.
        n_epochs: u64,
        /// Wall time in seconds.
        wall_time_s: f64,
    },
    /// A process is at it.
    Running {
        /// Which.
        #[serde(flatten)]
        at: At,
        /// How far it is; not known in its first seconds.
        progress: Option<RunProgress>,
    },
    /// It was stopped or killed, and goes on from its last checkpoint.
    Interrupted {
        /// How far it was.
        progress: RunProgress,
        /// Whether there is a checkpoint.
        has_checkpoint: bool,
    },
    /// Its numbers were no longer finite.
    Diverged {
        /// What was not, and when.
        cause: String,
        /// Epochs done.
        n_epochs: u64,
    },
    /// An error ended it.
    Failed {
        /// The first line of that.
        error: String,
        /// The machine that it happened on.
        host: String,
        /// Whether there is a checkpoint to go on from.
        has_checkpoint: bool,
    },
    /// It has not begun.
    Missing,
}

/// Where a run goes on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct At {
    /// The machine.
    pub host: String,
    /// The process.
    pub process: u32,
    /// The job of Slurm.
    pub job: Option<String>,
    /// Seconds since it gave a sign of life.
    pub silent_s: u64,
}

impl RunState {
    /// `done`, `running`, `interrupted`, `diverged`, `failed` or `missing`.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Done { .. } => "done",
            Self::Running { .. } => "running",
            Self::Interrupted { .. } => "interrupted",
            Self::Diverged { .. } => "diverged",
            Self::Failed { .. } => "failed",
            Self::Missing => "missing",
        }
    }

    /// Whether nothing is left to do of it.
    pub fn is_over(&self) -> bool {
        matches!(self, Self::Done { .. } | Self::Diverged { .. })
    }
}

impl SweepStatus {
    /// Reads how far the sweep in `folder` is. A folder of runs without a plan is the runs in it. Nothing
    /// is written there.
    ///
    /// # Errors
    /// If there is no sweep, or a file cannot be read or is damaged.
    pub fn read(folder: &Path) -> Result<Self> {
        let mut runs = Vec::new();
        let name = if let Some(plan) = Plan::read(folder)? {
            for run in plan.runs {
                let state = state_of(&folder.join(&run.id))?;
                runs.push(RunStatus { id: run.id, values: run.values, repeat: run.repeat, state });
            }
            plan.name
        } else {
            for run in sub_folders(folder)? {
                if run.join(CONFIG_FILE).is_file() {
                    runs.push(without_plan(&run)?);
                }
            }
            if runs.is_empty() {
                return Err(Error::NoSweep(folder.to_owned()));
            }
            folder.file_name().unwrap_or_default().to_string_lossy().into_owned()
        };
        let mut counts = Counts::default();
        for run in &runs {
            *match run.state {
                RunState::Done { .. } => &mut counts.done,
                RunState::Running { .. } => &mut counts.running,
                RunState::Interrupted { .. } => &mut counts.interrupted,
                RunState::Diverged { .. } => &mut counts.diverged,
                RunState::Failed { .. } => &mut counts.failed,
                RunState::Missing => &mut counts.missing,
            } += 1;
        }
        let left_s = left_s(&runs, &counts);
        Ok(Self { name, folder: folder.to_owned(), counts, left_s, runs })
    }

    /// Whether nothing is left to do.
    pub fn is_over(&self) -> bool {
        self.runs.iter().all(|run| run.state.is_over())
    }
}

/// Of a run that is in no plan.
fn without_plan(run: &Path) -> Result<RunStatus> {
    let id = run.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let state = state_of(run)?;
    let summary = run.join(SUMMARY_FILE);
    let (values, repeat) = if summary.is_file() {
        let Summary { values, repeat, .. } = read_summary(&summary)?;
        (values, repeat)
    } else {
        (BTreeMap::new(), 1)
    };
    Ok(RunStatus { id, values, repeat, state })
}

fn state_of(run: &Path) -> Result<RunState> {
    let summary = run.join(SUMMARY_FILE);
    if summary.is_file() {
        let summary = read_summary(&summary)?;
        let n_epochs = summary.n_epochs;
        return Ok(match summary.status {
            Status::Finished => RunState::Done {
                test_accuracy: summary.final_test_accuracy,
                n_epochs,
                wall_time_s: summary.wall_time_s,
            },
            Status::Diverged => RunState::Diverged {
                cause: summary.cause.unwrap_or_else(|| "unknown".to_owned()),
                n_epochs,
            },
        });
    }
    if !run.is_dir() {
        return Ok(RunState::Missing);
    }
    if let Some((holder, silent)) = Lock::holder(run)? {
        let Holder { host, process, job, progress, .. } = holder;
        let job = job.map(|job| job.name().to_owned());
        let progress = progress.map(|progress| RunProgress {
            left_s: progress.left_s.map(|left| (left - silent.as_secs_f64()).max(0.0)),
            ..progress
        });
        let at = At { host, process, job, silent_s: silent.as_secs() };
        return Ok(RunState::Running { at, progress });
    }
    let has_checkpoint = run.join(STATE_FILE).is_file();
    let failure = run.join(FAILURE_FILE);
    if failure.is_file() {
        let failure: Failure = read_json(&failure, "remove it; it is only a note")?;
        let error = failure.first_line().to_owned();
        return Ok(RunState::Failed { error, host: failure.host, has_checkpoint });
    }
    if !run.join(CONFIG_FILE).is_file() {
        return Ok(RunState::Missing);
    }
    Ok(RunState::Interrupted { progress: recorded(run)?, has_checkpoint })
}

/// Bytes at the end of a `metrics.jsonl` in which the last records are looked for.
const TAIL: u64 = 1 << 18;

/// How far a run was by its last records.
fn recorded(run: &Path) -> Result<RunProgress> {
    let config = read_toml(&run.join(CONFIG_FILE))?;
    let train = config.get("train").and_then(toml::Value::as_table);
    let n_epochs = train.and_then(|train| train.get("epochs")).and_then(toml::Value::as_integer);
    let mut progress =
        RunProgress { n_epochs: n_epochs.unwrap_or(0).max(0) as u64, ..RunProgress::default() };
    let metrics = run.join(METRICS_FILE);
    if !metrics.is_file() {
        return Ok(progress);
    }
    let mut file = fs_err::File::open(&metrics)?;
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(TAIL)))?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    // The first line may be cut in front, and the last one behind.
    for record in
        bytes.split(|byte| *byte == b'\n').filter_map(|line| serde_json::from_slice(line).ok())
    {
        match record {
            Record::Window(window) => {
                progress.epoch = window.epoch;
                progress.iteration = window.iteration;
                progress.train_accuracy = Some(window.train_accuracy);
            }
            Record::Epoch(epoch) => {
                progress.epoch = epoch.epoch;
                progress.iteration = epoch.iteration;
                progress.train_accuracy = Some(epoch.train_accuracy);
                progress.test_accuracy = Some(epoch.test_accuracy);
            }
        }
    }
    Ok(progress)
}

/// Seconds until all runs are over, if as many go on at once as now.
fn left_s(runs: &[RunStatus], counts: &Counts) -> Option<f64> {
    if counts.running == 0 {
        return None;
    }
    let done: Vec<f64> = runs
        .iter()
        .filter_map(|run| match run.state {
            RunState::Done { wall_time_s, .. } => Some(wall_time_s),
            _ => None,
        })
        .collect();
    let left: Vec<f64> = runs
        .iter()
        .filter_map(|run| match &run.state {
            RunState::Running { progress, .. } => progress.as_ref()?.left_s,
            _ => None,
        })
        .collect();
    let mean = |values: &[f64]| {
        (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
    };
    // Runs that have not begun take as long as those that are done; before there are such, at least as
    // long as those at hand still do.
    let whole = mean(&done).or_else(|| mean(&left))?;
    let to_begin = (counts.missing + counts.interrupted + counts.failed) as f64 * whole;
    let at_hand = left.iter().sum::<f64>() + (counts.running - left.len()) as f64 * whole;
    Some((to_begin + at_hand) / counts.running as f64)
}

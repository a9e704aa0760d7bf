//! Sweeps on a cluster with Slurm: rounds of job arrays, until all runs are over.
//!
//! A round is an array, each task of which has some of the runs that are not over, and a job that follows
//! it, which looks at the run folder and submits the next round, or collects. What goes on is in Slurm's
//! queue, what is done in the run folder; there is nothing else. `<sweep>/slurm/` holds the scripts, the
//! logs, and `rounds.json`, which says what was submitted.

mod error;
mod queue;
mod script;
mod settings;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use mbspike_core::DeviceName;
use mbspike_results::status::{RunState, RunStatus, SweepStatus};
use mbspike_results::{Lock, read_json, write_json};
use serde::{Deserialize, Serialize};

use crate::run::plan_sweep;
use crate::sweep::Sweep;

pub use error::{Error, FOLDER};
pub use script::TO_GO_ON;
pub use settings::{Place, Settings};

/// What was submitted.
const ROUNDS_FILE: &str = "rounds.json";
/// Tasks of an array where Slurm does not say: its own default.
const MOST_TASKS: usize = 1000;
/// Rounds in a row without progress after which a run is given up.
const MOST_STALLS: u32 = 3;

/// What was submitted of a sweep.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Submitted {
    name: String,
    settings: Settings,
    place: Place,
    rounds: Vec<Round>,
    /// Runs that the last rounds did not bring further.
    stalls: BTreeMap<String, Stall>,
}

/// One array.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Round {
    /// Its number in Slurm; `None` if its script was only written.
    array: Option<String>,
    /// The number of the job that follows it.
    next: Option<String>,
    /// The runs of each task.
    tasks: Vec<Vec<String>>,
}

/// How far a run was when it was submitted, and how often that was so.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Stall {
    iteration: u64,
    has_checkpoint: bool,
    n: u32,
}

/// What became of a request to submit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Submission {
    /// The script of the array; `None` if there was nothing to submit.
    #[serde(serialize_with = "mbspike_files::serialize_optional_path")]
    pub array_script: Option<PathBuf>,
    /// The script of the job that follows it.
    #[serde(serialize_with = "mbspike_files::serialize_optional_path")]
    pub next_script: Option<PathBuf>,
    /// The array's number; `None` if it was not submitted.
    pub array: Option<String>,
    /// The number of the job that follows it.
    pub next: Option<String>,
    /// Tasks of the array.
    pub n_tasks: usize,
    /// Runs in them.
    pub n_runs: usize,
    /// Runs that are over.
    pub n_over: usize,
    /// Runs that wait in the queue or are at work.
    pub n_queued: usize,
    /// Runs that are not submitted again: they failed, or made no progress in several rounds.
    pub given_up: Vec<String>,
}

impl Submission {
    /// Whether nothing was submitted, and nothing waits or is at work.
    pub fn is_end(&self) -> bool {
        self.n_runs == 0 && self.n_queued == 0
    }
}

/// Plans a sweep in `out`, writes the scripts of a round of what is missing of it, and, if `submits`, sends
/// them. What waits in the queue or is at work is not missing; what failed is.
///
/// # Errors
/// If the folder holds another experiment, settings are wrong, or Slurm refuses.
pub fn submit(
    sweep: &Sweep,
    out: &Path,
    device: DeviceName,
    settings: &Settings,
    program: &Path,
    submits: bool,
) -> Result<Submission, Error> {
    settings.check().map_err(|message| Error::Settings { place: "slurm".to_owned(), message })?;
    plan_sweep(sweep, out, device)?;
    let folder = fs_err::canonicalize(out.join(&sweep.name))?;
    let place = Place {
        program: fs_err::canonicalize(program)?,
        work: std::env::current_dir()?,
        folder: folder.clone(),
        device: device.to_string(),
    };
    for path in [&place.program, &place.work, &place.folder] {
        if path.to_str().is_none_or(|path| path.contains(['\n', '\r', '"'])) {
            return Err(Error::Path(path.clone()));
        }
    }
    fs_err::create_dir_all(folder.join(FOLDER))?;
    let _lock = Lock::wait(&folder.join(FOLDER))?;
    let before = Submitted::read(&folder)?;
    let rounds = Submitted {
        name: sweep.name.clone(),
        settings: settings.clone(),
        place,
        rounds: before.map_or_else(Vec::new, |before| before.rounds),
        stalls: BTreeMap::new(),
    };
    rounds.submit(submits, true)
}

/// Goes on with a sweep that was submitted: with a round of what is not over and has made progress.
///
/// # Errors
/// If none was submitted from `folder`, or Slurm refuses.
pub fn go_on(folder: &Path) -> Result<Submission, Error> {
    let rounds_folder = folder.join(FOLDER);
    if !rounds_folder.is_dir() {
        return Err(Error::NotSubmitted(folder.to_owned()));
    }
    let _lock = Lock::wait(&rounds_folder)?;
    let rounds = Submitted::read(folder)?.ok_or_else(|| Error::NotSubmitted(folder.to_owned()))?;
    rounds.submit(true, false)
}

impl Submitted {
    fn read(folder: &Path) -> Result<Option<Self>, Error> {
        let path = folder.join(FOLDER).join(ROUNDS_FILE);
        if !path.is_file() {
            return Ok(None);
        }
        let remedy = "remove it, after the jobs of the sweep have ended or been cancelled";
        Ok(Some(read_json(&path, remedy)?))
    }

    fn write(&self) -> Result<(), Error> {
        Ok(write_json(&self.place.folder.join(FOLDER).join(ROUNDS_FILE), self)?)
    }

    /// The runs that wait in the queue or are in a task that runs.
    fn queued(&self) -> Result<BTreeSet<&str>, Error> {
        let tasks = queue::tasks()?;
        let mut queued = BTreeSet::new();
        for round in &self.rounds {
            let Some(array) = &round.array else { continue };
            for (i, runs) in round.tasks.iter().enumerate() {
                if tasks.contains(&(array.clone(), i + 1)) {
                    queued.extend(runs.iter().map(String::as_str));
                }
            }
        }
        Ok(queued)
    }

    fn submit(mut self, submits: bool, takes_failed: bool) -> Result<Submission, Error> {
        let status = SweepStatus::read(&self.place.folder)?;
        let queued: BTreeSet<String> = if submits {
            self.queued()?.into_iter().map(ToOwned::to_owned).collect()
        } else {
            BTreeSet::new()
        };
        let mut result = Submission {
            array_script: None,
            next_script: None,
            array: None,
            next: None,
            n_tasks: 0,
            n_runs: 0,
            n_over: 0,
            n_queued: 0,
            given_up: vec![],
        };
        let mut runs = Vec::new();
        for run in &status.runs {
            if run.state.is_over() {
                self.stalls.remove(&run.id);
                result.n_over += 1;
            } else if queued.contains(&run.id) || matches!(run.state, RunState::Running { .. }) {
                result.n_queued += 1;
            } else if (matches!(run.state, RunState::Failed { .. }) && !takes_failed)
                || self.is_stalled(run)
            {
                result.given_up.push(run.id.clone());
            } else {
                runs.push(run.id.clone());
            }
        }
        if runs.is_empty() {
            self.write()?;
            return Ok(result);
        }
        let most = if submits { queue::most_tasks() } else { None }.unwrap_or(MOST_TASKS);
        let per_task = self.settings.runs_per_task.unwrap_or(1) as usize;
        let per_task = per_task.max(runs.len().div_ceil(most));
        let tasks: Vec<Vec<String>> = runs.chunks(per_task).map(<[String]>::to_vec).collect();
        result.n_runs = runs.len();
        result.n_tasks = tasks.len();
        let number = self.rounds.len() as u32 + 1;
        let file = |kind: &str| {
            let name = format!("round-{number:04}{kind}");
            self.place.folder.join(FOLDER).join(name)
        };
        let (list, array, next) = (file(".txt"), file(".sh"), file("-next.sh"));
        let lines: Vec<String> = tasks.iter().map(|runs| runs.join(",")).collect();
        write(&list, &(lines.join("\n") + "\n"))?;
        let text =
            script::array(&self.name, &self.settings, &self.place, number, tasks.len(), &list);
        write(&array, &text)?;
        write(&next, &script::next(&self.name, &self.settings, &self.place, number))?;
        self.rounds.push(Round { array: None, next: None, tasks });
        self.write()?;
        if submits {
            let job = queue::submit(&array, None)?;
            self.last().array = Some(job.clone());
            // So that it is known also if the other is refused.
            self.write()?;
            let next_job = queue::submit(&next, Some(&job))?;
            self.last().next = Some(next_job.clone());
            self.write()?;
            (result.array, result.next) = (Some(job), Some(next_job));
        }
        (result.array_script, result.next_script) = (Some(array), Some(next));
        Ok(result)
    }

    fn last(&mut self) -> &mut Round {
        self.rounds.last_mut().expect("a round was just added")
    }

    /// Whether rounds do not bring a run further: it is killed before its first checkpoint, say, as its
    /// memory or its time is too short.
    fn is_stalled(&mut self, run: &RunStatus) -> bool {
        let (iteration, has_checkpoint) = match &run.state {
            RunState::Interrupted { progress, has_checkpoint } => {
                (progress.iteration, *has_checkpoint)
            }
            RunState::Failed { has_checkpoint, .. } => (0, *has_checkpoint),
            _ => (0, false),
        };
        let n = match self.stalls.get(&run.id) {
            Some(stall)
                if (stall.iteration, stall.has_checkpoint) == (iteration, has_checkpoint) =>
            {
                stall.n + 1
            }
            _ => 0,
        };
        self.stalls.insert(run.id.clone(), Stall { iteration, has_checkpoint, n });
        n >= MOST_STALLS
    }
}

fn write(path: &Path, text: &str) -> Result<(), Error> {
    Ok(mbspike_files::write(path, |file| file.write_all(text.as_bytes()))?)
}

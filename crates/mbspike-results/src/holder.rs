//! Who holds the right to write to a folder, and whether it still lives.

use std::collections::BTreeSet;
use std::fmt;
use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// A process that writes to a folder, as its lease says.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Holder {
    /// A text that no other lease has.
    pub(crate) token: String,
    /// The name of its machine.
    pub host: String,
    /// Its number there.
    pub process: u32,
    /// When it started, in ticks of that machine: numbers are used again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    started: Option<u64>,
    /// Where its number means something: the machine since it was switched on, and which of its tables of
    /// processes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    space: Option<String>,
    /// The job of Slurm that it belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub job: Option<Job>,
    /// Since when, in seconds of 1970 on its clock.
    pub since_s: u64,
    /// How far its run is, as of its last sign of life.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub progress: Option<RunProgress>,
}

/// A job of Slurm.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Job {
    /// The name of the cluster.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cluster: Option<String>,
    /// Its number; each task of an array has one.
    pub id: String,
    /// The array and the task in it, as Slurm shows them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task: Option<String>,
    /// How often it was started anew.
    #[serde(default)]
    pub restarts: u32,
}

/// How far a run at work is.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct RunProgress {
    /// The epoch at hand, counted from 1.
    pub epoch: u64,
    /// Epochs in all.
    pub n_epochs: u64,
    /// Iterations done.
    pub iteration: u64,
    /// Train accuracy over the epoch so far, in `0..=1`.
    pub train_accuracy: Option<f64>,
    /// Test accuracy after the last epoch done.
    pub test_accuracy: Option<f64>,
    /// Seconds that the run will still take.
    pub left_s: Option<f64>,
}

/// What is known of a holder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Life {
    /// It lives.
    Alive,
    /// It is gone.
    Dead,
    /// It is on another machine, which does not tell.
    Unknown,
}

static N_LEASES: AtomicU64 = AtomicU64::new(0);

impl Holder {
    /// This process.
    pub(crate) fn here() -> Self {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let (host, process, space) = (host(), std::process::id(), space());
        let n = N_LEASES.fetch_add(1, Ordering::Relaxed);
        let text = format!("{host} {process} {space:?} {} {n}", now.as_nanos());
        Self {
            token: hex::encode(&Sha256::digest(text)[..12]),
            started: started(process),
            space,
            host,
            process,
            job: Job::here(),
            since_s: now.as_secs(),
            progress: None,
        }
    }

    /// Whether the holder lives, as far as this process can tell.
    pub(crate) fn life(&self) -> Life {
        self.life_unless(false)
    }

    /// As [`Holder::life`], but of another machine's process that was heard of just now Slurm is not asked.
    pub(crate) fn life_unless(&self, is_heard_of: bool) -> Life {
        if self.space.is_some() && self.space == space() {
            // This process may have given up a lease that it could not remove.
            if self.process == std::process::id() && !held().contains(&self.token) {
                return Life::Dead;
            }
            // The number may be another process by now.
            return if lives(self.process) && started(self.process) == self.started {
                Life::Alive
            } else {
                Life::Dead
            };
        }
        match &self.job {
            Some(job) if !is_heard_of => job.life(),
            _ => Life::Unknown,
        }
    }
}

/// The tokens of the leases that this process holds.
fn held() -> MutexGuard<'static, BTreeSet<String>> {
    static HELD: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());
    HELD.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A holder's hold on its lease, from before the lease is made until it is given up.
#[derive(Debug)]
pub(crate) struct Hold(String);

impl Hold {
    pub(crate) fn new(holder: &Holder) -> Self {
        held().insert(holder.token.clone());
        Self(holder.token.clone())
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        held().remove(&self.0);
    }
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "process {} on {}", self.process, self.host)?;
        match &self.job {
            Some(job) => write!(f, " (Slurm job {})", job.name()),
            None => Ok(()),
        }
    }
}

impl Job {
    /// The job that this process belongs to, from the environment that Slurm sets.
    fn here() -> Option<Self> {
        let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        let id = variable("SLURM_JOB_ID")?;
        let array = variable("SLURM_ARRAY_JOB_ID").zip(variable("SLURM_ARRAY_TASK_ID"));
        Some(Self {
            cluster: variable("SLURM_CLUSTER_NAME"),
            id,
            task: array.map(|(array, task)| format!("{array}_{task}")),
            restarts: variable("SLURM_RESTART_COUNT").and_then(|n| n.parse().ok()).unwrap_or(0),
        })
    }

    /// As Slurm shows it: of an array, the array and the task.
    pub fn name(&self) -> &str {
        self.task.as_deref().unwrap_or(&self.id)
    }

    fn life(&self) -> Life {
        if let Some(here) = Self::here()
            && here.id == self.id
            && here.cluster == self.cluster
            && here.restarts > self.restarts
        {
            return Life::Dead;
        }
        if self.cluster.is_none() || self.cluster.as_ref() != cluster() {
            return Life::Unknown;
        }
        let answer = Command::new("squeue")
            .args(["--noheader", "--states=all", "--format=%t", "--jobs", &self.id])
            .output();
        let Ok(answer) = answer else { return Life::Unknown };
        let state = String::from_utf8_lossy(&answer.stdout);
        if answer.status.success() {
            return life_of_state(state.trim());
        }
        // It was forgotten: it is over since some minutes.
        let is_forgotten = String::from_utf8_lossy(&answer.stderr).contains("Invalid job id");
        if is_forgotten { Life::Dead } else { Life::Unknown }
    }
}

/// What a job's state, in the letters of Slurm, says of its processes: nothing where it is waiting, as one
/// that is to start anew does, before and after its end.
fn life_of_state(state: &str) -> Life {
    match state {
        "R" | "CG" | "S" | "ST" | "SI" | "SO" | "CF" | "RS" => Life::Alive,
        "" | "BF" | "CA" | "CD" | "DL" | "F" | "NF" | "OOM" | "PR" | "TO" | "PD" | "RQ" | "RH"
        | "RD" | "SE" | "RF" => Life::Dead,
        _ => Life::Unknown,
    }
}

/// The name of the cluster that the commands of Slurm here speak to.
fn cluster() -> Option<&'static String> {
    static CLUSTER: OnceLock<Option<String>> = OnceLock::new();
    let asked = || {
        if let Ok(name) = std::env::var("SLURM_CLUSTER_NAME") {
            return Some(name);
        }
        let answer = Command::new("scontrol").args(["show", "config"]).output().ok()?;
        let text = String::from_utf8_lossy(&answer.stdout).into_owned();
        let line = text.lines().find(|line| line.starts_with("ClusterName"))?;
        Some(line.split_once('=')?.1.trim().to_owned())
    };
    CLUSTER.get_or_init(asked).as_ref()
}

#[cfg(unix)]
fn host() -> String {
    let name = nix::unistd::gethostname().map(|name| name.to_string_lossy().into_owned());
    name.unwrap_or_else(|_| "unknown".to_owned())
}

#[cfg(not(unix))]
fn host() -> String {
    std::env::var("COMPUTERNAME").unwrap_or_else(|_| "unknown".to_owned())
}

/// Where the number of this process means something; unknown where the system does not say.
fn space() -> Option<String> {
    let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    let table = std::fs::read_link("/proc/self/ns/pid").ok()?;
    // A machine's name is its own in a container or a namespace; who has another is another machine.
    Some(format!("{} {} {}", boot.trim(), table.display(), host()))
}

/// When a process started, in ticks since the machine did; `None` if it is gone, or not known.
fn started(process: u32) -> Option<u64> {
    let (state, started) = stat(process)?;
    (!is_over(&state)).then_some(started)
}

fn lives(process: u32) -> bool {
    stat(process).is_some_and(|(state, _)| !is_over(&state))
}

/// Whether a process of that state has ended, and only its number is kept.
fn is_over(state: &str) -> bool {
    matches!(state, "Z" | "X" | "x")
}

/// State and start of a process.
fn stat(process: u32) -> Option<(String, u64)> {
    let text = std::fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    // Its name, in brackets, may have blanks and brackets in it.
    let fields: Vec<&str> = text.rsplit_once(')')?.1.split_whitespace().collect();
    let started = fields.get(19)?.parse().ok()?;
    Some(((*fields.first()?).to_owned(), started))
}

#[cfg(test)]
mod tests {
    use super::{Hold, Holder, Job, Life, life_of_state};

    #[test]
    #[cfg(target_os = "linux")]
    fn a_process_of_this_machine_is_known_to_live_or_to_be_gone() {
        let here = Holder::here();
        let hold = Hold::new(&here);
        assert_eq!(here.life(), Life::Alive);
        drop(hold);
        assert_eq!(here.life(), Life::Dead, "what it gave up and could not remove");
        let hold = Hold::new(&here);
        let used_again = Holder { started: Some(1), ..here.clone() };
        assert_eq!(used_again.life(), Life::Dead, "its number is another process now");
        let mut child = std::process::Command::new("true").spawn().unwrap();
        let gone = Holder { process: child.id(), ..here.clone() };
        while gone.life() == Life::Alive {
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
        assert_eq!(gone.life(), Life::Dead, "also before anybody has waited for it");
        child.wait().unwrap();
        assert_eq!(gone.life(), Life::Dead);
        drop(hold);
        let elsewhere = Holder { space: Some("another machine".to_owned()), ..here };
        assert_eq!(Holder { job: None, ..elsewhere }.life(), Life::Unknown);
    }

    #[test]
    fn a_job_that_waits_to_start_anew_has_no_process_and_an_unknown_state_says_nothing() {
        assert_eq!([life_of_state("R"), life_of_state("CG")], [Life::Alive; 2]);
        assert_eq!(["CA", "NF", "TO", "PD", ""].map(life_of_state), [Life::Dead; 5]);
        assert_eq!(life_of_state("new letters"), Life::Unknown);
        let job =
            Job { cluster: None, id: "12".to_owned(), task: Some("10_2".to_owned()), restarts: 0 };
        assert_eq!((job.name(), job.life()), ("10_2", Life::Unknown), "of a cluster not known");
    }
}

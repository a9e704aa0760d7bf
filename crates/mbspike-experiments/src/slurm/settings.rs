//! What a sweep asks of Slurm: the table `[slurm]` of a TOML file, and what is asked for beside it.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::error::Error;

/// What the tasks of a sweep need, and how they go on. What is not said is left to Slurm.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// The partition.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub partition: Option<String>,
    /// The account to charge.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub account: Option<String>,
    /// The quality of service.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub qos: Option<String>,
    /// The features that nodes must have.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub constraint: Option<String>,
    /// The time limit of a task, as Slurm writes it: `30`, `4:00:00`, `2-12`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub time: Option<String>,
    /// The memory of a task, as Slurm writes it: `4G`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory: Option<String>,
    /// The cores of a task.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpus: Option<u32>,
    /// The GPUs of a task.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gpus: Option<u32>,
    /// Tasks that run at once, at most.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub throttle: Option<u32>,
    /// Runs of a task, one after the other; 1 if it is not said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub runs_per_task: Option<u32>,
    /// Runs of a task that go on at once, sharing its cores; 1 if it is not said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub jobs: Option<u32>,
    /// Seconds before the time limit at which a task is told to save and end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub signal_before_s: Option<u32>,
    /// Whether a task that is not done is put into the queue again at once, and not with the next round.
    pub requeue: bool,
    /// The time limit of the job that follows each round, to submit the next or to collect.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_time: Option<String>,
    /// Its memory.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_memory: Option<String>,
    /// Options of `sbatch` for the tasks, as in `--mail-type=END`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub lines: Vec<String>,
    /// Lines of shell before the program is started, as in `module load cuda`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub setup: Vec<String>,
}

/// Time to save and end in: reading the device, a checkpoint, and a file system that is busy.
const SIGNAL_BEFORE_S: u32 = 120;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    slurm: Settings,
}

impl Settings {
    /// The table `[slurm]` of a file, which has nothing else.
    ///
    /// # Errors
    /// If the file cannot be read, or says something that Slurm does not understand.
    pub fn read(path: &Path) -> Result<Self, Error> {
        let text = fs_err::read_to_string(path)?;
        let fail = |message: String| Error::Settings { place: path.display().to_string(), message };
        let file: File = toml::from_str(&text).map_err(|error| {
            let line = error.span().map(|span| 1 + text[..span.start].matches('\n').count());
            let place = line.map_or_else(String::new, |line| format!("line {line}: "));
            fail(format!("{place}{}", error.message()))
        })?;
        file.slurm.check().map_err(fail)?;
        Ok(file.slurm)
    }

    /// Takes what `other` says over what this says.
    #[must_use]
    pub fn with(self, other: Self) -> Self {
        let Self { lines, setup, .. } = self;
        Self {
            partition: other.partition.or(self.partition),
            account: other.account.or(self.account),
            qos: other.qos.or(self.qos),
            constraint: other.constraint.or(self.constraint),
            time: other.time.or(self.time),
            memory: other.memory.or(self.memory),
            cpus: other.cpus.or(self.cpus),
            gpus: other.gpus.or(self.gpus),
            throttle: other.throttle.or(self.throttle),
            runs_per_task: other.runs_per_task.or(self.runs_per_task),
            jobs: other.jobs.or(self.jobs),
            signal_before_s: other.signal_before_s.or(self.signal_before_s),
            requeue: other.requeue || self.requeue,
            next_time: other.next_time.or(self.next_time),
            next_memory: other.next_memory.or(self.next_memory),
            lines: [lines, other.lines].concat(),
            setup: [setup, other.setup].concat(),
        }
    }

    /// Says what Slurm would not understand, or what would be another line of a script.
    pub(super) fn check(&self) -> Result<(), String> {
        let words = [
            ("partition", &self.partition),
            ("account", &self.account),
            ("qos", &self.qos),
            ("constraint", &self.constraint),
            ("time", &self.time),
            ("memory", &self.memory),
            ("next_time", &self.next_time),
            ("next_memory", &self.next_memory),
        ];
        for (key, value) in words {
            let Some(value) = value else { continue };
            if value.is_empty()
                || value.contains(|c: char| {
                    c.is_whitespace() || c.is_control() || c == '\'' || c == '"'
                })
            {
                return Err(format!(
                    "slurm.{key}: `{value}` has blanks or quotes in it, or is empty"
                ));
            }
            if key.ends_with("time") && !is_time(value) {
                return Err(format!(
                    "slurm.{key}: `{value}` is no time limit: minutes, hours:minutes:seconds or days-hours, as \
                     in 30, 4:00:00, 2-12"
                ));
            }
            if key.ends_with("memory") && !is_memory(value) {
                return Err(format!(
                    "slurm.{key}: `{value}` is no memory: a number with K, M, G or T, as in 4G"
                ));
            }
        }
        let counts = [
            ("cpus", self.cpus),
            ("throttle", self.throttle),
            ("runs_per_task", self.runs_per_task),
            ("jobs", self.jobs),
            ("signal_before_s", self.signal_before_s),
        ];
        if let Some((key, _)) = counts.into_iter().find(|(_, count)| *count == Some(0)) {
            return Err(format!("slurm.{key}: must be at least 1"));
        }
        if self.signal_before_s > Some(65535) {
            return Err("slurm.signal_before_s: Slurm takes at most 65535".to_owned());
        }
        for line in &self.lines {
            if !line.starts_with('-') || line.contains('\n') {
                return Err(format!(
                    "slurm.lines: `{line}` is no option of sbatch, as in --mail-type=END"
                ));
            }
            let name = line.split(['=', ' ']).next().unwrap_or_default();
            if OURS.contains(&name) {
                return Err(format!("slurm.lines: `{name}` is set by this program"));
            }
        }
        Ok(())
    }

    pub(super) fn signal_before_s(&self) -> u32 {
        self.signal_before_s.unwrap_or(SIGNAL_BEFORE_S)
    }
}

/// Options of `sbatch` without which the rounds would not go on.
const OURS: [&str; 9] =
    ["--array", "-a", "--signal", "--output", "-o", "--open-mode", "--chdir", "-D", "--requeue"];

/// Whether Slurm takes a text for a time: `M`, `M:S`, `H:M:S`, `D-H`, `D-H:M`, `D-H:M:S`.
fn is_time(text: &str) -> bool {
    let (days, rest) = match text.split_once('-') {
        Some((days, rest)) => (Some(days), rest),
        None => (None, text),
    };
    let parts: Vec<&str> = days.into_iter().chain(rest.split(':')).collect();
    let are_numbers =
        parts.iter().all(|part| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit()));
    are_numbers && rest.split(':').count() <= 3
}

fn is_memory(text: &str) -> bool {
    let number = text.trim_end_matches(['K', 'M', 'G', 'T']);
    text.len() - number.len() <= 1
        && !number.is_empty()
        && number.bytes().all(|b| b.is_ascii_digit())
}

/// A round's program and folders, as its scripts name them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// The program, by its whole path.
    #[serde(serialize_with = "mbspike_files::serialize_path")]
    pub program: PathBuf,
    /// The folder that tasks are started in: paths in the config are relative to it.
    #[serde(serialize_with = "mbspike_files::serialize_path")]
    pub work: PathBuf,
    /// The sweep's folder, by its whole path.
    #[serde(serialize_with = "mbspike_files::serialize_path")]
    pub folder: PathBuf,
    /// The device to compute on.
    pub device: String,
}

#[cfg(test)]
mod tests {
    use super::{Settings, is_memory, is_time};

    #[test]
    fn times_and_memory_are_what_slurm_takes() {
        assert!(["30", "1:30", "4:00:00", "2-12", "1-0:30", "1-2:3:4"].into_iter().all(is_time));
        assert!(!["", "4h", "1:2:3:4", "-1", "1-", "inf inity"].into_iter().any(is_time));
        assert!(["4000", "4G", "512M"].into_iter().all(is_memory));
        assert!(!["", "G", "4GB", "4 G", "-1"].into_iter().any(is_memory));
    }

    #[test]
    fn a_wrong_setting_is_named_with_its_file_and_line() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("cluster.toml");
        let error = |text: &str| {
            std::fs::write(&file, text).unwrap();
            Settings::read(&file).unwrap_err().to_string()
        };
        let message = error("[slurm]\ntime = \"1:00\"\npartion = \"gpu\"\n");
        assert!(message.contains("cluster.toml: line 3: unknown field `partion`"), "{message}");
        assert!(error("[slurm]\ntime = \"4h\"\n").contains("slurm.time: `4h` is no time limit"));
        assert!(
            error("[slurm]\nlines = [\"--array=1-3\"]\n")
                .contains("`--array` is set by this program")
        );
        assert!(error("[slurm]\npartition = \"a b\"\n").contains("slurm.partition"));
    }

    #[test]
    fn what_is_typed_counts_more_than_the_file() {
        let file = Settings {
            time: Some("1:00:00".to_owned()),
            cpus: Some(4),
            lines: vec!["--exclusive".to_owned()],
            ..Settings::default()
        };
        let typed =
            Settings { cpus: Some(8), lines: vec!["--nice".to_owned()], ..Settings::default() };
        let both = file.with(typed);
        assert_eq!((both.cpus, both.time.as_deref()), (Some(8), Some("1:00:00")));
        assert_eq!(both.lines, ["--exclusive", "--nice"]);
    }
}

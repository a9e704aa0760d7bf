use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;
use mbspike_core::DeviceName;
use mbspike_experiments::slurm::{self, Settings, Submission};
use mbspike_experiments::sweep::Sweep;
use mbspike_results::status::SweepStatus;
use serde_json::json;

use super::{collect, print_json, text_of};
use crate::printer;

#[derive(Debug, clap::Args)]
pub struct SlurmArgs {
    /// The config, as for `run`.
    #[arg(required_unless_present = "go_on")]
    pub config: Option<PathBuf>,
    /// Set a key of the config, as for `run`.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub settings: Vec<String>,
    /// The folder that holds the folders of runs, which all nodes see.
    #[arg(long, value_name = "DIR", default_value = "runs")]
    pub out: PathBuf,
    /// Submit what is missing; without this, only write the scripts.
    #[arg(long)]
    pub submit: bool,
    /// Go on with what was submitted from this folder of a sweep: with the next round, or by collecting.
    /// The job that follows a round does this.
    #[arg(long = "continue", value_name = "DIR", conflicts_with_all = ["config", "submit"])]
    pub go_on: Option<PathBuf>,
    /// What to compute on; cuda where the tasks have GPUs, else cpu, without it.
    #[arg(long, value_name = "DEVICE")]
    pub device: Option<DeviceName>,
    /// A TOML file with a table `[slurm]` of what follows; what is typed counts more.
    #[arg(long, value_name = "FILE")]
    pub cluster: Option<PathBuf>,
    /// The partition.
    #[arg(long, value_name = "NAME")]
    pub partition: Option<String>,
    /// The account to charge.
    #[arg(long, value_name = "NAME")]
    pub account: Option<String>,
    /// The quality of service.
    #[arg(long, value_name = "NAME")]
    pub qos: Option<String>,
    /// The features that nodes must have.
    #[arg(long, value_name = "FEATURES")]
    pub constraint: Option<String>,
    /// The time limit of a task, as in 30 (minutes), 4:00:00, 2-12 (days-hours).
    #[arg(long, value_name = "TIME")]
    pub time: Option<String>,
    /// The memory of a task, as in 4G.
    #[arg(long, value_name = "SIZE")]
    pub memory: Option<String>,
    /// The cores of a task.
    #[arg(long, value_name = "N")]
    pub cpus: Option<u32>,
    /// The GPUs of a task.
    #[arg(long, value_name = "N")]
    pub gpus: Option<u32>,
    /// Tasks that run at once, at most.
    #[arg(long, value_name = "K")]
    pub throttle: Option<u32>,
    /// Runs of a task, one after the other. [default: 1]
    #[arg(long, value_name = "N")]
    pub runs_per_task: Option<u32>,
    /// Runs of a task that go on at once, sharing its cores. [default: 1]
    #[arg(long, value_name = "N")]
    pub jobs: Option<u32>,
    /// Seconds before the time limit at which a task is told to save and end. [default: 120]
    #[arg(long, value_name = "SECONDS")]
    pub signal_before: Option<u32>,
    /// Put a task that is not done into the queue again at once, and not with the next round.
    #[arg(long)]
    pub requeue: bool,
    /// Another option of sbatch for the tasks, as in --line=--mail-type=END.
    #[arg(long = "line", value_name = "OPTION", allow_hyphen_values = true)]
    pub lines: Vec<String>,
    /// A line of shell before the program is started, as in --setup='module load cuda'.
    #[arg(long, value_name = "LINE")]
    pub setup: Vec<String>,
    /// Print what was done as JSON.
    #[arg(long)]
    pub json: bool,
}

impl SlurmArgs {
    /// What is asked of Slurm.
    fn asked(&self) -> anyhow::Result<Settings> {
        let file = self.cluster.as_deref().map(Settings::read).transpose()?.unwrap_or_default();
        Ok(file.with(Settings {
            partition: self.partition.clone(),
            account: self.account.clone(),
            qos: self.qos.clone(),
            constraint: self.constraint.clone(),
            time: self.time.clone(),
            memory: self.memory.clone(),
            cpus: self.cpus,
            gpus: self.gpus,
            throttle: self.throttle,
            runs_per_task: self.runs_per_task,
            jobs: self.jobs,
            signal_before_s: self.signal_before,
            requeue: self.requeue,
            lines: self.lines.clone(),
            setup: self.setup.clone(),
            ..Settings::default()
        }))
    }
}

pub fn slurm(args: &SlurmArgs) -> anyhow::Result<ExitCode> {
    if let Some(folder) = &args.go_on {
        return go_on(folder, args.json);
    }
    let config = args.config.as_deref().unwrap_or(Path::new(""));
    let sweep = Sweep::read(config, &args.settings)?;
    let asked = args.asked()?;
    let device = match args.device {
        Some(device) => device,
        None if asked.gpus.is_some_and(|n| n > 0) => DeviceName::Cuda(0),
        None => DeviceName::Cpu,
    };
    let program = std::env::current_exe().context("cannot find this program")?;
    let submission = slurm::submit(&sweep, &args.out, device, &asked, &program, args.submit)?;
    print(&submission, &[], args.json)?;
    Ok(ExitCode::SUCCESS)
}

/// The next round; after the last, what is over is collected.
fn go_on(folder: &Path, json: bool) -> anyhow::Result<ExitCode> {
    let submission = slurm::go_on(folder)?;
    if !submission.is_end() {
        print(&submission, &[], json)?;
        return Ok(ExitCode::SUCCESS);
    }
    let files = collect::files(folder, false)?;
    print(&submission, &files, json)?;
    collect::complain(&SweepStatus::read(folder)?);
    Ok(if submission.given_up.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn print(submission: &Submission, files: &[PathBuf], json: bool) -> anyhow::Result<()> {
    if json {
        let files: Vec<_> = files.iter().map(text_of).collect();
        return print_json(&json!({"submission": submission, "files": files}));
    }
    let Submission { n_tasks, n_runs, n_over, n_queued, .. } = submission;
    printer::line(format_args!(
        "{n_over} runs are over, {n_queued} wait or are at work, {n_runs} in {n_tasks} tasks of a new round"
    ))?;
    match (submission, &submission.array_script, &submission.next_script) {
        (Submission { array: Some(array), next: Some(next), .. }, ..) => {
            printer::line(format_args!("submitted: array {array}, followed by job {next}"))?;
        }
        (_, Some(array), Some(next)) => {
            let (array, next) = (array.display(), next.display());
            printer::line(format_args!(
                "written, not submitted (--submit does that): {array}, {next}"
            ))?;
        }
        _ => {}
    }
    for file in files {
        printer::line(file.display())?;
    }
    for run in &submission.given_up {
        printer::complain(format_args!(
            "{run} is given up: it failed, or rounds bring it no further; `mbspike status` says why, and \
             `mbspike slurm CONFIG --submit` tries again"
        ));
    }
    Ok(())
}

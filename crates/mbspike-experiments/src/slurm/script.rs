//! The scripts of a round.

use std::fmt::Write as _;
use std::path::Path;

use super::error::FOLDER;
use super::settings::{Place, Settings};

/// The exit code of a task that was told to end and has saved: `mbspike run`'s.
pub const TO_GO_ON: u8 = 75;

/// The script of a round's array: one task for each line of `list`, which names its runs.
pub(super) fn array(
    name: &str,
    settings: &Settings,
    place: &Place,
    round: u32,
    n_tasks: usize,
    list: &Path,
) -> String {
    let mut text = String::from("#!/bin/bash\n");
    let throttle = settings.throttle.map_or_else(String::new, |n| format!("%{n}"));
    let log = pattern(&place.folder.join(FOLDER).join("@A_@a.log"));
    let mut line = |option: String| {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "#SBATCH {option}");
    };
    line(format!("--job-name={}", job_name(name)));
    line(format!("--array=1-{n_tasks}{throttle}"));
    line(format!("--output={log}"));
    line("--open-mode=append".to_owned());
    line(format!("--chdir={}", option(&place.work)));
    line(format!("--signal=B:TERM@{}", settings.signal_before_s()));
    line("--ntasks=1".to_owned());
    let options = [
        ("partition", &settings.partition),
        ("account", &settings.account),
        ("qos", &settings.qos),
        ("constraint", &settings.constraint),
        ("time", &settings.time),
        ("mem", &settings.memory),
    ];
    for (name, value) in options {
        if let Some(value) = value {
            line(format!("--{name}={value}"));
        }
    }
    if let Some(n) = settings.cpus {
        line(format!("--cpus-per-task={n}"));
    }
    if let Some(n) = settings.gpus.filter(|n| *n > 0) {
        line(format!("--gres=gpu:{n}"));
    }
    line(if settings.requeue { "--requeue" } else { "--no-requeue" }.to_owned());
    settings.lines.iter().for_each(|option| line(option.clone()));
    let out = place.folder.parent().unwrap_or(Path::new("/"));
    let jobs = settings.jobs.unwrap_or(1);
    let _ = write!(
        text,
        r#"
# Round {round} of a sweep, written by `mbspike slurm`. The runs of a task are a line of the list.
runs=$(sed -n "${{SLURM_ARRAY_TASK_ID}}p" {list})
export RAYON_NUM_THREADS="${{SLURM_CPUS_PER_TASK:-${{SLURM_CPUS_ON_NODE:-1}}}}"
{setup}
{program} run {config} --out {out} --only "$runs" --resume --quiet --jobs {jobs} --device {device} &
pid=$!
# Before the time limit the program is told to save and to end, with {TO_GO_ON}; more than one signal may come.
told=
trap 'told=1; kill -TERM "$pid" 2>/dev/null' TERM USR1
wait "$pid"
code=$?
while [ -n "$told" ]; do
    told=
    wait "$pid"
    code=$?
done
"#,
        list = quoted(list),
        setup = settings.setup.join("\n"),
        program = quoted(&place.program),
        config = quoted(&place.folder.join(mbspike_results::files::SWEEP_FILE)),
        out = quoted(out),
        device = place.device,
    );
    if settings.requeue {
        let _ =
            writeln!(text, "[ \"$code\" -ne {TO_GO_ON} ] || scontrol requeue \"$SLURM_JOB_ID\"");
    }
    text.push_str("exit \"$code\"\n");
    text
}

/// The script of the job that follows a round: it submits the next one, or collects.
pub(super) fn next(name: &str, settings: &Settings, place: &Place, round: u32) -> String {
    let mut text = String::from("#!/bin/bash\n");
    let log = pattern(&place.folder.join(FOLDER).join("next_@j.log"));
    let _ = writeln!(text, "#SBATCH --job-name={}-next", job_name(name));
    let _ = writeln!(text, "#SBATCH --output={log}");
    let _ = writeln!(text, "#SBATCH --chdir={}", option(&place.work));
    let _ = writeln!(text, "#SBATCH --ntasks=1");
    let options = [
        ("partition", &settings.partition),
        ("account", &settings.account),
        ("qos", &settings.qos),
        ("time", &settings.next_time),
        ("mem", &settings.next_memory),
    ];
    for (name, value) in options {
        if let Some(value) = value {
            let _ = writeln!(text, "#SBATCH --{name}={value}");
        }
    }
    let _ = write!(
        text,
        "\n# After round {round} of a sweep, written by `mbspike slurm`.\n{}\n{} slurm --continue {}\n",
        settings.setup.join("\n"),
        quoted(&place.program),
        quoted(&place.folder),
    );
    text
}

/// A path as one word of the shell.
fn quoted(path: &Path) -> String {
    format!("'{}'", path.to_string_lossy().replace('\'', r"'\''"))
}

/// A path as an option in a script, where quotes are Slurm's.
fn option(path: &Path) -> String {
    format!("\"{}\"", path.display())
}

/// A path with Slurm's patterns, written with `@`; other percent signs mean themselves.
fn pattern(path: &Path) -> String {
    let folder = path.parent().unwrap_or(Path::new("")).to_string_lossy().replace('%', "%%");
    let name = path.file_name().unwrap_or_default().to_string_lossy().replace('@', "%");
    format!("\"{folder}/{name}\"")
}

/// A sweep's name as Slurm shows it: without blanks.
fn job_name(name: &str) -> String {
    name.chars().map(|c| if c.is_alphanumeric() || "-_.".contains(c) { c } else { '-' }).collect()
}

//! The commands of Slurm.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use super::error::Error;

/// Runs a command of Slurm and returns what it prints.
fn ask(program: &'static str, arguments: &[&str]) -> Result<String, Error> {
    let output = Command::new(program)
        .args(arguments)
        .output()
        .map_err(|source| Error::NoSlurm { program, source })?;
    if !output.status.success() {
        let message = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        return Err(Error::Refused { program, message });
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Submits a script; after the end of all tasks of `after`, however they end. Returns the job's number.
pub(super) fn submit(script: &Path, after: Option<&str>) -> Result<String, Error> {
    let path = script.to_string_lossy();
    let dependency = after.map(|job| format!("--dependency=afterany:{job}"));
    let mut arguments = vec!["--parsable"];
    arguments.extend(dependency.as_deref());
    arguments.push(&path);
    let answer = ask("sbatch", &arguments)?;
    // With several clusters: the number, a semicolon and the cluster.
    let job = answer.trim().split(';').next().unwrap_or_default().to_owned();
    if job.is_empty() || !job.bytes().all(|byte| byte.is_ascii_digit()) {
        let message = format!("answered `{}` and not the number of a job", answer.trim());
        return Err(Error::Refused { program: "sbatch", message });
    }
    Ok(job)
}

/// The tasks of this user's arrays that wait or run: the array's number and the task's.
pub(super) fn tasks() -> Result<BTreeSet<(String, usize)>, Error> {
    let answer = ask("squeue", &["--me", "--noheader", "--array", "--format=%F %K"])?;
    Ok(answer.lines().filter_map(task_of).collect())
}

fn task_of(line: &str) -> Option<(String, usize)> {
    let (array, task) = line.trim().split_once(' ')?;
    Some((array.to_owned(), task.trim().parse().ok()?))
}

/// The most tasks of an array, numbered from 1.
pub(super) fn most_tasks() -> Option<usize> {
    let answer = ask("scontrol", &["show", "config"]).ok()?;
    let line = answer.lines().find(|line| line.starts_with("MaxArraySize"))?;
    let size: usize = line.split_once('=')?.1.trim().parse().ok()?;
    Some(size.saturating_sub(1).max(1))
}

#[cfg(test)]
mod tests {
    use super::task_of;

    #[test]
    fn jobs_that_are_no_arrays_are_no_tasks() {
        assert_eq!(task_of("81 3"), Some(("81".to_owned(), 3)));
        assert_eq!([task_of("81 N/A"), task_of("")], [None, None]);
    }
}

use std::fmt::Write as _;
use std::io::IsTerminal;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use mbspike_results::status::{RunState, RunStatus, SweepStatus};
use terminal_size::{Height, Width};

use super::print_json;
use crate::duration;
use crate::printer;

#[derive(Debug, clap::Args)]
pub struct StatusArgs {
    /// The folder of a sweep, as `run` writes it.
    pub folder: PathBuf,
    /// Show it again every few seconds, until all runs are over.
    #[arg(long, value_name = "SECONDS", num_args = 0..=1, default_missing_value = "5",
          value_parser = clap::value_parser!(u64).range(1..))]
    pub watch: Option<u64>,
    /// Print it as JSON; with --watch, a line each time.
    #[arg(long)]
    pub json: bool,
}

pub fn status(args: &StatusArgs) -> anyhow::Result<ExitCode> {
    let Some(seconds) = args.watch else {
        let status = SweepStatus::read(&args.folder)?;
        if args.json {
            print_json(&status)?;
        } else {
            printer::text(&table(&status, screen().map(|(width, _)| width), None))?;
        }
        return Ok(ExitCode::SUCCESS);
    };
    loop {
        let status = SweepStatus::read(&args.folder)?;
        if args.json {
            printer::line(serde_json::to_string(&status)?)?;
        } else {
            let screen = screen();
            let text =
                table(&status, screen.map(|(width, _)| width), screen.map(|(_, height)| height));
            printer::redraw(&text, screen.is_some())?;
        }
        if status.is_over() {
            return Ok(ExitCode::SUCCESS);
        }
        std::thread::sleep(Duration::from_secs(seconds));
    }
}

/// Columns and lines of the terminal that stdout is; `None` if it is none.
fn screen() -> Option<(usize, usize)> {
    let (Width(width), Height(height)) =
        std::io::stdout().is_terminal().then(terminal_size::terminal_size).flatten()?;
    Some((width.into(), height.into()))
}

/// The fewest characters of a run's name, and of what is said of it, that are shown.
const LEAST: usize = 12;
/// Blanks between columns.
const GAP: usize = 2;

/// How far a sweep is, in lines of at most `width` characters, and in at most `height` lines.
fn table(status: &SweepStatus, width: Option<usize>, height: Option<usize>) -> String {
    let mut text = head(status);
    let mut runs: Vec<&RunStatus> = status.runs.iter().collect();
    let mut n_hidden = 0;
    // The head, a blank line, the names of columns, the line that says how many are hidden, and that
    // which the cursor is in.
    if let Some(n) = height.map(|height| height.saturating_sub(6))
        && runs.len() > n
    {
        // What there is to see comes first.
        runs.sort_by_key(|run| order(&run.state));
        n_hidden = runs.len() - n;
        runs.truncate(n);
    }
    let mut rows = vec![["run", "state", "epoch", "test", "left", ""].map(str::to_owned)];
    rows.extend(runs.iter().map(|run| row(run)));
    let widths: [usize; 6] = std::array::from_fn(|column| {
        rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0)
    });
    let (mut name, mut last) = (widths[0], widths[5]);
    if let Some(width) = width {
        let room = width.saturating_sub(widths[1..5].iter().sum::<usize>() + 5 * GAP);
        // Which run it is comes first; what is said of it may be short, but not nothing.
        if name + last > room {
            name = name.min(room.saturating_sub(last.min(LEAST)).max(LEAST));
            last = room.saturating_sub(name);
        }
    }
    let [_, w_state, w_epoch, w_test, w_left, _] = widths;
    for [id, state, epoch, test, left, more] in &rows {
        let (id, more) = (shortened(id, name, Cut::Middle), shortened(more, last, Cut::End));
        let line = format!(
            "{id:name$}  {state:w_state$}  {epoch:>w_epoch$}  {test:>w_test$}  {left:>w_left$}  {more}"
        );
        text.push_str(line.trim_end());
        text.push('\n');
    }
    if n_hidden > 0 {
        let _ = writeln!(text, "… and {n_hidden} more");
    }
    text
}

/// A sweep in two lines: `tiny: 3 of 8 runs done, about 5 min left` and `2 running, 1 failed`.
fn head(status: &SweepStatus) -> String {
    let counts = &status.counts;
    let mut text = format!("{}: {} of {} runs done", status.name, counts.done, status.runs.len());
    if let Some(seconds) = status.left_s {
        // Writing to a string cannot fail.
        let _ = write!(text, ", about {} left", duration::text(seconds));
    }
    let others = [
        (counts.running, "running"),
        (counts.interrupted, "interrupted"),
        (counts.diverged, "diverged"),
        (counts.failed, "failed"),
        (counts.missing, "missing"),
    ];
    let others = others.into_iter().filter(|(n, _)| *n > 0);
    let others: Vec<String> = others.map(|(n, what)| format!("{n} {what}")).collect();
    if !others.is_empty() {
        let _ = write!(text, "\n{}", others.join(", "));
    }
    text.push_str("\n\n");
    text
}

/// What is to be seen first.
fn order(state: &RunState) -> u8 {
    match state {
        RunState::Running { .. } => 0,
        RunState::Failed { .. } => 1,
        RunState::Diverged { .. } => 2,
        RunState::Interrupted { .. } => 3,
        RunState::Missing => 4,
        RunState::Done { .. } => 5,
    }
}

/// A run's name, state, epoch, accuracy, time left, and where it is or why.
fn row(run: &RunStatus) -> [String; 6] {
    let percent = |accuracy: Option<f64>| {
        accuracy.map_or_else(String::new, |a| format!("{:.1} %", 100.0 * a))
    };
    let [mut epoch, mut test, mut left, mut more] = [const { String::new() }; 4];
    match &run.state {
        RunState::Done { test_accuracy, n_epochs, wall_time_s } => {
            epoch = n_epochs.to_string();
            test = percent(*test_accuracy);
            more = format!("took {}", duration::text(*wall_time_s));
        }
        RunState::Running { at, progress } => {
            more.clone_from(&at.host);
            if let Some(job) = &at.job {
                let _ = write!(more, ", job {job}");
            }
            match progress {
                Some(progress) => {
                    epoch = format!("{}/{}", progress.epoch, progress.n_epochs);
                    test = percent(progress.test_accuracy);
                    left = progress.left_s.map_or_else(String::new, duration::text);
                    if let Some(accuracy) = progress.train_accuracy {
                        let _ = write!(more, ", train {:.1} %", 100.0 * accuracy);
                    }
                }
                None => more.push_str(", just started"),
            }
        }
        RunState::Interrupted { progress, has_checkpoint } => {
            epoch = format!("{}/{}", progress.epoch, progress.n_epochs);
            test = percent(progress.test_accuracy);
            more = if *has_checkpoint {
                format!("after iteration {}; --resume goes on", progress.iteration)
            } else {
                "before its first checkpoint".to_owned()
            };
        }
        RunState::Diverged { cause, n_epochs } => {
            epoch = n_epochs.to_string();
            more.clone_from(cause);
        }
        RunState::Failed { error, host, .. } => more = format!("{error} (on {host})"),
        RunState::Missing => {}
    }
    [run.id.clone(), run.state.name().to_owned(), epoch, test, left, more]
}

#[derive(Clone, Copy)]
enum Cut {
    Middle,
    End,
}

/// A text in at most `width` characters.
fn shortened(text: &str, width: usize, cut: Cut) -> String {
    let n = text.chars().count();
    if n <= width {
        return text.to_owned();
    }
    let Some(kept) = width.checked_sub(1) else { return String::new() };
    let front = match cut {
        Cut::Middle => kept / 2,
        Cut::End => kept,
    };
    let back = kept - front;
    text.chars().take(front).chain(['…']).chain(text.chars().skip(n - back)).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use mbspike_results::RunProgress;
    use mbspike_results::status::{At, Counts, RunState, RunStatus, SweepStatus};

    use super::table;

    fn status() -> SweepStatus {
        let at =
            At { host: "node17".to_owned(), process: 5, job: Some("81_3".to_owned()), silent_s: 3 };
        let progress = RunProgress {
            epoch: 3,
            n_epochs: 5,
            iteration: 1234,
            train_accuracy: Some(0.5),
            test_accuracy: Some(0.75),
            left_s: Some(150.0),
        };
        let states = [
            RunState::Done { test_accuracy: Some(0.8123), n_epochs: 5, wall_time_s: 4000.0 },
            RunState::Running { at, progress: Some(progress.clone()) },
            RunState::Interrupted { progress, has_checkpoint: true },
            RunState::Diverged { cause: "the loss is NaN in iteration 7".to_owned(), n_epochs: 0 },
            RunState::Failed {
                error: "data/t10k-images-idx3-ubyte: cannot read the 3rd image".to_owned(),
                host: "node3".to_owned(),
                has_checkpoint: false,
            },
            RunState::Missing,
        ];
        let runs = states.into_iter().enumerate().map(|(i, state)| RunStatus {
            id: format!("bits-{i}_train.optimizer.lr-0.00123_rep-01_a1b2c{i}"),
            values: BTreeMap::new(),
            repeat: 1,
            state,
        });
        SweepStatus {
            name: "sweep".to_owned(),
            folder: "runs/sweep".into(),
            counts: Counts {
                done: 1,
                running: 1,
                interrupted: 1,
                diverged: 1,
                failed: 1,
                missing: 1,
            },
            left_s: Some(3700.0),
            runs: runs.collect(),
        }
    }

    #[test]
    fn each_state_is_there_in_lines_no_longer_than_the_terminal() {
        for width in [80, 200] {
            let text = table(&status(), Some(width), None);
            assert!(text.lines().all(|line| line.chars().count() <= width), "{width}:\n{text}");
            for state in ["done", "running", "interrupted", "diverged", "failed", "missing"] {
                assert!(text.lines().skip(2).any(|line| line.contains(state)), "{state}:\n{text}");
            }
            assert!(
                text.contains("81.2 %") && text.contains("3/5") && text.contains("node17"),
                "{text}"
            );
        }
        assert!(table(&status(), Some(200), None).contains("the 3rd image (on node3)"));
        assert_eq!(table(&status(), None, None).lines().count(), 10);
    }

    #[test]
    fn a_short_terminal_shows_what_goes_on_and_says_how_many_are_not_shown() {
        let text = table(&status(), Some(80), Some(8));
        assert!(text.lines().count() < 8, "{text}");
        assert!(text.contains("node17") && text.contains("… and 4 more"), "{text}");
    }
}

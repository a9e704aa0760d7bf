use std::path::{Path, PathBuf};
use std::process::ExitCode;

use mbspike_experiments::neuron;
use mbspike_experiments::run;
use mbspike_figures::figure::draw_all;
use mbspike_figures::report::{HTML_FILE, Report};
use mbspike_results::TargetOptions;
use mbspike_results::status::SweepStatus;
use mbspike_results::table::{CSV_FILE, PARQUET_FILE};
use serde_json::json;

use super::{print_json, text_of};
use crate::printer;

#[derive(Debug, clap::Args)]
pub struct CollectArgs {
    /// The folder of a sweep, as `run` and `slurm` write it.
    pub folder: PathBuf,
    /// Draw no figures and write no report.
    #[arg(long)]
    pub no_figures: bool,
    /// Print what was written as JSON.
    #[arg(long)]
    pub json: bool,
}

pub fn collect(args: &CollectArgs) -> anyhow::Result<ExitCode> {
    let status = SweepStatus::read(&args.folder)?;
    let files = files(&args.folder, args.no_figures)?;
    if args.json {
        print_json(
            &json!({"counts": status.counts, "files": files.iter().map(text_of).collect::<Vec<_>>()}),
        )?;
    } else {
        for file in &files {
            printer::line(file.display())?;
        }
    }
    complain(&status);
    Ok(ExitCode::SUCCESS)
}

/// Writes tables, figures and report of what is over in a folder of runs, and returns the files.
pub fn files(folder: &Path, no_figures: bool) -> anyhow::Result<Vec<PathBuf>> {
    let summaries = run::collect(folder)?;
    let mut files = vec![folder.join(CSV_FILE), folder.join(PARQUET_FILE)];
    if !no_figures && !summaries.is_empty() {
        let neuron = neuron::curves()?;
        files.extend(draw_all(folder, &TargetOptions::default(), Some(&neuron))?);
        let report = folder.join(HTML_FILE);
        Report::read(folder, None, Some(&neuron))?.write_html(&report)?;
        files.push(report);
    }
    Ok(files)
}

/// Says on stderr what is not in what was collected.
pub fn complain(status: &SweepStatus) {
    let n_over = status.counts.done + status.counts.diverged;
    let n = status.runs.len();
    if n_over < n {
        printer::complain(format_args!(
            "{n_over} of {n} runs are over; `mbspike status {}` says what became of the others",
            status.folder.display()
        ));
    }
}

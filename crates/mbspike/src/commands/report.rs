use std::process::ExitCode;

use mbspike_experiments::neuron;
use mbspike_figures::report::{HTML_FILE, MARKDOWN_FILE, Report};
use mbspike_results::Reference;
use serde_json::json;

use super::{print_json, text_of};
use crate::cli::ReportArgs;
use crate::printer;

pub fn report(args: &ReportArgs) -> anyhow::Result<ExitCode> {
    let reference = args.reference.as_deref().map(Reference::read).transpose()?;
    let report = Report::read(&args.folder, reference.as_ref(), Some(&neuron::curves()?))?;
    let file = if args.markdown { MARKDOWN_FILE } else { HTML_FILE };
    let path = args.out.clone().unwrap_or_else(|| args.folder.join(file));
    let figures = if args.markdown {
        report.write_markdown(&path)?
    } else {
        report.write_html(&path)?;
        vec![]
    };
    if args.json {
        let figures: Vec<_> = figures.iter().map(text_of).collect();
        print_json(&json!({"report": text_of(path), "figures": figures}))?;
    } else {
        printer::line(path.display())?;
    }
    Ok(ExitCode::SUCCESS)
}

use std::process::ExitCode;

use mbspike_experiments::figure;

use super::{print_json, text_of};
use crate::cli::PlotArgs;
use crate::printer;

pub fn plot(args: &PlotArgs) -> anyhow::Result<ExitCode> {
    let figures = figure::draw_all(&args.folder, &figure::Options::default())?;
    if args.json {
        print_json(&figures.iter().map(text_of).collect::<Vec<_>>())?;
        return Ok(ExitCode::SUCCESS);
    }
    for figure in figures {
        printer::line(figure.display())?;
    }
    Ok(ExitCode::SUCCESS)
}

use std::io::Write;
use std::process::ExitCode;

use mbspike_experiments::figure;

use super::print_json;
use crate::cli::PlotArgs;

pub fn plot(args: &PlotArgs) -> anyhow::Result<ExitCode> {
    let figures = figure::draw_all(&args.folder, &figure::Options::default())?;
    if args.json {
        print_json(&figures)?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut stdout = std::io::stdout().lock();
    for figure in figures {
        writeln!(stdout, "{}", figure.display())?;
    }
    Ok(ExitCode::SUCCESS)
}

use std::io::Write;
use std::process::ExitCode;

use mbspike_experiments::neuron;
use mbspike_figures::figure::draw_all;
use mbspike_results::TargetOptions;

use super::print_json;
use crate::cli::PlotArgs;

pub fn plot(args: &PlotArgs) -> anyhow::Result<ExitCode> {
    let neuron = neuron::curves()?;
    let figures = draw_all(&args.folder, &TargetOptions::default(), Some(&neuron))?;
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

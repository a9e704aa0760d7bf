use std::process::ExitCode;

use mbspike_experiments::neuron;
use mbspike_figures::figure::draw_all;
use mbspike_results::TargetOptions;

use super::{print_json, text_of};
use crate::cli::PlotArgs;
use crate::printer;

pub fn plot(args: &PlotArgs) -> anyhow::Result<ExitCode> {
    let neuron = neuron::curves()?;
    let figures = draw_all(&args.folder, &TargetOptions::default(), Some(&neuron))?;
    if args.json {
        print_json(&figures.iter().map(text_of).collect::<Vec<_>>())?;
        return Ok(ExitCode::SUCCESS);
    }
    for figure in figures {
        printer::line(figure.display())?;
    }
    Ok(ExitCode::SUCCESS)
}

use std::path::Path;
use std::process::ExitCode;

use mbspike_experiments::config::{TEMPLATE, template_as_markdown, template_as_schema};
use mbspike_experiments::sweep::Sweep;
use serde_json::json;

use super::print_json;
use crate::cli::ConfigCommand;
use crate::printer;

pub fn config(command: &ConfigCommand) -> anyhow::Result<ExitCode> {
    match command {
        ConfigCommand::Show { config, settings, json } => show(config, settings, *json)?,
        ConfigCommand::New { markdown: false } => printer::text(TEMPLATE)?,
        ConfigCommand::New { markdown: true } => printer::text(&template_as_markdown())?,
        ConfigCommand::Schema => print_json(&template_as_schema())?,
    }
    Ok(ExitCode::SUCCESS)
}

fn show(config: &Path, settings: &[String], json: bool) -> anyhow::Result<()> {
    let sweep = Sweep::read(config, settings)?;
    if json {
        let runs = sweep
            .points
            .iter()
            .map(|point| json!({"id": point.id, "values": point.values, "config": point.config}));
        return print_json(&runs.collect::<Vec<_>>());
    }
    let is_one = sweep.points.len() == 1;
    for (i, point) in sweep.points.iter().enumerate() {
        let gap = if i == 0 { "" } else { "\n" };
        let head = if is_one { String::new() } else { format!("{gap}# {}\n", point.id) };
        printer::text(&format!("{head}{}", point.config.to_toml()?))?;
    }
    Ok(())
}

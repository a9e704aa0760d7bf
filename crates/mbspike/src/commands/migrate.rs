use std::process::ExitCode;

use super::{print_json, text_of};
use crate::cli::MigrateArgs;
use crate::printer;

pub fn migrate(args: &MigrateArgs) -> anyhow::Result<ExitCode> {
    let files = mbspike_experiments::migrate::migrate(&args.folder)?;
    if args.json {
        print_json(&files.iter().map(text_of).collect::<Vec<_>>())?;
        return Ok(ExitCode::SUCCESS);
    }
    for file in files {
        printer::line(file.display())?;
    }
    Ok(ExitCode::SUCCESS)
}

use std::io::Write;
use std::process::ExitCode;

use super::print_json;
use crate::cli::MigrateArgs;

pub fn migrate(args: &MigrateArgs) -> anyhow::Result<ExitCode> {
    let files = mbspike_experiments::migrate::migrate(&args.folder)?;
    if args.json {
        print_json(&files)?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut stdout = std::io::stdout().lock();
    for file in files {
        writeln!(stdout, "{}", file.display())?;
    }
    Ok(ExitCode::SUCCESS)
}

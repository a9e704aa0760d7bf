use std::path::Path;
use std::process::ExitCode;

use mbspike_data::Verdict;
use mbspike_data::catalog::DatasetName;

use super::fetch::{fetch, import, in_words};
use super::frames::frames;
use super::inspect::inspect;
use super::simulate::simulate;
use super::{print_json, print_table};
use crate::cli::DataCommand;

pub fn data(command: &DataCommand, quiet: bool) -> anyhow::Result<ExitCode> {
    match command {
        DataCommand::List { json } => list(*json),
        DataCommand::Fetch { dataset, path, mirror } => {
            fetch(*dataset, path.as_deref(), mirror.as_deref(), quiet)
        }
        DataCommand::Import { dataset, from, path, json } => {
            import(*dataset, from, path.as_deref(), *json)
        }
        DataCommand::Verify { dataset, path, json } => verify(*dataset, path.as_deref(), *json),
        DataCommand::Frames(args) => frames(args, quiet),
        DataCommand::Inspect(args) => inspect(args, quiet),
        DataCommand::Simulate(command) => simulate(command, quiet),
    }
}

fn list(json: bool) -> anyhow::Result<ExitCode> {
    let listings = mbspike_data::list();
    if json {
        print_json(&listings)?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut rows = vec![];
    for listing in listings {
        let place = match (&listing.folder, listing.is_available) {
            (Some(folder), _) => folder.display().to_string(),
            (None, true) => "part of the program".to_owned(),
            (None, false) => format!("missing: {}", listing.info.how_to_get),
        };
        let sizes = format!("{} + {}", listing.info.n_train, listing.info.n_test);
        let name = listing.name.to_string();
        rows.push(vec![format!("{name:<24}{sizes:>16}  {}", listing.info.summary)]);
        rows.push(vec![format!("  {place}")]);
    }
    print_table(&rows)?;
    Ok(ExitCode::SUCCESS)
}

fn verify(name: DatasetName, path: Option<&Path>, json: bool) -> anyhow::Result<ExitCode> {
    let checks = mbspike_data::verify(name, path)?;
    if json {
        print_json(&checks)?;
    } else {
        let rows = checks.iter().map(|check| {
            let file = check.file.display();
            vec![format!("{}  {file}  {}", check.content_md5, in_words(check.verdict))]
        });
        print_table(&rows.collect::<Vec<_>>())?;
    }
    let is_different = checks.iter().any(|check| check.verdict == Verdict::Different);
    Ok(if is_different { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

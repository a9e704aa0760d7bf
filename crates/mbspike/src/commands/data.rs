use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;
use mbspike_data::catalog::DatasetName;
use mbspike_data::{DatasetConfig, Verdict};

use super::fetch::{fetch, import};
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
        DataCommand::Inspect { dataset, path, out, json } => {
            inspect(*dataset, path.clone(), out.as_deref(), *json, quiet)
        }
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

pub(super) fn in_words(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Published => "as published",
        Verdict::SameContent => "content as published",
        Verdict::Different => "DIFFERENT from the published file",
        Verdict::Unknown => "no checksum is published",
    }
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

fn inspect(
    name: DatasetName,
    path: Option<PathBuf>,
    out: Option<&Path>,
    json: bool,
    quiet: bool,
) -> anyhow::Result<ExitCode> {
    let dataset = mbspike_data::load(&DatasetConfig { path, ..DatasetConfig::new(name) })?;
    let inspection = mbspike_data::inspect(&dataset)?;
    if json {
        print_json(&inspection)?;
    } else {
        let mut rows = vec![vec![format!("{} from {}", inspection.name, inspection.source)]];
        for (split, set) in [("train", &inspection.train), ("test", &inspection.test)] {
            rows.push(vec![format!("{split}: {set}")]);
        }
        let counts = inspection.train.class_counts.iter().zip(&inspection.test.class_counts);
        for (class, (train, test)) in inspection.class_names.iter().zip(counts) {
            rows.push(vec![format!("  {class:<16}{train:>8}{test:>8}")]);
        }
        print_table(&rows)?;
    }
    if let Some(out) = out {
        let sheet = mbspike_data::contact_sheet(&dataset.train, 12, 2)?;
        std::fs::write(out, sheet).with_context(|| format!("cannot write {}", out.display()))?;
        if !quiet {
            eprintln!("wrote {}", out.display());
        }
    }
    Ok(ExitCode::SUCCESS)
}

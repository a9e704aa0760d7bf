use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;
use mbspike_data::catalog::DatasetName;
use mbspike_data::{DatasetConfig, Verdict};

use super::{print_json, print_table};
use crate::cli::DataCommand;

pub fn data(command: &DataCommand, quiet: bool) -> anyhow::Result<ExitCode> {
    match command {
        DataCommand::List { json } => list(*json),
        DataCommand::Fetch { dataset, path } => fetch(*dataset, path.as_deref()),
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

fn fetch(name: DatasetName, path: Option<&Path>) -> anyhow::Result<ExitCode> {
    let folder = match path {
        Some(path) => path.to_owned(),
        None => mbspike_data::locate::data_folder()
            .context("there is no home folder; name a folder with --path")?
            .join(name.as_str()),
    };
    let fetched = mbspike_data::fetch(name, &folder)?;
    print_table(&[vec![fetched.folder.display().to_string()]])?;
    Ok(ExitCode::SUCCESS)
}

fn verify(name: DatasetName, path: Option<&Path>, json: bool) -> anyhow::Result<ExitCode> {
    let checks = mbspike_data::verify(name, path)?;
    if json {
        print_json(&checks)?;
    } else {
        let rows = checks.iter().map(|check| {
            let verdict = match check.verdict {
                Verdict::Published => "as published",
                Verdict::SameContent => "as published, compressed anew",
                Verdict::Different => "DIFFERENT from the published file",
                Verdict::Unknown => "no checksum is published",
            };
            vec![format!("{}  {}  {verdict}", check.content_md5, check.file.display())]
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

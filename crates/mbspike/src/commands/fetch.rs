use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;
use mbspike_data::catalog::DatasetName;
use mbspike_data::{FetchEvent, Verdict};

use super::{print_json, print_table};
use crate::progress::Bar;

/// The folder named, or that of the dataset in the user's data folder.
pub(super) fn folder_for(name: DatasetName, path: Option<&Path>) -> anyhow::Result<PathBuf> {
    match path {
        Some(path) => Ok(path.to_owned()),
        None => Ok(mbspike_data::locate::data_folder()
            .context("there is no home folder; name a folder with --path")?
            .join(name.as_str())),
    }
}

pub fn fetch(
    name: DatasetName,
    path: Option<&Path>,
    mirror: Option<&str>,
    quiet: bool,
) -> anyhow::Result<ExitCode> {
    let folder = folder_for(name, path)?;
    let mut bar = Bar::of_bytes(quiet);
    let fetched = mbspike_data::fetch(name, &folder, mirror, &mut |event| match event {
        FetchEvent::Progress { file, n_done, n_bytes } => bar.set(file, n_done, n_bytes),
        FetchEvent::Retry { file, reason } => bar.say(&format!("{file}: {reason}; trying again")),
        FetchEvent::Whole { file } => bar.say(&format!("{file}: as published")),
        FetchEvent::Unpack { file } => bar.say(&format!("{file}: unpacking")),
    });
    bar.finish();
    print_table(&[vec![fetched?.folder.display().to_string()]])?;
    Ok(ExitCode::SUCCESS)
}

pub fn import(
    name: DatasetName,
    from: &Path,
    path: Option<&Path>,
    json: bool,
) -> anyhow::Result<ExitCode> {
    let imported = mbspike_data::import(name, from, &folder_for(name, path)?)?;
    if json {
        print_json(&imported)?;
        return Ok(ExitCode::SUCCESS);
    }
    let rows = imported.files.iter().map(|file| {
        vec![
            file.file.display().to_string(),
            format!("{} bytes", file.n_bytes),
            in_words(file.verdict).to_owned(),
        ]
    });
    print_table(&rows.collect::<Vec<_>>())?;
    Ok(ExitCode::SUCCESS)
}

/// How a file compares with the published one.
pub(super) fn in_words(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Published => "as published",
        Verdict::SameContent => "content as published",
        Verdict::Different => "DIFFERENT from the published file",
        Verdict::Unknown => "no checksum is published",
    }
}

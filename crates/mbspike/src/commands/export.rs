use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::bail;
use mbspike_experiments::exchange::{open_run, write_tensors};
use mbspike_nir::Value;
use mbspike_nir::network::{ExportOptions, Fate, METADATA, Mode, Note, export as to_graph};
use serde::Serialize;

use super::{print_json, print_table};
use crate::cli::{ExportArgs, ExportFormat};

/// What `export --json` prints.
#[derive(Serialize)]
struct Report {
    #[serde(serialize_with = "mbspike_files::serialize_path")]
    file: PathBuf,
    format: &'static str,
    dt: Option<f64>,
    converted: Vec<String>,
    lost: Vec<String>,
}

pub fn export(args: &ExportArgs) -> anyhow::Result<ExitCode> {
    let (config, network) = open_run(&args.run, &args.settings)?;
    let file = args.out.clone().unwrap_or_else(|| args.run.join(args.format.file_name()));
    let report = match args.format {
        ExportFormat::Nir => {
            let mode = match (args.exact, args.lossy) {
                (true, _) => Mode::Exact,
                (_, true) => Mode::Lossy,
                _ => Mode::Strict,
            };
            let dt = args.dt.unwrap_or(ExportOptions::default().dt);
            let mut exported = to_graph(&network, &ExportOptions { dt, mode })?;
            if let Some(Value::Map(about)) = exported.graph.metadata.get_mut(METADATA) {
                // Where data lie here says nothing elsewhere.
                let mut config = config.clone();
                config.dataset.path = None;
                config.dataset.frame_cache = mbspike_data::FrameCachePlace::Off;
                about.insert("config".into(), config.to_toml()?.as_str().into());
            }
            mbspike_nir::write(&file, &exported.graph)?;
            let of = |fate| {
                let notes = exported.notes.iter().filter(move |note| note.fate == fate);
                notes.map(Note::to_string).collect()
            };
            let (converted, lost) = (of(Fate::Converted), of(Fate::Lost));
            Report { file, format: "nir", dt: Some(dt), converted, lost }
        }
        ExportFormat::Safetensors => {
            if args.exact || args.lossy || args.dt.is_some() {
                bail!(
                    "--exact, --lossy and --dt are for --format nir; weights are written as they are"
                );
            }
            write_tensors(&file, &config, &network)?;
            let format = "safetensors";
            Report { file, format, dt: None, converted: vec![], lost: vec![] }
        }
    };
    if args.json {
        print_json(&report)?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut rows = vec![vec!["written".to_owned(), report.file.display().to_string()]];
    for (what, notes) in [("converted", &report.converted), ("lost", &report.lost)] {
        rows.extend(notes.iter().map(|note| vec![what.to_owned(), note.clone()]));
    }
    print_table(&rows)?;
    Ok(ExitCode::SUCCESS)
}

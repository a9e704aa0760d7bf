use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::bail;
use mbspike_experiments::exchange::{LavaFile, open_run, why_not_net, write_lava, write_tensors};
use mbspike_experiments::loihi::convert_loihi;
use mbspike_nir::Value;
use mbspike_nir::network::{ExportOptions, Fate, METADATA, Mode, Note, export as to_graph};
use serde::Serialize;

use super::{print_json, print_table, text_of};
use crate::cli::{ExportArgs, ExportFormat};
use crate::progress::Progress;
use crate::stop;

/// What `export --json` prints.
#[derive(Serialize)]
struct Report {
    #[serde(serialize_with = "mbspike_files::serialize_path")]
    file: PathBuf,
    format: &'static str,
    dt: Option<f64>,
    converted: Vec<String>,
    lost: Vec<String>,
    /// A second file that the first needs.
    #[serde(skip_serializing_if = "Option::is_none")]
    beside: Option<String>,
}

pub fn export(args: &ExportArgs, quiet: bool) -> anyhow::Result<ExitCode> {
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
            Report { file, format: "nir", dt: Some(dt), converted, lost, beside: None }
        }
        ExportFormat::Safetensors => {
            if args.exact || args.lossy || args.dt.is_some() {
                bail!(
                    "--exact, --lossy and --dt are for --format nir; weights are written as they are"
                );
            }
            write_tensors(&file, &config, &network)?;
            let format = "safetensors";
            Report { file, format, dt: None, converted: vec![], lost: vec![], beside: None }
        }
        ExportFormat::Loihi => {
            if args.exact || args.lossy || args.dt.is_some() {
                bail!("--exact, --lossy and --dt are for --format nir");
            }
            let Some(report) = loihi(args, file, quiet)? else { return Ok(ExitCode::FAILURE) };
            report
        }
    };
    if args.json {
        print_json(&report)?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut rows = vec![vec!["written".to_owned(), report.file.display().to_string()]];
    rows.extend(report.beside.iter().map(|file| vec!["written".to_owned(), file.clone()]));
    for (what, notes) in [("converted", &report.converted), ("lost", &report.lost)] {
        rows.extend(notes.iter().map(|note| vec![what.to_owned(), note.clone()]));
    }
    print_table(&rows)?;
    Ok(ExitCode::SUCCESS)
}

/// Writes the run in Loihi 2's numbers, as `.net` where that can hold it; `None` if it was stopped.
fn loihi(args: &ExportArgs, file: PathBuf, quiet: bool) -> anyhow::Result<Option<Report>> {
    let stop = stop::on_signal()?;
    let progress = Progress::new(quiet);
    let Some(network) = convert_loihi(&args.run, &args.settings, true, &progress, &stop)? else {
        return Ok(None);
    };
    let why_not = why_not_net(&network);
    let file = match (&args.out, &why_not) {
        (None, Some(_)) => file.with_extension("safetensors"),
        _ => file,
    };
    let written = write_lava(&file, &network)?;
    let converted = why_not.map(|reason| format!("{reason}: tensors and a process model"));
    let (format, beside) = match written {
        LavaFile::Net => ("net", None),
        LavaFile::Model(model) => ("loihi2", Some(text_of(model))),
    };
    let converted = converted.into_iter().collect();
    Ok(Some(Report { file, format, dt: None, converted, lost: vec![], beside }))
}

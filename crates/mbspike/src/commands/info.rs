use std::path::Path;
use std::process::ExitCode;

use mbspike_experiments::machine::Machine;
use mbspike_experiments::run::thread_pool;
use mbspike_experiments::sweep::Sweep;
use mbspike_experiments::{environment, memory};
use mbspike_lif::Arch;
use serde_json::json;

use super::{COMMIT, print_json, print_table, text_of};
use crate::cli::InfoArgs;

/// The peak memory of each run of a config, whether or not this machine has it.
fn memory(config: &Path, args: &InfoArgs) -> anyhow::Result<ExitCode> {
    let machine = Machine { memory_bytes: None, ..Machine::here(args.device, 1) };
    let sweep = Sweep::read_for(config, &args.settings, &machine)?;
    // Repeats take what the first takes.
    let points = sweep.points.iter().filter(|point| point.repeat == 1);
    let estimates: Vec<_> = points
        .map(|point| {
            let described = point.config.dataset.describe()?;
            Ok((point, memory::estimate(&point.config, &described, &machine)?))
        })
        .collect::<anyhow::Result<_>>()?;
    if args.json {
        let runs =
            estimates.iter().map(|(point, memory)| json!({"id": point.id, "memory": memory}));
        print_json(&json!({
            "available_bytes": Machine::here(args.device, 1).memory_bytes,
            "runs": runs.collect::<Vec<_>>(),
        }))?;
        return Ok(ExitCode::SUCCESS);
    }
    let heads = ["MB", "peak", "program", "dataset", "batches", "weights", "step"];
    let mut rows = vec![heads.map(str::to_owned).to_vec()];
    rows.extend(estimates.iter().map(|(point, memory)| {
        let parts = [
            memory.peak_bytes,
            memory.program_bytes,
            memory.dataset_bytes,
            memory.batches_bytes,
            memory.weights_bytes,
            memory.step_bytes,
        ];
        let parts = parts.map(|bytes| format!("{:.1}", bytes as f64 / 1e6));
        std::iter::once(point.id.clone()).chain(parts).collect()
    }));
    print_table(&rows)?;
    Ok(ExitCode::SUCCESS)
}

pub fn info(args: &InfoArgs) -> anyhow::Result<ExitCode> {
    if let Some(config) = &args.config {
        return memory(config, args);
    }
    let environment = environment(thread_pool()?.current_num_threads(), COMMIT);
    let data_folder = mbspike_data::locate::data_folder();
    if args.json {
        let presets: serde_json::Map<_, _> =
            Arch::PRESETS.iter().map(|(name, arch)| ((*name).to_owned(), json!(arch))).collect();
        print_json(&json!({
            "environment": environment,
            "data_folder": data_folder.map(text_of),
            "presets": presets,
        }))?;
        return Ok(ExitCode::SUCCESS);
    }
    let row = |name: &str, value: String| vec![format!("{name:<14}{value}")];
    let folder = data_folder.map_or("none".to_owned(), |folder| folder.display().to_string());
    let mut rows = vec![
        row("version", environment.version),
        row("commit", environment.commit.unwrap_or("unknown".to_owned())),
        row("processor", environment.processor.unwrap_or("unknown".to_owned())),
        row("threads", environment.threads.to_string()),
        row("vector units", environment.cpu_features.join(", ")),
        row("data folder", folder),
        vec![],
        vec!["networks".to_owned()],
    ];
    rows.extend(Arch::PRESETS.iter().map(|(name, arch)| vec![format!("  {name:<24}{arch}")]));
    print_table(&rows)?;
    Ok(ExitCode::SUCCESS)
}

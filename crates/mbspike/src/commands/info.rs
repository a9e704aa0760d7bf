use std::process::ExitCode;

use mbspike_experiments::environment;
use mbspike_experiments::run::thread_pool;
use mbspike_lif::Arch;
use serde_json::json;

use super::{COMMIT, print_json, print_table};
use crate::cli::InfoArgs;

pub fn info(args: &InfoArgs) -> anyhow::Result<ExitCode> {
    let environment = environment(thread_pool()?.current_num_threads(), COMMIT);
    let data_folder = mbspike_data::locate::data_folder();
    if args.json {
        let presets: serde_json::Map<_, _> =
            Arch::PRESETS.iter().map(|(name, arch)| ((*name).to_owned(), json!(arch))).collect();
        print_json(&json!({
            "environment": environment,
            "data_folder": data_folder,
            "presets": presets,
        }))?;
        return Ok(ExitCode::SUCCESS);
    }
    let row = |name: &str, value: String| vec![format!("{name:<14}{value}")];
    let folder = data_folder.map_or("none".to_owned(), |folder| folder.display().to_string());
    let mut rows = vec![
        row("version", environment.version),
        row("commit", environment.commit.unwrap_or("unknown".to_owned())),
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

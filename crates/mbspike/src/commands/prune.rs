use std::path::PathBuf;
use std::process::ExitCode;

use mbspike_data::FrameCachePlace;
use mbspike_results::prune::{Removal, What, removals, remove};
use serde_json::json;

use super::{print_json, print_table, text_of};
use crate::printer;

#[derive(Debug, clap::Args)]
#[expect(clippy::struct_excessive_bools, reason = "what is typed is there or not")]
pub struct PruneArgs {
    /// The folder of a sweep, as `run` writes it.
    pub folder: PathBuf,
    /// The weights of runs that are over, too: they can be evaluated and exported no more.
    #[arg(long)]
    pub weights: bool,
    /// The caches of frames of the runs' data, too: other sweeps may share them, and build them anew.
    #[arg(long)]
    pub caches: bool,
    /// Remove it; without this, only say what would be removed.
    #[arg(long)]
    pub yes: bool,
    /// Print it as JSON.
    #[arg(long)]
    pub json: bool,
}

pub fn prune(args: &PruneArgs) -> anyhow::Result<ExitCode> {
    let user_cache = if args.caches { FrameCachePlace::User.folder().ok().flatten() } else { None };
    let what = What { weights: args.weights, caches: args.caches, user_cache };
    let found = removals(&args.folder, &what)?;
    let removed: Vec<&Removal> =
        if args.yes { remove(&found.removals)? } else { found.removals.iter().collect() };
    let bytes: u64 = removed.iter().map(|removal| removal.bytes).sum();
    if args.json {
        let kept = found.kept.iter().map(|(path, why)| json!({"path": text_of(path), "why": why}));
        print_json(&json!({
            "removed": args.yes,
            "files": removed,
            "bytes": bytes,
            "kept": kept.collect::<Vec<_>>(),
        }))?;
    } else {
        let row = |removal: &&Removal| {
            vec![text_of(&removal.path), mib(removal.bytes), removal.why.to_owned()]
        };
        print_table(&removed.iter().map(row).collect::<Vec<_>>())?;
    }
    for (path, why) in &found.kept {
        printer::complain(format_args!("kept: {}: {why}", path.display()));
    }
    let n = removed.len();
    printer::complain(if args.yes {
        format!("removed {n} files, {}", mib(bytes))
    } else {
        format!("would remove {n} files, {}; --yes does it", mib(bytes))
    });
    Ok(ExitCode::SUCCESS)
}

fn mib(bytes: u64) -> String {
    format!("{:.1} MiB", bytes as f64 / f64::from(1 << 20))
}

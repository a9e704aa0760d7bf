//! One file per command: what was typed in, a library's answer out.

pub mod bench;
pub mod check;
pub mod collect;
pub mod config;
pub mod data;
pub mod energy;
pub mod eval;
pub mod export;
mod fetch;
mod frames;
pub mod import;
pub mod info;
mod inspect;
pub mod migrate;
pub mod plot;
pub mod prune;
pub mod quantize;
pub mod report;
pub mod run;
pub mod simulate;
pub mod slurm;
pub mod status;

pub(crate) use crate::printer::{json as print_json, table as print_table};

/// The commit of this build, where `build.rs` could find it.
const COMMIT: Option<&str> = option_env!("MBSPIKE_COMMIT");

/// A path in JSON: bytes that are no text are replaced.
fn text_of(path: impl AsRef<std::path::Path>) -> String {
    path.as_ref().to_string_lossy().into_owned()
}

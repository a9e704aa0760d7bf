//! Finds the commit that the program is built from, for the records of its runs: `MBSPIKE_COMMIT`
//! where it is set, else that of the checkout, with `-dirty` if sources differ from it. A build from
//! a published package has none.

use std::path::Path;
use std::process::Command;

const ROOT: &str = "../..";

fn main() {
    println!("cargo:rerun-if-env-changed=MBSPIKE_COMMIT");
    println!("cargo:rerun-if-changed=build.rs");
    if std::env::var_os("MBSPIKE_COMMIT").is_some() || !Path::new(ROOT).join(".git").exists() {
        return;
    }
    println!("cargo:rerun-if-changed={ROOT}/crates");
    if let Some(log) = git(&["rev-parse", "--git-path", "logs/HEAD"]) {
        println!("cargo:rerun-if-changed={}", Path::new(ROOT).join(log).display());
    }
    if let Some(commit) = git(&["describe", "--always", "--dirty", "--exclude", "*"]) {
        println!("cargo:rustc-env=MBSPIKE_COMMIT={commit}");
    }
}

/// What git says of the checkout, if it says something.
fn git(arguments: &[&str]) -> Option<String> {
    let output = Command::new("git").args(["-C", ROOT]).args(arguments).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| text.trim().to_owned())
}

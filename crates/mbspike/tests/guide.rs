//! Every page of the guide, run from top to bottom.
//!
//! Of a page's fences, `toml NAME` is written to the file NAME, `sh` is run, and so is `python`. What needs
//! packages of Python (`needs=a,b`) is left out where they are missing.
#![cfg(unix)]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking, in its helper functions too")]

use std::path::{Path, PathBuf};
use std::process::Command;

/// The documentation; a package has none beside it.
fn docs() -> Option<PathBuf> {
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs");
    docs.is_dir().then_some(docs)
}

/// A piece of code of a page.
struct Fence {
    /// The words behind the marks: the language, and what else is said.
    words: Vec<String>,
    text: String,
}

fn fences(page: &str) -> Vec<Fence> {
    let (mut fences, mut open): (Vec<Fence>, bool) = (vec![], false);
    for line in page.lines() {
        if let Some(words) = line.strip_prefix("```") {
            open = !open;
            if open {
                let words = words.split_whitespace().map(str::to_owned).collect();
                fences.push(Fence { words, text: String::new() });
            }
        } else if open {
            let text = &mut fences.last_mut().unwrap().text;
            text.push_str(line);
            text.push('\n');
        }
    }
    fences
}

/// Whether Python has these packages.
fn has_packages(names: &str) -> bool {
    let import = format!("import {names}");
    let python = Command::new("python3").args(["-c", &import]).output();
    python.is_ok_and(|output| output.status.success())
}

/// Runs a page in a folder of its own; returns how many pieces ran.
fn run(page: &str) -> usize {
    let Some(docs) = docs() else { return usize::MAX };
    let text = std::fs::read_to_string(docs.join(page)).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let program = Path::new(env!("CARGO_BIN_EXE_mbspike")).parent().unwrap();
    let path = format!("{}:{}", program.display(), std::env::var("PATH").unwrap_or_default());
    let mut n_run = 0;
    for Fence { words, text } in fences(&text) {
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let needs = words.iter().find_map(|word| word.strip_prefix("needs="));
        let (program, option) = match words.as_slice() {
            ["toml", file] => {
                std::fs::write(folder.path().join(file), text).unwrap();
                continue;
            }
            ["sh", ..] => ("sh", "-ec"),
            ["python", ..] => ("python3", "-c"),
            _ => continue,
        };
        if needs.is_some_and(|names| !has_packages(names)) {
            continue;
        }
        let mut command = Command::new(program);
        command.args([option, &text]).current_dir(folder.path()).env("PATH", &path);
        let output = command.output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{page}: {text}\n{said}");
        n_run += 1;
    }
    n_run
}

#[test]
fn the_first_sweep_can_be_followed() {
    assert!(run("guide/first-sweep.md") >= 4);
}

#[test]
fn own_data_can_be_followed() {
    assert!(run("guide/own-data.md") >= 3);
}

#[test]
fn the_energy_of_a_network_can_be_followed() {
    assert!(run("guide/energy.md") >= 3);
}

#[test]
fn the_notation_can_be_followed() {
    assert!(run("guide/notation.md") >= 1);
}

#[test]
fn the_way_to_pytorch_and_back_can_be_followed_where_python_has_the_packages() {
    run("pytorch.md");
}

#[test]
fn the_notation_in_the_guide_is_that_of_the_crate() {
    let Some(docs) = docs() else { return };
    let page = std::fs::read_to_string(docs.join("guide/notation.md")).unwrap();
    let module = docs.join("../crates/mbspike-lif/src/arch/mod.rs");
    let module = std::fs::read_to_string(module).unwrap();
    let rows: Vec<&str> = module.lines().filter_map(|line| line.strip_prefix("//! |")).collect();
    assert!(rows.len() > 20);
    for row in rows {
        assert!(page.contains(&format!("|{row}\n")), "not in guide/notation.md: |{row}");
    }
}

#[test]
fn the_rust_of_the_guide_is_in_the_example() {
    let Some(docs) = docs() else { return };
    let page = std::fs::read_to_string(docs.join("guide/own-network.md")).unwrap();
    let example = docs.join("../crates/mbspike-lif/examples/own_network.rs");
    let example = std::fs::read_to_string(example).unwrap();
    let pieces: Vec<Fence> =
        fences(&page).into_iter().filter(|fence| fence.words[0] == "rust").collect();
    assert!(pieces.len() >= 3);
    for piece in pieces {
        assert!(example.contains(&piece.text), "not in the example:\n{}", piece.text);
    }
}

#[test]
fn every_link_between_pages_leads_to_a_file() {
    let Some(docs) = docs() else { return };
    let mut pages = vec![docs.join("../README.md"), docs.join("../CONTRIBUTING.md")];
    for folder in [docs.clone(), docs.join("guide"), docs.join("results")] {
        pages.extend(std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()));
    }
    pages.retain(|page| page.extension().is_some_and(|ending| ending == "md"));
    for page in pages {
        let text = std::fs::read_to_string(&page).unwrap();
        for link in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let file = link.split('#').next().unwrap_or_default();
            let is_file = !file.is_empty() && !file.contains("://") && !file.contains(' ');
            let target = page.parent().unwrap().join(file);
            assert!(!is_file || target.exists(), "{}: {link}", page.display());
        }
    }
}

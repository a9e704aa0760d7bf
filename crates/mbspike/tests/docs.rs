//! What the pages of the repository name is there.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// The repository; `None` where this crate is by itself, as in a package.
fn repository() -> Option<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    root.join("configs").is_dir().then_some(root)
}

/// Parts of `text` that start with `configs/` and end with `.toml`.
fn configs(text: &str) -> BTreeSet<String> {
    let is_name = |c: char| c.is_ascii_alphanumeric() || "_./-".contains(c);
    let starts = text.match_indices("configs/").map(|(at, _)| &text[at..]);
    let names = starts.map(|rest| &rest[..rest.find(|c| !is_name(c)).unwrap_or(rest.len())]);
    let names = names.map(|name| name.trim_end_matches('.'));
    names
        .filter(|name| Path::new(name).extension().is_some_and(|end| end == "toml"))
        .map(str::to_owned)
        .collect()
}

#[test]
fn every_config_that_a_page_names_exists() {
    let Some(root) = repository() else { return };
    let mut pages = vec![];
    for folder in [root.clone(), root.join("docs"), root.join("docs/results")] {
        let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
        pages.extend(entries.filter(|path| path.extension().is_some_and(|end| end == "md")));
    }
    let mut n_named = 0;
    for page in pages {
        for config in configs(&std::fs::read_to_string(&page).unwrap()) {
            n_named += 1;
            assert!(root.join(&config).is_file(), "{}: there is no {config}", page.display());
        }
    }
    assert!(n_named > 10, "{n_named} configs are named");
}

/// Blocks of a page fenced as `kind`.
fn blocks<'a>(page: &'a str, kind: &str) -> Vec<&'a str> {
    let fence = format!("```{kind}\n");
    page.split(&fence).skip(1).map(|rest| rest.split("```").next().unwrap()).collect()
}

#[test]
fn the_worked_example_of_exchange_runs() {
    let Some(root) = repository() else { return };
    let page = std::fs::read_to_string(root.join("docs/interchange.md")).unwrap();
    let example = page.split("## A worked example").nth(1).unwrap();
    let example = example.split("\n## ").next().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let config = blocks(example, "toml");
    std::fs::write(folder.path().join("example.toml"), config[0]).unwrap();
    // What needs a file of SpikingJelly's is left out.
    let commands: Vec<&str> =
        blocks(example, "sh").into_iter().filter(|block| !block.contains(".pth")).collect();
    assert_eq!(commands.len(), 3);
    let script = format!("set -e\nmbspike() {{ \"$MBSPIKE\" \"$@\"; }}\n{}", commands.join("\n"));
    let output = std::process::Command::new("sh")
        .args(["-c", &script])
        .env("MBSPIKE", env!("CARGO_BIN_EXE_mbspike"))
        .current_dir(folder.path())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    for file in ["example.nir", "back/config.toml", "by-name/config.toml", "example.net"] {
        assert!(folder.path().join(file).is_file(), "there is no {file}");
    }
    let printed = String::from_utf8(output.stdout).unwrap();
    let is_accuracy = |line: &&str| line.starts_with("test accuracy");
    let accuracies: Vec<&str> = printed
        .lines()
        .filter(is_accuracy)
        .filter_map(|line| line.split_whitespace().last())
        .collect();
    // Imported twice, evaluated once; the fourth is the chip's.
    assert_eq!(accuracies.len(), 4, "{printed}");
    assert_eq!(accuracies[0], accuracies[1]);
    assert_eq!(accuracies[1], accuracies[2]);
}

//! The commented template of a config, and the page of the documentation that it makes.

use std::path::Path;

use mbspike_experiments::config::{TEMPLATE, template_as_markdown};
use mbspike_experiments::sweep::Sweep;

fn parse(text: &str) -> Result<Sweep, mbspike_experiments::sweep::Error> {
    Sweep::parse(Path::new("template.toml"), text, &[])
}

/// The key of a line `key = value`, given or left out.
fn key(line: &str) -> Option<&str> {
    let line = line.strip_prefix("# ").unwrap_or(line);
    let (key, _) = line.split_once(" = ")?;
    let is_key = |key: &str| key.chars().all(|c| c.is_ascii_lowercase() || "_.\"".contains(c));
    is_key(key).then_some(key)
}

#[test]
fn the_template_is_a_config_and_so_are_its_examples() {
    assert_eq!(parse(TEMPLATE).unwrap().points.len(), 1);
    let lines: Vec<&str> = TEMPLATE.lines().collect();
    let mut n_examples = 0;
    for (i, line) in lines.iter().enumerate() {
        let Some(key) = key(line).filter(|_| line.starts_with('#')) else { continue };
        let mut lines: Vec<&str> = lines.clone();
        lines[i] = line.trim_start_matches("# ");
        if key == "levels" {
            lines.retain(|line| *line != "bits = 2");
        }
        for table in ["# [target]", "# [sweep]"] {
            let at = lines.iter().position(|line| *line == table).unwrap();
            let needs = if table == "# [target]" { key == "accuracy" } else { i > at };
            if needs {
                lines[at] = table.trim_start_matches("# ");
            }
            // A distribution and the number of samples need each other.
            if needs && ["samples", "\"train.optimizer.lr\""].contains(&key) {
                let both = lines[at..]
                    .iter_mut()
                    .filter(|line| line.contains("samples = ") || line.contains("distribution = "));
                both.for_each(|line| *line = line.trim_start_matches("# "));
            }
        }
        n_examples += 1;
        // Some need another dataset or encoder, but none is unknown or of the wrong type.
        if let Err(error) = parse(&lines.join("\n")) {
            let error = error.to_string();
            let fits = [
                "needs encoder.kind",
                "exclude each other",
                "is of no use",
                "one for each",
                "left out where",
            ];
            assert!(fits.iter().any(|fit| error.contains(fit)), "{error}");
        }
    }
    assert!(n_examples > 40, "{n_examples}");
}

#[test]
fn every_key_is_in_the_template_with_a_comment_before_it() {
    let lines: Vec<&str> = TEMPLATE.lines().collect();
    for (i, line) in lines.iter().enumerate() {
        if key(line).is_some() {
            let before = lines[i - 1];
            assert!(before.starts_with("# ") && key(before).is_none(), "{line}: {before}");
        }
    }
    let documented: Vec<&str> = lines.iter().filter_map(|line| key(line)).collect();
    // A key that there is not is answered with those that there are.
    let mut n_keys = 0;
    for table in ["", "dataset.", "encoder.", "network.", "neuron.", "train.", "target."] {
        let setting = format!("{table}qqqqqqqqqqqqqqqqqqqqqqqq=1");
        let error =
            Sweep::parse(Path::new("t.toml"), TEMPLATE, &[setting]).unwrap_err().to_string();
        let (_, known) = error.split_once("; there are ").unwrap_or_else(|| panic!("{error}"));
        for name in known.split(", ").map(|name| name.trim_matches('`')) {
            let is_table = lines.iter().any(|line| line.ends_with(&format!("[{name}]")));
            assert!(documented.contains(&name) || is_table, "{table}{name} is not in the template");
            n_keys += 1;
        }
    }
    assert!(n_keys > 50, "{n_keys}");
    // Keys of tables within are in the comment or the example of their table.
    for table in [
        "train.optimizer",
        "train.scheduler",
        "train.scheduler.warm_up",
        "neuron.reset",
        "neuron.surrogate",
        "encoder.transforms",
        "neuron.adaptation",
    ] {
        let setting = format!("{table}.qqqqqqqqqqqqqqqqqqqqqqqq=1");
        let error =
            Sweep::parse(Path::new("t.toml"), TEMPLATE, &[setting]).unwrap_err().to_string();
        let (_, known) = error.split_once("; there are ").unwrap_or_else(|| panic!("{error}"));
        for name in known.split(", ").map(|name| name.trim_matches('`')) {
            let is_word = |word: &str| word.trim_matches(|c: char| !c.is_alphanumeric()) == name;
            assert!(TEMPLATE.split_whitespace().any(is_word), "{table}.{name} is not explained");
        }
    }
}

#[test]
fn the_page_of_keys_is_current() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/config.md");
    // A package has no documentation of the workspace beside it.
    let Ok(page) = std::fs::read_to_string(&path) else { return };
    let wanted = template_as_markdown();
    assert!(page == wanted, "docs/config.md is not what `mbspike config new --markdown` prints");
}

//! The commented template of a config, and the page of the documentation that it makes.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking, in its helper functions too")]

use std::path::Path;

use mbspike_experiments::config::{TEMPLATE, template_as_markdown, template_as_schema};
use mbspike_experiments::sweep::Sweep;
use serde_json::Value;

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
                // The file of `reference` is not beside this crate.
                "No such file",
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
            let types = lines[i - 1];
            assert!(
                types.starts_with("#: "),
                "{line}: no line `#: type | \"word\"` before it, but {types}"
            );
            let before = lines[i - 2];
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

/// What of `value` a schema does not allow, with where it is.
fn faults(schema: &Value, value: &Value, at: &str) -> Vec<String> {
    let fault = |what: &str| vec![format!("{at}: {what}")];
    if let Some(choices) = schema["anyOf"].as_array() {
        let fits = choices.iter().any(|choice| faults(choice, value, at).is_empty());
        return if fits { vec![] } else { fault("none of its types") };
    }
    if let Some(words) = schema["enum"].as_array() {
        return if words.contains(value) { vec![] } else { fault("not one of its words") };
    }
    let fits = match schema["type"].as_str() {
        Some("string") => value.is_string(),
        Some("integer") => value.is_i64(),
        Some("number") => value.is_number(),
        Some("boolean") => value.is_boolean(),
        Some("array") => value.is_array(),
        Some("object") => value.is_object(),
        other => panic!("{at}: type {other:?} in the schema"),
    };
    if !fits {
        return fault("of another type");
    }
    let mut found = Vec::new();
    if let (Some(known), Some(table)) = (schema["properties"].as_object(), value.as_object()) {
        for (key, value) in table {
            let at = format!("{at}.{key}");
            match known.get(key) {
                Some(schema) => found.extend(faults(schema, value, &at)),
                None if schema["additionalProperties"] == false => {
                    found.push(format!("{at}: unknown"));
                }
                None => {}
            }
        }
        for key in schema["required"].as_array().into_iter().flatten() {
            if !table.contains_key(key.as_str().unwrap()) {
                found.push(format!("{at}: without {key}"));
            }
        }
    }
    found
}

fn json_of(text: &str) -> Value {
    serde_json::to_value(text.parse::<toml::Table>().unwrap()).unwrap()
}

#[test]
fn the_schema_allows_the_template_with_each_example_and_every_config_there_is() {
    let schema = template_as_schema();
    assert_eq!(faults(&schema, &json_of(TEMPLATE), ""), [""; 0]);
    let lines: Vec<&str> = TEMPLATE.lines().collect();
    for (i, line) in lines.iter().enumerate() {
        if key(line).is_none() || !line.starts_with('#') {
            continue;
        }
        let mut lines = lines.clone();
        lines[i] = line.trim_start_matches("# ");
        let faults = faults(&schema, &json_of(&lines.join("\n")), "");
        // Keys of tables that are left out are not in them here.
        let faults: Vec<_> = faults.iter().filter(|fault| !fault.ends_with("unknown")).collect();
        assert!(faults.is_empty(), "{line}: {faults:?}");
    }
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../configs");
    // A package has no configs beside it.
    for folder in [folder.clone(), folder.join("thesis")] {
        for entry in std::fs::read_dir(folder).into_iter().flatten() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|ending| ending == "toml") {
                let faults =
                    faults(&schema, &json_of(&std::fs::read_to_string(&path).unwrap()), "");
                assert!(faults.is_empty(), "{}: {faults:?}", path.display());
            }
        }
    }
}

#[test]
fn the_schema_names_what_is_wrong() {
    let schema = template_as_schema();
    let wrong = |from: &str, to: &str| faults(&schema, &json_of(&TEMPLATE.replace(from, to)), "");
    assert_eq!(wrong("\nbits = 2", "\nbit = 2"), [".neuron.bit: unknown"]);
    assert_eq!(wrong("epochs = 5\n", "epochs = \"5\"\n"), [".train.epochs: of another type"]);
    assert_eq!(
        wrong("kind = \"poisson\"\n", "kind = \"poison\"\n"),
        [".encoder.kind: not one of its words"]
    );
    assert_eq!(wrong("\nbatch_size = 128", ""), [".train: without \"batch_size\""]);
}

/// Whether the config refuses a value because it is none of the words that there are.
fn is_unknown_word(key: &str, word: &str) -> bool {
    let setting = format!("{key}=\"{word}\"");
    let parsed = Sweep::parse(Path::new("t.toml"), TEMPLATE, &[setting]);
    parsed.err().is_some_and(|error| {
        let error = error.to_string();
        ["unknown variant", "expected", "there is no", "no such", "did you mean", "unknown"]
            .iter()
            .any(|words| error.contains(words))
    })
}

#[test]
fn the_words_of_the_schema_are_those_that_the_config_knows() {
    let schema = template_as_schema();
    let mut n_words = 0;
    for (table, of_table) in schema["properties"].as_object().unwrap() {
        for (key, of_key) in of_table["properties"].as_object().into_iter().flatten() {
            let choices =
                of_key["anyOf"].as_array().cloned().unwrap_or_else(|| vec![of_key.clone()]);
            let is_any_text = choices.iter().any(|choice| choice["type"] == "string");
            let words = choices.iter().filter_map(|choice| choice["enum"].as_array()).flatten();
            let words: Vec<&str> = words.map(|word| word.as_str().unwrap()).collect();
            let key = format!("{table}.{key}");
            for word in &words {
                assert!(!is_unknown_word(&key, word), "{key} does not know {word:?}");
            }
            if !words.is_empty() && !is_any_text {
                let setting = format!("{key}=\"qqq\"");
                let parsed = Sweep::parse(Path::new("t.toml"), TEMPLATE, &[setting]);
                assert!(parsed.is_err(), "{key} knows any word");
            }
            n_words += words.len();
        }
    }
    assert!(n_words > 40, "{n_words}");
}

//! Every key with its type and meaning: as a config to start from, as a page, and as a JSON Schema.

use std::fmt::Write as _;

use serde_json::{Map, Value, json};

/// A config with every key and what it means; keys that have a default are left out in comments.
///
/// Before a key stand comments with its meaning, and one that begins with `#:` with what its value can be:
/// types and words, with `|` between them.
pub const TEMPLATE: &str = include_str!("template.toml");

/// A table of keys.
struct Table<'a> {
    /// Its name; empty for the keys outside of all tables.
    name: &'a str,
    meaning: String,
    /// Whether it has to be there.
    is_needed: bool,
    keys: Vec<Key<'a>>,
}

/// A key of a table.
struct Key<'a> {
    name: &'a str,
    /// What its value can be, as types and words in quotes.
    types: &'a str,
    example: &'a str,
    meaning: String,
    /// Whether it must be given.
    is_needed: bool,
}

/// The tables of the template, in its order.
fn tables() -> Vec<Table<'static>> {
    let start = Table { name: "", meaning: String::new(), is_needed: true, keys: vec![] };
    let (mut tables, mut words, mut types) = (vec![start], Vec::new(), "");
    for line in TEMPLATE.lines().skip_while(|line| !line.is_empty()) {
        if let Some(text) = line.strip_prefix("#: ") {
            types = text;
            continue;
        }
        let (is_needed, text) = match line.strip_prefix("# ") {
            Some(text) => (false, text),
            None => (true, line),
        };
        if let Some(name) = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')) {
            let meaning = std::mem::take(&mut words).join(" ");
            tables.push(Table { name, meaning, is_needed, keys: vec![] });
        } else if let Some((name, example)) = text.split_once(" = ").filter(|(key, _)| is_key(key))
        {
            let meaning = std::mem::take(&mut words).join(" ");
            let types = std::mem::take(&mut types);
            let key = Key { name: name.trim_matches('"'), types, example, meaning, is_needed };
            if let Some(table) = tables.last_mut() {
                table.keys.push(key);
            }
        } else if !text.is_empty() {
            words.push(text);
        }
    }
    tables
}

/// Whether a text before ` = ` is a key, not a sentence.
fn is_key(text: &str) -> bool {
    text.chars().all(|c| c.is_ascii_lowercase() || matches!(c, '_' | '.' | '"'))
}

/// [`TEMPLATE`] as a page of Markdown: a table for each table of keys.
pub fn template_as_markdown() -> String {
    let mut page = String::from(
        "# Keys of a config\n\n\
         Printed by `mbspike config new --markdown`; `mbspike config new` prints the same as a config to \
         start from, and `mbspike config schema` as a JSON Schema for editors. Keys in **bold** must be \
         given. `--set key=value` of `mbspike run` overrides any of them, by its dotted name: \
         `--set train.epochs=1`.\n",
    );
    for table in tables() {
        if !table.name.is_empty() {
            let _ = writeln!(page, "\n## `[{}]`\n\n{}", table.name, table.meaning);
        }
        page.push_str("\n| key | value | example | meaning |\n|---|---|---|---|\n");
        for Key { name, types, example, meaning, is_needed } in table.keys {
            let mark = if is_needed { "**" } else { "" };
            let types = types.replace('"', "`").replace(" | ", ", ");
            let _ = writeln!(page, "| {mark}`{name}`{mark} | {types} | `{example}` | {meaning} |");
        }
    }
    page
}

/// Where the JSON Schema of a config says which language it is in.
const DRAFT: &str = "http://json-schema.org/draft-07/schema#";

/// [`TEMPLATE`] as a JSON Schema, with which editors complete and check configs.
pub fn template_as_schema() -> Value {
    let (mut properties, mut needed) = (Map::new(), Vec::new());
    for table in tables() {
        let keys = table.keys.iter().map(|key| (key.name.to_owned(), schema_of(key)));
        if table.name.is_empty() {
            properties.extend(keys);
            needed.extend(table.keys.iter().filter(|key| key.is_needed).map(|key| key.name));
            continue;
        }
        let given = table.keys.iter().filter(|key| key.is_needed && table.is_needed);
        // The keys of a sweep are those of all tables, dotted, with a list for each.
        let is_open = table.name == "sweep";
        let mut schema = json!({
            "type": "object",
            "description": table.meaning,
            "properties": keys.collect::<Map<_, _>>(),
            "additionalProperties": is_open,
        });
        // What one key makes needless is not needed: `bits` beside `levels`, `arch` beside `preset`.
        let given = given.filter(|key| !ALTERNATIVES.contains(&key.name));
        let given: Vec<&str> = given.map(|key| key.name).collect();
        if !given.is_empty() {
            schema["required"] = json!(given);
        }
        if table.is_needed {
            needed.push(table.name);
        }
        properties.insert(table.name.to_owned(), schema);
    }
    json!({
        "$schema": DRAFT,
        "title": "An experiment of mbspike",
        "type": "object",
        "properties": properties,
        "required": needed,
        "additionalProperties": false,
    })
}

/// Keys of the template that another key can stand for.
const ALTERNATIVES: [&str; 2] = ["bits", "arch"];

/// What a key's value can be.
fn schema_of(key: &Key<'_>) -> Value {
    let (mut types, mut words) = (Vec::new(), Vec::new());
    for part in key.types.split(" | ") {
        match part.strip_prefix('"').and_then(|part| part.strip_suffix('"')) {
            Some(word) => words.push(word),
            None => types.push(if part == "table" { "object" } else { part }),
        }
    }
    let mut choices = Vec::new();
    if !words.is_empty() {
        choices.push(json!({"enum": words}));
    }
    choices.extend(types.into_iter().map(|name| json!({"type": name})));
    let mut schema = match choices.as_slice() {
        [one] => one.clone(),
        _ => json!({"anyOf": choices}),
    };
    schema["description"] = json!(key.meaning);
    schema
}

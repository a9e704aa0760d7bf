//! Every key with its meaning, as a config to start from and as a page.

use std::fmt::Write as _;

/// A config with every key and what it means; keys that have a default are left out in comments.
pub const TEMPLATE: &str = include_str!("template.toml");

/// [`TEMPLATE`] as a page of Markdown: a table for each table of keys.
pub fn template_as_markdown() -> String {
    let mut page = String::from(
        "# Keys of a config\n\n\
         Printed by `mbspike config new --markdown`; `mbspike config new` prints the same as a config to \
         start from. Keys in **bold** must be given. `--set key=value` of `mbspike run` overrides any of \
         them, by its dotted name: `--set train.epochs=1`.\n",
    );
    let mut words: Vec<&str> = Vec::new();
    let mut is_table = false;
    for line in TEMPLATE.lines().skip_while(|line| !line.is_empty()) {
        let (is_given, text) = match line.strip_prefix("# ") {
            Some(text) => (false, text),
            None => (true, line),
        };
        if let Some(name) = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')) {
            let _ = writeln!(page, "\n## `[{name}]`\n\n{}", words.join(" "));
            (words, is_table) = (vec![], false);
        } else if let Some((key, value)) = text.split_once(" = ").filter(|(key, _)| is_key(key)) {
            if !is_table {
                page.push_str("\n| key | example | meaning |\n|---|---|---|\n");
                is_table = true;
            }
            let mark = if is_given { "**" } else { "" };
            let meaning = words.join(" ");
            let _ = writeln!(page, "| {mark}`{key}`{mark} | `{value}` | {meaning} |");
            words.clear();
        } else if !text.is_empty() {
            words.push(text);
        }
    }
    page
}

/// Whether a text before ` = ` is a key, not a sentence.
fn is_key(text: &str) -> bool {
    text.chars().all(|c| c.is_ascii_lowercase() || matches!(c, '_' | '.' | '"'))
}

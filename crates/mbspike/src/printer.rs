//! The one place that prints: results on stdout, everything else on stderr.
//!
//! Nothing here panics, and a message that cannot be written is dropped: training goes on when the
//! terminal is gone or the disk of a log is full. A reader of results that has gone, as `head` does,
//! ends them quietly; the exit code is as if they had been printed. Results that cannot be written for
//! another reason are an error.
//!
//! Control characters, which names of files and texts of configs can hold, are escaped.

use std::borrow::Cow;
use std::fmt::Display;
use std::io::{ErrorKind, Write};

use anyhow::Context;
use comfy_table::presets::NOTHING;
use comfy_table::{CellAlignment, ContentArrangement, Table};
use serde::Serialize;

/// Prints a message on stderr, whatever the user has asked for.
pub fn complain(message: impl Display) {
    let line = format!("{}\n", printable(&message.to_string()));
    // There is nobody left to tell.
    let _ = std::io::stderr().write_all(line.as_bytes());
}

/// Prints a message on stderr, unless the user wants none.
pub fn say(quiet: bool, message: impl Display) {
    if !quiet {
        complain(message);
    }
}

/// Prints lines of results on stdout.
pub fn line(text: impl Display) -> anyhow::Result<()> {
    write(format!("{}\n", printable(&text.to_string())).as_bytes())
}

/// Prints a text that ends its last line itself on stdout.
pub fn text(text: &str) -> anyhow::Result<()> {
    write(printable(text).as_bytes())
}

/// Prints JSON on stdout.
pub fn json(value: &impl Serialize) -> anyhow::Result<()> {
    let mut text = serde_json::to_vec_pretty(value)?;
    text.push(b'\n');
    write(&text)
}

/// Prints rows of cells in columns on stdout: the first column to the left, the others to the right.
pub fn table(rows: &[Vec<String>]) -> anyhow::Result<()> {
    let n_columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    if n_columns == 0 {
        return write("\n".repeat(rows.len()).as_bytes());
    }
    let mut table = Table::new();
    table.load_preset(NOTHING).set_content_arrangement(ContentArrangement::Disabled);
    for row in rows {
        let mut cells: Vec<String> = row.iter().map(|cell| printable(cell).into_owned()).collect();
        cells.resize(n_columns, String::new());
        table.add_row(cells);
    }
    for (i, column) in table.column_iter_mut().enumerate() {
        let (gap, side) = if i == 0 { (0, CellAlignment::Left) } else { (2, CellAlignment::Right) };
        column.set_padding((gap, 0)).set_cell_alignment(side);
    }
    let lines = table.lines().map(|line| format!("{}\n", line.trim_end()));
    write(lines.collect::<String>().as_bytes())
}

/// Columns of a terminal that texts are broken for.
const WIDTH: u16 = 80;

/// Prints a text on stdout, broken into lines between words.
pub fn paragraph(text: &str) -> anyhow::Result<()> {
    let mut table = Table::new();
    table.load_preset(NOTHING).set_content_arrangement(ContentArrangement::Dynamic);
    table.set_width(WIDTH).add_row([printable(text)]);
    table.column_iter_mut().for_each(|column| {
        column.set_padding((0, 0));
    });
    let lines = table.lines().map(|line| format!("{}\n", line.trim_end()));
    write(lines.collect::<String>().as_bytes())
}

fn write(bytes: &[u8]) -> anyhow::Result<()> {
    let mut stdout = std::io::stdout().lock();
    match stdout.write_all(bytes).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        result => result.context("cannot print the results"),
    }
}

/// A text that does nothing to a terminal but appear there: control characters but line breaks, and
/// marks that turn the direction of text, as Rust writes them in strings.
pub fn printable(text: &str) -> Cow<'_, str> {
    let acts = |c: char| {
        (c.is_control() && c != '\n')
            || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{2028}' | '\u{2029}')
    };
    if !text.contains(acts) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len() + 8);
    for c in text.chars() {
        if acts(c) { shown.extend(c.escape_default()) } else { shown.push(c) }
    }
    Cow::Owned(shown)
}

#[cfg(test)]
mod tests {
    use super::printable;

    #[test]
    fn what_acts_on_a_terminal_is_escaped_and_the_rest_is_left() {
        assert_eq!(printable("a\nb – ü"), "a\nb – ü");
        assert_eq!(printable("\u{1b}[31m\r\t\u{7f}\u{9b}"), "\\u{1b}[31m\\r\\t\\u{7f}\\u{9b}");
        assert_eq!(printable("a\u{202e}b"), "a\\u{202e}b");
    }
}

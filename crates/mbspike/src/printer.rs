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
use serde::Serialize;
use unicode_width::UnicodeWidthStr;

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
    let width = |column: usize| {
        rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.width()).max()
    };
    let widths: Vec<usize> = (0..n_columns).map(|column| width(column).unwrap_or(0)).collect();
    let mut text = String::new();
    for row in rows {
        let mut line = String::new();
        for (i, (cell, width)) in row.iter().zip(&widths).enumerate() {
            // Widths of the formatting macros end at 65,535.
            let blank = " ".repeat(width - cell.width());
            let (before, after) = if i == 0 { ("", blank.as_str()) } else { (blank.as_str(), "") };
            let gap = if i == 0 { "" } else { "  " };
            line.extend([gap, before, cell, after]);
        }
        text.push_str(printable(line.trim_end()).as_ref());
        text.push('\n');
    }
    write(text.as_bytes())
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

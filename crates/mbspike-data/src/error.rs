use std::path::{Path, PathBuf};

use thiserror::Error;

/// What reading, encoding and batching data can refuse.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum Error {
    /// A file could not be read or written; the message names it.
    // Not a source of its own: who prints the chain of causes would print it twice.
    #[error("{}", printable_lines(&.0.to_string()))]
    Io(std::io::Error),
    /// A file is not what it should be.
    #[error(
        "{}: byte {offset}: expected {}, found {}",
        shown(file),
        printable(expected),
        printable(found)
    )]
    Format {
        /// The file, or a name for it.
        file: PathBuf,
        /// Where in the file; of a compressed file, where in its decompressed content.
        offset: u64,
        /// What should be there.
        expected: String,
        /// What is there.
        found: String,
    },
    /// An event of a recording is not what it should be.
    #[error(
        "{}: event {event}: expected {}, found {}",
        shown(file),
        printable(expected),
        printable(found)
    )]
    Event {
        /// The recording.
        file: PathBuf,
        /// Which of its events, counted from 0 in the order of the file.
        event: usize,
        /// What should be there.
        expected: String,
        /// What is there.
        found: String,
    },
    /// An array of a file is not what it should be.
    #[error("{}: array \"{}\": {}", shown(file), printable(array), printable(message))]
    Array {
        /// The file.
        file: PathBuf,
        /// The name of the array.
        array: String,
        /// What is wrong with it.
        message: String,
    },
    /// A line of a text file is not what it should be.
    #[error("{}: line {line}: {}", shown(file), printable(message))]
    Line {
        /// The file.
        file: PathBuf,
        /// The line, counted from 1.
        line: u64,
        /// What is wrong with it.
        message: String,
    },
    /// Two files that belong together disagree.
    #[error(
        "{} and {} do not belong together: {}",
        shown(&files[0]), shown(&files[1]), printable(message)
    )]
    Mismatch {
        /// The files.
        files: [PathBuf; 2],
        /// How they disagree.
        message: String,
    },
    /// A dataset is not on this machine, or not all of it.
    #[error("{dataset}: no data in {}\n{}", list(searched), printable_lines(hint))]
    NotFound {
        /// The dataset's name.
        dataset: String,
        /// Folders that were searched.
        searched: Vec<PathBuf>,
        /// What to put where.
        hint: String,
    },
    /// A folder holds a part of a dataset.
    #[error(
        "{dataset}: {} holds a part of it but not {}",
        shown(folder), printable(&missing.join(", "))
    )]
    Incomplete {
        /// The dataset's name.
        dataset: String,
        /// The folder.
        folder: PathBuf,
        /// Files that are not there.
        missing: Vec<String>,
    },
    /// A configuration value cannot be used.
    #[error("{}: {}", printable(key), printable(message))]
    Config {
        /// The key, as in the configuration file.
        key: String,
        /// What is wrong with its value.
        message: String,
    },
    /// A download failed or is not possible.
    #[error("{dataset} cannot be downloaded: {}", printable_lines(message))]
    Download {
        /// The dataset's name.
        dataset: String,
        /// Why, and what to do instead.
        message: String,
    },
    /// The loader's thread ended without handing over its batch.
    #[error("the loader thread died: {0}")]
    Loader(String),
    /// A picture could not be encoded.
    #[error("a picture of {}x{} pixels cannot be made: {message}", size[0], size[1])]
    Picture {
        /// Its height and width.
        size: [usize; 2],
        /// Why.
        message: String,
    },
    /// An encoding kernel refused its arguments.
    #[error(transparent)]
    Kernel(#[from] mbspike_core::Error),
    /// The tensor library's own error.
    #[error("batch {batch}: {source}")]
    Tensor {
        /// The batch's position in its epoch.
        batch: usize,
        /// What the library says.
        source: Box<candle_core::Error>,
    },
}

/// `Result` with this crate's [`enum@Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    pub(crate) fn config(key: &str, message: impl Into<String>) -> Self {
        Self::Config { key: key.to_owned(), message: message.into() }
    }
}

impl From<std::io::Error> for Error {
    fn from(error: std::io::Error) -> Self {
        Self::Io(error)
    }
}

fn list(folders: &[PathBuf]) -> String {
    folders.iter().map(|folder| shown(folder)).collect::<Vec<_>>().join(", ")
}

fn shown(path: &Path) -> String {
    printable(&path.to_string_lossy())
}

/// Text of a file as a terminal may show it: control characters and those that change the direction
/// of writing are escaped, so that no file can move the cursor, recolour or reorder what is printed.
pub fn printable(text: &str) -> String {
    escape(text, |_| false)
}

/// The same for text of several lines.
fn printable_lines(text: &str) -> String {
    escape(text, |c| c == '\n')
}

fn escape(text: &str, keeps: impl Fn(char) -> bool) -> String {
    let is_harmful =
        |c: char| c.is_control() || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        if is_harmful(c) && !keeps(c) {
            escaped.extend(c.escape_default());
        } else {
            escaped.push(c);
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_of_files_are_not_printed_raw() {
        let file = PathBuf::from("a\u{1b}[2Jb\u{202e}.csv");
        let error = Error::Line { file, line: 3, message: "found \"\r\u{7}\u{9b}ä\"".to_owned() };
        assert_eq!(error.to_string(), r#"a\u{1b}[2Jb\u{202e}.csv: line 3: found "\r\u{7}\u{9b}ä""#);
        let io = std::io::Error::other("cannot open \u{1b}[31mx\nbecause");
        assert_eq!(Error::from(io).to_string(), "cannot open \\u{1b}[31mx\nbecause");
    }
}

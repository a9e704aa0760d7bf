use std::fmt;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;

/// A text that settings came from.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Source {
    /// A file.
    File { path: PathBuf, text: String },
    /// An argument `--set key=value` of the command line.
    Argument(String),
}

/// Where a key or a value stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Origin {
    pub(crate) source: Arc<Source>,
    /// Bytes of the file's text.
    pub(crate) span: Range<usize>,
}

/// A config that cannot be used.
///
/// Displayed as `file:line:column: message`, with the line below it, or as `--set key=value:
/// message`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigError {
    origin: Origin,
    message: String,
}

impl ConfigError {
    pub(crate) fn new(origin: Origin, message: impl Into<String>) -> Self {
        Self { origin, message: message.into() }
    }

    /// About an argument `key=value` of `--set`.
    pub(crate) fn of_argument(argument: &str, message: impl Into<String>) -> Self {
        let source = Arc::new(Source::Argument(argument.to_owned()));
        Self::new(Origin { source, span: 0..0 }, message)
    }

    /// What is wrong, without the place.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// The place in words: `line 3, column 5`, or the argument of the command line.
    pub(crate) fn place(&self) -> String {
        match (self.line_and_column(), &*self.origin.source) {
            (Some((line, column)), _) => format!("line {line}, column {column}"),
            (None, Source::Argument(argument)) => format!("--set {argument}"),
            (None, Source::File { path, .. }) => path.display().to_string(),
        }
    }

    /// Line and column of the place, counted from 1; `None` where it is not in a file.
    pub fn line_and_column(&self) -> Option<(usize, usize)> {
        match &*self.origin.source {
            Source::File { text, .. } => Some(line_and_column(text, self.origin.span.start)),
            Source::Argument(_) => None,
        }
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (path, text) = match &*self.origin.source {
            Source::Argument(argument) => return write!(f, "--set {argument}: {}", self.message),
            Source::File { path, text } => (path, text),
        };
        let span = &self.origin.span;
        let (line, column) = line_and_column(text, span.start);
        write!(f, "{}:{line}:{column}: {}", path.display(), self.message)?;
        let Some(content) = text.lines().nth(line - 1) else { return Ok(()) };
        let content: String =
            content.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        let n_left = content.chars().count().saturating_sub(column - 1).max(1);
        let n_carets = text.get(span.clone()).map_or(1, |part| part.chars().count());
        let n_carets = n_carets.clamp(1, n_left);
        let (gutter, indent) = (line.to_string().len(), column - 1);
        write!(f, "\n {line} | {content}\n {:gutter$} | {:indent$}{:^>n_carets$}", "", "", "")
    }
}

impl std::error::Error for ConfigError {}

/// Line and column, in characters, of byte `position`, counted from 1.
fn line_and_column(text: &str, position: usize) -> (usize, usize) {
    let before = text.get(..position).unwrap_or(text);
    let line_start = before.rfind('\n').map_or(0, |end| end + 1);
    (before.matches('\n').count() + 1, before[line_start..].chars().count() + 1)
}

use std::fmt;

use crate::excerpt;

/// An architecture that cannot be read, or whose layers do not fit each other.
///
/// Displayed with the text and a line of carets below the part that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ArchError {
    /// The notation as it was given.
    pub text: String,
    /// Where the wrong part starts, in bytes.
    pub position: usize,
    /// Its length in bytes; 0 where something is missing.
    pub length: usize,
    /// What stands there.
    pub found: String,
    /// What would be right there.
    pub expected: String,
}

impl fmt::Display for ArchError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { text, position, length, found, expected } = self;
        let printable = |part: &str| -> String {
            part.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
        };
        let (line, carets) = excerpt(text, *position..position.saturating_add(*length));
        writeln!(
            f,
            "architecture, byte {position}: found {}, expected {expected}",
            printable(found)
        )?;
        write!(f, "  {line}\n  {carets}")
    }
}

impl std::error::Error for ArchError {}

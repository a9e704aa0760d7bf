//! How folders say that their recordings are simulated, not measured.

use std::path::Path;

/// The file that marks a folder as simulated and holds the settings it was made with.
pub const MARKER: &str = "simulated.toml";

/// Whether the data in `folder` say that they are simulated.
pub fn is_simulated(folder: &Path) -> bool {
    folder.join(MARKER).is_file()
}

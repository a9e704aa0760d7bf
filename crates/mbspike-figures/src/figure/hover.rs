//! Values that a page shows under the pointer.

use serde::Serialize;

/// The lines of one panel, in places of the drawing.
#[derive(Debug, Clone, Serialize)]
pub struct Hover {
    /// Left, top, right and bottom of the panel.
    pub frame: [i32; 4],
    /// What the horizontal axis counts.
    pub x_label: String,
    /// The lines.
    pub lines: Vec<HoverLine>,
}

/// One line of a panel.
#[derive(Debug, Clone, Serialize)]
pub struct HoverLine {
    /// Its name.
    pub label: String,
    /// Its colour, as `#rrggbb`.
    pub colour: String,
    /// Where a value is drawn, at which place of the axis, and what it is.
    pub points: Vec<(i32, i32, u64, String)>,
}

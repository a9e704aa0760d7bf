use crate::Shape;

/// What a node sends at each step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Extent {
    /// Its size.
    pub shape: Shape,
    /// Whether it is a map `[C, H, W]`, or a row `[N]`.
    pub is_map: bool,
}

use std::fmt;

/// The size of a feature map at one time step; a layer of `n` neurons without a map is `1x1xn`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Shape {
    /// Channels C.
    pub channels: usize,
    /// Rows H.
    pub height: usize,
    /// Columns W.
    pub width: usize,
}

impl Shape {
    /// `C · H · W`.
    pub fn n_elements(self) -> usize {
        self.channels * self.height * self.width
    }
}

/// `34x34x2`: height, width, channels, as in the notation.
impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}x{}x{}", self.height, self.width, self.channels)
    }
}

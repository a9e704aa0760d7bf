//! Places about the body, and where the wrists are.

/// A point of the body: pixels at the nominal size from between the shoulders; x to the right of the
/// picture, y down, z toward the camera.
pub(super) type Vector = [f64; 3];

/// The left shoulder; the right one is its mirror image.
pub(super) const SHOULDER: Vector = [13.0, 2.0, 0.0];

/// Where the wrists are.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Wrists {
    pub right: Vector,
    pub left: Vector,
}

impl Wrists {
    /// Arms that hang down.
    pub(super) const REST: Self = Self { right: [-17.0, 42.0, 8.0], left: [17.0, 42.0, 8.0] };

    /// A point on the way to `other`.
    pub(super) fn toward(self, other: Self, share: f64) -> Self {
        let mix = |a: Vector, b: Vector| std::array::from_fn(|i| a[i] + share * (b[i] - a[i]));
        Self { right: mix(self.right, other.right), left: mix(self.left, other.left) }
    }
}

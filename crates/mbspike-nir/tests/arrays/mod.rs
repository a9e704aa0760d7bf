//! The numbers in the files of `fixtures`.
#![expect(clippy::unwrap_used, reason = "a test stops where something fails")]

use mbspike_nir::Array;

/// 0, 1/8, 2/8, …
pub fn numbers(shape: &[usize]) -> Array {
    let n: usize = shape.iter().product();
    Array::f32(shape, (0..n).map(|i| i as f32 / 8.0).collect()).unwrap()
}

pub fn full(shape: &[usize], value: f32) -> Array {
    Array::full(shape, value)
}

use pulp::{Arch, Simd, WithSimd};

use super::shape::{ConvShape, ImageLayout};

/// Inputs of one kernel row that a byte has bits for.
const MAX_BITS: usize = 8;
/// Elements of the tables of one convolution: 32 KB, what a first-level cache holds.
const MAX_TABLE: usize = 8 * 1024;

/// Number of entries in the table of one kernel row, where a convolution of binary images is
/// computed by look-up: `2^(kernel · channels)`.
pub(super) fn n_patterns(shape: &ConvShape, x: &ImageLayout, out_stride: usize) -> Option<usize> {
    let n_bits = shape.kernel * shape.in_channels;
    if n_bits > MAX_BITS || x.stride != shape.in_channels {
        return None;
    }
    let n_patterns = 1 << n_bits;
    (shape.kernel * n_patterns * out_stride <= MAX_TABLE).then_some(n_patterns)
}

/// The elements under one kernel row, at each of its places on a binary image, as the bits of a
/// number: bit `kx · channels + ci` is element `ci` of pixel `kx`.
#[derive(Debug, Clone, Default)]
pub(super) struct Patterns {
    /// One for each element of the padded image; the last few of a row mean nothing.
    of_element: Vec<u8>,
    bits: Vec<u8>,
    n_bits: usize,
    layout: ImageLayout,
}

struct Fill<'a> {
    patterns: &'a mut Patterns,
    image: &'a [f32],
}

impl WithSimd for Fill<'_> {
    type Output = bool;

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) -> bool {
        let Patterns { of_element: patterns, bits, n_bits, layout } = self.patterns;
        // `bits` ends in zeros that stand for what lies beyond the image.
        let rows = bits.chunks_exact_mut(layout.pitch());
        for (bit_row, row) in rows.zip(self.image.chunks_exact(layout.pitch())) {
            let mut others = 0;
            for (bit, &v) in bit_row.iter_mut().zip(row) {
                *bit = u8::from(v != 0.0);
                others |= u8::from(v != 0.0) & u8::from(v != 1.0);
            }
            if others != 0 {
                return false;
            }
        }
        let n = patterns.len();
        patterns.copy_from_slice(&bits[..n]);
        for i in 1..*n_bits {
            for (pattern, bit) in patterns.iter_mut().zip(&bits[i..]) {
                *pattern |= bit << i;
            }
        }
        true
    }
}

impl Patterns {
    /// Room for the patterns of an image of this layout under kernel rows of `n_bits` elements.
    pub(super) fn for_layout(layout: &ImageLayout, n_bits: usize) -> Self {
        let n = layout.len();
        Self { of_element: vec![0; n], bits: vec![0; n + n_bits], n_bits, layout: *layout }
    }

    /// Finds the patterns of `image`, or returns false where an element is neither 0 nor 1.
    pub(super) fn fill(&mut self, image: &[f32]) -> bool {
        Arch::new().dispatch(Fill { patterns: self, image })
    }

    /// The pattern of padded row `row` with the kernel's first pixel at `column`.
    #[inline(always)]
    pub(super) fn at(&self, row: usize, column: usize) -> usize {
        usize::from(self.of_element[row * self.layout.pitch() + column * self.layout.stride])
    }

    /// The layout of the images.
    pub(super) fn layout(&self) -> &ImageLayout {
        &self.layout
    }
}

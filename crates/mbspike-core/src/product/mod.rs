//! Products of matrices for layers that are computed a batch at a time: `C += A · B`, where `A` may
//! be sparse.
//!
//! All matrices are row by row. `B` is cut into tiles of `K_BLOCK` rows and four vectors of
//! columns, which are copied together into the first-level cache and then used for all rows of `A`
//! that a call is given:
//! * **dense**: a few rows of `A` times the tile's columns in registers; each step loads four
//!   vectors of `B` and one broadcast element of `A` a row. The cost is that of all products.
//! * **gather**: one row of `A` at a time, as the list of its non-zeros in those `K_BLOCK`
//!   columns; each adds its row of the tile, so that zeros cost nothing.
//!
//! Which one runs, and with it the order of additions, depends on the number of non-zeros in the
//! rows that a call is given. [`reference`](mod@reference) is the plain form.
#![expect(unsafe_code, reason = "register tiles over raw rows; bounds are checked by the callers")]

mod tiles;

use std::ops::Range;

use pulp::{Simd, WithSimd};

use crate::Result;
use crate::conv::{dispatch, lanes_for};
use crate::error::check_len;
use tiles::{Entry, dense_tile, gather_row};

/// Rows of `B` in a tile: with four vectors of 64 bytes a row, 24 KB.
const K_BLOCK: usize = 96;
/// Elements whose being zero or not is kept in a word, and words for a row of `K_BLOCK`.
const WORD_BITS: usize = u32::BITS as usize;
const WORDS: usize = K_BLOCK / WORD_BITS;
/// Vectors in a row of a tile.
const N_VECTORS: usize = 4;
/// Rows of `A` in a dense tile where there are 32 registers of 16 lanes, and elsewhere.
const TILE_WIDE: usize = 6;
const TILE_NARROW: usize = 2;
/// Share of non-zeros up to which the gather is chosen: where the times of
/// `mbspike bench kernel product` at several densities meet those of the dense tiles.
const GATHER_BELOW: f64 = 0.45;

/// A matrix of f32 in a slice.
#[derive(Debug, Clone, Copy)]
pub struct Matrix<'a> {
    /// Its elements.
    pub values: &'a [f32],
    /// Elements from row to row.
    pub row_stride: usize,
    /// Elements from column to column.
    pub column_stride: usize,
}

impl<'a> Matrix<'a> {
    /// A matrix whose rows follow each other, `row_stride` elements apart.
    pub fn by_rows(values: &'a [f32], row_stride: usize) -> Self {
        Self { values, row_stride, column_stride: 1 }
    }

    /// The transposed matrix.
    #[must_use]
    pub fn transposed(self) -> Self {
        Self { row_stride: self.column_stride, column_stride: self.row_stride, ..self }
    }

    /// Elements needed for `rows` and `columns`.
    fn needed(&self, rows: usize, columns: usize) -> usize {
        if rows == 0 || columns == 0 {
            return 0;
        }
        (rows - 1) * self.row_stride + (columns - 1) * self.column_stride + 1
    }
}

/// Working space of [`add_product`], kept from call to call.
#[derive(Debug, Default)]
pub struct ProductSpace {
    /// Rows of `B` one after another.
    tile: Vec<f32>,
    /// A bit for each element of `A` that is not zero, [`WORDS`] for a row.
    words: Vec<u32>,
    /// `[rows][K_BLOCK]`.
    entries: Vec<Entry>,
    n: Vec<u32>,
}

/// What [`add_product`] found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Work {
    /// Elements of `A` that are not zero.
    pub n_nonzero: u64,
    /// Elements of `A`.
    pub n_elements: u64,
}

/// The left factor of a product: some rows of a matrix.
#[derive(Debug, Clone)]
pub struct Left<'a> {
    /// The matrix.
    pub matrix: Matrix<'a>,
    /// The rows that stand for those of the product.
    pub rows: Range<usize>,
    /// Columns, as many as the right factor has rows.
    pub k: usize,
    /// Whether to search the rows for zeros.
    pub may_be_sparse: bool,
}

/// `C += A · B` with `C` by rows of `c.1` elements, `B` by rows of `b.1` elements, of both the first
/// `columns`.
///
/// # Errors
/// If a slice is too short or `columns` is not a number of whole vectors of 8.
pub fn add_product(
    c: (&mut [f32], usize),
    a: Left<'_>,
    b: (&[f32], usize),
    columns: usize,
    space: &mut ProductSpace,
) -> Result<Work> {
    const OP: &str = "add_product";
    let ((c, c_stride), (b, b_stride)) = (c, b);
    let Left { matrix: a, rows, k, may_be_sparse } = a;
    let n_rows = rows.len();
    let last = |n: usize, stride: usize| if n == 0 { 0 } else { (n - 1) * stride + columns };
    check_len(OP, "columns beyond whole vectors", columns % 8, 0)?;
    check_len(OP, "c", c.len().max(last(n_rows, c_stride)), c.len())?;
    check_len(OP, "b", b.len().max(last(k, b_stride)), b.len())?;
    check_len(OP, "a", a.values.len().max(a.needed(rows.end, k)), a.values.len())?;
    check_len(OP, "c's rows", c_stride.max(columns), c_stride)?;
    if n_rows == 0 || columns == 0 {
        return Ok(Work::default());
    }
    // Vectors of 16 would not fill an odd number of eights.
    let widest = lanes_for(16);
    let lanes = if columns.is_multiple_of(16) { widest } else { widest.min(8) };
    Ok(dispatch(
        lanes,
        Product { c, c_stride, a, rows, k, b, b_stride, columns, may_be_sparse, space },
    ))
}

struct Product<'a> {
    c: &'a mut [f32],
    c_stride: usize,
    a: Matrix<'a>,
    rows: Range<usize>,
    k: usize,
    b: &'a [f32],
    b_stride: usize,
    columns: usize,
    may_be_sparse: bool,
    space: &'a mut ProductSpace,
}

impl WithSimd for Product<'_> {
    type Output = Work;

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> Work {
        let mut this = self;
        let n_rows = this.rows.len();
        let width = N_VECTORS * S::F32_LANES;
        this.space.tile.resize(K_BLOCK * width, 0.0);
        if this.may_be_sparse {
            this.space.entries.resize(n_rows * K_BLOCK, Entry::default());
            this.space.n.resize(n_rows, 0);
            this.space.words.resize(n_rows * WORDS, 0);
        }
        let mut work = Work { n_nonzero: 0, n_elements: (n_rows * this.k) as u64 };
        for k0 in (0..this.k).step_by(K_BLOCK) {
            let kb = K_BLOCK.min(this.k - k0);
            let n_nonzero = if this.may_be_sparse { this.mark(k0, kb) } else { n_rows * kb };
            work.n_nonzero += n_nonzero as u64;
            let gather =
                this.may_be_sparse && (n_nonzero as f64) < GATHER_BELOW * (n_rows * kb) as f64;
            if gather {
                this.list(k0);
            }
            let mut column = 0;
            while column < this.columns {
                let vectors = ((this.columns - column) / S::F32_LANES).min(N_VECTORS);
                // SAFETY: `add_product` checked that the matrices reach as far as the tiles do.
                unsafe {
                    match vectors {
                        4 => this.panel::<S, 4>(simd, k0, kb, column, gather),
                        3 => this.panel::<S, 3>(simd, k0, kb, column, gather),
                        2 => this.panel::<S, 2>(simd, k0, kb, column, gather),
                        _ => this.panel::<S, 1>(simd, k0, kb, column, gather),
                    }
                }
                column += vectors * S::F32_LANES;
            }
        }
        work
    }
}

/// Sets a bit of a word if a value is not zero; NaN is not.
#[inline(always)]
fn set_if_nonzero(word: &mut u32, value: f32, bit: usize) {
    *word |= u32::from(value != 0.0) << bit;
}

impl Product<'_> {
    /// Sets the bits of the non-zeros of the rows in columns `k0..k0 + kb`, in loops over whole vectors
    /// without a branch; returns how many there are.
    #[inline(always)]
    fn mark(&mut self, k0: usize, kb: usize) -> usize {
        let a = &self.a;
        let n_rows = self.rows.len();
        let words = &mut self.space.words[..WORDS * n_rows];
        words.fill(0);
        if a.column_stride == 1 {
            for (i, row) in self.rows.clone().enumerate() {
                let values = &a.values[row * a.row_stride + k0..][..kb];
                for (word, values) in words[i * WORDS..].iter_mut().zip(values.chunks(WORD_BITS)) {
                    for (bit, value) in values.iter().enumerate() {
                        set_if_nonzero(word, *value, bit);
                    }
                }
            }
        } else {
            for at in 0..kb {
                let start = self.rows.start * a.row_stride + (k0 + at) * a.column_stride;
                let bit = at % WORD_BITS;
                let words = &mut words[at / WORD_BITS * n_rows..][..n_rows];
                if a.row_stride == 1 {
                    // By itself, as steps of 1 are not taken in vectors.
                    let pairs = words.iter_mut().zip(&a.values[start..]);
                    pairs.for_each(|(word, value)| set_if_nonzero(word, *value, bit));
                } else {
                    let pairs =
                        words.iter_mut().zip(a.values[start..].iter().step_by(a.row_stride));
                    pairs.for_each(|(word, value)| set_if_nonzero(word, *value, bit));
                }
            }
        }
        words.iter().map(|word| word.count_ones() as usize).sum()
    }

    /// Lists what [`mark`](Self::mark) found.
    #[inline(always)]
    fn list(&mut self, k0: usize) {
        let a = &self.a;
        let n_rows = self.rows.len();
        let ProductSpace { words, entries, n, .. } = &mut *self.space;
        // Words of a row follow each other, or are those of all rows apart.
        let (of_row, of_word) = if a.column_stride == 1 { (WORDS, 1) } else { (1, n_rows) };
        let lists = entries.chunks_exact_mut(K_BLOCK).zip(n);
        for (i, (list, n)) in lists.take(n_rows).enumerate() {
            let start = (self.rows.start + i) * a.row_stride + k0 * a.column_stride;
            let mut end = 0;
            for w in 0..WORDS {
                let mut word = words[i * of_row + w * of_word];
                while word != 0 {
                    let at = w * WORD_BITS + word.trailing_zeros() as usize;
                    let value = a.values[start + at * a.column_stride];
                    list[end] = Entry { at: at as u32, value };
                    end += 1;
                    word &= word - 1;
                }
            }
            *n = end as u32;
        }
    }

    /// All rows times `N` vectors of columns from `column`, rows `k0..k0 + kb` of `B`.
    ///
    /// # Safety
    /// `B` must have these rows and columns, and `C` the columns.
    #[inline(always)]
    unsafe fn panel<S: Simd, const N: usize>(
        &mut self,
        simd: S,
        k0: usize,
        kb: usize,
        column: usize,
        gather: bool,
    ) {
        let width = N * S::F32_LANES;
        for (at, row) in self.space.tile.chunks_exact_mut(width).take(kb).enumerate() {
            row.copy_from_slice(&self.b[(k0 + at) * self.b_stride + column..][..width]);
        }
        let tile = self.space.tile.as_ptr();
        let n_rows = self.rows.len();
        let c = self.c.as_mut_ptr();
        if gather {
            for row in 0..n_rows {
                let list = &self.space.entries[row * K_BLOCK..][..self.space.n[row] as usize];
                // SAFETY: the entries are below `kb`; `C` has the row and the columns.
                unsafe {
                    gather_row::<S, N>(simd, c.add(row * self.c_stride + column), tile, list);
                };
            }
            return;
        }
        let wide = S::F32_LANES == 16;
        let mut row = 0;
        while row < n_rows {
            let left = n_rows - row;
            let at = (self.rows.start + row) * self.a.row_stride + k0 * self.a.column_stride;
            // SAFETY: `A` has the rows and columns, by the check of `add_product`; so has `C`.
            row += unsafe {
                let a = self.a.values.as_ptr().add(at);
                let c = c.add(row * self.c_stride + column);
                let s = (self.c_stride, self.a.row_stride, self.a.column_stride);
                match (wide, left) {
                    (true, TILE_WIDE..) => dense_tile::<S, TILE_WIDE, N>(simd, c, a, tile, kb, s),
                    (true, 3..) => dense_tile::<S, 3, N>(simd, c, a, tile, kb, s),
                    (_, TILE_NARROW..) => dense_tile::<S, TILE_NARROW, N>(simd, c, a, tile, kb, s),
                    _ => dense_tile::<S, 1, N>(simd, c, a, tile, kb, s),
                }
            };
        }
    }
}

/// The product written plainly, in double precision: the oracle.
pub mod reference {
    /// `C = A · B` of matrices by rows: `a` `[m, k]`, `b` `[k, n]`.
    pub fn product_reference(a: &[f64], b: &[f64], k: usize, n: usize) -> Vec<f64> {
        let mut c = vec![0.0; a.len() / k * n];
        for (c, a) in c.chunks_exact_mut(n).zip(a.chunks_exact(k)) {
            for (a, b) in a.iter().zip(b.chunks_exact(n)) {
                c.iter_mut().zip(b).for_each(|(c, b)| *c += a * b);
            }
        }
        c
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(n: usize, seed: u64, density: f64) -> Vec<f32> {
        (0..n as u64)
            .map(|i| {
                let bits = (i + seed * 7919).wrapping_mul(0x9E37_79B9_7F4A_7C15);
                let u = (bits >> 40) as f64 / f64::from(1 << 24);
                if u < density { (u / density) as f32 - 0.4 } else { 0.0 }
            })
            .collect()
    }

    #[test]
    fn sparse_and_dense_products_are_those_of_the_reference() {
        let mut space = ProductSpace::default();
        for (m, k, n) in [(1, 1, 8), (7, 5, 16), (13, 100, 24), (64, 97, 80), (33, 250, 136)] {
            for density in [0.0, 0.1, 0.5, 1.0] {
                let (a, b) = (values(m * k, 1, density), values(k * n, 2, 1.0));
                let wide = |v: &[f32]| v.iter().map(|x| f64::from(*x)).collect::<Vec<_>>();
                let want = reference::product_reference(&wide(&a), &wide(&b), k, n);
                // The same matrix column by column.
                let at: Vec<f32> = (0..k * m).map(|i| a[i % m * k + i / m]).collect();
                let by_rows = Matrix::by_rows(&a, k);
                for a in [by_rows, Matrix::by_rows(&at, m).transposed()] {
                    for sparse in [false, true] {
                        let mut c = vec![1.0; m * n];
                        let split = m / 3;
                        for rows in [0..split, split..m] {
                            let c = &mut c[rows.start * n..rows.end * n];
                            let a = Left { matrix: a, rows, k, may_be_sparse: sparse };
                            add_product((c, n), a, (&b, n), n, &mut space).unwrap();
                        }
                        for (got, want) in c.iter().zip(&want) {
                            let off = (f64::from(*got) - 1.0 - want).abs();
                            assert!(off <= 1e-5 * k as f64, "{m} {k} {n} {density}: {got}");
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn rows_can_lie_in_wider_ones() {
        let (a, b) = (values(3 * 20, 1, 0.3), values(10 * 32, 2, 1.0));
        let mut c = vec![0.0; 3 * 40];
        let mut space = ProductSpace::default();
        let left = Left { matrix: Matrix::by_rows(&a, 20), rows: 0..3, k: 10, may_be_sparse: true };
        let work = add_product((&mut c, 40), left, (&b, 32), 16, &mut space).unwrap();
        assert_eq!(work.n_elements, 30);
        for row in 0..3 {
            for column in 0..40 {
                let sum = |i: usize| a[row * 20 + i] * b[i * 32 + column];
                let want: f32 = if column < 16 { (0..10).map(sum).sum() } else { 0.0 };
                assert!((c[row * 40 + column] - want).abs() <= 1e-5);
            }
        }
    }

    #[test]
    fn nan_is_not_skipped() {
        let mut c = [0.0; 8];
        let a = [0.0, f32::NAN, 0.0];
        let mut space = ProductSpace::default();
        let a = Left { matrix: Matrix::by_rows(&a, 3), rows: 0..1, k: 3, may_be_sparse: true };
        add_product((&mut c, 8), a, (&[1.0; 24], 8), 8, &mut space).unwrap();
        assert!(c.iter().all(|c| c.is_nan()));
    }

    #[test]
    fn short_slices_are_refused() {
        let mut space = ProductSpace::default();
        let a = Matrix::by_rows(&[0.0; 6], 3);
        let mut c = [0.0; 16];
        let mut run = |c: &mut [f32], rows, b: &[f32], columns| {
            let a = Left { matrix: a, rows, k: 3, may_be_sparse: true };
            add_product((c, 8), a, (b, 8), columns, &mut space).is_err()
        };
        assert!(!run(&mut c, 0..2, &[0.0; 24], 8));
        assert!(run(&mut c[..15], 0..2, &[0.0; 24], 8));
        assert!(run(&mut c, 0..2, &[0.0; 23], 8));
        assert!(run(&mut c, 1..3, &[0.0; 24], 8));
        assert!(run(&mut c, 0..2, &[0.0; 24], 7));
    }
}

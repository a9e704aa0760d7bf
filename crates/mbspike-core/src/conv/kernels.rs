//! The inner loops of the convolution, on vectors over output channels.
//!
//! A *group* is one or two vectors of output channels; a group's weights lie together as
//! `[ky][kx][ci][channel of the group]`, so that for one kernel row the pairs `(kx, ci)` are one
//! contiguous index `i`, in the weights and in the channels-last image alike.
//!
//! Three ways forward:
//! * **dense**: a tile of pixels of one output row times one group in registers; each step loads
//!   the group's weights once and multiplies them by one broadcast input a pixel. The cost is
//!   `pixels · kernel² · C` multiply-adds, near the machine's peak.
//! * **sparse**: down one output column with the `kernel` unfinished output pixels of a group in
//!   registers; each non-zero input of the passing row adds to all of them at once, and zeros cost
//!   nothing. A finished pixel is stored once. The cost is proportional to the non-zeros.
//! * **table**: for images of zeros and ones with few channels, such as Poisson spikes. The inputs
//!   under one kernel row are then one of few patterns, and what each contributes is found in a
//!   table: `kernel` additions a pixel instead of `kernel² · C` multiply-adds. It goes down the
//!   columns like the sparse pass.
//!
//! The gradient of the input is the dense pass over the output's gradient with flipped kernels. The
//! gradient of the weights keeps one kernel row of one input channel in registers and runs over
//! that channel's list of non-zeros.
#![expect(unsafe_code, reason = "register tiles over raw rows; bounds are checked by the callers")]

use pulp::{Simd, WithSimd};

use super::nonzeros::{ChannelLists, Entry, Nonzeros};
use super::patterns::Patterns;

/// Pixels of the widest dense tile with one vector a group, and with two: as many accumulators as
/// 16 registers leave room for.
const TILE_ONE: usize = 14;
const TILE_TWO: usize = 6;

/// Calls `$call` with the side of the kernel, at most [`MAX_KERNEL`](super::MAX_KERNEL), as a
/// constant.
macro_rules! with_kernel_side {
    ($side:expr, $k:ident => $call:expr) => {
        match $side {
            1 => with_kernel_side!(@ 1, $k, $call),
            2 => with_kernel_side!(@ 2, $k, $call),
            3 => with_kernel_side!(@ 3, $k, $call),
            4 => with_kernel_side!(@ 4, $k, $call),
            5 => with_kernel_side!(@ 5, $k, $call),
            6 => with_kernel_side!(@ 6, $k, $call),
            7 => with_kernel_side!(@ 7, $k, $call),
            side => unreachable!("a kernel of side {side}"),
        }
    };
    (@ $side:literal, $k:ident, $call:expr) => {{
        const $k: usize = $side;
        $call
    }};
}

/// Loads one vector.
///
/// # Safety
/// `p` must point to `S::F32_LANES` readable elements.
#[inline(always)]
unsafe fn load<S: Simd>(p: *const f32) -> S::f32s {
    // SAFETY: the caller's promise; a vector of f32 takes any bits.
    unsafe { p.cast::<S::f32s>().read_unaligned() }
}

/// Stores one vector.
///
/// # Safety
/// `p` must point to `S::F32_LANES` writable elements.
#[inline(always)]
unsafe fn store<S: Simd>(p: *mut f32, v: S::f32s) {
    // SAFETY: the caller's promise.
    unsafe { p.cast::<S::f32s>().write_unaligned(v) }
}

/// Sizes that all kernels share.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sizes {
    pub(super) kernel: usize,
    pub(super) out_height: usize,
    pub(super) out_width: usize,
    /// Elements from input pixel to input pixel, and from input row to input row.
    pub(super) in_stride: usize,
    pub(super) in_pitch: usize,
    /// The same of the output.
    pub(super) out_stride: usize,
    pub(super) out_pitch: usize,
}

/// `y = w * x`, every output written once. `x` points to the first padded input row.
pub(super) struct Dense<'a> {
    pub(super) y: &'a mut [f32],
    pub(super) x: &'a [f32],
    pub(super) weights: &'a [f32],
    pub(super) bias: Option<&'a [f32]>,
    pub(super) sizes: Sizes,
}

impl WithSimd for Dense<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let s = self.sizes;
        let lanes = S::F32_LANES;
        let n_vectors = s.out_stride / lanes;
        let row_taps = s.kernel * s.in_stride;
        let mut vector = 0;
        while vector < n_vectors {
            let width = if n_vectors - vector >= 2 { 2 } else { 1 };
            let weights = &self.weights[vector * lanes * s.kernel * row_taps..];
            assert!(weights.len() >= width * lanes * s.kernel * row_taps);
            for row in 0..s.out_height {
                let mut left = s.out_width;
                let widest = if width == 2 { TILE_TWO } else { TILE_ONE };
                let n_tiles = left.div_ceil(widest);
                for tile in 0..n_tiles {
                    let pixels = left.div_ceil(n_tiles - tile);
                    let column = s.out_width - left;
                    left -= pixels;
                    let x = &self.x[row * s.in_pitch + column * s.in_stride..];
                    let y =
                        &mut self.y[row * s.out_pitch + column * s.out_stride + vector * lanes..];
                    assert!(
                        x.len()
                            >= (s.kernel - 1) * s.in_pitch + (pixels - 1 + s.kernel) * s.in_stride
                    );
                    assert!(y.len() >= (pixels - 1) * s.out_stride + width * lanes);
                    let bias = self.bias.map(|b| &b[vector * lanes..][..width * lanes]);
                    // SAFETY: the three assertions above are the tile's bounds.
                    unsafe {
                        dense_tile_of(simd, y, x, weights, bias, &s, pixels, width == 2);
                    }
                }
            }
            vector += width;
        }
    }
}

/// Calls the tile compiled for `pixels` pixels.
///
/// # Safety
/// As [`dense_tile`].
#[inline(always)]
#[expect(clippy::too_many_arguments, reason = "one call site, all of it scalars")]
unsafe fn dense_tile_of<S: Simd>(
    simd: S,
    y: &mut [f32],
    x: &[f32],
    weights: &[f32],
    bias: Option<&[f32]>,
    s: &Sizes,
    pixels: usize,
    two: bool,
) {
    macro_rules! tile {
        ($p:literal, $n:literal) => {
            // SAFETY: the caller's promise.
            unsafe { dense_tile::<S, $p, $n>(simd, y, x, weights, bias, s) }
        };
    }
    match (pixels, two) {
        (1, false) => tile!(1, 1),
        (2, false) => tile!(2, 1),
        (3, false) => tile!(3, 1),
        (4, false) => tile!(4, 1),
        (5, false) => tile!(5, 1),
        (6, false) => tile!(6, 1),
        (7, false) => tile!(7, 1),
        (8, false) => tile!(8, 1),
        (9, false) => tile!(9, 1),
        (10, false) => tile!(10, 1),
        (11, false) => tile!(11, 1),
        (12, false) => tile!(12, 1),
        (13, false) => tile!(13, 1),
        (14, false) => tile!(14, 1),
        (1, true) => tile!(1, 2),
        (2, true) => tile!(2, 2),
        (3, true) => tile!(3, 2),
        (4, true) => tile!(4, 2),
        (5, true) => tile!(5, 2),
        (6, true) => tile!(6, 2),
        _ => unreachable!("a tile of {pixels} pixels"),
    }
}

/// `P` output pixels of one row times `N` vectors of channels.
///
/// # Safety
/// `x` must reach `kernel - 1` rows down and `P - 1 + kernel` pixels along, `y` `P` pixels along,
/// and `weights` must hold the whole group.
#[inline(always)]
unsafe fn dense_tile<S: Simd, const P: usize, const N: usize>(
    simd: S,
    y: &mut [f32],
    x: &[f32],
    weights: &[f32],
    bias: Option<&[f32]>,
    s: &Sizes,
) {
    let lanes = S::F32_LANES;
    let mut acc = [[simd.splat_f32s(0.0); N]; P];
    if let Some(bias) = bias {
        for pixel in &mut acc {
            for (n, acc) in pixel.iter_mut().enumerate() {
                // SAFETY: a bias has a value for each channel of the group.
                *acc = unsafe { load::<S>(bias.as_ptr().add(n * lanes)) };
            }
        }
    }
    let row_taps = s.kernel * s.in_stride;
    let stride = s.in_stride;
    let mut w = weights.as_ptr();
    for ky in 0..s.kernel {
        // SAFETY: inside `x`, by the caller's promise.
        let mut xp = unsafe { x.as_ptr().add(ky * s.in_pitch) };
        for _ in 0..row_taps {
            // SAFETY: `w` walks the group's weights once, `xp` one kernel row of the pixels.
            unsafe {
                let mut wv = [simd.splat_f32s(0.0); N];
                for (n, wv) in wv.iter_mut().enumerate() {
                    *wv = load::<S>(w.add(n * lanes));
                }
                for (p, pixel) in acc.iter_mut().enumerate() {
                    let xv = simd.splat_f32s(*xp.add(p * stride));
                    for (acc, wv) in pixel.iter_mut().zip(wv) {
                        *acc = simd.mul_add_e_f32s(xv, wv, *acc);
                    }
                }
                w = w.add(N * lanes);
                xp = xp.add(1);
            }
        }
    }
    for (p, pixel) in acc.iter().enumerate() {
        for (n, acc) in pixel.iter().enumerate() {
            // SAFETY: inside `y`, by the caller's promise.
            unsafe { store::<S>(y.as_mut_ptr().add(p * s.out_stride + n * lanes), *acc) };
        }
    }
}

/// `y = w * x` over the non-zeros of `x`, every output written once.
pub(super) struct Sparse<'a> {
    pub(super) y: &'a mut [f32],
    pub(super) nonzeros: &'a Nonzeros,
    pub(super) weights: &'a [f32],
    pub(super) bias: Option<&'a [f32]>,
    pub(super) sizes: Sizes,
}

impl WithSimd for Sparse<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        with_kernel_side!(self.sizes.kernel, K => self.run::<S, K>(simd));
    }
}

impl Sparse<'_> {
    #[inline(always)]
    fn run<S: Simd, const K: usize>(self, simd: S) {
        let s = self.sizes;
        let lanes = S::F32_LANES;
        let n_vectors = s.out_stride / lanes;
        let group = K * K * s.in_stride * lanes;
        assert!(self.weights.len() >= n_vectors * group);
        assert!(self.y.len() >= (s.out_height - 1) * s.out_pitch + s.out_width * s.out_stride);
        assert_eq!(self.nonzeros.layout().stride, s.in_stride);
        let mut vector = 0;
        while vector < n_vectors {
            let two = n_vectors - vector >= 2;
            let weights = &self.weights[vector * group..];
            let bias = self.bias.map(|b| &b[vector * lanes..]);
            for column in 0..s.out_width {
                let y = &mut self.y[column * s.out_stride + vector * lanes..];
                // SAFETY: the assertions above bound the weights and `y`; `Nonzeros` only holds
                // indices of pixels of the padded image, in order.
                unsafe {
                    if two {
                        sparse_column::<S, K, 2>(simd, y, column, self.nonzeros, weights, bias, &s);
                    } else {
                        sparse_column::<S, K, 1>(simd, y, column, self.nonzeros, weights, bias, &s);
                    }
                }
            }
            vector += if two { 2 } else { 1 };
        }
    }
}

/// One output column of one group, top to bottom, with the `K` output pixels that the passing
/// input row reaches in registers.
///
/// # Safety
/// `y` must reach `out_height - 1` rows down, `weights` must hold the group, and `nonzeros` must
/// have been built for an input of these sizes.
#[inline(always)]
unsafe fn sparse_column<S: Simd, const K: usize, const N: usize>(
    simd: S,
    y: &mut [f32],
    column: usize,
    nonzeros: &Nonzeros,
    weights: &[f32],
    bias: Option<&[f32]>,
    s: &Sizes,
) {
    let lanes = S::F32_LANES;
    let kernel_row = K * s.in_stride * N * lanes;
    let mut fresh = [simd.splat_f32s(0.0); N];
    if let Some(bias) = bias {
        for (n, fresh) in fresh.iter_mut().enumerate() {
            // SAFETY: a bias has a value for each channel of the group.
            *fresh = unsafe { load::<S>(bias.as_ptr().add(n * lanes)) };
        }
    }
    // acc[ky] is the output pixel to which the passing row contributes with kernel row ky.
    let mut acc = [fresh; K];
    for row in 0..s.out_height + K - 1 {
        for &Entry { at, value } in nonzeros.of_row(row, column, K) {
            let i = at as usize - column * s.in_stride;
            let xv = simd.splat_f32s(value);
            for (ky, acc) in acc.iter_mut().enumerate() {
                for (n, acc) in acc.iter_mut().enumerate() {
                    // SAFETY: `i < K * in_stride`, as the list holds pixels `column..column + K`.
                    unsafe {
                        let w = weights.as_ptr().add(ky * kernel_row + (i * N + n) * lanes);
                        *acc = simd.mul_add_e_f32s(xv, load::<S>(w), *acc);
                    }
                }
            }
        }
        if row + 1 >= K {
            let out_row = row + 1 - K;
            for (n, acc) in acc[K - 1].iter().enumerate() {
                // SAFETY: `out_row < out_height`, and the caller promises that rows.
                unsafe {
                    store::<S>(y.as_mut_ptr().add(out_row * s.out_pitch + n * lanes), *acc);
                }
            }
        }
        for ky in (1..K).rev() {
            acc[ky] = acc[ky - 1];
        }
        acc[0] = fresh;
    }
}

/// `y = w * x` of a binary image, from tables.
pub(super) struct Table<'a> {
    pub(super) y: &'a mut [f32],
    pub(super) patterns: &'a Patterns,
    /// `[vector][ky][pattern][lane]`.
    pub(super) tables: &'a [f32],
    pub(super) n_patterns: usize,
    pub(super) bias: Option<&'a [f32]>,
    pub(super) sizes: Sizes,
}

impl WithSimd for Table<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        with_kernel_side!(self.sizes.kernel, K => self.run::<S, K>(simd));
    }
}

impl Table<'_> {
    #[inline(always)]
    fn run<S: Simd, const K: usize>(self, simd: S) {
        let s = self.sizes;
        let lanes = S::F32_LANES;
        let of_row = self.n_patterns * lanes;
        for (vector, table) in self.tables.chunks_exact(K * of_row).enumerate() {
            let bias = self.bias.map(|b| &b[vector * lanes..][..lanes]);
            let fresh = match bias {
                // SAFETY: the slice above has the length of a vector.
                Some(bias) => unsafe { load::<S>(bias.as_ptr()) },
                None => simd.splat_f32s(0.0),
            };
            for column in 0..s.out_width {
                let y = &mut self.y[column * s.out_stride + vector * lanes..];
                assert!(y.len() >= (s.out_height - 1) * s.out_pitch + lanes);
                // acc[ky] as in the sparse pass.
                let mut acc = [fresh; K];
                for row in 0..s.out_height + K - 1 {
                    let at = self.patterns.at(row, column) * lanes;
                    assert!(at < of_row);
                    for (ky, acc) in acc.iter_mut().enumerate() {
                        // SAFETY: `at` is the start of an entry, and each kernel row has them all.
                        let entry = unsafe { load::<S>(table.as_ptr().add(ky * of_row + at)) };
                        *acc = simd.add_f32s(*acc, entry);
                    }
                    if row + 1 >= K {
                        // SAFETY: the assertion above, for `row + 1 - K < out_height`.
                        unsafe {
                            let y = y.as_mut_ptr().add((row + 1 - K) * s.out_pitch);
                            store::<S>(y, acc[K - 1]);
                        }
                    }
                    for ky in (1..K).rev() {
                        acc[ky] = acc[ky - 1];
                    }
                    acc[0] = fresh;
                }
            }
        }
    }
}

/// `dw[ky][kx][ci][co] += Σ x[y + ky][x + kx][ci] dy[y][x][co]` over the non-zeros of `x`.
pub(super) struct WeightGradient<'a> {
    pub(super) dw: &'a mut [f32],
    pub(super) lists: &'a ChannelLists,
    /// Padded with `kernel - 1 - padding` zeros, so that every tap of every input lies inside.
    pub(super) dy: &'a [f32],
    /// `out_pitch` is that of the padded `dy`.
    pub(super) sizes: Sizes,
}

impl WithSimd for WeightGradient<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        with_kernel_side!(self.sizes.kernel, K => self.run::<S, K>(simd));
    }
}

impl WeightGradient<'_> {
    #[inline(always)]
    fn run<S: Simd, const K: usize>(self, simd: S) {
        let s = self.sizes;
        let lanes = S::F32_LANES;
        let n_vectors = s.out_stride / lanes;
        let (x, dy) = self.lists.layouts();
        let n_channels = x.channels;
        assert_eq!(self.dw.len(), K * K * n_channels * s.out_stride);
        assert_eq!(self.dy.len(), dy.len());
        for channel in 0..n_channels {
            let list = self.lists.of_channel(channel);
            for ky in 0..K {
                let mut vector = 0;
                while vector < n_vectors {
                    let two = n_vectors - vector >= 2;
                    let at = (ky * K * n_channels + channel) * s.out_stride + vector * lanes;
                    let dw = &mut self.dw[at..];
                    let tap_stride = n_channels * s.out_stride;
                    // SAFETY: `dw` holds every tap of the channel; offsets are at least that of
                    // the last tap, and the lists were made for this layout of `dy`.
                    unsafe {
                        if two {
                            weight_row::<S, K, 2>(
                                simd, dw, tap_stride, list, self.dy, ky, vector, &s,
                            );
                        } else {
                            weight_row::<S, K, 1>(
                                simd, dw, tap_stride, list, self.dy, ky, vector, &s,
                            );
                        }
                    }
                    vector += if two { 2 } else { 1 };
                }
            }
        }
    }
}

/// One kernel row of one input channel and one group in registers.
///
/// # Safety
/// `dw` must reach `K - 1` taps of `tap_stride` along, and every offset, moved up `ky` rows and
/// left up to `K - 1` pixels, must lie in `dy` with a whole group behind it.
#[inline(always)]
#[expect(clippy::too_many_arguments, reason = "two call sites, all of it scalars and slices")]
unsafe fn weight_row<S: Simd, const K: usize, const N: usize>(
    simd: S,
    dw: &mut [f32],
    tap_stride: usize,
    list: &[Entry],
    dy: &[f32],
    ky: usize,
    vector: usize,
    s: &Sizes,
) {
    let lanes = S::F32_LANES;
    let mut acc = [[simd.splat_f32s(0.0); N]; K];
    for (kx, acc) in acc.iter_mut().enumerate() {
        for (n, acc) in acc.iter_mut().enumerate() {
            // SAFETY: the caller's promise on `dw`.
            *acc = unsafe { load::<S>(dw.as_ptr().add(kx * tap_stride + n * lanes)) };
        }
    }
    let up = ky * s.out_pitch;
    // Addresses as integers: the start of `dy` moved up `ky` rows may lie before the array.
    let dy = dy.as_ptr().wrapping_add(vector * lanes).wrapping_sub(up);
    for &Entry { at, value } in list {
        let xv = simd.splat_f32s(value);
        let dy = dy.wrapping_add(at as usize);
        for (kx, acc) in acc.iter_mut().enumerate() {
            for (n, acc) in acc.iter_mut().enumerate() {
                // SAFETY: the caller's promise on the offsets.
                let g = unsafe { load::<S>(dy.wrapping_sub(kx * s.out_stride).add(n * lanes)) };
                *acc = simd.mul_add_e_f32s(xv, g, *acc);
            }
        }
    }
    for (kx, acc) in acc.iter().enumerate() {
        for (n, acc) in acc.iter().enumerate() {
            // SAFETY: as above.
            unsafe { store::<S>(dw.as_mut_ptr().add(kx * tap_stride + n * lanes), *acc) };
        }
    }
}

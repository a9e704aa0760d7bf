//! The innermost loops: sums in registers, from a tile of `B` in the first-level cache.

use pulp::Simd;

/// A non-zero of `A`: its column in the block, and its value.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Entry {
    pub(super) at: u32,
    pub(super) value: f32,
}

/// Adds the listed rows of the tile to one row of `C`, in two sums side by side.
///
/// # Safety
/// `c` must have `N` vectors, and `tile` the rows listed.
#[inline(always)]
pub(super) unsafe fn gather_row<S: Simd, const N: usize>(
    simd: S,
    c: *mut f32,
    tile: *const f32,
    list: &[Entry],
) {
    let lanes = S::F32_LANES;
    let mut sums = [[simd.splat_f32s(0.0); N]; 2];
    for (n, sum) in sums[0].iter_mut().enumerate() {
        // SAFETY: the caller's promise; vectors of f32 take any bits.
        *sum = unsafe { c.add(n * lanes).cast::<S::f32s>().read_unaligned() };
    }
    let (pairs, rest) = list.as_chunks::<2>();
    for pair in pairs {
        for (sums, entry) in sums.iter_mut().zip(pair) {
            let x = simd.splat_f32s(entry.value);
            for (n, sum) in sums.iter_mut().enumerate() {
                // SAFETY: the caller's promise; vectors of f32 take any bits.
                let b = unsafe {
                    tile.add((entry.at as usize * N + n) * lanes).cast::<S::f32s>().read_unaligned()
                };
                *sum = simd.mul_add_e_f32s(x, b, *sum);
            }
        }
    }
    for entry in rest {
        let x = simd.splat_f32s(entry.value);
        for (n, sum) in sums[1].iter_mut().enumerate() {
            // SAFETY: the caller's promise; vectors of f32 take any bits.
            let b = unsafe {
                tile.add((entry.at as usize * N + n) * lanes).cast::<S::f32s>().read_unaligned()
            };
            *sum = simd.mul_add_e_f32s(x, b, *sum);
        }
    }
    let [first, second] = sums;
    for (n, (first, second)) in first.into_iter().zip(second).enumerate() {
        let sum = simd.add_f32s(first, second);
        // SAFETY: the caller's promise; vectors of f32 take any bits.
        unsafe { c.add(n * lanes).cast::<S::f32s>().write_unaligned(sum) };
    }
}

/// `P` rows of `C` plus those of `A` times the tile; returns `P`. `strides` are those of `C`'s rows
/// and of `A`'s rows and columns.
///
/// # Safety
/// `c`, `a` and `tile` must reach as far.
#[inline(always)]
pub(super) unsafe fn dense_tile<S: Simd, const P: usize, const N: usize>(
    simd: S,
    c: *mut f32,
    a: *const f32,
    tile: *const f32,
    kb: usize,
    (c_stride, a_stride, a_step): (usize, usize, usize),
) -> usize {
    let lanes = S::F32_LANES;
    let mut acc = [[simd.splat_f32s(0.0); N]; P];
    for (p, acc) in acc.iter_mut().enumerate() {
        for (n, acc) in acc.iter_mut().enumerate() {
            // SAFETY: the caller's promise; vectors of f32 take any bits.
            *acc = unsafe { c.add(p * c_stride + n * lanes).cast::<S::f32s>().read_unaligned() };
        }
    }
    let (mut a, mut tile) = (a, tile);
    for _ in 0..kb {
        // SAFETY: the caller's promise; vectors of f32 take any bits.
        unsafe {
            let mut b = [simd.splat_f32s(0.0); N];
            for (n, b) in b.iter_mut().enumerate() {
                *b = tile.add(n * lanes).cast::<S::f32s>().read_unaligned();
            }
            for (p, acc) in acc.iter_mut().enumerate() {
                let x = simd.splat_f32s(*a.add(p * a_stride));
                for (acc, b) in acc.iter_mut().zip(b) {
                    *acc = simd.mul_add_e_f32s(x, b, *acc);
                }
            }
            a = a.wrapping_add(a_step);
            tile = tile.add(N * lanes);
        }
    }
    for (p, acc) in acc.iter().enumerate() {
        for (n, acc) in acc.iter().enumerate() {
            // SAFETY: the caller's promise; vectors of f32 take any bits.
            unsafe {
                c.add(p * c_stride + n * lanes).cast::<S::f32s>().write_unaligned(*acc);
            }
        }
    }
    P
}

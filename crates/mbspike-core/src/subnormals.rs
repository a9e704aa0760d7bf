//! Whether work meets subnormal numbers, as the processor itself noticed.

use rayon::ThreadPool;

/// Runs `work` on `pool` and says whether an instruction of any of the pool's threads took a
/// subnormal number, or made one or lost one below them; `None` where the processor's flags cannot be
/// read (other than x86-64).
///
/// The processor raises a flag for either, which stays up until it is cleared, so that nothing is
/// missed and nothing is slowed down. By the rule of [`Real::carried`](crate::Real::carried) the
/// answer is `Some(false)` for every step of training.
///
/// ```
/// let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build()?;
/// let tenth = |x: f32| move || drop(std::hint::black_box(std::hint::black_box(x) * 0.1));
/// if let Some(met) = mbspike_core::meets_subnormals(&pool, tenth(1e-37)) {
///     assert!(met);
///     assert_eq!(mbspike_core::meets_subnormals(&pool, tenth(1.0)), Some(false));
/// }
/// # Ok::<(), rayon::ThreadPoolBuildError>(())
/// ```
pub fn meets_subnormals(pool: &ThreadPool, work: impl FnOnce() + Send) -> Option<bool> {
    pool.broadcast(|_| flags::clear());
    pool.install(work);
    let met = pool.broadcast(|_| flags::raised()).into_iter().any(|raised| raised);
    flags::ARE_KNOWN.then_some(met)
}

/// Each thread has its own flags.
#[cfg(target_arch = "x86_64")]
#[expect(unsafe_code, reason = "reads and clears the processor's exception flags")]
mod flags {
    use std::arch::asm;

    pub const ARE_KNOWN: bool = true;
    /// Every flag of an exception that has been.
    const ALL: u32 = 0x3F;
    const DENORMAL: u32 = 1 << 1;
    const UNDERFLOW: u32 = 1 << 4;

    pub fn clear() {
        let mut status = 0_u32;
        // SAFETY: stores the register to a local, clears bits of exceptions that have been, which an
        // assembly block without `preserves_flags` may, and changes nothing else of it.
        unsafe {
            asm!("stmxcsr [{}]", in(reg) &raw mut status);
            status &= !ALL;
            asm!("ldmxcsr [{}]", in(reg) &raw const status);
        }
    }

    pub fn raised() -> bool {
        let mut status = 0_u32;
        // SAFETY: stores the register to a local.
        unsafe { asm!("stmxcsr [{}]", in(reg) &raw mut status) };
        status & (DENORMAL | UNDERFLOW) != 0
    }
}

#[cfg(not(target_arch = "x86_64"))]
mod flags {
    pub const ARE_KNOWN: bool = false;
    pub fn clear() {}
    pub fn raised() -> bool {
        false
    }
}

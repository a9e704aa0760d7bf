//! What the machine could do at best: the bounds that kernels are measured against.

use std::hint::black_box;
use std::sync::Mutex;
use std::time::Instant;

use pulp::{Arch, Simd, WithSimd};
use rayon::ThreadPool;
use serde::Serialize;

/// Accumulators that hide the latency of a multiply-add on every core known: 2 units × 5 cycles,
/// and few enough to stay in 16 registers.
const N_ACCUMULATORS: usize = 10;
/// Elements that each thread copies; two arrays of 64 MiB are in nobody's cache.
const COPY_ELEMENTS: usize = 16 << 20;
/// Times each bound is measured; the best counts.
const N_ROUNDS: usize = 7;

/// Measured bounds of the machine, with all threads of a pool at work.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Machine {
    /// Threads.
    pub threads: usize,
    /// f32 elements in a vector.
    pub f32_lanes: usize,
    /// Floating-point operations in a second, two for each multiply-add, from registers alone.
    pub peak_flops: f64,
    /// Bytes read plus bytes written in a second by a copy of arrays that no cache holds.
    pub copy_bytes: f64,
}

struct MultiplyAdd {
    n: usize,
}

impl WithSimd for MultiplyAdd {
    type Output = f64;

    /// Runs `n` rounds of multiply-adds on registers; returns their floating-point operations.
    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> f64 {
        let (a, b) = (black_box(0.999_f32), black_box(0.001_f32));
        let (a, b) = (simd.splat_f32s(a), simd.splat_f32s(b));
        let mut sums = [b; N_ACCUMULATORS];
        for _ in 0..self.n {
            for sum in &mut sums {
                *sum = simd.mul_add_e_f32s(*sum, a, b);
            }
        }
        let total = sums.iter().map(|&sum| simd.reduce_sum_f32s(sum)).sum::<f32>();
        black_box(total);
        2.0 * (self.n * N_ACCUMULATORS * S::F32_LANES) as f64
    }
}

impl Machine {
    /// Measures the machine with all threads of `pool`; takes about a second.
    pub fn measure(pool: &ThreadPool) -> Self {
        let arch = Arch::new();
        let threads = pool.current_num_threads();
        let rate = |run: &(dyn Fn(usize) -> f64 + Sync)| {
            (0..N_ROUNDS)
                .map(|_| {
                    let started = Instant::now();
                    let done: f64 = pool.broadcast(|thread| run(thread.index())).iter().sum();
                    done / started.elapsed().as_secs_f64()
                })
                .fold(0.0, f64::max)
        };
        let peak_flops = rate(&|_| arch.dispatch(MultiplyAdd { n: 4_000_000 }));

        let arrays: Vec<_> = pool.broadcast(|_| {
            Mutex::new((vec![1.0_f32; COPY_ELEMENTS], vec![0.0_f32; COPY_ELEMENTS]))
        });
        let copy_bytes = rate(&|thread| {
            let Ok(mut arrays) = arrays[thread].lock() else { return 0.0 };
            let (from, to) = &mut *arrays;
            to.copy_from_slice(black_box(from));
            black_box(to);
            (2 * size_of::<f32>() * COPY_ELEMENTS) as f64
        });
        Self { threads, f32_lanes: lanes(arch), peak_flops, copy_bytes }
    }
}

fn lanes(arch: Arch) -> usize {
    struct Lanes;
    impl WithSimd for Lanes {
        type Output = usize;
        #[inline(always)]
        fn with_simd<S: Simd>(self, _: S) -> usize {
            S::F32_LANES
        }
    }
    arch.dispatch(Lanes)
}

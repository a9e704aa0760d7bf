//! Single kernels, against what the machine could do at best.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use rayon::ThreadPool;
use serde::Serialize;

use super::cases::{Case, Run, cases};
use super::machine::Machine;
use crate::run::{Error, thread_pool};
use mbspike_results::median;

const N_ROUNDS: usize = 9;
/// A round lasts at least this long, so that the clock's resolution does not matter.
const ROUND: Duration = Duration::from_millis(15);

/// One kernel's time on one shape.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct KernelTimes {
    /// The kernel.
    pub kernel: &'static str,
    /// The shape it ran on.
    pub shape: String,
    /// Time in seconds of one call on each thread, in the fastest of the rounds: the machine's
    /// bounds are taken from the fastest too.
    pub min_s: f64,
    /// Median over the rounds.
    pub median_s: f64,
    /// Floating-point operations of a call if no zero is skipped, on all threads.
    pub flops: f64,
    /// Bytes that a call must read and write, on all threads.
    pub bytes: f64,
    /// `flops` in the fastest time, as a share of the machine's peak; above 1 where zeros skipped
    /// are more than half of the work.
    pub share_of_peak: f64,
    /// `bytes` in the fastest time, as a share of the bandwidth of a copy in memory; above 1 where
    /// the data stay in a cache.
    pub share_of_bandwidth: f64,
}

/// The kernels, ready to be measured one after another.
pub struct KernelBench {
    pool: std::sync::Arc<ThreadPool>,
    machine: Machine,
    cases: std::vec::IntoIter<Case>,
}

impl std::fmt::Debug for KernelBench {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KernelBench").field("machine", &self.machine).finish_non_exhaustive()
    }
}

impl KernelBench {
    /// Measures the machine and prepares the kernels whose name contains `filter`.
    ///
    /// # Errors
    /// If the threads cannot be started.
    pub fn new(filter: &str) -> Result<Self, Error> {
        let pool = thread_pool()?;
        let machine = Machine::measure(&pool);
        let mut cases = cases();
        cases.retain(|case| case.kernel.contains(filter));
        Ok(Self { pool, machine, cases: cases.into_iter() })
    }

    /// The machine's measured bounds.
    pub fn machine(&self) -> &Machine {
        &self.machine
    }

    fn measure(&self, case: &Case) -> KernelTimes {
        let n_runners = if case.is_parallel { 1 } else { self.pool.current_num_threads() };
        let runners: Vec<_> = (0..n_runners).map(|_| Mutex::new((case.make)())).collect();
        let round = |n_calls: usize| {
            let call = |runner: &Mutex<Run>| {
                let mut run = runner.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
                (0..n_calls).for_each(|_| run());
            };
            let started = Instant::now();
            if case.is_parallel {
                self.pool.install(|| call(&runners[0]));
            } else {
                self.pool.broadcast(|thread| call(&runners[thread.index()]));
            }
            started.elapsed()
        };
        let mut n_calls = 1;
        while round(n_calls) < ROUND {
            n_calls *= 2;
        }
        let times = (0..N_ROUNDS).map(|_| round(n_calls).as_secs_f64() / n_calls as f64);
        let times: Vec<f64> = times.collect();
        let min_s = times.iter().copied().fold(f64::INFINITY, f64::min);
        let (flops, bytes) = (case.flops * n_runners as f64, case.bytes * n_runners as f64);
        KernelTimes {
            kernel: case.kernel,
            shape: case.shape.clone(),
            min_s,
            median_s: median(times).unwrap_or(f64::NAN),
            flops,
            bytes,
            share_of_peak: flops / min_s / self.machine.peak_flops,
            share_of_bandwidth: bytes / min_s / self.machine.copy_bytes,
        }
    }
}

impl Iterator for KernelBench {
    type Item = KernelTimes;

    fn next(&mut self) -> Option<Self::Item> {
        let case = self.cases.next()?;
        Some(self.measure(&case))
    }
}

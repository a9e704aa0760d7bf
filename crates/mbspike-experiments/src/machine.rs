//! What runs have to live with: a device, threads, and the memory that is left.

use std::path::{Path, PathBuf};

use mbspike_core::DeviceName;

/// More memory than any machine can address: what needs it is refused also where the machine's own
/// memory is not known.
const ADDRESSABLE: u64 = 1 << 46;

/// What a run is checked against, before anything is created.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Machine {
    /// What to compute on.
    pub device: DeviceName,
    /// Bytes of memory that a run may take; unknown without it.
    pub memory_bytes: Option<u64>,
    /// Threads of a run.
    pub n_threads: usize,
}

impl Default for Machine {
    /// Some machine: a processor with memory without end.
    fn default() -> Self {
        Self { device: DeviceName::Cpu, memory_bytes: None, n_threads: 1 }
    }
}

impl Machine {
    /// This machine, with `device` to compute on and its memory and threads shared by `n_jobs` runs at
    /// once.
    pub fn here(device: DeviceName, n_jobs: usize) -> Self {
        let n_jobs = n_jobs.max(1);
        Self {
            device,
            memory_bytes: available_memory().map(|bytes| bytes / n_jobs as u64),
            n_threads: (n_threads() / n_jobs).max(1),
        }
    }

    /// The bytes that a run may take.
    pub(crate) fn limit(&self) -> u64 {
        self.memory_bytes.unwrap_or(ADDRESSABLE).min(ADDRESSABLE)
    }
}

/// Threads to compute with: `RAYON_NUM_THREADS`, or as many as there are cores, as rayon has it.
pub fn n_threads() -> usize {
    let set = std::env::var("RAYON_NUM_THREADS").ok().and_then(|text| text.parse().ok());
    match set {
        Some(n) if n > 0 => n,
        _ => std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
    }
}

/// Address space that a thread takes: its stack, which is Rust's 2 MiB, and what the system keeps with it.
const THREAD_BYTES: u64 = (2 << 20) + (256 << 10);

/// Why threads cannot be started.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ThreadsError {
    /// The limit of address space leaves no room for them. Found before they are started: a thread that
    /// has its stack but no room for what comes with it ends the process.
    #[error("their stacks take more address space than the limit leaves")]
    AddressSpace,
    /// The system refused one, or they were started before.
    #[error(transparent)]
    Pool(#[from] rayon::ThreadPoolBuildError),
}

/// Starts the threads that are shared by all that is computed outside of runs: once, at the start of a
/// program, so that a limit on threads is an error there.
///
/// # Errors
/// If the system has no room for so many threads, or they were started before.
pub fn start_threads() -> Result<(), ThreadsError> {
    let n = n_threads();
    let needed = THREAD_BYTES.saturating_mul(n as u64);
    if address_space().is_some_and(|left| needed > left) {
        return Err(ThreadsError::AddressSpace);
    }
    Ok(rayon::ThreadPoolBuilder::new().num_threads(n).build_global()?)
}

/// Bytes of address space that this process can still take, where there is a limit.
fn address_space() -> Option<u64> {
    of_process(&read("/proc/self/limits")?, &read("/proc/self/status")?)
}

/// Bytes of memory that this process can still take: of the machine, of its control groups, and of its
/// own limit of address space. `None` where the system does not tell (Linux does).
fn available_memory() -> Option<u64> {
    let limits = [
        read("/proc/meminfo").and_then(|text| of_machine(&text)),
        read("/proc/self/cgroup").and_then(|text| of_groups(&text)),
        address_space(),
    ];
    limits.into_iter().flatten().min()
}

fn read(path: impl AsRef<Path>) -> Option<String> {
    std::fs::read_to_string(path).ok()
}

/// The bytes of the line `name: N kB`.
fn kilobytes(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

/// From `/proc/meminfo`.
fn of_machine(meminfo: &str) -> Option<u64> {
    kilobytes(meminfo, "MemAvailable")
}

/// The tightest limit of the control groups that `/proc/self/cgroup` names, less what they use.
fn of_groups(cgroup: &str) -> Option<u64> {
    let mut least = None;
    for line in cgroup.lines() {
        let mut fields = line.splitn(3, ':').skip(1);
        let (Some(controllers), Some(path)) = (fields.next(), fields.next()) else { continue };
        // Version 2 has no controllers in this line, version 1 a tree for each.
        let (root, limit, usage, cache) = if controllers.is_empty() {
            ("/sys/fs/cgroup", "memory.max", "memory.current", "inactive_file")
        } else if controllers.split(',').any(|name| name == "memory") {
            let names = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file");
            ("/sys/fs/cgroup/memory", names.0, names.1, names.2)
        } else {
            continue;
        };
        // A container sees its own group as the root.
        let mut folder = PathBuf::from(root).join(path.trim_start_matches('/'));
        while folder.starts_with(root) {
            let bytes = |file: &str| read(folder.join(file))?.trim().parse::<u64>().ok();
            if let (Some(limit), Some(used)) = (bytes(limit), bytes(usage)) {
                let stat = read(folder.join("memory.stat")).unwrap_or_default();
                let reclaimable = stat.lines().find_map(|line| {
                    let (name, value) = line.split_once(' ')?;
                    if name == cache { value.parse::<u64>().ok() } else { None }
                });
                let used = used.saturating_sub(reclaimable.unwrap_or(0));
                let left = limit.saturating_sub(used);
                least = Some(least.map_or(left, |least: u64| least.min(left)));
            }
            folder.pop();
        }
    }
    least
}

/// The limit of address space in `/proc/self/limits`, less what `/proc/self/status` says is taken.
fn of_process(limits: &str, status: &str) -> Option<u64> {
    let line = limits.lines().find_map(|line| line.strip_prefix("Max address space"))?;
    let limit: u64 = line.split_whitespace().next()?.parse().ok()?;
    Some(limit.saturating_sub(kilobytes(status, "VmSize")?))
}

#[cfg(test)]
mod tests {
    use super::{available_memory, of_groups, of_machine, of_process};

    #[test]
    fn memory_is_read_from_what_linux_tells() {
        let meminfo = "MemTotal:       24000000 kB\nMemAvailable:   23000000 kB\n";
        assert_eq!(of_machine(meminfo), Some(23_000_000 * 1024));
        assert_eq!(of_machine("MemTotal: 1 kB\n"), None);
        let limits = "Limit                     Soft Limit  Hard Limit  Units\n\
                      Max address space         1000000     unlimited   bytes\n";
        assert_eq!(of_process(limits, "VmSize:\t     100 kB\n"), Some(1_000_000 - 102_400));
        let unlimited = limits.replace("1000000 ", "unlimited ");
        assert_eq!(of_process(&unlimited, "VmSize:\t 100 kB\n"), None);
        assert_eq!(of_groups("0::/no/such/group\n5:cpu:/x\nnonsense\n"), of_groups("0::/\n"));
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn this_machine_has_memory() {
        assert!(available_memory().unwrap() > 1 << 20);
    }
}

//! Signals: the first asks the run at hand to end with a checkpoint.
//!
//! A second Ctrl-C ends the program at once. Schedulers send SIGTERM again and again, and a terminal
//! that closes sends SIGHUP to all it started: those never take the time for a checkpoint away. SIGUSR1, which
//! jobs of clusters are often told of their end by, is one of them. A signal
//! that whoever started the program told it to ignore, as `nohup` does with SIGHUP, stays ignored.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::Context;
#[cfg(unix)]
use nix::sys::signal::{SigSet, Signal};

use crate::printer;

/// The exit code of a program that was interrupted, as shells have it.
const INTERRUPTED: i32 = 130;

/// A flag that Ctrl-C, SIGTERM, SIGUSR1 and SIGHUP set; [`hold`] came before.
pub fn on_signal() -> anyhow::Result<Arc<AtomicBool>> {
    let stop = Arc::new(AtomicBool::new(false));
    listen(Arc::clone(&stop)).context("cannot listen for Ctrl-C")?;
    Ok(stop)
}

/// Asks to stop; `ends` says whether to end at once if that was asked before.
fn ask(stop: &AtomicBool, ends: bool) {
    if !stop.swap(true, Ordering::Relaxed) {
        printer::complain("\nstopping after this iteration; Ctrl-C again to stop at once");
    } else if ends {
        std::process::exit(INTERRUPTED);
    }
}

/// Holds the signals back from this thread and all it starts, until [`on_signal`] takes them.
#[cfg(unix)]
pub fn hold() -> anyhow::Result<()> {
    wanted().thread_block().context("cannot listen for Ctrl-C")
}

#[cfg(unix)]
fn listen(stop: Arc<AtomicBool>) -> std::io::Result<()> {
    let signals = wanted();
    let listener = std::thread::Builder::new().name("signals".to_owned());
    listener.spawn(move || {
        while let Ok(signal) = signals.wait() {
            ask(&stop, signal == Signal::SIGINT);
        }
    })?;
    Ok(())
}

/// The signals that ask to stop, without those that are to be ignored.
#[cfg(unix)]
fn wanted() -> SigSet {
    let ignored = ignored();
    let all = [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP, Signal::SIGUSR1].into_iter();
    all.filter(|signal| ignored >> (*signal as i32 - 1) & 1 == 0).collect()
}

/// The signals that this program was started to ignore, a bit each from the lowest. Known on Linux.
#[cfg(unix)]
fn ignored() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    line.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0)
}

#[cfg(not(unix))]
pub fn hold() -> anyhow::Result<()> {
    Ok(())
}

#[cfg(not(unix))]
fn listen(stop: Arc<AtomicBool>) -> Result<(), ctrlc::Error> {
    ctrlc::set_handler(move || ask(&stop, true))
}

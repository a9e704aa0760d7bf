//! Who may write to a folder.
//!
//! The right is a lease: a file `.lease-N` in the folder that says who holds it, by host, process and job.
//! It needs no locks of the file system, which NFS and Lustre do not all have, only that a file is made
//! once; nor clocks that agree, as ages are by the clock of the file system.
//!
//! * It is held by the file of the highest number. Who wants it reads that, and if it is free, or its
//!   holder is gone, makes the next number. Of all that try one makes it.
//! * Whoever has made one looks again: if there is a higher number by now, or the dead lease that was
//!   taken over is gone or another, what was read was old, and the new file is taken back. So a lease that
//!   ended may be removed, and nothing stays in a folder.
//! * Its holder gives a sign of life every half minute. A process of this machine, or a job of Slurm, is
//!   asked for; of another one, a lease without a sign of life for five minutes is over.
//! * A holder that was taken for dead, and was only slow, finds its file gone before it writes again.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use mbspike_files::seal;

use crate::error::{Error, Result};
use crate::holder::{Hold, Holder, Life, RunProgress};

/// How the names of leases begin.
const PREFIX: &str = ".lease-";
/// Bytes of a lease, so that a later sign of life has the length of the first.
const LENGTH: usize = 1024;
/// The longest time between two looks at a lease that is waited for.
const MAX_WAIT: Duration = Duration::from_millis(250);

/// How often a holder gives a sign of life, and for how long it may give none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timing {
    /// After so long it gives its first sign of life.
    pub first: Duration,
    /// And then always after so long.
    pub every: Duration,
    /// A holder of which nothing else is known is gone after so long without one.
    pub stale: Duration,
}

impl Default for Timing {
    /// Every 30 s, and 5 minutes: a file system over a network may be away for a while.
    fn default() -> Self {
        Self {
            first: Duration::from_secs(10),
            every: Duration::from_secs(30),
            stale: Duration::from_secs(300),
        }
    }
}

/// The right to write to a folder. It ends with the value, or with the process, however that ends.
///
/// Whoever takes it removes what killed writers have left over there.
#[derive(Debug)]
pub struct Lock {
    lease: Arc<Lease>,
    beats: Option<std::thread::JoinHandle<()>>,
}

#[derive(Debug)]
struct Lease {
    folder: PathBuf,
    path: PathBuf,
    timing: Timing,
    state: Mutex<State>,
    /// Wakes the thread that gives signs of life.
    ended: Condvar,
    _hold: Hold,
}

#[derive(Debug)]
struct State {
    holder: Holder,
    beaten: Instant,
    is_ended: bool,
    is_lost: bool,
}

/// A lease as it was read.
struct Found {
    number: u64,
    path: PathBuf,
    bytes: Vec<u8>,
    modified: SystemTime,
    /// `None` if it is cut short: its holder is making it, or was killed in that moment.
    holder: Option<Holder>,
}

enum Attempt {
    Taken(Box<Lease>),
    /// By whom.
    Held(String),
    /// Others came in between.
    Again,
}

impl Lock {
    /// Takes the lock, or fails if another process has it.
    ///
    /// # Errors
    /// [`Error::Locked`] then; or if the folder cannot be written to.
    pub fn try_lock(folder: &Path) -> Result<Self> {
        Self::try_lock_with(folder, Timing::default())
    }

    /// As [`Lock::try_lock`], with other times.
    ///
    /// # Errors
    /// As there.
    pub fn try_lock_with(folder: &Path, timing: Timing) -> Result<Self> {
        let mut pause = Pause::default();
        loop {
            match attempt(folder, timing)? {
                Attempt::Taken(lease) => return Self::taken(*lease),
                Attempt::Held(holder) => {
                    return Err(Error::Locked { path: folder.to_owned(), holder });
                }
                Attempt::Again => pause.pause(),
            }
        }
    }

    /// Takes the lock as soon as no other process has it.
    ///
    /// # Errors
    /// If the folder cannot be written to.
    pub fn wait(folder: &Path) -> Result<Self> {
        let mut pause = Pause::default();
        loop {
            match attempt(folder, Timing::default())? {
                Attempt::Taken(lease) => return Self::taken(*lease),
                Attempt::Held(_) | Attempt::Again => pause.pause(),
            }
        }
    }

    /// Clears away the lease of a holder that is gone, if there is one.
    ///
    /// # Errors
    /// If the folder cannot be read or written to.
    pub fn clear(folder: &Path) -> Result<()> {
        if numbers(folder)?.is_empty() {
            return Ok(());
        }
        match Self::try_lock(folder) {
            Ok(_) | Err(Error::Locked { .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Who has the lock of `folder`, and since when it gave no sign of life by the clock here; `None` if
    /// nobody has it, or whoever had it is gone.
    ///
    /// # Errors
    /// If the folder cannot be read.
    pub fn holder(folder: &Path) -> Result<Option<(Holder, Duration)>> {
        let Some(Found { holder: Some(holder), modified, .. }) = highest(folder)? else {
            return Ok(None);
        };
        let silent = SystemTime::now().duration_since(modified).unwrap_or_default();
        let Timing { every, stale, .. } = Timing::default();
        let lives = match holder.life_unless(silent < 2 * every) {
            Life::Alive => true,
            Life::Dead => false,
            Life::Unknown => silent < stale,
        };
        Ok(lives.then_some((holder, silent)))
    }

    /// Takes note of how far the run is, for those who look at it.
    pub fn set_progress(&self, progress: RunProgress) {
        self.lease.state().holder.progress = Some(progress);
    }

    /// Makes sure, before something is written, that the lock was not taken over: by looking, if this
    /// process was away for longer than it may be.
    ///
    /// # Errors
    /// [`Error::LockLost`] if it was; or if the folder cannot be read.
    pub fn check(&self) -> Result<()> {
        let Timing { every, .. } = self.lease.timing;
        let is_sure = {
            let state = self.lease.state();
            !state.is_lost && state.beaten.elapsed() <= 2 * every
        };
        if is_sure || self.lease.beat()? {
            return Ok(());
        }
        Err(Error::LockLost(self.lease.folder.clone()))
    }

    fn taken(lease: Lease) -> Result<Self> {
        let lease = Arc::new(lease);
        let mut lock = Self { lease: Arc::clone(&lease), beats: None };
        mbspike_files::remove_partial(&lease.folder)?;
        let thread = std::thread::Builder::new().name("lease".to_owned());
        let beats = thread.spawn(move || lease.give_signs_of_life());
        let folder = &lock.lease.folder;
        lock.beats = Some(beats.map_err(|error| {
            let message = format!("cannot hold the lock of {}: {error}", folder.display());
            std::io::Error::new(error.kind(), message)
        })?);
        Ok(lock)
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        self.lease.state().is_ended = true;
        self.lease.ended.notify_all();
        if let Some(beats) = self.beats.take() {
            // It cannot panic.
            let _ = beats.join();
        }
        // Where it cannot be removed, it is known to be over when this process is.
        if self.lease.is_there().unwrap_or(false) {
            let _ = std::fs::remove_file(&self.lease.path);
        }
    }
}

impl Lease {
    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn give_signs_of_life(&self) {
        let mut pause = self.timing.first;
        let mut state = self.state();
        loop {
            let (after, timeout) = self
                .ended
                .wait_timeout_while(state, pause, |state| !state.is_ended)
                .unwrap_or_else(PoisonError::into_inner);
            if !timeout.timed_out() || after.is_lost {
                return;
            }
            drop(after);
            // One that fails is made up for by the next, or found by whoever wants to write.
            let _ = self.beat();
            state = self.state();
            pause = self.timing.every;
        }
    }

    /// Gives a sign of life; says whether the lease is still this one's.
    fn beat(&self) -> Result<bool> {
        let started = Instant::now();
        if !self.is_there()? {
            self.state().is_lost = true;
            return Ok(false);
        }
        let content = content(&self.state().holder)?;
        let mut options = fs_err::OpenOptions::new();
        match options.write(true).open(&self.path) {
            Ok(mut file) => std::io::Write::write_all(&mut file, &content)?,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                self.state().is_lost = true;
                return Ok(false);
            }
            Err(error) => return Err(error.into()),
        }
        self.state().beaten = started;
        Ok(true)
    }

    /// Whether the lease is there and this one's.
    fn is_there(&self) -> Result<bool> {
        let token = self.state().holder.token.clone();
        let found = read(&self.path, 0)?;
        Ok(found.and_then(|found| found.holder).is_some_and(|holder| holder.token == token))
    }
}

/// Waits longer and longer, and not as long as another process does.
struct Pause {
    longest: Duration,
}

impl Default for Pause {
    fn default() -> Self {
        Self { longest: Duration::from_millis(2) }
    }
}

impl Pause {
    fn pause(&mut self) {
        // From the token of a holder that is used for nothing else.
        let digits = Holder::here().token;
        let share = u32::from_str_radix(&digits[..4], 16).unwrap_or(0);
        std::thread::sleep(
            self.longest.mul_f64(0.5 + f64::from(share) / f64::from(u16::MAX) / 2.0),
        );
        self.longest = (2 * self.longest).min(MAX_WAIT);
    }
}

/// Tries once to take the lease of `folder`.
fn attempt(folder: &Path, timing: Timing) -> Result<Attempt> {
    let before = highest(folder)?;
    if let Some(found) = &before {
        let life = found.holder.as_ref().map_or(Life::Unknown, Holder::life);
        if life == Life::Alive {
            return Ok(Attempt::Held(found.text("")));
        }
        if life == Life::Unknown {
            let now = mbspike_files::time_in(folder)?;
            let silent = now.duration_since(found.modified).unwrap_or_default();
            if silent < timing.stale {
                let (silent, stale) = (silent.as_secs(), timing.stale.as_secs());
                return Ok(Attempt::Held(found.text(&format!(
                    " (silent for {silent} s; from {stale} s on it is taken for dead)"
                ))));
            }
        }
    }
    let number = before.as_ref().map_or(1, |found| found.number + 1);
    let holder = Holder::here();
    let hold = Hold::new(&holder);
    let path = folder.join(format!("{PREFIX}{number}"));
    let beaten = Instant::now();
    if !mbspike_files::create(&path, &content(&holder)?)? {
        return Ok(Attempt::Again);
    }
    let numbers = numbers(folder)?;
    let is_highest = numbers.iter().max() == Some(&number);
    let is_as_read = match &before {
        None => true,
        Some(before) => read(&before.path, before.number)?.is_some_and(|now| now.is(before)),
    };
    if !is_highest || !is_as_read {
        remove(&path)?;
        return Ok(Attempt::Again);
    }
    for older in numbers.iter().filter(|older| **older < number) {
        remove(&folder.join(format!("{PREFIX}{older}")))?;
    }
    let state = State { holder, beaten, is_ended: false, is_lost: false };
    let (state, ended) = (Mutex::new(state), Condvar::new());
    let lease = Lease { folder: folder.to_owned(), path, timing, state, ended, _hold: hold };
    Ok(Attempt::Taken(Box::new(lease)))
}

impl Found {
    /// Who holds it.
    fn text(&self, more: &str) -> String {
        let holder = self.holder.as_ref().map(ToString::to_string);
        format!("{}{more}", holder.unwrap_or_else(|| "another process".to_owned()))
    }

    /// Whether it is the same lease, with another sign of life or without.
    fn is(&self, other: &Self) -> bool {
        match (&self.holder, &other.holder) {
            (Some(one), Some(other)) => one.token == other.token,
            (None, None) => self.bytes == other.bytes,
            _ => false,
        }
    }
}

fn remove(path: &Path) -> Result<()> {
    match fs_err::remove_file(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        removed => Ok(removed?),
    }
}

fn content(holder: &Holder) -> Result<Vec<u8>> {
    let mut bytes = seal::to_json(holder).map_err(std::io::Error::other)?;
    bytes.resize(bytes.len().max(LENGTH - 1), b' ');
    bytes.push(b'\n');
    Ok(bytes)
}

/// The numbers of the leases in a folder.
fn numbers(folder: &Path) -> Result<Vec<u64>> {
    let mut numbers = Vec::new();
    for entry in fs_err::read_dir(folder)? {
        let name = entry?.file_name();
        let number: Option<u64> =
            name.to_str().and_then(|name| name.strip_prefix(PREFIX)?.parse().ok());
        numbers.extend(number);
    }
    Ok(numbers)
}

/// The lease that counts.
fn highest(folder: &Path) -> Result<Option<Found>> {
    // One that is gone when it is read has ended, or was taken over by a higher one.
    loop {
        let Some(number) = numbers(folder)?.into_iter().max() else { return Ok(None) };
        if let Some(found) = read(&folder.join(format!("{PREFIX}{number}")), number)? {
            return Ok(Some(found));
        }
    }
}

/// `None` if it is not there.
fn read(path: &Path, number: u64) -> Result<Option<Found>> {
    let found = || {
        let mut file = fs_err::File::open(path)?;
        let mut bytes = Vec::new();
        std::io::Read::read_to_end(&mut file, &mut bytes)?;
        let modified = file.metadata()?.modified()?;
        let text = [bytes.trim_ascii_end(), b"\n"].concat();
        let holder = seal::from_json(&text).ok().map(|(holder, _)| holder);
        Ok(Found { number, path: path.to_owned(), bytes, modified, holder })
    };
    match found() {
        Ok(found) => Ok(Some(found)),
        Err(error) if is_gone(&error) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Whether a file was removed, also by another machine while it was open.
fn is_gone(error: &std::io::Error) -> bool {
    use std::io::ErrorKind::{NotFound, StaleNetworkFileHandle};
    matches!(error.kind(), NotFound | StaleNetworkFileHandle)
}

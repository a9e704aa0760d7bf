//! The right to write to a folder: one process at a time has it, whatever became of the others.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use mbspike_results::{Error, Lock, RunProgress, Timing};

/// Signs of life so often that a test need not wait.
const FAST: Timing = Timing {
    first: Duration::from_millis(20),
    every: Duration::from_millis(20),
    stale: Duration::from_millis(400),
};

fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap();
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

/// The only lease in a folder.
fn lease(folder: &Path) -> std::path::PathBuf {
    let names = names(folder);
    let leases: Vec<_> = names.iter().filter(|name| name.starts_with(".lease-")).collect();
    assert_eq!(leases.len(), 1, "{names:?}");
    folder.join(leases[0])
}

/// Makes a lease one of a machine that this one knows nothing of.
fn move_elsewhere(path: &Path) {
    let bytes = std::fs::read(path).unwrap();
    let mut lease: serde_json::Value = serde_json::from_slice(&bytes).unwrap();
    lease["space"] = "another".into();
    lease["host"] = "elsewhere".into();
    for key in ["checksum", "checksum_kind", "job"] {
        lease.as_object_mut().unwrap().remove(key);
    }
    std::fs::write(path, mbspike_files::seal::to_json(&lease).unwrap()).unwrap();
}

#[test]
fn of_many_that_race_one_has_the_lock_at_a_time_and_none_is_turned_away_for_ever() {
    let folder = tempfile::tempdir().unwrap();
    let (n_inside, n_times) = (AtomicUsize::new(0), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for _ in 0..25 {
                    let _lock = Lock::wait(folder.path()).unwrap();
                    assert_eq!(n_inside.fetch_add(1, Ordering::SeqCst), 0, "two at once");
                    std::thread::yield_now();
                    n_inside.fetch_sub(1, Ordering::SeqCst);
                    n_times.fetch_add(1, Ordering::SeqCst);
                }
            });
        }
    });
    assert_eq!(n_times.into_inner(), 200);
    assert_eq!(names(folder.path()), [""; 0], "nothing stays");
}

#[test]
fn whoever_is_refused_is_told_who_has_the_lock() {
    let folder = tempfile::tempdir().unwrap();
    let lock = Lock::try_lock(folder.path()).unwrap();
    let message = Lock::try_lock(folder.path()).unwrap_err().to_string();
    assert!(message.contains(&format!("process {} on ", std::process::id())), "{message}");
    assert!(Lock::holder(folder.path()).unwrap().is_some());
    drop(lock);
    assert_eq!(Lock::holder(folder.path()).unwrap(), None);
}

#[test]
fn the_lease_of_another_machine_holds_while_it_gives_signs_of_life_and_no_longer() {
    let folder = tempfile::tempdir().unwrap();
    let lock = Lock::try_lock(folder.path()).unwrap();
    move_elsewhere(&lease(folder.path()));
    std::mem::forget(lock);
    let message = Lock::try_lock_with(folder.path(), FAST).unwrap_err().to_string();
    assert!(message.contains("on elsewhere (silent for 0 s"), "{message}");
    std::thread::sleep(2 * FAST.stale);
    let lock = Lock::try_lock_with(folder.path(), FAST).unwrap();
    assert!(lease(folder.path()).ends_with(".lease-2"), "the other one's is gone");
    lock.check().unwrap();
}

#[test]
fn a_lease_cut_short_by_a_kill_ends_when_it_is_old() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join(".lease-1"), "{\"tok").unwrap();
    assert!(matches!(Lock::try_lock_with(folder.path(), FAST), Err(Error::Locked { .. })));
    std::thread::sleep(2 * FAST.stale);
    Lock::try_lock_with(folder.path(), FAST).unwrap();
}

#[test]
fn a_holder_that_was_taken_for_dead_finds_out_before_it_writes() {
    let folder = tempfile::tempdir().unwrap();
    let slow = Timing { first: Duration::from_secs(600), every: Duration::ZERO, ..FAST };
    let first = Lock::try_lock_with(folder.path(), slow).unwrap();
    first.check().unwrap();
    move_elsewhere(&lease(folder.path()));
    std::thread::sleep(2 * FAST.stale);
    let second = Lock::try_lock_with(folder.path(), FAST).unwrap();
    assert!(matches!(first.check(), Err(Error::LockLost(_))));
    drop(first);
    second.check().unwrap();
    assert!(Lock::try_lock(folder.path()).is_err(), "the end of the first ends nothing else");
}

#[test]
fn a_sign_of_life_says_how_far_the_run_is() {
    let folder = tempfile::tempdir().unwrap();
    let lock = Lock::try_lock_with(folder.path(), FAST).unwrap();
    let progress =
        RunProgress { epoch: 3, n_epochs: 5, left_s: Some(7.5), ..RunProgress::default() };
    lock.set_progress(progress.clone());
    let seen = || Lock::holder(folder.path()).unwrap().and_then(|(holder, _)| holder.progress);
    for _ in 0..500 {
        if seen() == Some(progress.clone()) {
            return;
        }
        std::thread::sleep(FAST.every);
    }
    panic!("{:?}", seen());
}

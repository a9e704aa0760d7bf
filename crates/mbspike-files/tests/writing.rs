//! What readers and other writers see of a file that is written.

use std::io::Error;

use mbspike_files::{is_partial, remove_partial, write};

#[test]
fn a_write_that_fails_leaves_the_file_as_it_was_and_nothing_beside_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file");
    write(&path, |file| file.write_all(b"before")).unwrap();
    let error = write(&path, |file| {
        file.write_all(b"half")?;
        Err(Error::other("no more"))
    })
    .unwrap_err();
    assert_eq!(error.to_string(), format!("cannot write {}: no more", path.display()));
    assert_eq!(std::fs::read(&path).unwrap(), b"before");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn a_folder_that_is_not_there_is_an_error_that_names_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("none/file");
    let error = write(&path, |_| Ok(())).unwrap_err();
    assert!(error.to_string().contains(&path.display().to_string()), "{error}");
}

#[test]
fn several_writers_of_one_path_leave_one_whole_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file");
    std::thread::scope(|scope| {
        for writer in 0..3_u8 {
            let path = &path;
            scope.spawn(move || {
                for _ in 0..50 {
                    write(path, |file| file.write_all(&[writer; 10_000])).unwrap();
                    let seen = std::fs::read(path).unwrap();
                    assert!(seen.len() == 10_000 && seen.iter().all(|byte| *byte == seen[0]));
                }
            });
        }
    });
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn leftovers_of_killed_writers_are_removed_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let names = [".partial-abc", "partial-abc", ".lock"];
    for name in names {
        std::fs::write(folder.path().join(name), "").unwrap();
    }
    assert!(is_partial(names[0].as_ref()) && !is_partial(names[1].as_ref()));
    remove_partial(folder.path()).unwrap();
    let there: Vec<bool> = names.iter().map(|name| folder.path().join(name).exists()).collect();
    assert_eq!(there, [false, true, true]);
}

#[cfg(unix)]
#[test]
fn a_file_has_the_permissions_that_the_umask_leaves() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let [ours, plain] = ["ours", "plain"].map(|name| folder.path().join(name));
    write(&ours, |_| Ok(())).unwrap();
    std::fs::write(&plain, "").unwrap();
    let mode = |path| std::fs::metadata(path).unwrap().permissions().mode();
    assert_eq!(mode(&ours), mode(&plain));
}

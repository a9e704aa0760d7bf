//! Archives that are what they should be, and archives that were made to do harm.

#![allow(clippy::unwrap_used, reason = "tests may panic")]

use std::io::{Cursor, Write};
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::write::GzEncoder;
use mbspike_data::archive::{Limits, extract, for_each_file};

const FILES: [(&str, &[u8]); 3] = [("a.txt", b"abc"), ("deep/er/b.bin", &[7; 1000]), ("c", b"")];

fn tar_entry(archive: &mut tar::Builder<Vec<u8>>, name: &str, content: &[u8]) {
    let mut header = tar::Header::new_gnu();
    header.set_size(content.len() as u64);
    header.set_mode(0o644);
    // Written byte by byte: the crate itself would refuse a name that leaves the archive.
    header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
    header.set_cksum();
    archive.append(&header, content).unwrap();
}

fn tar(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut archive = tar::Builder::new(Vec::new());
    for (name, content) in files {
        tar_entry(&mut archive, name, content);
    }
    archive.into_inner().unwrap()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn zip(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut archive = zip::ZipWriter::new(Cursor::new(Vec::new()));
    for (name, content) in files {
        archive.start_file(*name, zip::write::SimpleFileOptions::default()).unwrap();
        archive.write_all(content).unwrap();
    }
    archive.finish().unwrap().into_inner()
}

/// Extracts `bytes`, within a folder of its own, into the folder `out` in it.
fn try_extract(bytes: &[u8], limits: Limits) -> (tempfile::TempDir, Result<Vec<PathBuf>, String>) {
    let folder = tempfile::tempdir().unwrap();
    let archive = folder.path().join("archive");
    fs_err::write(&archive, bytes).unwrap();
    let result = extract(&archive, &folder.path().join("out"), limits);
    (folder, result.map_err(|error| error.to_string()))
}

fn message(bytes: &[u8]) -> String {
    let (folder, result) = try_extract(bytes, Limits::default());
    let n_files = fs_err::read_dir(folder.path()).unwrap().count();
    assert!(n_files <= 2, "something was written beside the archive and its folder");
    result.unwrap_err()
}

#[test]
fn zip_tar_gzipped_tar_and_folders_give_the_same_files() {
    for bytes in [tar(&FILES), gzip(&tar(&FILES)), zip(&FILES)] {
        let (folder, written) = try_extract(&bytes, Limits::default());
        assert_eq!(written.unwrap().len(), 3);
        let out = folder.path().join("out");
        let mut seen = Vec::new();
        for_each_file(&out, Limits::default(), &mut |path, content| {
            let mut bytes = Vec::new();
            content.read_to_end(&mut bytes)?;
            seen.push((path.to_owned(), bytes));
            Ok(())
        })
        .unwrap();
        let mut want = FILES.map(|(name, bytes)| (PathBuf::from(name), bytes.to_vec()));
        want.sort();
        assert_eq!(seen, want, "no file is missing, and none is left over");
        // A second time the same files are replaced.
        assert!(extract(&folder.path().join("archive"), &out, Limits::default()).is_ok());
    }
}

#[test]
fn paths_that_leave_the_archive_are_refused() {
    for name in ["../evil", "a/../../evil", "/evil", "a\\..\\evil", "C:evil", ".."] {
        for bytes in [tar(&[(name, b"evil")]), gzip(&tar(&[(name, b"evil")])), zip(&[(name, b"x")])]
        {
            let message = message(&bytes);
            assert!(message.contains("paths that stay within the archive"), "{name}: {message}");
        }
    }
}

#[test]
fn links_are_refused() {
    for kind in [tar::EntryType::Symlink, tar::EntryType::Link, tar::EntryType::Fifo] {
        let mut archive = tar::Builder::new(Vec::new());
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(kind);
        header.set_size(0);
        header.set_path("link").unwrap();
        header.set_link_name("/etc").unwrap();
        header.set_cksum();
        archive.append(&header, &[][..]).unwrap();
        tar_entry(&mut archive, "link/evil", b"evil");
        let message = message(&archive.into_inner().unwrap());
        assert!(message.contains("plain files only"), "{message}");
    }
    let mut archive = zip::ZipWriter::new(Cursor::new(Vec::new()));
    archive.add_symlink("link", "/etc", zip::write::SimpleFileOptions::default()).unwrap();
    let message = message(&archive.finish().unwrap().into_inner());
    assert!(message.contains("plain files only"), "{message}");
}

#[test]
fn bombs_stop_at_the_limit() {
    let limits = Limits { n_bytes: 100_000, n_files: 10 };
    let zeros = vec![0; 10_000_000];
    let bomb: [(&str, &[u8]); 1] = [("bomb", &zeros)];
    for bytes in [tar(&bomb), gzip(&tar(&bomb)), zip(&bomb)] {
        let (folder, result) = try_extract(&bytes, limits);
        assert!(result.unwrap_err().contains("limit"));
        let left: Vec<_> = fs_err::read_dir(folder.path().join("out")).unwrap().collect();
        assert!(left.is_empty(), "{left:?}");
    }
    let many: Vec<(String, &[u8])> = (0..11).map(|i| (format!("f{i}"), &b"x"[..])).collect();
    let many: Vec<(&str, &[u8])> = many.iter().map(|(name, b)| (name.as_str(), *b)).collect();
    for bytes in [tar(&many), zip(&many)] {
        let message = try_extract(&bytes, limits).1.unwrap_err();
        assert!(message.contains("expected at most 10 files, found more"), "{message}");
    }
}

#[test]
fn damaged_archives_are_refused_and_leave_no_half_files() {
    let archives = [tar(&FILES), gzip(&tar(&FILES)), zip(&FILES)];
    for bytes in &archives {
        for n in [1, 100, 600, bytes.len() / 2] {
            let (folder, result) = try_extract(&bytes[..n.min(bytes.len() - 1)], Limits::default());
            if result.is_ok() {
                // A tar archive may end after any whole file.
                continue;
            }
            for entry in fs_err::read_dir(folder.path().join("out")).into_iter().flatten() {
                let path = entry.unwrap().path();
                let name = path.file_name().unwrap().to_str().unwrap();
                assert!(FILES.iter().any(|(file, _)| file.starts_with(name)), "{name}");
            }
        }
    }
    let message = message(b"<html>not found</html>");
    assert!(message.contains("expected a tar archive"), "{message}");
    assert!(extract(Path::new("nowhere.zip"), Path::new("out"), Limits::default()).is_err());
}

/// A tar archive of headers and content as they are, whatever they say.
fn raw_tar(entries: &[(tar::EntryType, u64, &[u8])]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (kind, size, content) in entries {
        let mut header = tar::Header::new_gnu();
        header.set_path("n").unwrap();
        header.set_entry_type(*kind);
        header.set_size(*size);
        header.set_mode(0o644);
        header.set_cksum();
        bytes.extend(header.as_bytes());
        bytes.extend(*content);
        bytes.resize(bytes.len().next_multiple_of(512), 0);
    }
    bytes.extend([0; 1024]);
    bytes
}

#[test]
fn long_names_are_read_and_longer_ones_are_refused() {
    use tar::EntryType;
    let long = format!("{}/b.txt", "a".repeat(150));
    let zero = [long.as_bytes(), &[0]].concat();
    let record = format!(" path={long}\n");
    let n = record.len() + 3;
    let pax = format!("{n}{record}").into_bytes();
    for (kind, name) in [(EntryType::GNULongName, &zero), (EntryType::XHeader, &pax)] {
        let file = (EntryType::Regular, 3, &b"abc"[..]);
        let bytes = raw_tar(&[(kind, name.len() as u64, name), file, file]);
        let (folder, result) = try_extract(&bytes, Limits::default());
        assert_eq!(result.unwrap().len(), 2, "{kind:?}");
        assert_eq!(fs_err::read(folder.path().join("out").join(&long)).unwrap(), b"abc");
        assert_eq!(fs_err::read(folder.path().join("out/n")).unwrap(), b"abc", "only the next");
    }
    for kind in [
        EntryType::GNULongName,
        EntryType::GNULongLink,
        EntryType::XHeader,
        EntryType::XGlobalHeader,
    ] {
        // 5 GB of a name that are not there, or that are.
        for bytes in [
            raw_tar(&[(kind, 5 << 30, &vec![b'a'; 100_000])]),
            gzip(&raw_tar(&[(kind, 64 << 20, &vec![b'a'; 64 << 20])])),
        ] {
            let (_folder, result) = try_extract(&bytes, Limits::default());
            let message = result.unwrap_err();
            assert!(
                message.contains("byte 0: expected a long name or extended header of at most"),
                "{message}"
            );
        }
    }
    let size = b"11 size=99\n";
    let file = (EntryType::Regular, 3, &b"abc"[..]);
    let bytes = raw_tar(&[(EntryType::XHeader, size.len() as u64, size), file]);
    assert!(try_extract(&bytes, Limits::default()).1.unwrap_err().contains("at most 8 GiB"));
}

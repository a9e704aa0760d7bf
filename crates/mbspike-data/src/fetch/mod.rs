//! Downloads of datasets, as their authors publish them. The network needs the feature `download`;
//! checking and unpacking files that were brought by hand does not.

mod event;
#[cfg(feature = "download")]
mod http;

use std::path::{Path, PathBuf};

use fs_err::File;
use serde::Serialize;

pub use event::FetchEvent;

use crate::archive::{Limits, extract};
use crate::catalog::{DatasetName, Download};
use crate::verify::{Verdict, md5_of, verify};
use crate::{Error, Result};

/// What [`fetch`] did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Fetched {
    /// The dataset.
    pub name: DatasetName,
    /// The folder that now holds it.
    pub folder: PathBuf,
}

/// Brings a dataset into `folder`, which is made if it is not there, in its published format.
///
/// Files come from the authors' addresses, or from `mirror`, an address to which their names are
/// added. A file that is there already is not downloaded again, whoever put it there, and one of
/// which a part is there is continued. Each must have the published checksum. Archives are unpacked.
///
/// # Errors
/// If a file cannot be had (the message then says what to put where), is not the published one, or
/// another process is fetching into the folder.
pub fn fetch(
    name: DatasetName,
    folder: &Path,
    mirror: Option<&str>,
    observe: &mut dyn FnMut(FetchEvent<'_>),
) -> Result<Fetched> {
    let downloads = name.info().downloads;
    if downloads.is_empty() {
        return Err(refusal(name, "it is part of this program and needs no download"));
    }
    let is_here = verify(name, Some(folder))
        .is_ok_and(|checks| checks.iter().all(|check| check.verdict != Verdict::Different));
    if !is_here {
        fetch_all(name, downloads, folder, mirror, observe)?;
    }
    Ok(Fetched { name, folder: folder.to_owned() })
}

fn fetch_all(
    name: DatasetName,
    downloads: &[Download],
    folder: &Path,
    mirror: Option<&str>,
    observe: &mut dyn FnMut(FetchEvent<'_>),
) -> Result<()> {
    fs_err::create_dir_all(folder)?;
    let lock = File::create(folder.join(".fetch-lock"))?;
    if lock.file().try_lock().is_err() {
        let message = format!("another process is fetching into {}", folder.display());
        return Err(refusal(name, message));
    }
    for download in downloads {
        let target = folder.join(download.name);
        if !target.is_file() {
            let url = match (mirror, download.url) {
                (Some(mirror), _) => {
                    Some(format!("{}/{}", mirror.trim_end_matches('/'), download.name))
                }
                (None, url) => url.map(str::to_owned),
            };
            let reason = match url {
                Some(url) => get(&url, download, &target, observe).err(),
                None => Some("it has to be asked for on its authors' page".to_owned()),
            };
            if let Some(reason) = reason {
                return Err(refusal(name, by_hand(name, folder, &reason)));
            }
        }
        check(&target, download.md5)?;
        observe(FetchEvent::Whole { file: download.name });
        if download.is_unpacked {
            observe(FetchEvent::Unpack { file: download.name });
            extract(&target, folder, Limits::default())?;
        }
    }
    Ok(())
}

/// A file of a wrong sum stays where it is: whoever put it there may want it.
fn check(file: &Path, md5: &str) -> Result<()> {
    let (found, n_bytes) = md5_of(File::open(file)?, file)?;
    if found == md5 {
        return Ok(());
    }
    Err(Error::Format {
        file: file.to_owned(),
        offset: 0,
        expected: format!("the published file (MD5 {md5})"),
        found: format!("{n_bytes} bytes with MD5 {found}; remove it to fetch it again"),
    })
}

fn refusal(name: DatasetName, message: impl Into<String>) -> Error {
    Error::Download { dataset: name.to_string(), message: message.into() }
}

/// Why it failed, and what to put where instead.
fn by_hand(name: DatasetName, folder: &Path, reason: &str) -> String {
    let info = name.info();
    let files: Vec<_> =
        info.downloads.iter().map(|file| format!("{} (MD5 {})", file.name, file.md5)).collect();
    format!(
        "{reason}\nby hand: get {} from {} and put it into {}; the same command then checks it{}",
        files.join(", "),
        info.home,
        folder.display(),
        if info.downloads.iter().any(|file| file.is_unpacked) { " and unpacks it" } else { "" },
    )
}

#[cfg(feature = "download")]
fn get(
    url: &str,
    download: &Download,
    target: &Path,
    observe: &mut dyn FnMut(FetchEvent<'_>),
) -> Result<(), String> {
    http::download(url, download, target, observe)
}

#[cfg(not(feature = "download"))]
fn get(_: &str, _: &Download, _: &Path, _: &mut dyn FnMut(FetchEvent<'_>)) -> Result<(), String> {
    Err("this program was built without the feature \"download\"".to_owned())
}

#[cfg(all(test, feature = "download"))]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn an_archive_is_downloaded_checked_and_unpacked_once() {
        let mut archive = tar::Builder::new(Vec::new());
        let mut header = tar::Header::new_gnu();
        header.set_size(3);
        archive.append_data(&mut header, "inner/labels.txt", &b"abc"[..]).unwrap();
        let bytes = archive.into_inner().unwrap();
        let (md5, _) = md5_of(bytes.as_slice(), Path::new("a.tar")).unwrap();
        let downloads = [Download { name: "a.tar", url: None, md5: md5.leak(), is_unpacked: true }];
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mirror = format!("http://{}", listener.local_addr().unwrap());
        let server = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let n = stream.read(&mut [0; 4096]).unwrap();
            write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", bytes.len()).unwrap();
            stream.write_all(&bytes).unwrap();
            n
        });
        let folder = tempfile::tempdir().unwrap();
        let fetch = || {
            let mut told = Vec::new();
            let name = DatasetName::Cifar10;
            fetch_all(name, &downloads, folder.path(), Some(&mirror), &mut |event| match event {
                FetchEvent::Progress { .. } => {}
                other => told.push(format!("{other:?}")),
            })
            .unwrap();
            told
        };
        let told = fetch();
        assert!(server.join().unwrap() > 0);
        assert_eq!(told, ["Whole { file: \"a.tar\" }", "Unpack { file: \"a.tar\" }"]);
        let unpacked = folder.path().join("inner/labels.txt");
        assert_eq!(fs_err::read(&unpacked).unwrap(), b"abc");
        // The server has gone; what is there is enough, and what was unpacked is made whole again.
        fs_err::write(&unpacked, "a").unwrap();
        assert_eq!(fetch(), told);
        assert_eq!(fs_err::read(&unpacked).unwrap(), b"abc");
    }
}

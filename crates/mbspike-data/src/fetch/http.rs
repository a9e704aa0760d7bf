//! One file over HTTP, continued where it was cut off.

use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use fs_err::OpenOptions;
use ureq::Agent;
use ureq::http::{Response, StatusCode, header};

use super::event::FetchEvent;
use crate::catalog::Download;
use crate::verify::md5_of;

/// No dataset of the catalog is larger.
const MAX_BYTES: u64 = 1 << 34;
/// Attempts in a row that may bring nothing.
const N_ATTEMPTS: u32 = 3;
/// Time without a byte after which a connection counts as lost.
const PATIENCE: Duration = Duration::from_secs(60);
/// The pause before the second attempt; each further one is four times as long.
const PAUSE: Duration = Duration::from_millis(200);

/// Why an attempt brought no whole file.
enum Failure {
    /// Another attempt may go on.
    Cut(String),
    /// No attempt will.
    Final(String),
}

/// Downloads `url` to `target` by way of `target` with `.part` added, which stays if the connection
/// is lost, so that the next call goes on from there. A file of a wrong checksum is not kept.
pub(super) fn download(
    url: &str,
    download: &Download,
    target: &Path,
    observe: &mut dyn FnMut(FetchEvent<'_>),
) -> Result<(), String> {
    let agent: Agent = Agent::config_builder()
        .user_agent(concat!("mbspike/", env!("CARGO_PKG_VERSION")))
        .http_status_as_error(false)
        .timeout_connect(Some(PATIENCE))
        .timeout_recv_response(Some(PATIENCE))
        .timeout_per_read(Some(PATIENCE))
        .build()
        .into();
    let part = PathBuf::from(format!("{}.part", target.display()));
    let n_kept = || fs_err::metadata(&part).map_or(0, |metadata| metadata.len());
    let mut n_idle = 0;
    loop {
        let before = n_kept();
        match attempt(&agent, url, download.name, &part, observe) {
            Ok(()) => break,
            Err(Failure::Final(reason)) => return Err(format!("{url}: {reason}")),
            Err(Failure::Cut(reason)) => {
                n_idle = if n_kept() > before { 0 } else { n_idle + 1 };
                if n_idle == N_ATTEMPTS {
                    let kept = match n_kept() {
                        0 => String::new(),
                        n => format!(
                            "; {n} bytes are kept in {}, the same command goes on from there",
                            part.display()
                        ),
                    };
                    return Err(format!("{url}: {reason}{kept}"));
                }
                observe(FetchEvent::Retry { file: download.name, reason: &reason });
                std::thread::sleep(PAUSE * 4_u32.pow(n_idle));
            }
        }
    }
    let io = |error: std::io::Error| error.to_string();
    let md5 = fs_err::File::open(&part).map_err(io).and_then(|file| {
        let (md5, _) = md5_of(file, &part).map_err(|error| error.to_string())?;
        Ok(md5)
    })?;
    if md5 != download.md5 {
        fs_err::remove_file(&part).map_err(io)?;
        let expected = download.md5;
        return Err(format!("{url}: expected a file with MD5 {expected}, found MD5 {md5}"));
    }
    fs_err::rename(&part, target).map_err(io)?;
    // Brings the renamed entry of the folder to the disk; what is in the file is there already.
    #[cfg(unix)]
    if let Some(folder) = target.parent() {
        fs_err::File::open(folder).and_then(|folder| folder.sync_all()).map_err(io)?;
    }
    Ok(())
}

/// Asks for what is missing of the file and appends what comes.
fn attempt(
    agent: &Agent,
    url: &str,
    name: &str,
    part: &Path,
    observe: &mut dyn FnMut(FetchEvent<'_>),
) -> Result<(), Failure> {
    let io = |error: std::io::Error| Failure::Final(error.to_string());
    let mut file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .read(true)
        .write(true)
        .open(part)
        .map_err(io)?;
    let n_here = file.metadata().map_err(io)?.len();
    let mut request = agent.get(url);
    if n_here > 0 {
        request = request.header(header::RANGE, format!("bytes={n_here}-"));
    }
    let response = request.call().map_err(|error| Failure::Cut(error.to_string()))?;
    let mut n_done = match response.status() {
        // The server sends the whole file, whatever was asked for.
        StatusCode::OK => 0,
        StatusCode::PARTIAL_CONTENT if content_range(&response).0 == Some(n_here) => n_here,
        StatusCode::PARTIAL_CONTENT => {
            return Err(Failure::Final(format!("the server did not send from byte {n_here} on")));
        }
        StatusCode::RANGE_NOT_SATISFIABLE => {
            if content_range(&response).1 == Some(n_here) {
                return Ok(());
            }
            // What is here is no part of this file.
            file.set_len(0).map_err(io)?;
            return Err(Failure::Cut(format!("the file has fewer bytes than {n_here}")));
        }
        status if status.is_server_error() => return Err(Failure::Cut(status.to_string())),
        status => return Err(Failure::Final(status.to_string())),
    };
    file.set_len(n_done).map_err(io)?;
    file.seek(SeekFrom::Start(n_done)).map_err(io)?;
    let length = response.headers().get(header::CONTENT_LENGTH);
    let length = length.and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    let n_bytes = length.map(|length| n_done.saturating_add(length));
    if n_bytes.is_some_and(|n| n > MAX_BYTES) {
        return Err(Failure::Final(format!("more than {MAX_BYTES} bytes")));
    }
    let mut body = response.into_body().into_reader();
    let mut buffer = vec![0; 1 << 16];
    observe(FetchEvent::Progress { file: name, n_done, n_bytes });
    loop {
        let n = body.read(&mut buffer).map_err(|error| Failure::Cut(error.to_string()))?;
        if n == 0 {
            break;
        }
        n_done += n as u64;
        if n_done > MAX_BYTES {
            return Err(Failure::Final(format!("more than {MAX_BYTES} bytes")));
        }
        file.write_all(&buffer[..n]).map_err(io)?;
        observe(FetchEvent::Progress { file: name, n_done, n_bytes });
    }
    file.sync_all().map_err(io)?;
    match n_bytes {
        Some(n) if n_done < n => Err(Failure::Cut(format!("cut off after {n_done} of {n} bytes"))),
        _ => Ok(()),
    }
}

/// First byte and length of the whole of `Content-Range: bytes 5-9/10` or `bytes */10`.
fn content_range<T>(response: &Response<T>) -> (Option<u64>, Option<u64>) {
    let value = response.headers().get(header::CONTENT_RANGE);
    let text = value.and_then(|value| value.to_str().ok()).unwrap_or("");
    let Some((range, length)) = text.trim_start_matches("bytes ").split_once('/') else {
        return (None, None);
    };
    let first = range.split_once('-').and_then(|(first, _)| first.parse().ok());
    (first, length.parse().ok())
}

//! Downloads from a server of a few lines on this machine.
#![cfg(feature = "download")]
#![allow(clippy::unwrap_used, reason = "tests may panic")]

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::{Arc, Mutex};

use mbspike_data::catalog::DatasetName;
use mbspike_data::{Error, FetchEvent, Fetched, fetch};

/// What the server answers: gets the request's path and the first byte that is asked for.
type Answer = dyn Fn(&str, Option<usize>, &mut TcpStream) -> std::io::Result<()> + Send + Sync;

/// Path and first byte of each request.
type Requests = Arc<Mutex<Vec<(String, Option<usize>)>>>;

/// Serves until the test ends. Returns the address and the requests so far.
fn serve(answer: Box<Answer>) -> (String, Requests) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}/data/", listener.local_addr().unwrap());
    let requests = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&requests);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
            let first = lines.next().unwrap().unwrap();
            let path = first.split(' ').nth(1).unwrap().to_owned();
            let mut from = None;
            for line in lines.map(Result::unwrap).take_while(|line| !line.is_empty()) {
                if let Some(range) = line.to_lowercase().strip_prefix("range: bytes=") {
                    from = Some(range.trim_end_matches('-').parse().unwrap());
                }
            }
            seen.lock().unwrap().push((path.clone(), from));
            let _ = answer(&path, from, &mut stream);
        }
    });
    (address, requests)
}

/// What the server has under every name. Its checksum is no published one; a file that fits is
/// downloaded in the tests within the crate.
fn content() -> Vec<u8> {
    (0..300_000_usize).map(|i| (i * i / 7) as u8).collect()
}

fn whole(stream: &mut TcpStream, from: Option<usize>, cut: Option<usize>) -> std::io::Result<()> {
    let content = content();
    let (status, first) = match from {
        Some(first) if first >= content.len() => {
            let n = content.len();
            return write!(
                stream,
                "HTTP/1.1 416 No\r\nContent-Range: bytes */{n}\r\nContent-Length: 0\r\n\r\n"
            );
        }
        Some(first) => ("206 Partial Content", first),
        None => ("200 OK", 0),
    };
    let (n, last) = (content.len(), content.len() - 1);
    write!(stream, "HTTP/1.1 {status}\r\nContent-Length: {}\r\n", n - first)?;
    write!(stream, "Content-Range: bytes {first}-{last}/{n}\r\nConnection: close\r\n\r\n")?;
    stream.write_all(&content[first..cut.map_or(n, |cut| (first + cut).min(n))])
}

fn fetch_cifar(folder: &Path, mirror: &str) -> (Result<Fetched, Error>, Vec<String>) {
    let mut told = Vec::new();
    let result = fetch(DatasetName::Cifar10, folder, Some(mirror), &mut |event| match event {
        FetchEvent::Progress { n_done, n_bytes, .. } => {
            assert!(n_bytes.is_none_or(|n| n_done <= n));
        }
        other => told.push(format!("{other:?}")),
    });
    (result, told)
}

/// The content came whole if the only complaint is its checksum.
fn assert_whole_but_wrong(result: Result<Fetched, Error>, folder: &Path) {
    use md5::{Digest, Md5};
    let message = result.unwrap_err().to_string();
    let md5 = u128::from_be_bytes(Md5::digest(content()).into());
    let expected =
        format!("expected a file with MD5 c32a1d4ab5d03f1284b67883e8d87530, found MD5 {md5:032x}");
    assert!(message.contains(&expected), "{message}");
    assert!(!folder.join("cifar-10-binary.tar.gz").exists());
    assert!(!folder.join("cifar-10-binary.tar.gz.part").exists(), "a wrong file is not continued");
}

#[test]
fn a_wrong_checksum_is_refused_and_says_what_to_put_where() {
    let folder = tempfile::tempdir().unwrap();
    let (address, requests) = serve(Box::new(|_, from, stream| whole(stream, from, None)));
    let (result, _) = fetch_cifar(folder.path(), &address);
    let message = result.as_ref().unwrap_err().to_string();
    for part in ["by hand", "cifar-10-binary.tar.gz", "cs.toronto.edu", "unpacks"] {
        assert!(message.contains(part), "{part} in {message}");
    }
    assert_whole_but_wrong(result, folder.path());
    assert_eq!(*requests.lock().unwrap(), [("/data/cifar-10-binary.tar.gz".to_owned(), None)]);
}

#[test]
fn cut_connections_are_continued_where_they_ended() {
    let folder = tempfile::tempdir().unwrap();
    let (address, requests) = serve(Box::new(|_, from, stream| whole(stream, from, Some(120_000))));
    let (result, told) = fetch_cifar(folder.path(), &address);
    assert_whole_but_wrong(result, folder.path());
    let starts: Vec<_> = requests.lock().unwrap().iter().map(|(_, from)| *from).collect();
    assert_eq!(starts, [None, Some(120_000), Some(240_000)]);
    assert_eq!(told.len(), 2, "{told:?}");
}

#[test]
fn what_an_earlier_program_left_is_continued() {
    let folder = tempfile::tempdir().unwrap();
    let part = folder.path().join("cifar-10-binary.tar.gz.part");
    fs_err::write(&part, &content()[..77]).unwrap();
    let (address, requests) = serve(Box::new(|_, from, stream| whole(stream, from, None)));
    assert_whole_but_wrong(fetch_cifar(folder.path(), &address).0, folder.path());
    assert_eq!(requests.lock().unwrap()[0].1, Some(77));

    // All of it is there; only the check is left.
    fs_err::write(&part, content()).unwrap();
    assert_whole_but_wrong(fetch_cifar(folder.path(), &address).0, folder.path());

    // More than all of it: it belongs to another file, and is begun anew.
    fs_err::write(&part, [content(), content()].concat()).unwrap();
    assert_whole_but_wrong(fetch_cifar(folder.path(), &address).0, folder.path());
    assert_eq!(requests.lock().unwrap().last().unwrap().1, None);
}

#[test]
fn a_server_without_ranges_sends_the_whole_file_again() {
    let folder = tempfile::tempdir().unwrap();
    fs_err::write(folder.path().join("cifar-10-binary.tar.gz.part"), &content()[..77]).unwrap();
    let (address, _) = serve(Box::new(|_, _, stream| whole(stream, None, None)));
    assert_whole_but_wrong(fetch_cifar(folder.path(), &address).0, folder.path());
}

#[test]
fn a_dead_server_is_given_up_and_what_came_is_kept() {
    let folder = tempfile::tempdir().unwrap();
    let (address, requests) = serve(Box::new(|_, from, stream| match from {
        None => whole(stream, None, Some(5000)),
        Some(_) => Ok(()),
    }));
    let (result, _) = fetch_cifar(folder.path(), &address);
    let message = result.unwrap_err().to_string();
    assert!(message.contains("5000 bytes are kept in"), "{message}");
    assert!(message.contains("the same command goes on from there"), "{message}");
    let part = fs_err::read(folder.path().join("cifar-10-binary.tar.gz.part")).unwrap();
    assert!(part == content()[..5000]);
    assert_eq!(requests.lock().unwrap().len(), 4);
}

#[test]
fn files_that_do_not_exist_and_servers_that_do_not_answer_are_errors() {
    let folder = tempfile::tempdir().unwrap();
    let (address, requests) = serve(Box::new(|_, _, stream| {
        write!(stream, "HTTP/1.1 404 Not Found\r\nContent-Length: 3\r\n\r\nno\n")
    }));
    let message = fetch_cifar(folder.path(), &address).0.unwrap_err().to_string();
    assert!(message.contains("404 Not Found"), "{message}");
    assert_eq!(requests.lock().unwrap().len(), 1, "asking again would not help");
    // A port that nobody listens on.
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let message = fetch_cifar(folder.path(), &format!("http://{free}")).0.unwrap_err().to_string();
    assert!(message.contains("by hand"), "{message}");
}

#[test]
fn files_brought_by_hand_are_checked_and_never_removed() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("cifar-10-binary.tar.gz");
    fs_err::write(&file, "abc").unwrap();
    let (address, requests) = serve(Box::new(|_, from, stream| whole(stream, from, None)));
    let message = fetch_cifar(folder.path(), &address).0.unwrap_err().to_string();
    assert!(message.contains("3 bytes with MD5 900150983cd24fb0d6963f7d28e17f72"), "{message}");
    assert!(file.exists() && requests.lock().unwrap().is_empty());
}

#[test]
fn two_processes_do_not_fetch_into_one_folder() {
    let folder = tempfile::tempdir().unwrap();
    let lock = std::fs::File::create(folder.path().join(".fetch-lock")).unwrap();
    lock.lock().unwrap();
    let message = fetch_cifar(folder.path(), "http://127.0.0.1:1").0.unwrap_err().to_string();
    assert!(message.contains("another process is fetching"), "{message}");
}

use std::io::{self, Read};
use std::path::Path;

use fs_err::File;

/// The most bytes of a text that people write.
const MAX_BYTES: u64 = 1 << 26;

/// Reads a text that people write, a config for instance. One of more than 64 MiB is refused before it
/// fills the memory: a device, or a file that was meant for something else.
///
/// # Errors
/// If it cannot be read, is too long, or is not UTF-8; the message names the file.
pub fn read_text(path: &Path) -> io::Result<String> {
    let mut bytes = Vec::new();
    File::open(path)?.take(MAX_BYTES + 1).read_to_end(&mut bytes)?;
    let refuse = |reason: String| {
        let message = format!("{}: {reason}", path.display());
        Err(io::Error::new(io::ErrorKind::InvalidData, message))
    };
    if bytes.len() as u64 > MAX_BYTES {
        return refuse(format!("expected a text of at most {MAX_BYTES} bytes, found more"));
    }
    match String::from_utf8(bytes) {
        Ok(text) => Ok(text),
        Err(error) => {
            let at = error.utf8_error().valid_up_to();
            refuse(format!(
                "byte {at}: expected a text in UTF-8, found {:#04x}",
                error.as_bytes()[at]
            ))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::read_text;

    #[test]
    #[cfg(unix)]
    fn a_file_without_an_end_is_refused_by_its_name() {
        let error = read_text("/dev/zero".as_ref()).unwrap_err().to_string();
        assert_eq!(error, "/dev/zero: expected a text of at most 67108864 bytes, found more");
    }

    #[test]
    fn bytes_that_are_no_text_are_named_with_their_place() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), b"a = 1\n\xff").unwrap();
        let error = read_text(file.path()).unwrap_err().to_string();
        assert!(error.ends_with(": byte 6: expected a text in UTF-8, found 0xff"), "{error}");
        std::fs::write(file.path(), "a = 1").unwrap();
        assert_eq!(read_text(file.path()).unwrap(), "a = 1");
    }
}

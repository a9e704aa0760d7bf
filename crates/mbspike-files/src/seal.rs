//! Files that carry their own checksum: JSON objects and safetensors.
//!
//! A sealed file has two entries, `checksum_kind` and `checksum`: a JSON object as its last two, a
//! safetensors file among its metadata. The checksum is that of all bytes of the file with the
//! checksum's own digits as zeros. There are two entries so that damage to the name of one of them does
//! not make a file look as if it had never been sealed.

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::Checksum;

/// The entry with the checksum.
const CHECKSUM: &str = "checksum";
/// The entry that says what the checksum is.
const KIND: (&str, &str) = ("checksum_kind", "crc-64/xz");
/// The digits of a checksum that is not known yet.
const ZEROS: &str = "0000000000000000";
/// The entry of a safetensors header that is not a tensor.
const METADATA: &str = "__metadata__";
/// The header of a safetensors file ends at a multiple of this, for the tensors' sake.
const ALIGNMENT: usize = 8;

/// What is wrong with a file that is read again.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SealError {
    /// The checksum in the file is not that of its content.
    #[error(
        "damaged or edited: its content has the checksum {found}, but {written} was written with it"
    )]
    Checksum {
        /// What stands in the file.
        written: String,
        /// Of what is in the file.
        found: Checksum,
    },
    /// One of the two entries of a seal is missing.
    #[error("damaged or edited: its checksum is incomplete")]
    Incomplete,
    /// It is not a whole safetensors file.
    #[error("not a whole safetensors file: {0}")]
    NotSafetensors(String),
    /// It is not the JSON it should be.
    #[error("{0}")]
    Json(#[from] serde_json::Error),
}

/// Whether a file has a checksum.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Seal {
    /// It has one, which fits.
    Sealed(Checksum),
    /// It has none: another program wrote it, or a version before 0.2.
    None,
}

impl Seal {
    /// The checksum, where there is one.
    pub fn checksum(self) -> Option<Checksum> {
        match self {
            Self::Sealed(checksum) => Some(checksum),
            Self::None => None,
        }
    }
}

#[derive(Serialize)]
struct Sealed<'a, T> {
    #[serde(flatten)]
    content: &'a T,
    checksum_kind: &'static str,
    checksum: &'static str,
}

/// `content`, which must be an object, as sealed JSON over several lines.
///
/// # Errors
/// If it cannot be written as JSON.
pub fn to_json<T: Serialize>(content: &T) -> Result<Vec<u8>, SealError> {
    let sealed = Sealed { content, checksum_kind: KIND.1, checksum: ZEROS };
    let mut bytes = serde_json::to_vec_pretty(&sealed)?;
    bytes.push(b'\n');
    let end = bytes.len();
    fill_in(&mut bytes, end);
    Ok(bytes)
}

/// Reads sealed JSON, or JSON that never was sealed.
///
/// # Errors
/// If it is not such JSON, or not as it was written.
pub fn from_json<T: DeserializeOwned>(bytes: &[u8]) -> Result<(T, Seal), SealError> {
    let value: Value = serde_json::from_slice(bytes)?;
    let entry = |key: &str| value.as_object().and_then(|object| object.get(key));
    let seal = check(bytes, bytes.len(), entry(KIND.0), entry(CHECKSUM))?;
    // From the text, so that an error has a line.
    Ok((serde_json::from_slice(bytes)?, seal))
}

/// Seals a whole safetensors file. Its metadata are sorted, so that the same tensors and texts give the
/// same bytes.
///
/// # Errors
/// If it is not a whole safetensors file.
pub fn seal_safetensors(bytes: &[u8]) -> Result<(Vec<u8>, Checksum), SealError> {
    let (mut header, tensors) = split(bytes)?;
    let metadata = header.entry(METADATA).or_insert_with(|| Value::Object(Map::new()));
    if let Value::Object(metadata) = metadata {
        metadata.insert(KIND.0.to_owned(), KIND.1.into());
        metadata.insert(CHECKSUM.to_owned(), ZEROS.into());
    }
    let mut text = sorted(&header)?;
    text.resize(text.len().next_multiple_of(ALIGNMENT), b' ');
    let mut sealed = (text.len() as u64).to_le_bytes().to_vec();
    sealed.extend_from_slice(&text);
    let header_end = sealed.len();
    sealed.extend_from_slice(tensors);
    let checksum = fill_in(&mut sealed, header_end);
    Ok((sealed, checksum))
}

/// Checks a safetensors file; one that never was sealed passes.
///
/// # Errors
/// If it is not a whole safetensors file, or not as it was written.
pub fn check_safetensors(bytes: &[u8]) -> Result<Seal, SealError> {
    let (header, tensors) = split(bytes)?;
    let metadata = header.get(METADATA).and_then(Value::as_object);
    let entry = |key: &str| metadata.and_then(|metadata| metadata.get(key));
    check(bytes, bytes.len() - tensors.len(), entry(KIND.0), entry(CHECKSUM))
}

/// Header and tensors of a safetensors file.
fn split(bytes: &[u8]) -> Result<(Map<String, Value>, &[u8]), SealError> {
    let fail = |message: &str| SealError::NotSafetensors(message.to_owned());
    let (length, rest) = bytes.split_first_chunk().ok_or_else(|| fail("it ends in its length"))?;
    let length = usize::try_from(u64::from_le_bytes(*length)).unwrap_or(usize::MAX);
    let header = rest.get(..length).ok_or_else(|| fail("it ends in its header"))?;
    let is_tensor =
        |value: &Value| value.get("dtype").is_some() && value.get("data_offsets").is_some();
    match serde_json::from_slice(header) {
        Ok(Value::Object(header)) => {
            // Metadata under a damaged name are no metadata, and without them there is no checksum.
            match header.iter().find(|(key, value)| *key != METADATA && !is_tensor(value)) {
                Some((key, _)) => Err(fail(&format!("`{key}` in its header is not a tensor"))),
                None => Ok((header, &rest[length..])),
            }
        }
        Ok(_) => Err(fail("its header is not an object")),
        Err(error) => Err(fail(&format!("its header: {error}"))),
    }
}

/// A header as text with its keys in order, metadata first.
fn sorted(header: &Map<String, Value>) -> Result<Vec<u8>, SealError> {
    let order = |object: &Map<String, Value>| {
        let mut keys: Vec<String> = object.keys().cloned().collect();
        keys.sort_by_key(|key| (key != METADATA, key.clone()));
        keys
    };
    let mut text = vec![b'{'];
    for (i, key) in order(header).iter().enumerate() {
        if i > 0 {
            text.push(b',');
        }
        serde_json::to_writer(&mut text, key)?;
        text.push(b':');
        match &header[key] {
            Value::Object(metadata) if key == METADATA => {
                let entries: std::collections::BTreeMap<_, _> = metadata.iter().collect();
                serde_json::to_writer(&mut text, &entries)?;
            }
            // `dtype`, `shape`, `data_offsets`: in the order of the format's own description.
            tensor => {
                let mut entries: Vec<(&String, &Value)> =
                    tensor.as_object().into_iter().flatten().collect();
                let places = ["dtype", "shape", "data_offsets"];
                entries.sort_by_key(|(key, _)| places.iter().position(|place| place == key));
                text.push(b'{');
                for (i, (key, value)) in entries.into_iter().enumerate() {
                    if i > 0 {
                        text.push(b',');
                    }
                    serde_json::to_writer(&mut text, key)?;
                    text.push(b':');
                    serde_json::to_writer(&mut text, value)?;
                }
                text.push(b'}');
            }
        }
    }
    text.push(b'}');
    Ok(text)
}

/// What stands before the digits of a checksum in JSON over several lines, and in a safetensors header.
/// Neither can stand in a text, where its quotes would be escaped.
const PLACES: [&str; 2] = ["\"checksum\": \"", "\"checksum\":\""];

/// Where the digits of the checksum are that stands last in `text`.
fn place(text: &[u8]) -> Option<std::ops::Range<usize>> {
    let of = |before: &str| {
        let start = text.windows(before.len()).rposition(|part| part == before.as_bytes());
        start.map(|start| start + before.len())
    };
    let start = PLACES.into_iter().filter_map(of).max()?;
    (start + ZEROS.len() <= text.len()).then(|| start..start + ZEROS.len())
}

/// Puts the checksum in the place of its zeros, which are in the first `end` bytes.
fn fill_in(bytes: &mut [u8], end: usize) -> Checksum {
    let checksum = Checksum::of(bytes);
    if let Some(place) = place(&bytes[..end]) {
        bytes[place].copy_from_slice(checksum.to_string().as_bytes());
    }
    checksum
}

/// Checks the entries of a seal, which stand in the first `end` bytes.
fn check(
    bytes: &[u8],
    end: usize,
    kind: Option<&Value>,
    checksum: Option<&Value>,
) -> Result<Seal, SealError> {
    let written = match (kind, checksum.and_then(Value::as_str)) {
        (None, None) if checksum.is_none() => return Ok(Seal::None),
        (Some(kind), Some(written)) if *kind == KIND.1 => written,
        _ => return Err(SealError::Incomplete),
    };
    let place = place(&bytes[..end])
        .filter(|place| bytes[place.clone()] == *written.as_bytes())
        .ok_or(SealError::Incomplete)?;
    let pieces = [&bytes[..place.start], ZEROS.as_bytes(), &bytes[place.end..]];
    let found = Checksum::of_pieces(pieces);
    if found.to_string() != written {
        return Err(SealError::Checksum { written: written.to_owned(), found });
    }
    Ok(Seal::Sealed(found))
}

//! Files that carry their own checksum.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;

use mbspike_files::seal::{Seal, check_safetensors, from_json, seal_safetensors, to_json};

fn object() -> BTreeMap<String, f64> {
    BTreeMap::from([("a".to_owned(), 0.1), ("zeros \"0000000000000000\"".to_owned(), -2.5e-7)])
}

fn safetensors() -> Vec<u8> {
    let header = br#"{"__metadata__":{"z":"0000000000000000","format":"pt"},"w":{"dtype":"U8","shape":[3],"data_offsets":[0,3]}}"#;
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend_from_slice(header);
    bytes.extend_from_slice(b"abc");
    bytes
}

fn flipped(bytes: &[u8]) -> impl Iterator<Item = (usize, Vec<u8>)> {
    (0..bytes.len() * 8).map(|bit| {
        let mut damaged = bytes.to_vec();
        damaged[bit / 8] ^= 1 << (bit % 8);
        (bit, damaged)
    })
}

#[test]
fn sealed_json_is_read_again_and_any_flipped_bit_is_found() {
    let bytes = to_json(&object()).unwrap();
    let (read, seal) = from_json::<BTreeMap<String, serde_json::Value>>(&bytes).unwrap();
    assert!(matches!(seal, Seal::Sealed(_)), "{}", String::from_utf8_lossy(&bytes));
    assert_eq!(read["a"], 0.1);
    for (bit, damaged) in flipped(&bytes) {
        let result = from_json::<serde_json::Value>(&damaged);
        assert!(result.is_err(), "bit {bit}: {}", String::from_utf8_lossy(&damaged));
    }
}

#[test]
fn a_sealed_safetensors_file_is_sorted_and_any_flipped_bit_is_found() {
    let (bytes, checksum) = seal_safetensors(&safetensors()).unwrap();
    assert_eq!(check_safetensors(&bytes).unwrap(), Seal::Sealed(checksum));
    let text = String::from_utf8_lossy(&bytes[8..]);
    assert!(text.starts_with(r#"{"__metadata__":{"checksum":""#), "{text}");
    assert!(text.contains(r#""format":"pt","z":"0000000000000000"},"w":{"dtype":"U8","#), "{text}");
    assert_eq!(bytes, seal_safetensors(&bytes).unwrap().0, "sealing twice is sealing once");
    for (bit, damaged) in flipped(&bytes) {
        assert!(check_safetensors(&damaged).is_err(), "bit {bit}");
    }
    assert!(check_safetensors(&bytes[..bytes.len() - 1]).is_err(), "cut short");
    assert!(check_safetensors(&bytes[..5]).is_err());
}

#[test]
fn what_was_never_sealed_passes() {
    assert_eq!(check_safetensors(&safetensors()).unwrap(), Seal::None);
    assert_eq!(from_json::<serde_json::Value>(b"{\"a\": 1}").unwrap().1, Seal::None);
}

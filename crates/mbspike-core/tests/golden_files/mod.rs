//! Golden files of kind `lif`, and comparisons with them.

use std::path::{Path, PathBuf};

use mbspike_core::lif::levels_of;
use mbspike_core::{Decay, LifParams, Reset, Shift, Surrogate};
use safetensors::SafeTensors;

fn paths() -> Vec<PathBuf> {
    let folder = std::env::var_os("MBSPIKE_GOLDEN_DIR")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden"), PathBuf::from);
    let mut files: Vec<_> = std::fs::read_dir(&folder)
        .unwrap_or_else(|e| panic!("{}: {e}", folder.display()))
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|e| e == "safetensors"))
        .collect();
    files.sort();
    files
}

/// A golden file.
pub struct Golden {
    pub name: String,
    pub params: LifParams,
    bytes: Vec<u8>,
}

impl Golden {
    /// Every file of this kind in the folder; at least one.
    pub fn all() -> Vec<Self> {
        let all: Vec<_> = paths().iter().filter_map(|path| Self::read(path)).collect();
        assert!(!all.is_empty(), "no golden file of kind lif");
        all
    }

    /// `None` if the file is of another kind.
    fn read(path: &Path) -> Option<Self> {
        let name = path.display().to_string();
        let bytes = std::fs::read(path).unwrap();
        let (_, header) = SafeTensors::read_metadata(&bytes).unwrap();
        let metadata = header.metadata().clone().unwrap();
        if metadata["kind"] != "lif" {
            return None;
        }
        let number = |key: &str| metadata[key].parse::<f64>().unwrap();
        let reset = match metadata["reset"].as_str() {
            "soft" => Reset::Soft {},
            "hard" => Reset::Hard { v_reset: number("v_reset") },
            "none" => Reset::None {},
            other => panic!("{name}: reset {other}"),
        };
        let alpha = metadata.get("alpha").map_or(4.0, |a| a.parse().unwrap());
        let surrogate = match metadata.get("surrogate").map_or("sigmoid", String::as_str) {
            "sigmoid" => Surrogate::Sigmoid { alpha },
            "atan" => Surrogate::Atan { alpha },
            other => panic!("{name}: surrogate {other}"),
        };
        let params = LifParams {
            levels: levels_of(metadata["bits"].parse().unwrap()),
            decay: Decay::Tau(number("tau")),
            decay_input: metadata["decay_input"] == "true",
            v_threshold: number("v_threshold"),
            reset,
            detach_reset: metadata["detach_reset"] == "true",
            surrogate,
            shift: Shift::By(number("shift")),
        };
        Some(Self { name, params, bytes })
    }

    pub fn tensor(&self, name: &str) -> Vec<f32> {
        let tensors = SafeTensors::deserialize(&self.bytes).unwrap();
        let view = tensors.tensor(name).unwrap_or_else(|e| panic!("{}: {name}: {e}", self.name));
        view.data().as_chunks::<4>().0.iter().map(|b| f32::from_le_bytes(*b)).collect()
    }
}

/// Absolute tolerance; NaN fails.
pub fn assert_close(what: &str, got: &[f32], want: &[f32], tolerance: f32) {
    assert_eq!(got.len(), want.len(), "{what}");
    for (i, (g, w)) in got.iter().zip(want).enumerate() {
        assert!((g - w).abs() <= tolerance, "{what}[{i}] = {g}, not {w}");
    }
}

/// Tolerance relative to the largest element of `want`.
pub fn assert_close_to_largest(what: &str, got: &[f32], want: &[f32], relative: f32) {
    let largest = want.iter().fold(0.0_f32, |m, w| m.max(w.abs()));
    assert_close(what, got, want, relative * largest);
}

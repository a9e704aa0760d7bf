//! Accuracies of trained networks in other arithmetics, as `mbspike quantize` leaves them.

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::error::Result;
use crate::files::read_json;

/// The accuracies, in the folder of their run.
pub const VARIANTS_FILE: &str = "quantized.json";

/// An arithmetic that a trained network is evaluated in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum VariantKind {
    /// As the run's config says.
    AsTrained,
    /// Weights, operands and neurons in f32; absent if that is how it was trained.
    F32,
    /// Operands of products rounded to bf16; absent if that is how it was trained.
    Bf16,
    /// Weights rounded to int8; inputs and neurons in f32.
    Int8Weights,
    /// Whole numbers throughout.
    Integer,
}

impl VariantKind {
    /// What it is, in words.
    pub fn name(self) -> &'static str {
        match self {
            Self::AsTrained => "as trained",
            Self::F32 => "f32",
            Self::Bf16 => "bf16 operands",
            Self::Int8Weights => "int8 weights, f32 neurons",
            Self::Integer => "integers throughout",
        }
    }
}

/// The accuracy of a network in one arithmetic.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
pub struct VariantAccuracy {
    /// The arithmetic.
    pub kind: VariantKind,
    /// Share of test samples classified as their label, in `0..=1`.
    pub test_accuracy: f64,
}

/// The accuracies of the converted run in `folder`; `None` if it was not converted.
///
/// # Errors
/// If the file cannot be read or is not as it was written.
pub fn read_variants(folder: &Path) -> Result<Option<Vec<VariantAccuracy>>> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Content {
        Sealed {
            variants: Vec<VariantAccuracy>,
        },
        /// Of a version before 0.2.
        Bare(Vec<VariantAccuracy>),
    }
    let path = folder.join(VARIANTS_FILE);
    if !path.is_file() {
        return Ok(None);
    }
    let content = read_json(&path, "convert the run again: mbspike quantize")?;
    Ok(Some(match content {
        Content::Sealed { variants } | Content::Bare(variants) => variants,
    }))
}

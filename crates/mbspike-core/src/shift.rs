use serde::{Deserialize, Serialize};

/// Where the surrogate's centre lies below the threshold (thesis, eq. 3.2).
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Shift {
    /// `((L − 1) / 2) / L · θ`, which is `(2^(bits−1) − 1) / (2^bits − 1) · θ`: in the middle of the
    /// staircase.
    #[default]
    Centred,
    /// 0: at the threshold, the surrogate of a binary spike.
    Unshifted,
    /// A given shift, in units of the membrane.
    #[serde(untagged)]
    By(f64),
}

impl Shift {
    /// How the shift grows with the threshold: `((L − 1) / 2) / L` where it is centred, else 0.
    pub fn per_threshold(self, levels: u32) -> f64 {
        match self {
            Self::Centred => (f64::from(levels) - 1.0) / 2.0 / f64::from(levels),
            Self::Unshifted | Self::By(_) => 0.0,
        }
    }
}

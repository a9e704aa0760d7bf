use serde::{Deserialize, Serialize};

use crate::lif::levels_of;

/// What the numbers of an input are. Whoever makes them states it, and whoever counts, rounds or sends
/// them goes by it: a 1 is a spike, the highest of 255 levels, one event or a current, and does not
/// say which.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum InputCode {
    /// 0 or 1.
    Binary,
    /// `k / L` with a whole `k` in `0..=L`.
    Levels {
        /// L, at least 1; `2^bits − 1` where all codes of so many bits are used.
        levels: u32,
    },
    /// Whole numbers from 0 on: how many events there were.
    Counts,
    /// Any number.
    #[default]
    Analog,
}

impl InputCode {
    /// Levels of which all codes of `bits` bits are used.
    pub const fn levels_of_bits(bits: u32) -> Self {
        Self::Levels { levels: levels_of(bits) }
    }

    /// Whether a number is its own code: a whole one from 0 on.
    pub fn is_whole(self) -> bool {
        match self {
            Self::Binary | Self::Counts | Self::Levels { levels: 1 } => true,
            Self::Levels { .. } | Self::Analog => false,
        }
    }

    /// The whole number that a number stands for; `None` where there is none.
    pub fn code_of(self, value: f32) -> Option<u64> {
        match self {
            Self::Binary | Self::Counts => Some(value.round() as u64),
            // A level is a fraction that was rounded: the nearest one is meant.
            Self::Levels { levels } => Some((value * levels as f32).round() as u64),
            Self::Analog => None,
        }
    }
}

impl std::fmt::Display for InputCode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Binary => f.write_str("zeros and ones"),
            Self::Levels { levels } => write!(f, "{levels} levels"),
            Self::Counts => f.write_str("counts"),
            Self::Analog => f.write_str("any numbers"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::InputCode;

    #[test]
    fn a_one_is_a_level_or_a_count_by_its_code_and_not_by_its_size() {
        assert_eq!(InputCode::Binary.code_of(1.0), Some(1));
        assert_eq!(InputCode::Counts.code_of(1.0), Some(1));
        assert_eq!(InputCode::Counts.code_of(300.0), Some(300));
        assert_eq!(InputCode::levels_of_bits(8).code_of(1.0), Some(255));
        assert_eq!(InputCode::levels_of_bits(8).code_of(3.0 / 255.0), Some(3));
        assert_eq!(InputCode::levels_of_bits(16).code_of(1.0), Some(65_535));
        assert_eq!(InputCode::Analog.code_of(1.0), None);
    }
}

use mbspike_core::philox::StreamRng;

/// Steps of a bit at an end of the sequence.
pub(super) const N_CUE: usize = 2;

/// A synthetic task.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SyntheticTask {
    /// The exclusive or of two bits with a delay between them.
    DelayedXor,
    /// The order of two symbols among others.
    TemporalOrder,
    /// A bit that is to be kept until it is asked for.
    StoreRecall,
}

impl SyntheticTask {
    /// Every task.
    pub const ALL: [Self; 3] = [Self::DelayedXor, Self::TemporalOrder, Self::StoreRecall];

    /// The name, as in configs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::DelayedXor => "delayed-xor",
            Self::TemporalOrder => "temporal-order",
            Self::StoreRecall => "store-recall",
        }
    }

    /// Names of the classes.
    pub fn class_names(self) -> &'static [&'static str] {
        match self {
            Self::DelayedXor => &["equal", "different"],
            Self::TemporalOrder => &["XX", "XY", "YX", "YY"],
            Self::StoreRecall => &["0", "1"],
        }
    }

    /// Lines of input.
    pub fn n_channels(self) -> usize {
        match self {
            Self::DelayedXor | Self::StoreRecall => 4,
            Self::TemporalOrder => 6,
        }
    }

    /// Samples with every answer equally often come in groups of so many.
    pub(super) fn n_patterns(self) -> usize {
        match self {
            Self::DelayedXor | Self::TemporalOrder => 4,
            Self::StoreRecall => 2,
        }
    }

    /// Writes the sample of `pattern` into `out`, `[T, C]` of zeros, and gives its class.
    pub(super) fn write(self, out: &mut [f32], pattern: usize, rng: &mut StreamRng) -> u8 {
        let c = self.n_channels();
        let t = out.len() / c;
        let (first, second) = (pattern / 2, pattern % 2);
        let between = |rng: &mut StreamRng, start: usize, end: usize| {
            start + rng.below((end - start) as u32) as usize
        };
        match self {
            Self::DelayedXor => {
                for step in 0..N_CUE {
                    out[step * c + first] = 1.0;
                    out[(t - 1 - step) * c + 2 + second] = 1.0;
                }
                (first ^ second) as u8
            }
            Self::TemporalOrder => {
                let places = [between(rng, t / 10, t / 5), between(rng, t / 2, t * 3 / 5)];
                for step in 0..t {
                    let symbol = match places.iter().position(|place| *place == step) {
                        Some(0) => first,
                        Some(_) => second,
                        None => 2 + rng.below(4) as usize,
                    };
                    out[step * c + symbol] = 1.0;
                }
                pattern as u8
            }
            Self::StoreRecall => {
                let store = between(rng, 0, t / 3 / 2) * 2;
                for period in 0..(t - N_CUE) / 2 {
                    let is_stored = period * 2 == store;
                    let bit = if is_stored { pattern } else { rng.below(2) as usize };
                    for step in [period * 2, period * 2 + 1] {
                        out[step * c + bit] = 1.0;
                        out[step * c + 2] = f32::from(is_stored);
                    }
                }
                for step in t - N_CUE..t {
                    out[step * c + 3] = 1.0;
                }
                pattern as u8
            }
        }
    }
}

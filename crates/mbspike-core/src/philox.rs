//! Counter-based random numbers: Philox4x32-10 (Salmon et al., *Parallel Random Numbers: As Easy
//! as 1, 2, 3*, SC 2011).
//!
//! A counter-based generator is a function from a key and a counter to random bits. It has no
//! state, so what a sample draws depends only on *where* in the experiment the draw happens, never
//! on batch size, order or threads, and a resumed run draws what the uninterrupted one would have.
//!
//! # Layout
//!
//! The 64-bit seed is the key: word 0 holds its low half, word 1 its high half. The counter is
//!
//! | word | holds |
//! |---|---|
//! | 0 | block within the row |
//! | 1 | time step (or another inner coordinate) |
//! | 2 | sample (or another outer coordinate) |
//! | 3 | epoch in the upper 24 bits, [`Domain`] in the lower 8 |
//!
//! so that a [`Stream`] fixes words 1 to 3 and its draws count up word 0. Each block gives four
//! words. Draw `i` of a stream is **not** word `i % 4` of block `i / 4`: draws are laid out so that
//! vector registers and GPU threads need no transposition. With `g = i / 64` and `r = i % 64`,
//!
//! ```text
//! draw i = word r / 16 of block 16 g + r % 16
//! ```
//!
//! so 16 consecutive blocks fill 64 consecutive draws, and each word of a block writes one of four
//! contiguous runs of 16.
//!
//! ```
//! use mbspike_core::philox::{Domain, Place, Stream};
//!
//! let place = Place { epoch: 3, sample: 41_007, step: 5 };
//! let stream = Stream::new(2025, Domain::Encode, place);
//! let mut u = [0.0; 784];
//! stream.fill_uniform(&mut u);
//! assert_eq!(u[100], stream.uniform(100)); // any draw, without those before it
//! ```
#![allow(
    clippy::inline_always,
    reason = "code must be inlined to be compiled for the caller's instruction set"
)]

use pulp::{Arch, Simd, WithSimd};
use rand_core::RngCore;

/// Blocks that [`Stream`] generates side by side.
pub const LANES: usize = 16;
/// Draws in a group of [`LANES`] blocks.
pub const GROUP: usize = 4 * LANES;

const MULTIPLIER: [u32; 2] = [0xD251_1F53, 0xCD9E_8D57];
/// Weyl sequence of the key: the golden ratio and sqrt(3) - 1.
const WEYL: [u32; 2] = [0x9E37_79B9, 0xBB67_AE85];
const N_ROUNDS: usize = 10;
/// 2^-24, the distance of the uniform numbers from each other.
const UNIFORM_STEP: f32 = 1.0 / 16_777_216.0;

/// What random numbers are drawn for. Streams of different domains are independent, so that
/// switching one use of randomness on does not change another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
#[non_exhaustive]
pub enum Domain {
    /// Spikes of a rate encoder.
    Encode = 0,
    /// Order of the samples in an epoch.
    Shuffle = 1,
    /// Dropout masks.
    Dropout = 2,
    /// Augmentation of single samples (crop, flip, erasing).
    Augment = 3,
    /// Initial weights.
    Init = 4,
    /// Mixing of the samples of a batch (mixup, cutmix).
    Mixup = 5,
    /// Choice of a subset of a dataset.
    Subset = 6,
    /// Transforms of event streams (jitter, drop).
    Events = 7,
    /// Simulated recordings.
    Simulate = 8,
}

/// Where in an experiment a draw happens: words 1 to 3 of the counter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Place {
    /// Epoch; the lower 24 bits count.
    pub epoch: u32,
    /// Index of the sample in its set, or another outer coordinate.
    pub sample: u32,
    /// Time step, or another inner coordinate.
    pub step: u32,
}

/// One block of Philox4x32-10: four random words from a counter and a key.
#[inline]
pub fn philox4x32_10(counter: [u32; 4], key: [u32; 2]) -> [u32; 4] {
    let [mut x0, mut x1, mut x2, mut x3] = counter;
    let [mut k0, mut k1] = key;
    for _ in 0..N_ROUNDS {
        let (high0, low0) = multiply(MULTIPLIER[0], x0);
        let (high1, low1) = multiply(MULTIPLIER[1], x2);
        (x0, x1, x2, x3) = (high1 ^ x1 ^ k0, low1, high0 ^ x3 ^ k1, low0);
        k0 = k0.wrapping_add(WEYL[0]);
        k1 = k1.wrapping_add(WEYL[1]);
    }
    [x0, x1, x2, x3]
}

/// High and low word of the product.
#[inline(always)]
fn multiply(a: u32, b: u32) -> (u32, u32) {
    let product = u64::from(a) * u64::from(b);
    ((product >> 32) as u32, product as u32)
}

/// The upper 24 bits of a word as a number in `[0, 1)`; every multiple of 2^-24 is equally likely.
#[inline(always)]
pub fn to_uniform(word: u32) -> f32 {
    (word >> 8) as f32 * UNIFORM_STEP
}

/// The draws of one [`Domain`] at one [`Place`]. See the [module](self) for the layout.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stream {
    key: [u32; 2],
    /// Words 1 to 3 of the counter.
    row: [u32; 3],
}

impl Stream {
    /// The stream of `seed` for `domain` at `place`.
    pub fn new(seed: u64, domain: Domain, place: Place) -> Self {
        Self {
            key: [seed as u32, (seed >> 32) as u32],
            row: [place.step, place.sample, (place.epoch << 8) | domain as u32],
        }
    }

    /// Block number `block`.
    #[inline]
    pub fn block(&self, block: u32) -> [u32; 4] {
        philox4x32_10([block, self.row[0], self.row[1], self.row[2]], self.key)
    }

    /// Draw `i`, at the cost of its block.
    pub fn word(&self, i: usize) -> u32 {
        let (group, rest) = (i / GROUP, i % GROUP);
        self.block((group * LANES + rest % LANES) as u32)[rest / LANES]
    }

    /// Draw `i` as a number in `[0, 1)`.
    pub fn uniform(&self, i: usize) -> f32 {
        to_uniform(self.word(i))
    }

    /// Draws `64 group .. 64 group + 64`.
    ///
    /// Inlined into its caller, so that it is compiled for the caller's instruction set.
    #[inline(always)]
    pub fn group(&self, group: usize) -> [u32; GROUP] {
        // Words live in the lower halves of 64-bit lanes, where the widening multiplication wants
        // them. Upper halves hold leftovers, which the multiplication and the end mask off.
        const LOW: u64 = u32::MAX as u64;
        let mut x0: [u64; LANES] = std::array::from_fn(|lane| (group * LANES + lane) as u64);
        let mut x1 = [u64::from(self.row[0]); LANES];
        let mut x2 = [u64::from(self.row[1]); LANES];
        let mut x3 = [u64::from(self.row[2]); LANES];
        let [mut k0, mut k1] = self.key;
        for _ in 0..N_ROUNDS {
            for lane in 0..LANES {
                let product0 = (x0[lane] & LOW) * u64::from(MULTIPLIER[0]);
                let product1 = (x2[lane] & LOW) * u64::from(MULTIPLIER[1]);
                x0[lane] = (product1 >> 32) ^ x1[lane] ^ u64::from(k0);
                x1[lane] = product1;
                x2[lane] = (product0 >> 32) ^ x3[lane] ^ u64::from(k1);
                x3[lane] = product0;
            }
            k0 = k0.wrapping_add(WEYL[0]);
            k1 = k1.wrapping_add(WEYL[1]);
        }
        let mut words = [0; GROUP];
        for (run, x) in words.chunks_exact_mut(LANES).zip([x0, x1, x2, x3]) {
            for (word, x) in run.iter_mut().zip(x) {
                *word = x as u32;
            }
        }
        words
    }

    /// Writes draws `0..out.len()`.
    pub fn fill(&self, out: &mut [u32]) {
        Arch::new().dispatch(Fill { stream: *self, out, convert: |word| word });
    }

    /// Writes draws `0..out.len()` as numbers in `[0, 1)`.
    pub fn fill_uniform(&self, out: &mut [f32]) {
        Arch::new().dispatch(Fill { stream: *self, out, convert: to_uniform });
    }

    /// A sequential reader of this stream from draw 0, for code whose number of draws is not known
    /// before, and for the distributions of other crates.
    pub fn rng(self) -> StreamRng {
        StreamRng { stream: self, words: [0; GROUP], next: 0 }
    }
}

struct Fill<'a, T, F> {
    stream: Stream,
    out: &'a mut [T],
    convert: F,
}

impl<T, F: Fn(u32) -> T> WithSimd for Fill<'_, T, F> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        for (group, out) in self.out.chunks_mut(GROUP).enumerate() {
            let words = self.stream.group(group);
            for (out, word) in out.iter_mut().zip(words) {
                *out = (self.convert)(word);
            }
        }
    }
}

/// Reads a [`Stream`] from its first draw on; implements [`RngCore`].
#[derive(Debug, Clone)]
pub struct StreamRng {
    stream: Stream,
    words: [u32; GROUP],
    /// Number of draws taken.
    next: usize,
}

impl StreamRng {
    /// A number in `[0, 1)`, a multiple of 2^-24.
    pub fn uniform(&mut self) -> f32 {
        to_uniform(self.next_u32())
    }

    /// An integer in `0..bound`, each equally likely (Lemire 2019, with rejection).
    ///
    /// # Panics
    /// If `bound` is 0.
    pub fn below(&mut self, bound: u32) -> u32 {
        assert!(bound > 0, "no integer is below 0");
        let smallest_fair = bound.wrapping_neg() % bound;
        loop {
            let (high, low) = multiply(self.next_u32(), bound);
            if low >= smallest_fair {
                return high;
            }
        }
    }

    /// Puts `items` into random order (Fisher-Yates).
    ///
    /// # Panics
    /// If there are 2^32 items or more.
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        let n = u32::try_from(items.len()).expect("fewer than 2^32 items");
        for last in (1..n).rev() {
            items.swap(last as usize, self.below(last + 1) as usize);
        }
    }
}

impl RngCore for StreamRng {
    fn next_u32(&mut self) -> u32 {
        let offset = self.next % GROUP;
        if offset == 0 {
            self.words = self.stream.group(self.next / GROUP);
        }
        self.next += 1;
        self.words[offset]
    }

    fn next_u64(&mut self) -> u64 {
        let low = u64::from(self.next_u32());
        low | u64::from(self.next_u32()) << 32
    }

    fn fill_bytes(&mut self, out: &mut [u8]) {
        for bytes in out.chunks_mut(4) {
            bytes.copy_from_slice(&self.next_u32().to_le_bytes()[..bytes.len()]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `kat_vectors` of the Random123 distribution, lines `philox4x32 10`.
    #[test]
    fn known_answers_of_random123() {
        let cases = [
            ([0; 4], [0; 2], [0x6627_e8d5, 0xe169_c58d, 0xbc57_ac4c, 0x9b00_dbd8]),
            ([u32::MAX; 4], [u32::MAX; 2], [0x408f_276d, 0x41c8_3b0e, 0xa20b_c7c6, 0x6d54_51fd]),
            (
                [0x243f_6a88, 0x85a3_08d3, 0x1319_8a2e, 0x0370_7344],
                [0xa409_3822, 0x299f_31d0],
                [0xd16c_fe09, 0x94fd_cceb, 0x5001_e420, 0x2412_6ea1],
            ),
        ];
        for (counter, key, want) in cases {
            assert_eq!(philox4x32_10(counter, key), want);
        }
    }

    fn stream() -> Stream {
        let place = Place { epoch: 7, sample: 1234, step: 3 };
        Stream::new(0x0123_4567_89ab_cdef, Domain::Augment, place)
    }

    #[test]
    fn counter_words_are_block_step_sample_epoch_and_domain() {
        assert_eq!(
            stream().block(9),
            philox4x32_10([9, 3, 1234, 7 << 8 | 3], [0x89ab_cdef, 0x0123_4567])
        );
    }

    #[test]
    fn bulk_single_and_sequential_draws_agree() {
        for n in [0, 1, 15, 16, 63, 64, 65, 784, 1000] {
            let (mut words, mut uniforms) = (vec![0; n], vec![0.0; n]);
            stream().fill(&mut words);
            stream().fill_uniform(&mut uniforms);
            let mut rng = stream().rng();
            for i in 0..n {
                assert_eq!(words[i], stream().word(i));
                assert_eq!(words[i], rng.next_u32());
                assert_eq!(uniforms[i], to_uniform(words[i]));
            }
        }
    }

    #[test]
    fn no_draw_of_a_stream_is_used_twice() {
        let mut words = vec![0; 4096];
        stream().fill(&mut words);
        let mut blocks: Vec<u32> = (0..1024).flat_map(|b| stream().block(b)).collect();
        words.sort_unstable();
        blocks.sort_unstable();
        assert_eq!(words, blocks);
    }

    #[test]
    fn uniform_numbers_stay_below_one_and_are_uniform() {
        assert_eq!(to_uniform(0), 0.0);
        assert!(to_uniform(u32::MAX) < 1.0);
        let n = 1 << 20;
        let mut u = vec![0.0; n];
        stream().fill_uniform(&mut u);
        let mut bins = [0_u32; 64];
        for &u in &u {
            bins[(u * 64.0) as usize] += 1;
        }
        let expected = n as f64 / 64.0;
        let chi2: f64 = bins.iter().map(|&b| (f64::from(b) - expected).powi(2) / expected).sum();
        // 63 degrees of freedom: 99.99 % of generators stay below 116.
        assert!(chi2 < 116.0, "chi² = {chi2}");
    }

    #[test]
    fn shuffle_is_a_permutation_and_reaches_every_order() {
        let mut rng = stream().rng();
        let mut seen = std::collections::HashMap::new();
        for _ in 0..6000 {
            let mut items = [0, 1, 2];
            rng.shuffle(&mut items);
            *seen.entry(items).or_insert(0) += 1;
        }
        assert_eq!(seen.len(), 6);
        // Binomial(6000, 1/6) has a standard deviation of 29.
        assert!(seen.values().all(|&count: &i32| (count - 1000).abs() < 150), "{seen:?}");
    }
}

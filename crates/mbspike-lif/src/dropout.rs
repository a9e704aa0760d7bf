use mbspike_core::philox::{Domain, Place, Stream};

use crate::StepKey;

/// The mask of one sample, the same at all its steps: 0 with probability `p`, else `1/(1 − p)`, in
/// the order `[C, H, W]`. `index` counts the dropout layers, `sample` the batch.
pub(crate) fn fill_mask(mask: &mut [f32], p: f64, index: usize, sample: usize, key: StepKey) {
    // The counter has 24 bits for the iteration; what is above goes into the key.
    let seed = key.seed.wrapping_add((key.iteration >> 24).wrapping_mul(0x9E37_79B9_7F4A_7C15));
    let place = Place { epoch: key.iteration as u32, sample: sample as u32, step: index as u32 };
    Stream::new(seed, Domain::Dropout, place).fill_uniform(mask);
    let (p, kept) = (p as f32, (1.0 / (1.0 - p)) as f32);
    for m in mask {
        *m = if *m < p { 0.0 } else { kept };
    }
}

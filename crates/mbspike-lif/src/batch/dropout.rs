//! Dropout with one mask over the steps of a sample.

use mbspike_core::conv::ImageLayout;
use mbspike_core::round_to_bf16;

use super::plan::PlannedStage;
use super::space::copy_rows;
use crate::{StepKey, dropout};

/// The mask of one sample, channels last.
pub(super) fn fill_mask(
    mask: &mut [f32],
    layout: &ImageLayout,
    planes: &mut Vec<f32>,
    (p, index): (f64, usize),
    sample: usize,
    key: StepKey,
) {
    let n_pixels = layout.height * layout.width;
    planes.resize(planes.len().max(n_pixels * layout.channels), 0.0);
    let planes = &mut planes[..n_pixels * layout.channels];
    dropout::fill_mask(planes, p, index, sample, key);
    for (pixel, mask) in mask.chunks_exact_mut(layout.stride).enumerate() {
        for (channel, mask) in mask[..layout.channels].iter_mut().enumerate() {
            *mask = planes[channel * n_pixels + pixel];
        }
    }
}

/// All steps of one sample, multiplied by its mask where there is one.
pub(super) fn drop_sample(
    planned: &PlannedStage,
    output: &mut [f32],
    x: &[f32],
    mask: Option<&[f32]>,
) {
    let layout = &planned.output;
    let steps = output.chunks_exact_mut(layout.len()).zip(x.chunks_exact(planned.input.len()));
    for (out, x) in steps {
        copy_rows(out, layout, x, &planned.input);
        if let Some(mask) = mask {
            for (y, mask) in mask.chunks_exact(layout.width * layout.stride).enumerate() {
                let out = &mut out[layout.row(y)];
                out.iter_mut().zip(mask).for_each(|(o, m)| *o *= m);
            }
        }
        if planned.rounds_output {
            round_to_bf16(out);
        }
    }
}

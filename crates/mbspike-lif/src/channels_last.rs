//! Images with the channels of a pixel side by side, as the kernels read them.

use mbspike_core::conv::ImageLayout;
use mbspike_core::{Real, copy_carried};

/// Copies `[C, H, W]` into a padded channels-last image.
pub(crate) fn to_channels_last(image: &mut [f32], layout: &ImageLayout, source: &[f32]) {
    let n_pixels = layout.height * layout.width;
    if n_pixels == 1 {
        // The channels of one pixel follow each other in both.
        copy_carried(&mut image[layout.row(0)][..layout.channels], source);
        return;
    }
    for (channel, plane) in source.chunks_exact(n_pixels).enumerate() {
        for (y, row) in plane.chunks_exact(layout.width).enumerate() {
            let pixels = &mut image[layout.row(y)];
            if layout.stride == 1 {
                copy_carried(pixels, row);
            } else {
                for (pixel, v) in pixels.chunks_exact_mut(layout.stride).zip(row) {
                    pixel[channel] = v.carried();
                }
            }
        }
    }
}

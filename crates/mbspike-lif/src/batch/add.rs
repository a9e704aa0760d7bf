//! Sums of sources that may lie differently in memory.

use mbspike_core::conv::ImageLayout;

/// Calls `of_row` for each image row of two layouts of one size, or for each pixel where their pixels
/// are not equally far apart, with its elements in both.
fn for_each_row(
    to: &ImageLayout,
    from: &ImageLayout,
    mut of_row: impl FnMut(std::ops::Range<usize>, std::ops::Range<usize>),
) {
    for y in 0..to.height {
        let (to_row, from_row) = (to.row(y), from.row(y));
        if to.stride == from.stride {
            of_row(to_row, from_row);
            continue;
        }
        for x in 0..to.width {
            let start = to_row.start + x * to.stride;
            let from_start = from_row.start + x * from.stride;
            of_row(start..start + to.channels, from_start..from_start + to.channels);
        }
    }
}

/// Copies an image to another layout.
pub(super) fn copy(to: &mut [f32], to_layout: &ImageLayout, from: &[f32], layout: &ImageLayout) {
    for_each_row(to_layout, layout, |to_row, row| to[to_row].copy_from_slice(&from[row]));
}

/// Adds an image in another layout.
pub(super) fn add(to: &mut [f32], to_layout: &ImageLayout, from: &[f32], layout: &ImageLayout) {
    for_each_row(to_layout, layout, |to_row, row| add_to(&mut to[to_row], &from[row]));
}

/// Adds numbers to as many others.
pub(super) fn add_to(to: &mut [f32], more: &[f32]) {
    to.iter_mut().zip(more).for_each(|(to, more)| *to += more);
}

use super::shape::ImageLayout;

/// A non-zero element and where it counts.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Entry {
    pub(super) at: u32,
    pub(super) value: f32,
}

/// The non-zero elements of a padded channels-last image, row by row, with the place in the list
/// where each pixel starts.
#[derive(Debug, Clone, Default)]
pub struct Nonzeros {
    /// Each at `x · stride + channel` of its padded row.
    entries: Vec<Entry>,
    /// `[padded height][padded width + 1]`: where a pixel's elements start in the list.
    start: Vec<u32>,
    row_starts: usize,
    in_stride: usize,
}

impl Nonzeros {
    /// Room for every element of an image of this layout, so that [`fill`](Self::fill) never
    /// allocates.
    pub fn for_layout(layout: &ImageLayout) -> Self {
        let row_starts = layout.width + 2 * layout.padding + 1;
        Self {
            entries: vec![Entry::default(); layout.height * layout.width * layout.stride + 1],
            start: vec![0; (layout.height + 2 * layout.padding) * row_starts],
            row_starts,
            in_stride: layout.stride,
        }
    }

    /// Lists the non-zeros of `image`, which must have the layout given at construction. NaN
    /// counts as non-zero. Returns their number.
    ///
    /// Every element is written to the list and the length moves on only past a non-zero: there is
    /// no branch to predict.
    pub fn fill(&mut self, image: &[f32], layout: &ImageLayout) -> usize {
        let (mut n, p, stride) = (0, layout.padding, layout.stride);
        for (y, start) in self.start.chunks_exact_mut(self.row_starts).enumerate() {
            start.fill(n as u32);
            if y >= p && y < p + layout.height {
                let row = &image[layout.row(y - p)];
                for (x, pixel) in row.chunks_exact(stride).enumerate() {
                    start[p + x] = n as u32;
                    let base = (p + x) * stride;
                    for (channel, &value) in pixel.iter().enumerate() {
                        self.entries[n] = Entry { at: (base + channel) as u32, value };
                        n += usize::from(value != 0.0);
                    }
                }
            }
            start[p + layout.width..].fill(n as u32);
        }
        n
    }

    /// The non-zeros of padded row `row` in pixels `column..column + n_pixels`.
    #[inline(always)]
    pub(super) fn of_row(&self, row: usize, column: usize, n_pixels: usize) -> &[Entry] {
        let starts = &self.start[row * self.row_starts..][..self.row_starts];
        &self.entries[starts[column] as usize..starts[column + n_pixels] as usize]
    }

    pub(super) fn in_stride(&self) -> usize {
        self.in_stride
    }
}

/// The non-zero elements of an image, channel by channel, each with the place in the output's
/// padded gradient that the first tap of the kernel multiplies it with.
#[derive(Debug, Clone, Default)]
pub struct ChannelLists {
    /// `[channels][capacity]`.
    entries: Vec<Entry>,
    n: Vec<usize>,
    capacity: usize,
    reach: usize,
}

impl ChannelLists {
    /// Room for every element of an image of layout `x`.
    pub fn for_layouts(x: &ImageLayout, dy: &ImageLayout) -> Self {
        let capacity = x.height * x.width + 1;
        Self {
            entries: vec![Entry::default(); x.channels * capacity],
            n: vec![0; x.channels],
            capacity,
            reach: dy.len(),
        }
    }

    /// Lists the non-zeros of `image`, of layout `x`, whose output's gradient has layout `dy`.
    pub fn fill(&mut self, image: &[f32], x: &ImageLayout, dy: &ImageLayout) {
        self.n.fill(0);
        for row in 0..x.height {
            let base = (row + x.padding + dy.padding) * dy.pitch();
            for (column, pixel) in image[x.row(row)].chunks_exact(x.stride).enumerate() {
                let at = (base + (column + x.padding + dy.padding) * dy.stride) as u32;
                let lists = self.entries.chunks_exact_mut(self.capacity);
                for ((&value, n), list) in pixel.iter().zip(&mut self.n).zip(lists) {
                    list[*n] = Entry { at, value };
                    *n += usize::from(value != 0.0);
                }
            }
        }
    }

    #[inline(always)]
    pub(super) fn of_channel(&self, channel: usize) -> &[Entry] {
        &self.entries[channel * self.capacity..][..self.n[channel]]
    }

    pub(super) fn n_channels(&self) -> usize {
        self.n.len()
    }

    /// Elements of the gradient that the offsets assume.
    pub(super) fn reach(&self) -> usize {
        self.reach
    }
}

use super::shape::ImageLayout;

/// The non-zero elements of a padded channels-last image, row by row, with the place in the list
/// where each pixel starts.
#[derive(Debug, Clone, Default)]
pub struct Nonzeros {
    /// `x · stride + channel` within the padded row.
    index: Vec<u32>,
    value: Vec<f32>,
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
            index: vec![0; layout.height * layout.width * layout.stride + 1],
            value: vec![0.0; layout.height * layout.width * layout.stride + 1],
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
                    for (channel, &v) in pixel.iter().enumerate() {
                        self.index[n] = (base + channel) as u32;
                        self.value[n] = v;
                        n += usize::from(v != 0.0);
                    }
                }
            }
            start[p + layout.width..].fill(n as u32);
        }
        n
    }

    /// Index and value of the non-zeros of padded row `row` in pixels `column..column + n_pixels`.
    #[inline(always)]
    pub(super) fn of_row(&self, row: usize, column: usize, n_pixels: usize) -> (&[u32], &[f32]) {
        let starts = &self.start[row * self.row_starts..][..self.row_starts];
        let range = starts[column] as usize..starts[column + n_pixels] as usize;
        (&self.index[range.clone()], &self.value[range])
    }

    pub(super) fn in_stride(&self) -> usize {
        self.in_stride
    }
}

/// The non-zero elements of an image, channel by channel, each with the place in the output's
/// padded gradient that the first tap of the kernel multiplies it with.
#[derive(Debug, Clone, Default)]
pub struct ChannelLists {
    offset: Vec<u32>,
    value: Vec<f32>,
    n: Vec<usize>,
    capacity: usize,
    reach: usize,
}

impl ChannelLists {
    /// Room for every element of an image of layout `x`.
    pub fn for_layouts(x: &ImageLayout, dy: &ImageLayout) -> Self {
        let capacity = x.height * x.width + 1;
        Self {
            offset: vec![0; x.channels * capacity],
            value: vec![0.0; x.channels * capacity],
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
                let offset = base + (column + x.padding + dy.padding) * dy.stride;
                for (channel, (&v, n)) in pixel.iter().zip(&mut self.n).enumerate() {
                    let at = channel * self.capacity + *n;
                    self.offset[at] = offset as u32;
                    self.value[at] = v;
                    *n += usize::from(v != 0.0);
                }
            }
        }
    }

    #[inline(always)]
    pub(super) fn of_channel(&self, channel: usize) -> (&[u32], &[f32]) {
        let range = channel * self.capacity..channel * self.capacity + self.n[channel];
        (&self.offset[range.clone()], &self.value[range])
    }

    pub(super) fn n_channels(&self) -> usize {
        self.n.len()
    }

    /// Elements of the gradient that the offsets assume.
    pub(super) fn reach(&self) -> usize {
        self.reach
    }
}

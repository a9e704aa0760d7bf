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
    layout: ImageLayout,
}

impl Nonzeros {
    /// Room for every element of an image of this layout, so that [`fill`](Self::fill) never
    /// allocates.
    pub fn for_layout(layout: &ImageLayout) -> Self {
        let n_rows = layout.height + 2 * layout.padding;
        Self {
            entries: vec![Entry::default(); layout.height * layout.width * layout.stride + 1],
            start: vec![0; n_rows * row_starts(layout)],
            layout: *layout,
        }
    }

    /// Lists the non-zeros of `image`, which has the layout given at construction. NaN counts as
    /// non-zero. Returns their number.
    ///
    /// Every element is written to the list and the length moves on only past a non-zero: there is
    /// no branch to predict.
    ///
    /// # Panics
    /// If the image is shorter than its layout.
    pub fn fill(&mut self, image: &[f32]) -> usize {
        let layout = self.layout;
        let (mut n, p, stride) = (0, layout.padding, layout.stride);
        for (y, start) in self.start.chunks_exact_mut(row_starts(&layout)).enumerate() {
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
        let n_starts = row_starts(&self.layout);
        let starts = &self.start[row * n_starts..][..n_starts];
        &self.entries[starts[column] as usize..starts[column + n_pixels] as usize]
    }

    /// The layout of the images it lists.
    pub(super) fn layout(&self) -> &ImageLayout {
        &self.layout
    }
}

/// Places in a padded row where a pixel starts, and the row's end.
#[inline(always)]
fn row_starts(layout: &ImageLayout) -> usize {
    layout.width + 2 * layout.padding + 1
}

/// The non-zero elements of an image, channel by channel, each with the place in the output's
/// padded gradient that the first tap of the kernel multiplies it with.
#[derive(Debug, Clone, Default)]
pub struct ChannelLists {
    /// `[channels][capacity]`.
    entries: Vec<Entry>,
    n: Vec<usize>,
    capacity: usize,
    x: ImageLayout,
    dy: ImageLayout,
}

impl ChannelLists {
    /// Room for every element of an image of layout `x` whose output's gradient has layout `dy`.
    pub fn for_layouts(x: &ImageLayout, dy: &ImageLayout) -> Self {
        let capacity = x.height * x.width + 1;
        Self {
            entries: vec![Entry::default(); x.channels * capacity],
            n: vec![0; x.channels],
            capacity,
            x: *x,
            dy: *dy,
        }
    }

    /// Lists the non-zeros of `image`, which has the layout given at construction.
    ///
    /// # Panics
    /// If the image is shorter than its layout.
    pub fn fill(&mut self, image: &[f32]) {
        let (x, dy) = (self.x, self.dy);
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

    /// The layouts of the images it lists and of their outputs' gradients.
    pub(super) fn layouts(&self) -> (&ImageLayout, &ImageLayout) {
        (&self.x, &self.dy)
    }
}

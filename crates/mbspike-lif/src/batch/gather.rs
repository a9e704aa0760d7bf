//! Images rearranged for a convolution that the kernels do not compute as it is: one with a stride, or
//! whose input has other padding.
//!
//! A convolution of stride `s` is one of stride 1 over an image whose pixels are blocks of `s × s`
//! pixels: output `o` reads the padded rows `o·s + k`, that is row `k mod s` of block `o + k div s`. Rows
//! of a block that no tap reads are left out. The kernel becomes `⌈K / s⌉` wide; taps beyond `K` are 0.

use mbspike_core::conv::ImageLayout;

/// From an image to the blocks of pixels that a convolution reads.
#[derive(Debug, Clone, Copy)]
pub(super) struct Gather {
    /// Of the convolution, as are `kernel` and `padding`.
    stride: usize,
    kernel: usize,
    padding: usize,
}

impl Gather {
    pub(super) fn new(kernel: usize, stride: usize, padding: usize) -> Self {
        Self { stride, kernel, padding }
    }

    /// Rows, and columns, of a block that are read.
    fn side(&self) -> usize {
        self.stride.min(self.kernel)
    }

    /// The padding of an input that the convolution can be computed from as it is, if it can.
    pub(super) fn padding(&self) -> Option<usize> {
        (self.stride == 1 && self.padding < self.kernel).then_some(self.padding)
    }

    /// Side of the kernel over blocks.
    pub(super) fn kernel_of_blocks(&self) -> usize {
        self.kernel.div_ceil(self.stride)
    }

    /// The layout of the blocks that `n_out` outputs, down and across, are computed from.
    pub(super) fn layout(&self, x: &ImageLayout, (height, width): (usize, usize)) -> ImageLayout {
        let (n_pixels, more) = (self.side() * self.side(), self.kernel_of_blocks() - 1);
        ImageLayout {
            height: height + more,
            width: width + more,
            channels: (n_pixels - 1) * x.stride + x.channels,
            stride: n_pixels * x.stride,
            padding: 0,
        }
    }

    /// Calls `copy` with the places of each pixel's channels among the blocks and in the image.
    fn for_each(
        &self,
        blocks: &ImageLayout,
        x: &ImageLayout,
        mut copy: impl FnMut(std::ops::Range<usize>, std::ops::Range<usize>),
    ) {
        let (side, n) = (self.side(), x.stride);
        let inside = |at: usize, size: usize| at.checked_sub(self.padding).filter(|at| *at < size);
        for block_y in 0..blocks.height {
            let row = blocks.row(block_y).start;
            for y in 0..side {
                let Some(from) = inside(block_y * self.stride + y, x.height) else { continue };
                let from = x.row(from).start;
                for block_x in 0..blocks.width {
                    let block = row + block_x * blocks.stride + y * side * n;
                    for x_in_block in 0..side {
                        let at = block_x * self.stride + x_in_block;
                        let Some(at) = inside(at, x.width) else { continue };
                        let (to, from) = (block + x_in_block * n, from + at * n);
                        copy(to..to + n, from..from + n);
                    }
                }
            }
        }
    }

    /// The blocks of an image. What lies outside of it stays as it is, zero.
    pub(super) fn forward(
        &self,
        blocks: &mut [f32],
        blocks_layout: &ImageLayout,
        x: &[f32],
        x_layout: &ImageLayout,
    ) {
        self.for_each(blocks_layout, x_layout, |to, from| blocks[to].copy_from_slice(&x[from]));
    }

    /// The gradient of an image from that of its blocks.
    pub(super) fn backward(
        &self,
        grad_x: &mut [f32],
        x_layout: &ImageLayout,
        grad_blocks: &[f32],
        blocks_layout: &ImageLayout,
    ) {
        grad_x.fill(0.0);
        self.for_each(blocks_layout, x_layout, |from, to| {
            grad_x[to].copy_from_slice(&grad_blocks[from]);
        });
    }

    /// The weights over blocks, where they are others than the convolution's.
    pub(super) fn taps(&self, x: &ImageLayout) -> Option<Taps> {
        (self.side() > 1).then_some(Taps { gather: *self, channels: x.channels, stride: x.stride })
    }
}

/// How the weights of a convolution are those of one over blocks.
#[derive(Debug, Clone, Copy)]
pub(super) struct Taps {
    gather: Gather,
    channels: usize,
    stride: usize,
}

impl Taps {
    /// Weights of an output channel over blocks.
    fn n_of_output(&self) -> usize {
        let side = self.gather.side();
        let n_channels = (side * side - 1) * self.stride + self.channels;
        n_channels * self.gather.kernel_of_blocks().pow(2)
    }

    /// Calls `copy` with each weight's place among those over blocks and among the convolution's own,
    /// `[out, in, k, k]`.
    fn for_each(&self, n_outputs: usize, mut copy: impl FnMut(usize, usize)) {
        let Gather { stride, kernel, .. } = self.gather;
        let (side, of_blocks) = (self.gather.side(), self.gather.kernel_of_blocks());
        for output in 0..n_outputs {
            for channel in 0..self.channels {
                for tap in 0..kernel * kernel {
                    let (y, x) = (tap / kernel, tap % kernel);
                    let phase = y % stride * side + x % stride;
                    let block_tap = y / stride * of_blocks + x / stride;
                    let over_blocks = output * self.n_of_output()
                        + (phase * self.stride + channel) * of_blocks * of_blocks
                        + block_tap;
                    copy(over_blocks, (output * self.channels + channel) * kernel * kernel + tap);
                }
            }
        }
    }

    /// The weights over blocks of `weight` `[out, in, k, k]`.
    pub(super) fn spread(&self, over_blocks: &mut Vec<f32>, weight: &[f32]) {
        let n_outputs = weight.len() / (self.channels * self.gather.kernel.pow(2));
        over_blocks.clear();
        over_blocks.resize(n_outputs * self.n_of_output(), 0.0);
        self.for_each(n_outputs, |to, from| over_blocks[to] = weight[from]);
    }

    /// The gradient of the weights from that of those over blocks.
    pub(super) fn collect(&self, over_blocks: &[f32]) -> Vec<f32> {
        let n_outputs = over_blocks.len() / self.n_of_output();
        let mut grad = vec![0.0; n_outputs * self.channels * self.gather.kernel.pow(2)];
        self.for_each(n_outputs, |from, to| grad[to] = over_blocks[from]);
        grad
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A plain image, one channel, and the blocks it becomes: by hand.
    #[test]
    fn a_kernel_of_3_with_stride_2_reads_blocks_of_four_pixels() {
        let x_layout = ImageLayout { height: 3, width: 4, channels: 1, stride: 1, padding: 0 };
        let gather = Gather::new(3, 2, 1);
        let layout = gather.layout(&x_layout, (2, 2));
        assert_eq!((layout.height, layout.width, layout.channels, layout.stride), (3, 3, 4, 4));
        let x: Vec<f32> = (1..=12_u8).map(f32::from).collect();
        let mut blocks = vec![0.0; layout.len()];
        gather.forward(&mut blocks, &layout, &x, &x_layout);
        // Rows -1 and 0, then 1 and 2, then 3 and 4, of which 3 is beyond the image.
        assert_eq!(blocks[..4], [0.0, 0.0, 0.0, 1.0]);
        assert_eq!(blocks[4..8], [0.0, 0.0, 2.0, 3.0]);
        assert_eq!(blocks[16..20], [6.0, 7.0, 10.0, 11.0]);
        assert_eq!(blocks[24..], [0.0; 12]);
        let mut grad_x = vec![9.0; 12];
        gather.backward(&mut grad_x, &x_layout, &blocks, &layout);
        assert_eq!(grad_x, x);
    }

    #[test]
    fn pixels_between_the_outputs_of_a_pointwise_convolution_are_left_out() {
        let x_layout = ImageLayout { height: 3, width: 3, channels: 2, stride: 3, padding: 1 };
        let gather = Gather::new(1, 2, 0);
        let layout = gather.layout(&x_layout, (2, 2));
        assert_eq!((layout.channels, layout.stride, gather.kernel_of_blocks()), (2, 3, 1));
        assert!(gather.taps(&x_layout).is_none());
        let x: Vec<f32> = (0..75_u8).map(f32::from).collect();
        let mut blocks = vec![0.0; layout.len()];
        gather.forward(&mut blocks, &layout, &x, &x_layout);
        assert_eq!(blocks, [18_u8, 19, 20, 24, 25, 26, 48, 49, 50, 54, 55, 56].map(f32::from));
    }

    #[test]
    fn weights_come_back_from_their_places_over_blocks() {
        for (kernel, stride) in [(3, 2), (2, 2), (5, 3), (7, 2), (3, 4)] {
            let x = ImageLayout { height: 9, width: 9, channels: 3, stride: 4, padding: 0 };
            let taps = Gather::new(kernel, stride, 0).taps(&x).expect("blocks of several pixels");
            let weight: Vec<f32> = (0..2 * 3 * kernel * kernel).map(|i| i as f32 + 1.0).collect();
            let mut over_blocks = vec![];
            taps.spread(&mut over_blocks, &weight);
            let n_set = over_blocks.iter().filter(|w| **w != 0.0).count();
            assert_eq!(n_set, weight.len(), "each weight once");
            assert_eq!(taps.collect(&over_blocks), weight);
        }
    }
}

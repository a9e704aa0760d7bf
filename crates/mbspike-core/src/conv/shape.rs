use pulp::Arch;

use crate::{Error, Result};

/// The largest kernel side with compiled loops.
pub const MAX_KERNEL: usize = 7;

/// A two-dimensional convolution of stride 1 with a square kernel, on one image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConvShape {
    /// Channels in.
    pub in_channels: usize,
    /// Channels out.
    pub out_channels: usize,
    /// Height of the input.
    pub height: usize,
    /// Width of the input.
    pub width: usize,
    /// Side of the kernel.
    pub kernel: usize,
    /// Zeros around the input on each side; `kernel / 2` keeps the size of an odd kernel's input,
    /// 0 is a valid convolution.
    pub padding: usize,
}

impl ConvShape {
    /// Refuses a shape that the kernels cannot compute.
    ///
    /// # Errors
    /// If a size is zero, the kernel is larger than the padded input or [`MAX_KERNEL`], or the
    /// padding is not smaller than the kernel.
    pub fn validate(&self) -> Result<()> {
        let fail = |name, expected, got: usize| {
            Err(Error::InvalidParameter { name, expected, got: got.to_string() })
        };
        if !(1..=MAX_KERNEL).contains(&self.kernel) {
            return fail("kernel", "in 1..=7", self.kernel);
        }
        if self.padding >= self.kernel {
            return fail("padding", "smaller than the kernel", self.padding);
        }
        for (name, size) in [("in_channels", self.in_channels), ("out_channels", self.out_channels)]
        {
            if size == 0 {
                return fail(name, "at least 1", size);
            }
        }
        for (name, size) in [("height", self.height), ("width", self.width)] {
            if size == 0 || size + 2 * self.padding < self.kernel {
                return fail(name, "at least the kernel less the padding", size);
            }
        }
        Ok(())
    }

    /// Height of the output.
    pub fn out_height(&self) -> usize {
        self.height + 2 * self.padding + 1 - self.kernel
    }

    /// Width of the output.
    pub fn out_width(&self) -> usize {
        self.width + 2 * self.padding + 1 - self.kernel
    }

    /// Number of weights, `out · in · kernel²`.
    pub fn n_weights(&self) -> usize {
        self.out_channels * self.in_channels * self.kernel * self.kernel
    }

    /// Multiply-accumulates of one dense forward pass.
    pub fn n_macs(&self) -> usize {
        self.n_weights() * self.out_height() * self.out_width()
    }

    /// The convolution that carries gradients back to the input: over the output's gradient, with
    /// channels exchanged.
    pub(crate) fn transposed(&self) -> Self {
        Self {
            in_channels: self.out_channels,
            out_channels: self.in_channels,
            height: self.out_height(),
            width: self.out_width(),
            kernel: self.kernel,
            padding: self.kernel - 1 - self.padding,
        }
    }
}

/// How an image lies in memory: channels last, rows padded with zeros on all sides, and the
/// channels of a pixel `stride` elements apart from the next pixel's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ImageLayout {
    /// Rows without padding.
    pub height: usize,
    /// Columns without padding.
    pub width: usize,
    /// Channels that carry values.
    pub channels: usize,
    /// Elements from pixel to pixel: `channels`, rounded up where a kernel writes whole vectors.
    pub stride: usize,
    /// Zeros on each side.
    pub padding: usize,
}

impl ImageLayout {
    /// Elements from row to row.
    pub fn pitch(&self) -> usize {
        (self.width + 2 * self.padding) * self.stride
    }

    /// Elements in all, padding included.
    pub fn len(&self) -> usize {
        (self.height + 2 * self.padding) * self.pitch()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Where the first pixel's channels start.
    pub fn origin(&self) -> usize {
        self.padding * (self.pitch() + self.stride)
    }

    /// The elements of row `y` without its padding.
    pub fn row(&self, y: usize) -> std::ops::Range<usize> {
        let start = self.origin() + y * self.pitch();
        start..start + self.width * self.stride
    }
}

/// Number of f32 lanes that the kernels use for `channels` output channels on this machine: the
/// widest vector that the channels fill better than half.
pub fn lanes_for(channels: usize) -> usize {
    match widest_lanes() {
        16 if (1..=8).contains(&(channels % 16)) => 8,
        lanes => lanes,
    }
}

fn widest_lanes() -> usize {
    struct Lanes;
    impl pulp::WithSimd for Lanes {
        type Output = usize;
        #[inline(always)]
        fn with_simd<S: pulp::Simd>(self, _: S) -> usize {
            S::F32_LANES
        }
    }
    Arch::new().dispatch(Lanes)
}

/// Runs `task` on vectors of `lanes` elements, a result of [`lanes_for`].
pub(crate) fn dispatch<W: pulp::WithSimd>(lanes: usize, task: W) -> W::Output {
    #[cfg(any(target_arch = "x86", target_arch = "x86_64"))]
    if lanes == 8
        && let Some(simd) = pulp::x86::V3::try_new()
    {
        return pulp::Simd::vectorize(simd, task);
    }
    debug_assert_eq!(lanes, widest_lanes());
    Arch::new().dispatch(task)
}

/// `channels` rounded up to whole vectors.
pub fn padded_channels(channels: usize) -> usize {
    channels.next_multiple_of(lanes_for(channels))
}

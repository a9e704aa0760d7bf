use super::kernels::{Dense, Sizes, Sparse, Table, WeightGradient};
use super::nonzeros::{ChannelLists, Nonzeros};
use super::patterns::{Patterns, n_patterns};
use super::shape::{ConvShape, ImageLayout, dispatch, lanes_for, padded_channels};
use crate::Result;
use crate::activity::n_nonzero;
use crate::error::check_len;

/// Share of non-zero inputs up to which the pass over non-zeros is chosen: where the times of
/// `mbspike bench kernel "conv forward"` at 30 % and 60 %, interpolated, meet that of the dense
/// pass, for 8 to 64 channels on AVX2.
const SPARSE_BELOW: f64 = 0.45;
/// Fewest input channels for which listing the non-zeros pays.
const SPARSE_CHANNELS: usize = 4;

/// A convolution with the layouts of its images.
#[derive(Debug, Clone)]
pub struct Conv {
    shape: ConvShape,
    x: ImageLayout,
    y: ImageLayout,
    dy: ImageLayout,
    dx: ImageLayout,
    lanes: usize,
    dx_lanes: usize,
    /// Entries of a kernel row's table, where binary images are looked up.
    n_patterns: Option<usize>,
}

/// Working space of [`Conv::forward`], made by [`Conv::forward_space`].
#[derive(Debug, Clone, Default)]
pub struct ForwardSpace {
    nonzeros: Nonzeros,
    patterns: Patterns,
}

/// Weights in the order of the kernels: once for the forward pass, once, flipped, for the gradient
/// of the input, and where binary images are looked up the tables of their sums.
#[derive(Debug, Clone, Default)]
pub struct PackedWeights {
    forward: Vec<f32>,
    backward: Vec<f32>,
    bias: Vec<f32>,
    /// `[vector][ky][pattern][lane]`.
    tables: Vec<f32>,
}

impl Conv {
    /// A convolution of images whose pixels are `in_stride` elements apart, at least the number
    /// of channels.
    ///
    /// # Errors
    /// If the shape cannot be computed ([`ConvShape::validate`]).
    pub fn new(shape: ConvShape, in_stride: usize) -> Result<Self> {
        shape.validate()?;
        check_len("Conv::new", "in_stride", in_stride.max(shape.in_channels), in_stride)?;
        let x = ImageLayout {
            height: shape.height,
            width: shape.width,
            channels: shape.in_channels,
            stride: in_stride,
            padding: shape.padding,
        };
        let y = ImageLayout {
            height: shape.out_height(),
            width: shape.out_width(),
            channels: shape.out_channels,
            stride: padded_channels(shape.out_channels),
            padding: 0,
        };
        let dy = ImageLayout { padding: shape.transposed().padding, ..y };
        let dx = ImageLayout { stride: padded_channels(shape.in_channels), padding: 0, ..x };
        let (lanes, dx_lanes) = (lanes_for(shape.out_channels), lanes_for(shape.in_channels));
        let n_patterns = n_patterns(&shape, &x, y.stride);
        Ok(Self { shape, x, y, dy, dx, lanes, dx_lanes, n_patterns })
    }

    /// The convolution's shape.
    pub fn shape(&self) -> &ConvShape {
        &self.shape
    }

    /// Layout of the input.
    pub fn x_layout(&self) -> &ImageLayout {
        &self.x
    }

    /// Layout of the output, without padding.
    pub fn y_layout(&self) -> &ImageLayout {
        &self.y
    }

    /// Layout in which the backward pass takes the gradient of the output: padded with zeros.
    pub fn dy_layout(&self) -> &ImageLayout {
        &self.dy
    }

    /// Layout of the gradient of the input, without padding.
    pub fn dx_layout(&self) -> &ImageLayout {
        &self.dx
    }

    /// Working space of [`forward`](Self::forward), so that it never allocates.
    pub fn forward_space(&self) -> ForwardSpace {
        let ConvShape { kernel, in_channels, .. } = self.shape;
        let patterns = match self.n_patterns {
            Some(_) => Patterns::for_layout(&self.x, kernel * in_channels),
            None => Patterns::default(),
        };
        ForwardSpace { nonzeros: self.nonzeros(), patterns }
    }

    /// Lists for this convolution's inputs.
    pub fn nonzeros(&self) -> Nonzeros {
        Nonzeros::for_layout(&self.x)
    }

    /// Lists for the gradient of the weights.
    pub fn channel_lists(&self) -> ChannelLists {
        ChannelLists::for_layouts(&self.x, &self.dy)
    }

    /// Packs `weight` `[out, in, ky, kx]` and `bias` `[out]`.
    ///
    /// # Errors
    /// If one has the wrong length.
    pub fn pack(
        &self,
        packed: &mut PackedWeights,
        weight: &[f32],
        bias: Option<&[f32]>,
    ) -> Result<()> {
        const OP: &str = "Conv::pack";
        let ConvShape { in_channels, out_channels, kernel, .. } = self.shape;
        check_len(OP, "weight", weight.len(), self.shape.n_weights())?;
        check_len(OP, "bias", bias.map_or(out_channels, <[f32]>::len), out_channels)?;
        let taps = kernel * kernel;
        packed.forward.resize(taps * self.x.stride * self.y.stride, 0.0);
        packed.backward.resize(taps * self.dy.stride * self.dx.stride, 0.0);
        for (co, of_output) in weight.chunks_exact(in_channels * taps).enumerate() {
            for (ci, of_input) in of_output.chunks_exact(taps).enumerate() {
                for (tap, &w) in of_input.iter().enumerate() {
                    let at =
                        packed_index(co, tap, ci, taps, self.x.stride, self.y.stride, self.lanes);
                    packed.forward[at] = w;
                    let flipped = taps - 1 - tap;
                    let at = packed_index(
                        ci,
                        flipped,
                        co,
                        taps,
                        self.dy.stride,
                        self.dx.stride,
                        self.dx_lanes,
                    );
                    packed.backward[at] = w;
                }
            }
        }
        packed.bias.clear();
        if let Some(bias) = bias {
            packed.bias.resize(self.y.stride, 0.0);
            packed.bias[..out_channels].copy_from_slice(bias);
        }
        if let Some(n_patterns) = self.n_patterns {
            self.fill_tables(&mut packed.tables, weight, n_patterns);
        }
        Ok(())
    }

    /// What each pattern under a kernel row contributes to each output channel. An entry is that of
    /// the pattern without its lowest one, which is there already, plus that one's weight.
    fn fill_tables(&self, tables: &mut Vec<f32>, weight: &[f32], n_patterns: usize) {
        let ConvShape { in_channels, out_channels, kernel, .. } = self.shape;
        tables.resize(kernel * n_patterns * self.y.stride, 0.0);
        for co in 0..out_channels {
            let (vector, lane) = (co / self.lanes, co % self.lanes);
            for ky in 0..kernel {
                let table = &mut tables[(vector * kernel + ky) * n_patterns * self.lanes..];
                for pattern in 1..n_patterns {
                    let bit = pattern.trailing_zeros() as usize;
                    let (kx, ci) = (bit / in_channels, bit % in_channels);
                    let w = weight[((co * in_channels + ci) * kernel + ky) * kernel + kx];
                    let rest = pattern & (pattern - 1);
                    table[pattern * self.lanes + lane] = table[rest * self.lanes + lane] + w;
                }
            }
        }
    }

    fn sizes(&self) -> Sizes {
        Sizes {
            kernel: self.shape.kernel,
            out_height: self.y.height,
            out_width: self.y.width,
            in_stride: self.x.stride,
            in_pitch: self.x.pitch(),
            out_stride: self.y.stride,
            out_pitch: self.y.pitch(),
        }
    }

    /// `y = w * x (+ bias)` of one image, by the pass that is fastest for it; which one runs
    /// depends on the image alone.
    ///
    /// # Errors
    /// If a slice has the wrong length.
    ///
    /// # Panics
    /// If `space` was made by another convolution.
    pub fn forward(
        &self,
        y: &mut [f32],
        x: &[f32],
        weights: &PackedWeights,
        space: &mut ForwardSpace,
    ) -> Result<()> {
        check_len("Conv::forward", "x", x.len(), self.x.len())?;
        assert_eq!(space.nonzeros.layout(), &self.x, "working space of another convolution");
        if self.n_patterns.is_some() && space.patterns.fill(x) {
            return self.forward_table(y, &space.patterns, weights);
        }
        if self.shape.in_channels >= SPARSE_CHANNELS {
            let n_inputs = self.x.height * self.x.width * self.x.channels;
            if (n_nonzero(x) as f64) < SPARSE_BELOW * n_inputs as f64 {
                space.nonzeros.fill(x);
                return self.forward_sparse(y, &space.nonzeros, weights);
            }
        }
        self.forward_dense(y, x, weights)
    }

    fn forward_table(
        &self,
        y: &mut [f32],
        patterns: &Patterns,
        weights: &PackedWeights,
    ) -> Result<()> {
        const OP: &str = "Conv::forward";
        let n_patterns = self.n_patterns.unwrap_or(0);
        assert_eq!(patterns.layout(), &self.x, "working space of another convolution");
        check_len(OP, "y", y.len(), self.y.len())?;
        let n_table = self.shape.kernel * n_patterns * self.y.stride;
        check_len(OP, "weights", weights.tables.len(), n_table)?;
        let bias = (!weights.bias.is_empty()).then_some(&weights.bias[..]);
        let (tables, sizes) = (&weights.tables[..], self.sizes());
        dispatch(self.lanes, Table { y, patterns, tables, n_patterns, bias, sizes });
        Ok(())
    }

    /// [`forward`](Self::forward) by the dense pass.
    ///
    /// # Errors
    /// If a slice has the wrong length.
    pub fn forward_dense(&self, y: &mut [f32], x: &[f32], weights: &PackedWeights) -> Result<()> {
        const OP: &str = "Conv::forward";
        check_len(OP, "x", x.len(), self.x.len())?;
        check_len(OP, "y", y.len(), self.y.len())?;
        check_len(OP, "weights", weights.forward.len(), self.n_packed())?;
        let bias = (!weights.bias.is_empty()).then_some(&weights.bias[..]);
        let sizes = self.sizes();
        dispatch(self.lanes, Dense { y, x, weights: &weights.forward, bias, sizes });
        Ok(())
    }

    /// [`forward`](Self::forward) over the non-zeros of an image of [`x_layout`](Self::x_layout).
    ///
    /// # Errors
    /// If a slice has the wrong length.
    ///
    /// # Panics
    /// If `nonzeros` was made for another layout.
    pub fn forward_sparse(
        &self,
        y: &mut [f32],
        nonzeros: &Nonzeros,
        weights: &PackedWeights,
    ) -> Result<()> {
        const OP: &str = "Conv::forward";
        assert_eq!(nonzeros.layout(), &self.x, "lists of another convolution");
        check_len(OP, "y", y.len(), self.y.len())?;
        check_len(OP, "weights", weights.forward.len(), self.n_packed())?;
        let bias = (!weights.bias.is_empty()).then_some(&weights.bias[..]);
        let sizes = self.sizes();
        dispatch(self.lanes, Sparse { y, nonzeros, weights: &weights.forward, bias, sizes });
        Ok(())
    }

    fn n_packed(&self) -> usize {
        self.shape.kernel * self.shape.kernel * self.x.stride * self.y.stride
    }

    /// Gradient of the input of one image from that of its output, `dy` in
    /// [`dy_layout`](Self::dy_layout).
    ///
    /// # Errors
    /// If a slice has the wrong length.
    pub fn backward_input(
        &self,
        dx: &mut [f32],
        dy: &[f32],
        weights: &PackedWeights,
    ) -> Result<()> {
        const OP: &str = "Conv::backward_input";
        check_len(OP, "dx", dx.len(), self.dx.len())?;
        check_len(OP, "dy", dy.len(), self.dy.len())?;
        let sizes = self.sizes_back();
        dispatch(
            self.dx_lanes,
            Dense { y: dx, x: dy, weights: &weights.backward, bias: None, sizes },
        );
        Ok(())
    }

    /// Lists for the gradients of this convolution's outputs.
    pub fn dy_nonzeros(&self) -> Nonzeros {
        Nonzeros::for_layout(&self.dy)
    }

    /// Whether [`backward_input_sparse`](Self::backward_input_sparse) is the faster way for a gradient
    /// of which `n_nonzero` elements are not zero.
    pub fn pays_to_skip_zeros(&self, n_nonzero: usize) -> bool {
        let n = self.dy.height * self.dy.width * self.dy.channels;
        self.dy.channels >= SPARSE_CHANNELS && (n_nonzero as f64) < SPARSE_BELOW * n as f64
    }

    /// [`backward_input`](Self::backward_input) over the non-zeros of `dy`; the same bits.
    ///
    /// # Errors
    /// If a slice has the wrong length.
    ///
    /// # Panics
    /// If `dy` was made by another convolution than [`dy_nonzeros`](Self::dy_nonzeros) of this.
    pub fn backward_input_sparse(
        &self,
        dx: &mut [f32],
        dy: &Nonzeros,
        weights: &PackedWeights,
    ) -> Result<()> {
        assert_eq!(dy.layout(), &self.dy, "lists of another convolution");
        check_len("Conv::backward_input", "dx", dx.len(), self.dx.len())?;
        let (sizes, weights) = (self.sizes_back(), &weights.backward[..]);
        dispatch(self.dx_lanes, Sparse { y: dx, nonzeros: dy, weights, bias: None, sizes });
        Ok(())
    }

    /// Sizes of the pass from the output's gradient to the input's.
    fn sizes_back(&self) -> Sizes {
        Sizes {
            kernel: self.shape.kernel,
            out_height: self.dx.height,
            out_width: self.dx.width,
            in_stride: self.dy.stride,
            in_pitch: self.dy.pitch(),
            out_stride: self.dx.stride,
            out_pitch: self.dx.pitch(),
        }
    }

    /// Length of the accumulator of [`backward_weight`](Self::backward_weight).
    pub fn n_gradient(&self) -> usize {
        self.shape.kernel * self.shape.kernel * self.shape.in_channels * self.y.stride
    }

    /// Adds the gradient of the weights of one image to `dw`, in the kernels' order
    /// `[ky][kx][in][out]`.
    ///
    /// # Errors
    /// If a slice has the wrong length.
    ///
    /// # Panics
    /// If `lists` was made for other layouts.
    pub fn backward_weight(&self, dw: &mut [f32], dy: &[f32], lists: &ChannelLists) -> Result<()> {
        const OP: &str = "Conv::backward_weight";
        check_len(OP, "dw", dw.len(), self.n_gradient())?;
        check_len(OP, "dy", dy.len(), self.dy.len())?;
        assert_eq!(lists.layouts(), (&self.x, &self.dy), "lists of another convolution");
        let sizes = Sizes { out_pitch: self.dy.pitch(), ..self.sizes() };
        dispatch(self.lanes, WeightGradient { dw, lists, dy, sizes });
        Ok(())
    }

    /// Reorders an accumulator into `grad` `[out, in, ky, kx]`.
    ///
    /// # Errors
    /// If a slice has the wrong length.
    pub fn unpack_gradient(&self, grad: &mut [f32], dw: &[f32]) -> Result<()> {
        const OP: &str = "Conv::unpack_gradient";
        let ConvShape { in_channels, kernel, .. } = self.shape;
        check_len(OP, "grad", grad.len(), self.shape.n_weights())?;
        check_len(OP, "dw", dw.len(), self.n_gradient())?;
        let taps = kernel * kernel;
        for (co, of_output) in grad.chunks_exact_mut(in_channels * taps).enumerate() {
            for (ci, of_input) in of_output.chunks_exact_mut(taps).enumerate() {
                for (tap, g) in of_input.iter_mut().enumerate() {
                    *g = dw[(tap * in_channels + ci) * self.y.stride + co];
                }
            }
        }
        Ok(())
    }
}

/// Where the weight of output channel `co`, kernel position `tap` and input channel `ci` lies:
/// groups of two vectors of output channels (the last may be one), each `[tap][ci][channel]`.
fn packed_index(
    co: usize,
    tap: usize,
    ci: usize,
    taps: usize,
    in_stride: usize,
    out_stride: usize,
    lanes: usize,
) -> usize {
    let first = co / (2 * lanes) * 2 * lanes;
    let width = (out_stride - first).min(2 * lanes);
    first * taps * in_stride + (tap * in_stride + ci) * width + co - first
}

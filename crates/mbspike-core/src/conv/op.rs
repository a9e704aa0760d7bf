//! The candle operation: a batch of images, channels first, in f32 or f64.

use candle_core::{CpuStorage, CustomOp2, DType, Layout, Shape, Tensor, WithDType};
use rayon::prelude::*;

use super::packed::{Conv, PackedWeights};
use super::shape::ConvShape;
use crate::Result;
use crate::error::check_shape;
use crate::tensor::{contiguous, read, write};

/// Images of a share of the batch: gradients are summed within a share, then over shares in
/// order, so that the sum does not depend on the number of threads.
const SHARES: usize = 32;

/// `[N, C, H, W]` convolved with `weight` `[out, in, k, k]`, stride 1 and `padding` zeros on each
/// side; differentiable in both. In f32 on the CPU by this crate's kernels, else by candle's.
///
/// # Errors
/// If `x` does not have four dimensions, `weight` is not square or is for another number of channels, or the kernel is larger than [`MAX_KERNEL`](super::MAX_KERNEL).
pub fn conv2d(x: &Tensor, weight: &Tensor, padding: usize) -> Result<Tensor> {
    const OP: &str = "conv2d";
    check_shape(OP, "x", x.dims(), x.rank() == 4, || "[N, C, H, W]".into())?;
    let (_, in_channels, height, width) = x.dims4()?;
    let fits = matches!(*weight.dims(), [_, c, ky, kx] if c == in_channels && ky == kx);
    check_shape(OP, "weight", weight.dims(), fits, || {
        format!("[out, {in_channels}, k, k] for x of {in_channels} channels")
    })?;
    let (out_channels, _, kernel, _) = weight.dims4()?;
    let shape = ConvShape { in_channels, out_channels, height, width, kernel, padding };
    shape.validate()?;
    if x.dtype() == DType::F32 && x.device().is_cpu() {
        let op = Conv2d { shape, x_needs_gradient: x.track_op() };
        Ok(x.contiguous()?.apply_op2(&weight.contiguous()?, op)?)
    } else {
        Ok(x.conv2d(weight, padding, 1, 1, 1)?)
    }
}

struct Conv2d {
    shape: ConvShape,
    x_needs_gradient: bool,
}

/// Working space of one thread.
struct Space {
    x: Vec<f32>,
    y: Vec<f32>,
    dy: Vec<f32>,
    dx: Vec<f32>,
    forward: super::ForwardSpace,
    lists: super::ChannelLists,
}

impl Space {
    fn new(conv: &Conv) -> Self {
        Self {
            x: vec![0.0; conv.x_layout().len()],
            y: vec![0.0; conv.y_layout().len()],
            dy: vec![0.0; conv.dy_layout().len()],
            dx: vec![0.0; conv.dx_layout().len()],
            forward: conv.forward_space(),
            lists: conv.channel_lists(),
        }
    }
}

/// Copies `[C, H, W]` into a channels-last image, whose padding stays as it is.
fn to_channels_last(image: &mut [f32], planes: &[f32], layout: &super::ImageLayout) {
    for (c, plane) in planes.chunks_exact(layout.height * layout.width).enumerate() {
        for (y, row) in plane.chunks_exact(layout.width).enumerate() {
            let pixels = image[layout.row(y)].chunks_exact_mut(layout.stride);
            for (pixel, &v) in pixels.zip(row) {
                pixel[c] = v;
            }
        }
    }
}

/// The inverse of [`to_channels_last`].
fn to_channels_first(planes: &mut [f32], image: &[f32], layout: &super::ImageLayout) {
    for (c, plane) in planes.chunks_exact_mut(layout.height * layout.width).enumerate() {
        for (y, row) in plane.chunks_exact_mut(layout.width).enumerate() {
            let pixels = image[layout.row(y)].chunks_exact(layout.stride);
            for (pixel, v) in pixels.zip(row) {
                *v = pixel[c];
            }
        }
    }
}

impl Conv2d {
    fn prepare(&self, weight: &[f32]) -> Result<(Conv, PackedWeights)> {
        let conv = Conv::new(self.shape, self.shape.in_channels)?;
        let mut packed = PackedWeights::default();
        conv.pack(&mut packed, weight, None)?;
        Ok((conv, packed))
    }

    fn forward(&self, x: &[f32], weight: &[f32]) -> Result<Vec<f32>> {
        let (conv, packed) = self.prepare(weight)?;
        let s = &self.shape;
        let x_len = s.in_channels * s.height * s.width;
        let y_len = s.out_channels * s.out_height() * s.out_width();
        let n_images = x.len() / x_len;
        let share = n_images.div_ceil(SHARES).max(1);
        let mut y = vec![0.0; n_images * y_len];
        y.par_chunks_mut(share * y_len).zip(x.par_chunks(share * x_len)).try_for_each(
            |(y, x)| -> Result<()> {
                let mut space = Space::new(&conv);
                for (y, x) in y.chunks_exact_mut(y_len).zip(x.chunks_exact(x_len)) {
                    to_channels_last(&mut space.x, x, conv.x_layout());
                    conv.forward(&mut space.y, &space.x, &packed, &mut space.forward)?;
                    to_channels_first(y, &space.y, conv.y_layout());
                }
                Ok(())
            },
        )?;
        Ok(y)
    }

    fn backward(&self, x: &[f32], weight: &[f32], dy: &[f32]) -> Result<(Vec<f32>, Vec<f32>)> {
        let (conv, packed) = self.prepare(weight)?;
        let s = &self.shape;
        let x_len = s.in_channels * s.height * s.width;
        let y_len = s.out_channels * s.out_height() * s.out_width();
        let n_images = x.len() / x_len;
        let share = n_images.div_ceil(SHARES).max(1);
        let mut grad_x = vec![0.0; if self.x_needs_gradient { x.len() } else { 0 }];
        let grad_shares: Vec<&mut [f32]> = if self.x_needs_gradient {
            grad_x.chunks_mut(share * x_len).collect()
        } else {
            (0..n_images.div_ceil(share)).map(|_| Default::default()).collect()
        };
        let of_shares = grad_shares
            .into_par_iter()
            .zip(x.par_chunks(share * x_len))
            .zip(dy.par_chunks(share * y_len))
            .map(|((grad_x, x), dy)| -> Result<Vec<f32>> {
                let mut space = Space::new(&conv);
                let mut dw = vec![0.0; conv.n_gradient()];
                for (i, (x, dy)) in x.chunks_exact(x_len).zip(dy.chunks_exact(y_len)).enumerate() {
                    to_channels_last(&mut space.x, x, conv.x_layout());
                    to_channels_last(&mut space.dy, dy, conv.dy_layout());
                    space.lists.fill(&space.x);
                    conv.backward_weight(&mut dw, &space.dy, &space.lists)?;
                    if self.x_needs_gradient {
                        conv.backward_input(&mut space.dx, &space.dy, &packed)?;
                        let grad_x = &mut grad_x[i * x_len..][..x_len];
                        to_channels_first(grad_x, &space.dx, conv.dx_layout());
                    }
                }
                Ok(dw)
            })
            .collect::<Result<Vec<_>>>()?;
        let mut dw = vec![0.0; conv.n_gradient()];
        for of_share in of_shares {
            for (sum, g) in dw.iter_mut().zip(of_share) {
                *sum += g;
            }
        }
        let mut grad_weight = vec![0.0; weight.len()];
        conv.unpack_gradient(&mut grad_weight, &dw)?;
        Ok((grad_x, grad_weight))
    }
}

impl CustomOp2 for Conv2d {
    fn name(&self) -> &'static str {
        "conv2d"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        weight: &CpuStorage,
        weight_layout: &Layout,
    ) -> candle_core::Result<(CpuStorage, Shape)> {
        let (CpuStorage::F32(x), CpuStorage::F32(weight)) = (x, weight) else {
            candle_core::bail!("conv2d takes two f32 tensors")
        };
        let (x, weight) = (contiguous(x, x_layout)?, contiguous(weight, weight_layout)?);
        let y = self.forward(x, weight).map_err(candle_core::Error::from)?;
        let s = &self.shape;
        let dims = [x_layout.dims()[0], s.out_channels, s.out_height(), s.out_width()];
        Ok((f32::to_cpu_storage_owned(y), dims.as_slice().into()))
    }

    fn bwd(
        &self,
        x: &Tensor,
        weight: &Tensor,
        _y: &Tensor,
        grad_y: &Tensor,
    ) -> candle_core::Result<(Option<Tensor>, Option<Tensor>)> {
        let grad_y = grad_y.contiguous()?;
        let (grad_x, grad_weight) = read::<f32, _>(x, |x_values| {
            read::<f32, _>(weight, |w| read::<f32, _>(&grad_y, |dy| self.backward(x_values, w, dy)))
        })
        .map_err(candle_core::Error::from)?;
        let grad_x = if self.x_needs_gradient { Some(write(grad_x, x.dims())?) } else { None };
        Ok((grad_x, Some(write(grad_weight, weight.dims())?)))
    }
}

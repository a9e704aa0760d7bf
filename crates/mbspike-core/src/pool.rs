//! Average, maximum and sum pooling with stride equal to the window.
//!
//! Once for one channels-last image ([`Pool`]), once as a candle operation on a batch,
//! channels first ([`pool2d`]). The gradient of a maximum goes to the first largest element of the
//! window, as in PyTorch: spikes tie all the time. Rows and columns that do not fill a window are
//! left out, as in PyTorch.

#[cfg(feature = "cuda")]
#[expect(unsafe_code, reason = "launches kernels")]
mod cuda;
mod kind;

use candle_core::{CpuStorage, CustomOp1, DType, Layout, Shape, Tensor, WithDType};
use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;

pub(crate) use kind::Pool2d;
pub use kind::PoolKind;

use crate::conv::ImageLayout;
use crate::error::check_len;
use crate::tensor::{contiguous, read, write};
use crate::{Real, Result};

/// Pooling of one channels-last image with a square window.
#[derive(Debug, Clone, Copy)]
pub struct Pool {
    /// What is taken of a window.
    pub kind: PoolKind,
    /// Side of the window.
    pub size: usize,
}

impl Pool {
    /// Pools `x` of layout `x_layout` into `y` of layout `y_layout`, whose padding is left alone.
    ///
    /// # Errors
    /// If a slice has the wrong length or the layouts do not agree.
    pub fn forward(
        &self,
        y: &mut [f32],
        y_layout: &ImageLayout,
        x: &[f32],
        x_layout: &ImageLayout,
    ) -> Result<()> {
        self.check(y_layout, y.len(), x_layout, x.len())?;
        Arch::new().dispatch(Forward { pool: *self, y, y_layout, x, x_layout });
        Ok(())
    }

    /// Gradient of the input, `dx` of layout `x_layout`, from that of the output, `dy` of layout
    /// `dy_layout`; a maximum needs the input `x` again.
    ///
    /// # Errors
    /// If a slice has the wrong length or the layouts do not agree.
    pub fn backward(
        &self,
        dx: &mut [f32],
        x: &[f32],
        x_layout: &ImageLayout,
        dy: &[f32],
        dy_layout: &ImageLayout,
    ) -> Result<()> {
        self.check(dy_layout, dy.len(), x_layout, dx.len())?;
        if self.kind == PoolKind::Max {
            check_len("Pool::backward", "x", x.len(), x_layout.len())?;
        }
        let covered =
            x_layout.height.is_multiple_of(self.size) && x_layout.width.is_multiple_of(self.size);
        if !covered || self.kind == PoolKind::Max {
            dx.fill(0.0);
        }
        Arch::new().dispatch(Backward { pool: *self, dx, x, x_layout, dy, dy_layout });
        Ok(())
    }

    fn check(&self, y: &ImageLayout, n_y: usize, x: &ImageLayout, n_x: usize) -> Result<()> {
        const OP: &str = "Pool";
        check_len(OP, "y", n_y, y.len())?;
        check_len(OP, "x", n_x, x.len())?;
        check_len(OP, "y's pixel", y.stride, x.stride)?;
        check_len(OP, "y's height", y.height, x.height / self.size)?;
        check_len(OP, "y's width", y.width, x.width / self.size)
    }
}

struct Forward<'a> {
    pool: Pool,
    y: &'a mut [f32],
    y_layout: &'a ImageLayout,
    x: &'a [f32],
    x_layout: &'a ImageLayout,
}

impl WithSimd for Forward<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        match (self.pool.kind, self.y_layout.stride, self.pool.size) {
            (PoolKind::Max, ..) => self.maximum(),
            (_, stride, 2) if stride % 8 == 0 => self.sum::<8, 2>(),
            (_, stride, _) if stride % 8 == 0 => self.sum::<8, 0>(),
            (PoolKind::Average | PoolKind::Sum, ..) => self.sum::<1, 0>(),
        }
    }
}

impl Forward<'_> {
    /// Channels in runs of `RUN`, a divisor of the pixel stride; `SIZE` is the window's side, or
    /// 0 where it is not known to the compiler.
    #[inline(always)]
    fn sum<const RUN: usize, const SIZE: usize>(self) {
        let size = if SIZE == 0 { self.pool.size } else { SIZE };
        let runs = self.x_layout.stride / RUN;
        let x_pitch = self.x_layout.pitch() / RUN;
        let scale = self.pool.kind.scale(size) as f32;
        let (x, _) = self.x[self.x_layout.origin()..].as_chunks::<RUN>();
        for row in 0..self.y_layout.height {
            let (y, _) = self.y[self.y_layout.row(row)].as_chunks_mut::<RUN>();
            let x = &x[row * size * x_pitch..];
            for (column, y) in y.chunks_exact_mut(runs).enumerate() {
                for (run, y) in y.iter_mut().enumerate() {
                    let mut sum = [0.0; RUN];
                    for (dy, dx) in window(size) {
                        let x = &x[dy * x_pitch + (column * size + dx) * runs + run];
                        for (sum, x) in sum.iter_mut().zip(x) {
                            *sum += x;
                        }
                    }
                    *y = sum.map(|sum| sum * scale);
                }
            }
        }
    }

    #[inline(always)]
    fn maximum(self) {
        let (size, stride, pitch) = (self.pool.size, self.x_layout.stride, self.x_layout.pitch());
        for row in 0..self.y_layout.height {
            let x = &self.x[self.x_layout.row(row * size).start..];
            let y = &mut self.y[self.y_layout.row(row)];
            for (column, y) in y.chunks_exact_mut(stride).enumerate() {
                let x = &x[column * size * stride..];
                for (channel, y) in y.iter_mut().enumerate() {
                    *y = x[first_largest(&x[channel..], size, stride, pitch) + channel];
                }
            }
        }
    }
}

/// The places of a window, row by row.
#[inline(always)]
fn window(size: usize) -> impl Iterator<Item = (usize, usize)> {
    (0..size).flat_map(move |y| (0..size).map(move |x| (y, x)))
}

/// Where the first largest element of a window lies, from its first; NaN counts as largest.
#[inline(always)]
fn first_largest<T: Real>(x: &[T], size: usize, stride: usize, pitch: usize) -> usize {
    let mut best = 0;
    for at in (0..size).flat_map(|dy| (0..size).map(move |dx| dy * pitch + dx * stride)) {
        if x[at] > x[best] || (x[at].is_nan() && !x[best].is_nan()) {
            best = at;
        }
    }
    best
}

struct Backward<'a> {
    pool: Pool,
    dx: &'a mut [f32],
    x: &'a [f32],
    x_layout: &'a ImageLayout,
    dy: &'a [f32],
    dy_layout: &'a ImageLayout,
}

impl WithSimd for Backward<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        match (self.pool.kind, self.dy_layout.stride, self.pool.size) {
            (PoolKind::Max, ..) => self.maximum(),
            (_, stride, 2) if stride % 8 == 0 => self.sum::<8, 2>(),
            (_, stride, _) if stride % 8 == 0 => self.sum::<8, 0>(),
            (PoolKind::Average | PoolKind::Sum, ..) => self.sum::<1, 0>(),
        }
    }
}

impl Backward<'_> {
    /// As [`Forward::sum`].
    #[inline(always)]
    fn sum<const RUN: usize, const SIZE: usize>(self) {
        let size = if SIZE == 0 { self.pool.size } else { SIZE };
        let runs = self.x_layout.stride / RUN;
        let x_pitch = self.x_layout.pitch() / RUN;
        let scale = self.pool.kind.scale(size) as f32;
        let (dx, _) = self.dx[self.x_layout.origin()..].as_chunks_mut::<RUN>();
        for row in 0..self.dy_layout.height {
            let (dy, _) = self.dy[self.dy_layout.row(row)].as_chunks::<RUN>();
            let dx = &mut dx[row * size * x_pitch..];
            for (column, dy) in dy.chunks_exact(runs).enumerate() {
                for (run, dy) in dy.iter().enumerate() {
                    let share = dy.map(|g| g * scale);
                    for (y, x) in window(size) {
                        dx[y * x_pitch + (column * size + x) * runs + run] = share;
                    }
                }
            }
        }
    }

    #[inline(always)]
    fn maximum(self) {
        let (size, stride, pitch) = (self.pool.size, self.x_layout.stride, self.x_layout.pitch());
        for row in 0..self.dy_layout.height {
            let start = self.x_layout.row(row * size).start;
            let dy = &self.dy[self.dy_layout.row(row)];
            for (column, dy) in dy.chunks_exact(stride).enumerate() {
                for (channel, dy) in dy.iter().enumerate() {
                    let window = start + column * size * stride + channel;
                    let at = first_largest(&self.x[window..], size, stride, pitch);
                    self.dx[window + at] = *dy;
                }
            }
        }
    }
}

/// Pooling of `[N, C, H, W]` with a square window, in f32 or f64, or, on a GPU, in f32 or bf16;
/// differentiable.
///
/// # Errors
/// If the tensor has another rank or the window is larger than the image.
pub fn pool2d(x: &Tensor, kind: PoolKind, size: usize) -> Result<Tensor> {
    crate::error::check_shape("pool2d", "x", x.dims(), x.rank() == 4, || "[N, C, H, W]".into())?;
    let (_, _, height, width) = x.dims4()?;
    if size == 0 || size > height.min(width) {
        return Err(crate::Error::InvalidParameter {
            name: "pool size",
            expected: "at least 1 and not larger than the image",
            got: size.to_string(),
        });
    }
    if kind == PoolKind::Sum && !x.device().is_cpu() {
        // The kernels on a GPU average or take the maximum.
        return Ok((pool2d(x, PoolKind::Average, size)? * (size * size) as f64)?);
    }
    Ok(x.contiguous()?.apply_op1(Pool2d { kind, size })?)
}

/// Height and width of an image and of its pooled form.
#[derive(Clone, Copy)]
pub(crate) struct Planes {
    width: usize,
    n_x: usize,
    pooled_width: usize,
    n_y: usize,
}

impl Pool2d {
    /// The last two of at least two dimensions.
    pub(crate) fn planes(&self, dims: &[usize]) -> Planes {
        let (height, width) = (dims[dims.len() - 2], dims[dims.len() - 1]);
        let pooled_width = width / self.size;
        Planes { width, n_x: height * width, pooled_width, n_y: height / self.size * pooled_width }
    }

    pub(crate) fn forward<T: Real>(&self, x: &[T], p: Planes) -> Vec<T> {
        let scale = T::of(self.kind.scale(self.size));
        let mut y = vec![T::zero(); x.len() / p.n_x.max(1) * p.n_y];
        y.par_chunks_mut(p.n_y).zip(x.par_chunks(p.n_x)).for_each(|(y, x)| {
            for (i, y) in y.iter_mut().enumerate() {
                let window = &x[self.window(i, p)..];
                *y = match self.kind {
                    PoolKind::Average | PoolKind::Sum => {
                        self.offsets(p).map(|at| window[at]).sum::<T>() * scale
                    }
                    PoolKind::Max => window[first_largest(window, self.size, 1, p.width)],
                };
            }
        });
        y
    }

    pub(crate) fn backward<T: Real>(&self, x: &[T], dy: &[T], p: Planes) -> Vec<T> {
        let scale = T::of(self.kind.scale(self.size));
        let mut dx = vec![T::zero(); x.len()];
        let planes = dx.par_chunks_mut(p.n_x).zip(x.par_chunks(p.n_x)).zip(dy.par_chunks(p.n_y));
        planes.for_each(|((dx, x), dy)| {
            for (i, &dy) in dy.iter().enumerate() {
                let window = self.window(i, p);
                match self.kind {
                    PoolKind::Average | PoolKind::Sum => {
                        self.offsets(p).for_each(|at| dx[window + at] = dy * scale);
                    }
                    PoolKind::Max => {
                        let at = first_largest(&x[window..], self.size, 1, p.width);
                        dx[window + at] = dy;
                    }
                }
            }
        });
        dx
    }

    /// Where the window of output `i` starts.
    fn window(&self, i: usize, p: Planes) -> usize {
        (i / p.pooled_width * p.width + i % p.pooled_width) * self.size
    }

    fn offsets(&self, p: Planes) -> impl Iterator<Item = usize> {
        let size = self.size;
        (0..size).flat_map(move |y| (0..size).map(move |x| y * p.width + x))
    }
}

impl CustomOp1 for Pool2d {
    fn name(&self) -> &'static str {
        "pool2d"
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> candle_core::Result<(CpuStorage, Shape)> {
        let dims = layout.dims();
        let planes = self.planes(dims);
        let y = match x {
            CpuStorage::F32(x) => {
                f32::to_cpu_storage_owned(self.forward(contiguous(x, layout)?, planes))
            }
            CpuStorage::F64(x) => {
                f64::to_cpu_storage_owned(self.forward(contiguous(x, layout)?, planes))
            }
            _ => candle_core::bail!("pool2d takes an f32 or f64 tensor"),
        };
        let dims = [dims[0], dims[1], dims[2] / self.size, dims[3] / self.size];
        Ok((y, dims.as_slice().into()))
    }

    #[cfg(feature = "cuda")]
    fn cuda_fwd(
        &self,
        x: &candle_core::CudaStorage,
        layout: &Layout,
    ) -> candle_core::Result<(candle_core::CudaStorage, Shape)> {
        cuda::forward(self, x, layout)
    }

    fn bwd(&self, x: &Tensor, _: &Tensor, dy: &Tensor) -> candle_core::Result<Option<Tensor>> {
        let dy = dy.contiguous()?;
        #[cfg(feature = "cuda")]
        if x.device().is_cuda() {
            return Ok(Some(x.apply_op2_no_bwd(&dy, &cuda::Backward(self))?));
        }
        let planes = self.planes(x.dims());
        let dx = if x.dtype() == DType::F32 {
            backward_tensor::<f32>(self, x, &dy, planes)?
        } else {
            backward_tensor::<f64>(self, x, &dy, planes)?
        };
        Ok(Some(dx))
    }
}

fn backward_tensor<T: Real>(
    op: &Pool2d,
    x: &Tensor,
    dy: &Tensor,
    planes: Planes,
) -> candle_core::Result<Tensor> {
    let dx = read::<T, _>(x, |x| read::<T, _>(dy, |dy| Ok(op.backward(x, dy, planes))));
    write(dx?, x.dims())
}

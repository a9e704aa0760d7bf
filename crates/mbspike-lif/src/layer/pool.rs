use candle_core::{Result, Tensor};
use candle_nn::Module;
use mbspike_core::pool::{PoolKind, pool2d};

/// Pooling of each step's map with a square window and the same stride, `[T, B, C, H, W]` to `[T, B, C,
/// H / size, W / size]`; rows and columns that fill no window are left out. The gradient of a maximum
/// goes to the first of equals.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pool {
    /// What is taken of a window.
    pub kind: PoolKind,
    /// Side of the window.
    pub size: usize,
}

impl Pool {
    /// Pools the last two of at least three dimensions.
    pub(crate) fn pooled(&self, x: &Tensor) -> mbspike_core::Result<Tensor> {
        let &[ref outer @ .., c, h, w] = x.dims() else {
            return Err(mbspike_core::Error::Shape {
                op: "pool",
                what: "x_seq",
                got: x.dims().to_vec(),
                expected: "[T, B, C, H, W]".into(),
            });
        };
        let y =
            pool2d(&x.reshape((outer.iter().product::<usize>(), c, h, w))?, self.kind, self.size)?;
        let mut dims = outer.to_vec();
        dims.extend_from_slice(&y.dims()[1..]);
        Ok(y.reshape(dims)?)
    }
}

impl Module for Pool {
    fn forward(&self, x_seq: &Tensor) -> Result<Tensor> {
        Ok(self.pooled(x_seq)?)
    }
}

//! Through a stage's product, and back: the gradients of its input and of its weights.

use mbspike_core::activity::n_nonzero;
use mbspike_core::conv::Conv;
use mbspike_core::norm::{add_moments, norm_backward};
use mbspike_core::product::{Left, Matrix, add_product};
use mbspike_core::round_to_bf16;
use rayon::prelude::*;

use super::plan::Dense;
use super::space::{Coefficients, Share, ThreadSpace, ThreadStage, copy_rows, rows_of_task};
use super::space_of_thread;
use super::weights::Packed;

/// A share of images through a convolution; with the moments of the sums where they are wanted.
pub(super) fn conv_forward(
    conv: &Conv,
    y: &mut [f32],
    x: &[f32],
    packed: &Packed,
    space: &mut ThreadStage,
    share: &mut Share,
    moments: bool,
) -> mbspike_core::Result<()> {
    let layout = conv.y_layout();
    if moments {
        share.reset_sums(layout);
    }
    let images = y.chunks_exact_mut(layout.len()).zip(x.chunks_exact(conv.x_layout().len()));
    for (y, x) in images {
        conv.forward(y, x, &packed.conv, &mut space.forward)?;
        if moments {
            add_moments(&mut share.first, &mut share.second, y)?;
        }
    }
    Ok(())
}

/// All rows through a dense layer.
pub(super) fn dense_forward(
    dense: &Dense,
    y: &mut [f32],
    x: &[f32],
    packed: &Packed,
    threads: &[std::sync::Mutex<ThreadSpace>],
) {
    let stride = dense.out_stride;
    let rows = rows_of_task(y.len() / stride);
    y.par_chunks_mut(rows * stride).enumerate().for_each(|(task, y)| {
        for row in y.chunks_exact_mut(stride) {
            row.copy_from_slice(&packed.bias);
        }
        let first = task * rows;
        let of_task = first..first + y.len() / stride;
        let matrix = Matrix::by_rows(x, dense.n_in);
        let a = Left { matrix, rows: of_task, k: dense.n_in, may_be_sparse: true };
        let b = (&packed.by_input[..], stride);
        let space = &mut space_of_thread(threads).product;
        add_product((y, stride), a, b, stride, space).expect("the plan's sizes fit each other");
    });
}

/// What a share needs to pass back through a convolution.
pub(super) struct ConvBack<'a> {
    pub(super) conv: &'a Conv,
    pub(super) packed: &'a Packed,
    /// Of batch normalization, where there is one.
    pub(super) coefficients: Option<&'a Coefficients>,
    pub(super) sums_bias: bool,
    pub(super) bf16: bool,
    /// Whether the gradient of the input is.
    pub(super) wanted: bool,
}

impl ConvBack<'_> {
    /// From the gradient of a share's normalized sums to those of its input and of the weights.
    #[expect(clippy::too_many_arguments, reason = "one call site, all of it slices of the share")]
    pub(super) fn run(
        &self,
        stage: usize,
        (grad_z, y): (&mut [f32], &[f32]),
        x: &[f32],
        grad_x: &mut [f32],
        dw: &mut [f32],
        share: &mut Share,
        space: &mut ThreadSpace,
    ) -> mbspike_core::Result<()> {
        let conv = self.conv;
        let space = &mut space.stages[stage];
        let layout = conv.y_layout();
        dw.fill(0.0);
        let images = grad_z
            .chunks_exact_mut(layout.len())
            .zip(y.chunks_exact(layout.len()))
            .zip(x.chunks_exact(conv.x_layout().len()));
        for (i, ((grad, y), x)) in images.enumerate() {
            if let Some(coefficients) = self.coefficients {
                norm_backward(grad, y, coefficients.gradient())?;
                if self.sums_bias {
                    for pixel in grad.chunks_exact(layout.stride) {
                        for (sum, g) in share.bias.iter_mut().zip(pixel) {
                            *sum += f64::from(*g);
                        }
                    }
                }
            }
            if self.bf16 {
                round_to_bf16(grad);
            }
            let grad_x = if self.wanted {
                let n = conv.dx_layout().len();
                &mut grad_x[i * n..][..n]
            } else {
                &mut [][..]
            };
            let n_nonzero = n_nonzero(grad);
            if n_nonzero == 0 {
                grad_x.fill(0.0);
                continue;
            }
            copy_rows(&mut space.padded, conv.dy_layout(), grad, layout);
            space.lists.fill(x);
            conv.backward_weight(dw, &space.padded, &space.lists)?;
            if self.wanted && conv.pays_to_skip_zeros(n_nonzero) {
                space.dy_nonzeros.fill(&space.padded);
                conv.backward_input_sparse(grad_x, &space.dy_nonzeros, &self.packed.conv)?;
            } else if self.wanted {
                conv.backward_input(grad_x, &space.padded, &self.packed.conv)?;
            }
        }
        Ok(())
    }
}

/// `dw[in][out] = Σ_rows x[row][in] · dy[row][out]`.
pub(super) fn dense_weight_gradient(
    dense: &Dense,
    dw: &mut [f32],
    dy: &[f32],
    x: &[f32],
    threads: &[std::sync::Mutex<ThreadSpace>],
) {
    let stride = dense.out_stride;
    let inputs = rows_of_task(dense.n_in);
    let n_rows = dy.len() / stride;
    dw.par_chunks_mut(inputs * stride).enumerate().for_each(|(task, dw)| {
        dw.fill(0.0);
        let first = task * inputs;
        let of_task = first..first + dw.len() / stride;
        let matrix = Matrix::by_rows(x, dense.n_in).transposed();
        let a = Left { matrix, rows: of_task, k: n_rows, may_be_sparse: true };
        let space = &mut space_of_thread(threads).product;
        add_product((dw, stride), a, (dy, stride), stride, space)
            .expect("the plan's sizes fit each other");
    });
}

/// `dx[row][in] = Σ_out dy[row][out] · w[out][in]`.
pub(super) fn dense_input_gradient(
    dense: &Dense,
    dx: &mut [f32],
    dy: &[f32],
    packed: &Packed,
    threads: &[std::sync::Mutex<ThreadSpace>],
) {
    let (n_in, stride) = (dense.n_in, dense.out_stride);
    let rows = rows_of_task(dx.len() / n_in);
    dx.par_chunks_mut(rows * n_in).enumerate().for_each(|(task, dx)| {
        dx.fill(0.0);
        let first = task * rows;
        let of_task = first..first + dx.len() / n_in;
        let matrix = Matrix::by_rows(dy, stride);
        let a = Left { matrix, rows: of_task, k: dense.n_out, may_be_sparse: false };
        let b = (&packed.by_output[..], n_in);
        let space = &mut space_of_thread(threads).product;
        add_product((dx, n_in), a, b, n_in, space).expect("the plan's sizes fit each other");
    });
}

//! Weights in the order of the kernels, and gradients back from it.

use mbspike_core::conv::PackedWeights;
use mbspike_core::{Result, carry, n_subnormal, round_to_bf16};
use rayon::prelude::*;

use super::edge::RecurrentWeights;
use super::plan::{Dense, Neurons, Product};
use crate::Parameter;
use crate::quantization::fake_quantize;

/// A stage's weights in the order of its kernels.
#[derive(Debug, Default)]
pub(super) struct Packed {
    pub(super) conv: PackedWeights,
    /// `[in, out padded]` and `[out, in]`, channels last.
    pub(super) by_input: Vec<f32>,
    pub(super) by_output: Vec<f32>,
    /// `[out padded]`, zero where there is no bias.
    pub(super) bias: Vec<f32>,
    pub(super) recurrent: RecurrentWeights,
    rounded: Vec<f32>,
    /// Weights of a convolution over gathered blocks.
    over_blocks: Vec<f32>,
}

impl Packed {
    /// Reads the parameters' values; operands are rounded to bf16, weights to int8, where wanted.
    /// Gradients are those of the rounded values, and go to the parameters as they are.
    pub(super) fn pack(
        &mut self,
        neurons: &Neurons,
        parameters: &[Parameter],
        bf16: bool,
        int8: bool,
        training: bool,
    ) -> Result<()> {
        let mut rounded = std::mem::take(&mut self.rounded);
        let n_outputs = neurons.layout.channels;
        let done = mbspike_core::read::<f32, _>(&parameters[neurons.weight].var, |values| {
            let values = as_operand(&mut rounded, values, n_outputs, bf16, int8);
            match neurons.bias {
                Some(bias) => mbspike_core::read::<f32, _>(&parameters[bias].var, |bias| {
                    self.pack_values(neurons, values, Some(bias), training)
                }),
                None => self.pack_values(neurons, values, None, training),
            }
        });
        let done = done.and_then(|()| {
            let Some(recurrent) = &neurons.recurrent else { return Ok(()) };
            mbspike_core::read::<f32, _>(&parameters[recurrent.weight].var, |values| {
                let values = as_operand(&mut rounded, values, n_outputs, bf16, int8);
                recurrent.pack(&mut self.recurrent, values);
                Ok(())
            })
        });
        self.rounded = rounded;
        done
    }

    fn pack_values(
        &mut self,
        neurons: &Neurons,
        weight: &[f32],
        bias: Option<&[f32]>,
        training: bool,
    ) -> Result<()> {
        match &neurons.product {
            Product::Conv(conv, None) => conv.pack(&mut self.conv, weight, bias)?,
            Product::Conv(conv, Some(taps)) => {
                taps.spread(&mut self.over_blocks, weight);
                conv.pack(&mut self.conv, &self.over_blocks, bias)?;
            }
            Product::Dense(dense) => {
                self.by_input.resize(dense.n_in * dense.out_stride, 0.0);
                fill_by_input(&mut self.by_input, dense, weight);
                if training {
                    self.by_output.resize(dense.n_out * dense.n_in, 0.0);
                    fill_by_output(&mut self.by_output, dense, weight);
                }
                self.bias.resize(dense.out_stride, 0.0);
                if let Some(bias) = bias {
                    self.bias[..bias.len()].copy_from_slice(bias);
                }
            }
        }
        Ok(())
    }
}

/// Weights as operands, in `rounded` where they are others than their values.
fn as_operand<'a>(
    rounded: &'a mut Vec<f32>,
    values: &'a [f32],
    n_outputs: usize,
    bf16: bool,
    int8: bool,
) -> &'a [f32] {
    if !bf16 && !int8 && n_subnormal(values) == 0 {
        return values;
    }
    rounded.clear();
    rounded.extend_from_slice(values);
    // A file of weights may have what a step of ours would have ended at 0.
    carry(rounded);
    if int8 {
        fake_quantize(rounded, n_outputs);
    }
    if bf16 {
        round_to_bf16(rounded);
    }
    rounded
}

/// Inputs whose columns are read together while outputs pass: about a cache line of each weight row.
const RUN: usize = 16;

fn fill_by_input(by_input: &mut [f32], dense: &Dense, weight: &[f32]) {
    let (n_columns, stride) = (dense.n_columns(), dense.out_stride);
    by_input.par_chunks_mut(dense.chunk * stride).zip(&dense.order).enumerate().for_each(
        |(chunk, (rows, order))| {
            let first = chunk * dense.chunk;
            for run in order.chunks(RUN) {
                for (o, weight) in weight.chunks_exact(n_columns).enumerate() {
                    for &(input, column) in run {
                        rows[(input as usize - first) * stride + o] = weight[column as usize];
                    }
                }
            }
        },
    );
}

fn fill_by_output(by_output: &mut [f32], dense: &Dense, weight: &[f32]) {
    let rows = by_output.par_chunks_mut(dense.n_in).zip(weight.par_chunks(dense.n_columns()));
    rows.with_min_len(RUN).for_each(|(row, weight)| {
        for (w, column) in row.iter_mut().zip(&dense.columns) {
            if let Some(column) = *column {
                *w = weight[column as usize];
            }
        }
    });
}

/// A dense layer's gradient `[in, out padded]` as that of its weight, `[out, in]`.
pub(super) fn unpack_dense(dense: &Dense, sum: &[f32]) -> Vec<f32> {
    let n_columns = dense.n_columns();
    let mut grad = vec![0.0; n_columns * dense.n_out];
    grad.par_chunks_mut(RUN * n_columns).enumerate().for_each(|(chunk, rows)| {
        let first = chunk * RUN;
        for (sum, column) in sum.chunks_exact(dense.out_stride).zip(&dense.columns) {
            if let Some(column) = *column {
                let sums = &sum[first..];
                for (row, sum) in rows.chunks_exact_mut(n_columns).zip(sums) {
                    row[column as usize] = *sum;
                }
            }
        }
    });
    grad
}

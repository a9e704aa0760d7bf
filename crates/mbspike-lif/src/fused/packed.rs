//! Weights in the order of the kernels, and gradients back from it.

use mbspike_core::conv::PackedWeights;
use mbspike_core::{Result, carry, n_subnormal, round_to_bf16};

use super::plan::{PlannedStage, Stage};
use crate::Parameter;
use crate::quantization::fake_quantize;

/// A stage's weights in the order of its kernels.
#[derive(Debug, Default)]
pub(super) struct PackedStage {
    pub(super) conv: PackedWeights,
    /// `[in, out padded]` and `[out, in]`, channels last.
    pub(super) by_input: Vec<f32>,
    pub(super) by_output: Vec<f32>,
    pub(super) bias: Vec<f32>,
    n_weight_gradient: usize,
    n_bias_gradient: usize,
    rounded: Vec<f32>,
}

impl PackedStage {
    pub(super) fn new(planned: &PlannedStage) -> Self {
        let mut packed = Self::default();
        match &planned.stage {
            Stage::Conv { conv, bias, .. } => {
                packed.n_weight_gradient = conv.n_gradient();
                packed.n_bias_gradient = if bias.is_some() { conv.y_layout().stride } else { 0 };
            }
            Stage::Dense { dense, bias, .. } => {
                packed.n_weight_gradient = dense.n_in() * dense.out_stride();
                packed.n_bias_gradient = if bias.is_some() { dense.out_stride() } else { 0 };
                packed.by_input = vec![0.0; packed.n_weight_gradient];
                packed.by_output = vec![0.0; dense.n_in() * dense.n_out()];
                packed.bias = vec![0.0; dense.out_stride()];
            }
            Stage::Pool(_) | Stage::Dropout { .. } => {}
        }
        packed
    }

    pub(super) fn n_gradients(&self) -> usize {
        self.n_weight_gradient + self.n_bias_gradient
    }

    /// Reads the parameters' values; operands are rounded to bf16, weights to int8, where wanted.
    /// Gradients are those of the rounded values, and go to the parameters as they are.
    pub(super) fn pack(
        &mut self,
        planned: &PlannedStage,
        parameters: &[Parameter],
        bf16: bool,
        int8: bool,
    ) -> Result<()> {
        let (weight, bias) = match &planned.stage {
            Stage::Conv { weight, bias, .. } | Stage::Dense { weight, bias, .. } => {
                (*weight, *bias)
            }
            Stage::Pool(_) | Stage::Dropout { .. } => return Ok(()),
        };
        mbspike_core::read::<f32, _>(&parameters[weight].var, |values| {
            let mut rounded = std::mem::take(&mut self.rounded);
            let has_small = n_subnormal(values) > 0;
            let values = if bf16 || int8 || has_small {
                rounded.clear();
                rounded.extend_from_slice(values);
                // A file of weights may have what a step of ours would have ended at 0.
                carry(&mut rounded);
                if int8 {
                    fake_quantize(&mut rounded, planned.n_out());
                }
                if bf16 {
                    round_to_bf16(&mut rounded);
                }
                &rounded
            } else {
                values
            };
            let packed = match bias {
                Some(bias) => mbspike_core::read::<f32, _>(&parameters[bias].var, |bias| {
                    self.pack_values(planned, values, Some(bias))
                }),
                None => self.pack_values(planned, values, None),
            };
            self.rounded = rounded;
            packed
        })
    }

    fn pack_values(
        &mut self,
        planned: &PlannedStage,
        weight: &[f32],
        bias: Option<&[f32]>,
    ) -> Result<()> {
        match &planned.stage {
            Stage::Conv { conv, .. } => conv.pack(&mut self.conv, weight, bias)?,
            Stage::Dense { dense, columns, .. } => {
                let n_columns = weight.len() / dense.n_out();
                let stride = dense.out_stride();
                for (o, row) in weight.chunks_exact(n_columns).enumerate() {
                    let by_output = &mut self.by_output[o * columns.len()..][..columns.len()];
                    for (i, column) in columns.iter().enumerate() {
                        if let Some(column) = *column {
                            by_output[i] = row[column as usize];
                            self.by_input[i * stride + o] = row[column as usize];
                        }
                    }
                }
                if let Some(bias) = bias {
                    self.bias[..bias.len()].copy_from_slice(bias);
                }
            }
            Stage::Pool(_) | Stage::Dropout { .. } => {}
        }
        Ok(())
    }
}

/// Gradient sums of one stage, in the order of its kernels.
#[derive(Debug, Default)]
pub(super) struct StageGradient {
    pub(super) weight: Vec<f32>,
    pub(super) bias: Vec<f32>,
}

impl StageGradient {
    pub(super) fn reset(&mut self, packed: &PackedStage) {
        self.weight.resize(packed.n_weight_gradient, 0.0);
        self.weight.fill(0.0);
        self.bias.resize(packed.n_bias_gradient, 0.0);
        self.bias.fill(0.0);
    }

    /// Hands each parameter's gradient, in PyTorch's order, to `take`.
    pub(super) fn unpack(
        &self,
        planned: &PlannedStage,
        mut take: impl FnMut(usize, Vec<f32>) -> crate::Result<()>,
    ) -> crate::Result<()> {
        let (n_bias, bias) = match &planned.stage {
            Stage::Conv { conv, weight, bias, .. } => {
                let mut grad = vec![0.0; conv.shape().n_weights()];
                conv.unpack_gradient(&mut grad, &self.weight)?;
                take(*weight, grad)?;
                (conv.shape().out_channels, bias)
            }
            Stage::Dense { dense, weight, bias, columns, .. } => {
                let n_columns = columns.iter().flatten().count();
                let mut grad = vec![0.0; n_columns * dense.n_out()];
                for (i, column) in columns.iter().enumerate() {
                    if let Some(column) = *column {
                        for o in 0..dense.n_out() {
                            grad[o * n_columns + column as usize] =
                                self.weight[i * dense.out_stride() + o];
                        }
                    }
                }
                take(*weight, grad)?;
                (dense.n_out(), bias)
            }
            Stage::Pool(_) | Stage::Dropout { .. } => return Ok(()),
        };
        match bias {
            Some(bias) => take(*bias, self.bias[..n_bias].to_vec()),
            None => Ok(()),
        }
    }
}

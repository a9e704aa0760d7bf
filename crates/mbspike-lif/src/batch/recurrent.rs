//! Neurons that hear each other one step later, `x[t] + W s[t−1]`: sample by sample, a step at a time.

use mbspike_core::dense::{Dense, nonzeros};
use mbspike_core::lif::{lif_backward_from_h, lif_forward_keep_h};
use mbspike_core::{LifParams, Result};

use super::space::Share;

/// The recurrent edge of a dense layer's neurons.
#[derive(Debug)]
pub(super) struct Recurrent {
    /// The place of `W` `[out, in]` among the parameters.
    pub(super) weight: usize,
    /// Of the sizes of `W`.
    pub(super) dense: Dense,
}

/// `W` in the order of the kernels.
#[derive(Debug, Default)]
pub(super) struct RecurrentWeights {
    /// `[in, out padded]`.
    by_input: Vec<f32>,
    /// `[out, in]`.
    by_output: Vec<f32>,
}

/// Working memory of one thread.
#[derive(Debug, Default)]
pub(super) struct RecurrentSpace {
    v: Vec<f32>,
    s: Vec<f32>,
    step: Vec<f32>,
    index: Vec<u32>,
    value: Vec<f32>,
}

impl RecurrentSpace {
    /// Room for `n` neurons; membranes and spikes of zero.
    fn start(&mut self, n: usize) {
        for values in [&mut self.v, &mut self.s, &mut self.step] {
            values.clear();
            values.resize(n, 0.0);
        }
        self.index.resize(self.index.len().max(n + 1), 0);
        self.value.resize(self.value.len().max(n + 1), 0.0);
    }
}

impl Recurrent {
    pub(super) fn pack(&self, packed: &mut RecurrentWeights, weight: &[f32]) {
        let (n, stride) = (self.dense.n_out(), self.dense.out_stride());
        packed.by_output.clear();
        packed.by_output.extend_from_slice(weight);
        packed.by_input.resize(n * stride, 0.0);
        for (out, row) in weight.chunks_exact(n).enumerate() {
            for (input, w) in row.iter().enumerate() {
                packed.by_input[input * stride + out] = *w;
            }
        }
    }

    /// One sample's neurons through all steps: `sums_to_h` `[T, n padded]` are their sums before, their
    /// membranes after charge afterwards. `on_step(t, s, h)` is given each step.
    pub(super) fn forward(
        &self,
        sums_to_h: &mut [f32],
        lif: &LifParams,
        weights: &RecurrentWeights,
        space: &mut RecurrentSpace,
        mut on_step: impl FnMut(usize, &[f32], &[f32]),
    ) -> Result<()> {
        let (n, stride) = (self.dense.n_out(), self.dense.out_stride());
        space.start(stride);
        for (t, h) in sums_to_h.chunks_exact_mut(stride).enumerate() {
            let heard = nonzeros(&mut space.index, &mut space.value, &space.s[..n]);
            if heard > 0 {
                let (index, value) = (&space.index[..heard], &space.value[..heard]);
                let sums = Some(&*h);
                self.dense.forward(&mut space.step, index, value, &weights.by_input, sums)?;
                h.copy_from_slice(&space.step);
            }
            lif_forward_keep_h(&mut space.s, h, &mut space.v, lif)?;
            on_step(t, &space.s, h);
        }
        Ok(())
    }

    /// Back through all steps of one sample, from its membranes `h` and the gradient of its spikes,
    /// both `[T, n padded]`; the latter becomes that of its sums. Adds the gradients of the weights,
    /// `[in, out padded]`, and of a bias to the share's sums.
    pub(super) fn backward(
        &self,
        grad_s_to_sums: &mut [f32],
        h: &[f32],
        lif: &LifParams,
        weights: &RecurrentWeights,
        share: &mut Share,
        space: &mut RecurrentSpace,
    ) -> Result<()> {
        let (n, stride) = (self.dense.n_out(), self.dense.out_stride());
        space.start(stride);
        let n_steps = h.len() / stride;
        for t in (0..n_steps).rev() {
            let (now, later) = grad_s_to_sums[t * stride..].split_at_mut(stride);
            let h = &h[t * stride..][..stride];
            if let Some(later) = later.get(..stride) {
                self.dense.backward_input(&mut space.step[..n], later, &weights.by_output)?;
                now.iter_mut().zip(&space.step[..n]).for_each(|(g, more)| *g += more);
                mbspike_core::lif::fire(&mut space.s, h, lif)?;
                let sent = nonzeros(&mut space.index, &mut space.value, &space.s[..n]);
                let (index, value) = (&space.index[..sent], &space.value[..sent]);
                self.dense.backward_weight(&mut share.recurrent, later, index, value)?;
            }
            lif_backward_from_h(now, &mut space.v, h, lif)?;
            share.first.iter_mut().zip(&*now).for_each(|(sum, g)| *sum += f64::from(*g));
        }
        Ok(())
    }

    /// The gradient `[in, out padded]` as that of the weight, `[out, in]`.
    pub(super) fn unpack(&self, dw: &[f32]) -> Vec<f32> {
        let (n, stride) = (self.dense.n_out(), self.dense.out_stride());
        let mut grad = vec![0.0; n * n];
        for (out, row) in grad.chunks_exact_mut(n).enumerate() {
            row.iter_mut().enumerate().for_each(|(input, g)| *g = dw[input * stride + out]);
        }
        grad
    }
}

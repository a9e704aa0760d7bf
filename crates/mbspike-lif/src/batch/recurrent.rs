//! Neurons that hear each other one step later, `x[t] + W s[t−1]`: sample by sample, a step at a time.

use mbspike_core::dense::nonzeros;
use mbspike_core::lif::{lif_backward_from_h, lif_forward_keep_h};
use mbspike_core::{LifParams, Result};

use super::edge::{Recurrent, RecurrentSpace, RecurrentWeights};
use super::space::Share;

impl Recurrent {
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

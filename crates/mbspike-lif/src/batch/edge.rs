//! A recurrent edge: where its weights are, and what is kept of it.

use mbspike_core::dense::Dense;

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
    pub(super) by_input: Vec<f32>,
    /// `[out, in]`.
    pub(super) by_output: Vec<f32>,
}

/// Working memory of one thread.
#[derive(Debug, Default)]
pub(super) struct RecurrentSpace {
    pub(super) v: Vec<f32>,
    pub(super) s: Vec<f32>,
    pub(super) step: Vec<f32>,
    pub(super) index: Vec<u32>,
    pub(super) value: Vec<f32>,
}

impl RecurrentSpace {
    /// Room for `n` neurons; membranes and spikes of zero.
    pub(super) fn start(&mut self, n: usize) {
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
}

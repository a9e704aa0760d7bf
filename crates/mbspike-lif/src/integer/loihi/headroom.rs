//! How far states can get, for each neuron.

use serde::Serialize;

use super::cell::{DECAY_UNITY, LARGEST_STATE, LoihiCell, STATE_BITS};
use super::network::{LoihiLayer, LoihiNetwork, LoihiWeights};

/// What the neurons of a layer can reach, on any input.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Headroom {
    /// The layer.
    pub layer: String,
    /// Its neurons.
    pub n_neurons: usize,
    /// Those of which no state can leave 24 bits, whatever they are fed.
    pub n_safe: usize,
    /// The largest absolute membrane that any of them can reach, in membranes that fit: above 1 it
    /// may be cut off.
    pub worst: f64,
}

impl LoihiNetwork {
    /// What each layer's neurons can reach in `n_steps` steps of any input: the sums of their
    /// absolute weights, times the largest payload, step after step, without any spike that would take
    /// something off.
    pub fn headroom(&self, n_steps: usize) -> Vec<Headroom> {
        let mut largest = i64::from(self.config.largest_input);
        let layers = self.config.layers.iter().zip(&self.weights);
        layers
            .map(|(layer, numbers)| {
                let headroom = layer.headroom(numbers, largest, n_steps);
                largest = layer.cell.levels().into();
                headroom
            })
            .collect()
    }
}

impl LoihiLayer {
    /// [`LoihiNetwork::headroom`] of one layer whose payloads are at most `largest`.
    pub(super) fn headroom(
        &self,
        numbers: &LoihiWeights,
        largest: i64,
        n_steps: usize,
    ) -> Headroom {
        let places = self.output[1] * self.output[2];
        let limit = f64::from(LARGEST_STATE);
        let (mut n_safe, mut worst) = (0, 0.0_f64);
        for (row, bias) in numbers.weight.chunks_exact(self.fan_in()).zip(&numbers.bias) {
            // Windows at the edges see fewer weights; those inside see all.
            let sum: i64 = row.iter().map(|w| i64::from(*w).abs()).sum();
            let sum = sum * largest;
            let bias = f64::from(bias << self.cell.bias_exp).abs();
            let [current, membrane] =
                self.cell.reach((sum << self.cell.shift) as f64, bias, n_steps);
            let of_sum =
                if self.is_dense { 0.0 } else { sum as f64 / f64::from(1 << (STATE_BITS - 1)) };
            let reached = (membrane / limit).max(current / limit).max(of_sum);
            worst = worst.max(reached);
            n_safe += if reached <= 1.0 { places } else { 0 };
        }
        let (layer, n_neurons) = (self.name.clone(), self.n_neurons());
        Headroom { layer, n_neurons, n_safe, worst }
    }
}

impl LoihiCell {
    /// The largest absolute current and membrane in `n_steps` steps of sums of at most `x`, in units of
    /// the state.
    pub(super) fn reach(&self, x: f64, bias: f64, n_steps: usize) -> [f64; 2] {
        let share = |decay: i32| f64::from(DECAY_UNITY - decay) / f64::from(DECAY_UNITY);
        let (alpha, beta) = (share(self.du + 1), share(self.dv));
        let (mut u, mut v) = (0.0_f64, 0.0_f64);
        for _ in 0..n_steps {
            u = alpha * u + x;
            v = beta * v + u + bias;
        }
        [u, v]
    }
}

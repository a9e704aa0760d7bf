//! The models of the thesis (Chapter 5): energy from averages.

use crate::Picojoules;

/// Eq. 5.1, the energy of training on a GPU in units of the constant c: `T · S`, time steps times
/// the iterations to an accuracy.
pub fn training(time_steps: u64, n_iterations: u64) -> f64 {
    time_steps as f64 * n_iterations as f64
}

/// A layer as eqs. 5.2 and 5.3 see it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RatedLayer {
    /// F: operations of the dense layer in one time step of one sample.
    pub dense_operations: u64,
    /// fr: share of non-zero elements among what the layer listens to, in `0..=1`.
    pub firing_rate: f64,
}

/// Eqs. 5.2 and 5.3, the energy of the inference of one sample: `Σ F · fr · E · T` over the layers.
///
/// With `operation` the energy of an addition this is eq. 5.2, with that of a multiply-add eq. 5.3.
pub fn inference(layers: &[RatedLayer], time_steps: u64, operation: Picojoules) -> Picojoules {
    let operations: f64 =
        layers.iter().map(|layer| layer.dense_operations as f64 * layer.firing_rate).sum();
    operation * (operations * time_steps as f64)
}

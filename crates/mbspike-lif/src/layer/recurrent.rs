use candle_core::Result;
use candle_nn::{Init, VarBuilder};

use super::{Cells, NeuronParams, neuron_layer};

/// A layer of neurons that hear each other one step later: `x[t] + W s[t−1]` is their current,
/// `[T, B, N]` to `[T, B, N]`.
#[derive(Debug, Clone)]
pub struct Recurrent(Cells);

/// A [`Recurrent`] layer of `n` neurons with the variable `weight` `[n, n]`, uniform in `±1/√n`.
///
/// # Errors
/// If a parameter is out of range.
pub fn recurrent(
    n: usize,
    params: impl Into<NeuronParams>,
    vb: VarBuilder<'_>,
) -> Result<Recurrent> {
    let cells = Cells::new(params.into())?;
    let bound = 1.0 / (n as f64).sqrt();
    let weight = vb.get_with_hints((n, n), "weight", Init::Uniform { lo: -bound, up: bound })?;
    Ok(Recurrent(cells.with_recurrent(weight)))
}

neuron_layer!(Recurrent);

use candle_core::{Result, Tensor};
use candle_nn::{Init, Module, VarBuilder};
use mbspike_core::{Decay, LifParams, Reset};

use super::{Cells, State, Stateful};

/// A layer of leaky integrators: neurons that never fire, whose membrane is what they send,
/// `v[t] = β v[t−1] + g x[t]`. For readouts.
#[derive(Debug, Clone)]
pub struct Li(Cells);

fn params(decay: Decay, decay_input: bool) -> LifParams {
    LifParams { decay, decay_input, reset: Reset::None {}, ..LifParams::new(1) }
}

impl Li {
    /// A layer with that leak; `decay_input` multiplies the input by `1 − β`.
    ///
    /// # Errors
    /// If the leak is out of range.
    pub fn new(decay: Decay, decay_input: bool) -> crate::Result<Self> {
        Ok(Self(Cells::new(params(decay, decay_input).into())?))
    }
}

/// An [`Li`] layer with the variable `tau` `[1]`, that starts from `tau` steps.
///
/// # Errors
/// If `tau` is out of range.
pub fn li(tau: f64, decay_input: bool, vb: VarBuilder<'_>) -> Result<Li> {
    let cells = Cells::new(params(Decay::Tau(tau), decay_input).into())?;
    Ok(Li(cells.with_tau(vb.get_with_hints(1, "tau", Init::Const(tau))?)))
}

impl Module for Li {
    /// Membranes `[T, B, …]` of currents `[T, B, …]`, from zero state.
    fn forward(&self, x_seq: &Tensor) -> Result<Tensor> {
        Ok(self.forward_state(x_seq, &State::default())?.0)
    }
}

impl Stateful for Li {
    fn forward_state(&self, x_seq: &Tensor, state: &State) -> Result<(Tensor, State)> {
        self.0.membranes(x_seq, state)
    }
}

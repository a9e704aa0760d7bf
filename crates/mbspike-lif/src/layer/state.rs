use candle_core::{Result, Tensor};
use candle_nn::Module;

/// What a layer of neurons is in between two steps. The default is zero state.
///
/// Tensors have the shape of a step, `[B, …]`. They carry gradients: [`State::detach`] cuts them, as
/// truncated backpropagation through time does.
#[derive(Debug, Clone, Default)]
pub struct State {
    /// The membrane after reset.
    pub v: Option<Tensor>,
    /// The synaptic current, of neurons that have one.
    pub i_syn: Option<Tensor>,
    /// What the threshold has adapted by, in units of its strength, of neurons whose threshold does.
    pub adaptation: Option<Tensor>,
    /// What was sent last, of recurrent layers.
    pub s: Option<Tensor>,
}

impl State {
    /// The same without gradients.
    #[must_use]
    pub fn detach(&self) -> Self {
        let of = |tensor: &Option<Tensor>| tensor.as_ref().map(Tensor::detach);
        Self {
            v: of(&self.v),
            i_syn: of(&self.i_syn),
            adaptation: of(&self.adaptation),
            s: of(&self.s),
        }
    }
}

/// A layer whose state is passed by hand.
pub trait Stateful: Module {
    /// What the layer sends `[T, B, …]` for `x_seq` `[T, B, …]`, and its state afterwards; `state` is
    /// that before, `State::default()` the zero that `forward` starts from. However a sequence is cut,
    /// the results are the same bits.
    ///
    /// # Errors
    /// If a tensor of the state does not have the shape of a step of `x_seq`.
    fn forward_state(&self, x_seq: &Tensor, state: &State) -> Result<(Tensor, State)>;
}

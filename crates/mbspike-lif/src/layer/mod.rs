//! Neuron layers as [`candle_nn::Module`]s, to put networks together by hand.
//!
//! A layer is a small struct that owns its tensors. It takes a sequence `[T, B, …]`, time first, and
//! is differentiable end to end under candle's autograd. Constructors in lower case make a layer's
//! variables on a [`VarBuilder`](candle_nn::VarBuilder); layers without variables have `new`.
//!
//! State is passed, never kept: [`Module::forward`](candle_nn::Module::forward) starts from zero, and
//! [`Stateful::forward_state`] goes on from a [`State`], so that a sequence fed step by step gives the
//! bits of the whole.
//!
//! | layer | equation of its own (the step is in [`mbspike_core::lif`]) |
//! |---|---|
//! | [`Lif`] | `h[t] = β v[t−1] + g x[t]`, with everything in [`NeuronParams`] |
//! | [`If`] | the same without leak: `h[t] = v[t−1] + x[t]` |
//! | [`Plif`] | τ is learned, one for the layer or one a channel |
//! | [`LearnedThreshold`] | θ is learned, one for the layer or one a channel |
//! | [`CubaLif`] | `i[t] = β_syn i[t−1] + x[t]` is what charges the membrane |
//! | [`Alif`] | the threshold rises with the neuron's own spikes |
//! | [`Li`] | no spikes: the membrane is what is sent |
//! | [`Recurrent`] | `W s[t−1]` is added to the current |
//! | [`OverTime`], [`OverTimeT`] | any layer without time, over steps and samples at once |
//! | [`EachStep`] | any layer without time, step by step: a stream gives the bits of the whole sequence |
//! | [`Pool`], [`Dropout`] | pooling of each step; a mask that is the same at all steps |
//! | [`readout`], [`objective`] | from a sequence to scores to a loss, as plain functions |
//!
//! ```
//! use candle_core::{DType, Device, Tensor};
//! use candle_nn::{Module, VarBuilder, VarMap};
//! use mbspike_lif::layer::{Lif, NeuronParams, OverTime, State, Stateful};
//!
//! let vars = VarMap::new();
//! let vb = VarBuilder::from_varmap(&vars, DType::F32, &Device::Cpu);
//! let fc = OverTime(candle_nn::linear_no_bias(4, 3, vb.pp("fc"))?);
//! let lif = Lif::new(NeuronParams::new(2))?;
//!
//! let x_seq = Tensor::rand(0_f32, 2.0, (6, 2, 4), &Device::Cpu)?; // [T, B, N]
//! let current = fc.forward(&x_seq)?;
//! let whole = lif.forward(&current)?;
//! let (first, state) = lif.forward_state(&current.narrow(0, 0, 2)?, &State::default())?;
//! let (rest, _) = lif.forward_state(&current.narrow(0, 2, 4)?, &state)?;
//! let streamed = Tensor::cat(&[first, rest], 0)?;
//! assert_eq!(whole.flatten_all()?.to_vec1::<f32>()?, streamed.flatten_all()?.to_vec1::<f32>()?);
//! # Ok::<(), candle_core::Error>(())
//! ```

mod alif;
mod cells;
mod cuba;
mod dropout;
mod integrate;
mod li;
mod lif;
pub mod objective;
mod over_time;
mod params;
mod plif;
mod pool;
pub mod readout;
mod recurrent;
mod state;
mod threshold;

pub use alif::Alif;
pub(crate) use cells::{Cells, Wanted};
pub use cuba::CubaLif;
pub use dropout::Dropout;
pub use integrate::If;
pub use li::{Li, li};
pub use lif::Lif;
pub use over_time::{EachStep, OverTime, OverTimeT};
pub use params::{Adaptation, Extent, NeuronParams};
pub use plif::{Plif, plif};
pub use pool::Pool;
pub use recurrent::{Recurrent, recurrent};
pub use state::{State, Stateful};
pub use threshold::{LearnedThreshold, learned_threshold};

/// What every layer of neurons that is [`Cells`] and nothing else has.
macro_rules! neuron_layer {
    ($layer:ident) => {
        impl $layer {
            /// Its parameters, without what is learned.
            pub fn params(&self) -> &crate::layer::NeuronParams {
                self.0.params()
            }
        }

        impl candle_nn::Module for $layer {
            /// Spikes `[T, B, …]` of currents `[T, B, …]`, from zero state.
            fn forward(
                &self,
                x_seq: &candle_core::Tensor,
            ) -> candle_core::Result<candle_core::Tensor> {
                self.0.spikes(x_seq)
            }
        }

        impl crate::layer::Stateful for $layer {
            fn forward_state(
                &self,
                x_seq: &candle_core::Tensor,
                state: &crate::layer::State,
            ) -> candle_core::Result<(candle_core::Tensor, crate::layer::State)> {
                self.0.spikes_and_state(x_seq, state)
            }
        }
    };
}
pub(crate) use neuron_layer;

use candle_nn::{Init, VarBuilder};
use mbspike_core::Decay;

use super::{Cells, Extent, NeuronParams, neuron_layer};
use crate::Error;

/// A layer of parametric LIF neurons, whose time constant is learned with the weights (PLIF, Fang et
/// al. 2021, <https://arxiv.org/abs/2007.05785>). τ itself is the variable; below 1 it counts as 1.
#[derive(Debug, Clone)]
pub struct Plif(Cells);

/// A [`Plif`] layer with the variable `tau`, `[1]` or `[C]`, that starts from the time constant of
/// `params`.
///
/// # Errors
/// If a parameter is out of range, or the leak is given as β.
pub fn plif(
    extent: Extent,
    params: impl Into<NeuronParams>,
    vb: VarBuilder<'_>,
) -> candle_core::Result<Plif> {
    let params = params.into();
    let Decay::Tau(tau) = params.lif.decay else {
        return Err(Error::InvalidParameter {
            name: "decay",
            expected: "a time constant where it is learned",
            got: format!("{:?}", params.lif.decay),
        }
        .into());
    };
    let cells = Cells::new(params)?;
    let tau = vb.get_with_hints(extent.len(), "tau", Init::Const(tau))?;
    Ok(Plif(cells.with_tau(tau)))
}

neuron_layer!(Plif);

use candle_nn::{Init, VarBuilder};

use super::{Cells, Extent, NeuronParams, neuron_layer};

/// A layer of neurons whose threshold is learned with the weights. Below 0.001 it counts as 0.001. The
/// surrogate's shift grows with it where that is centred.
#[derive(Debug, Clone)]
pub struct LearnedThreshold(Cells);

/// A [`LearnedThreshold`] layer with the variable `v_threshold`, `[1]` or `[C]`, that starts from that
/// of `params`.
///
/// # Errors
/// If a parameter is out of range.
pub fn learned_threshold(
    extent: Extent,
    params: impl Into<NeuronParams>,
    vb: VarBuilder<'_>,
) -> candle_core::Result<LearnedThreshold> {
    let params = params.into();
    let cells = Cells::new(params)?;
    let init = Init::Const(params.lif.v_threshold);
    let v_threshold = vb.get_with_hints(extent.len(), "v_threshold", init)?;
    Ok(LearnedThreshold(cells.with_v_threshold(v_threshold)))
}

neuron_layer!(LearnedThreshold);

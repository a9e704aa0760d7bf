//! The curves of a neuron, for figures of it.

/// What there is to draw of a neuron: its spikes and their gradients over the membrane.
#[derive(Debug, Clone, PartialEq)]
pub struct NeuronCurves {
    /// Membranes after charge in thresholds, ascending: the places of all values.
    pub membranes: Vec<f64>,
    /// The spike function of some numbers of bits.
    pub spikes: Vec<SpikeCurves>,
    /// Bits that `gradients` are of.
    pub gradient_bits: u32,
    /// The gradient of a spike by several surrogates, four at most.
    pub gradients: Vec<Curve>,
}

/// The spike function of a number of bits.
#[derive(Debug, Clone, PartialEq)]
pub struct SpikeCurves {
    /// Bits a spike.
    pub bits: u32,
    /// The spike itself.
    pub spike: Vec<f64>,
    /// The sigmoid at the threshold.
    pub at_threshold: Vec<f64>,
    /// The sigmoid in the staircase's middle.
    pub centred: Vec<f64>,
}

/// A line with its name.
#[derive(Debug, Clone, PartialEq)]
pub struct Curve {
    /// Its name.
    pub label: String,
    /// A value for each membrane.
    pub values: Vec<f64>,
}

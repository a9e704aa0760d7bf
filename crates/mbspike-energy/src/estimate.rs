use serde::{Deserialize, Serialize};

use crate::used::Used;
use crate::{Hardware, OperationCounts, Picojoules, Result};

/// Where energy goes.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize)]
pub struct Breakdown {
    /// Arithmetic of synaptic events.
    pub synapses: Picojoules,
    /// Updates of membranes.
    pub neurons: Picojoules,
    /// Finding the weights and neurons of an event.
    pub addressing: Picojoules,
    /// Reads and writes of weights, membranes and spikes.
    pub memory: Picojoules,
    /// Spikes on their way between cores, without their payload.
    pub spikes: Picojoules,
    /// Payload of spikes.
    pub payload: Picojoules,
    /// Leakage while the time of the inference passes.
    pub leakage: Picojoules,
}

impl Breakdown {
    /// All parts together.
    pub fn total(&self) -> Picojoules {
        self.synapses
            + self.neurons
            + self.addressing
            + self.memory
            + self.spikes
            + self.payload
            + self.leakage
    }

    pub(crate) fn scaled(self, factor: f64) -> Self {
        Self {
            synapses: self.synapses * factor,
            neurons: self.neurons * factor,
            addressing: self.addressing * factor,
            memory: self.memory * factor,
            spikes: self.spikes * factor,
            payload: self.payload * factor,
            leakage: self.leakage * factor,
        }
    }
}

/// Time of the inference of one sample, in nanoseconds.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize)]
pub struct Time {
    /// Work of the busiest layer's cores, over all time steps.
    pub work_ns: f64,
    /// Spikes on their way.
    pub hops_ns: f64,
    /// Synchronization barriers.
    pub barriers_ns: f64,
}

impl Time {
    /// All parts together.
    pub fn total_ns(&self) -> f64 {
        self.work_ns + self.hops_ns + self.barriers_ns
    }
}

/// Energy, and time where the model has it, of the inference of one sample.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Estimate {
    /// Energy in all.
    pub total: Picojoules,
    /// Its parts over all layers.
    pub parts: Breakdown,
    /// Name and parts of each layer.
    pub layers: Vec<(String, Breakdown)>,
    /// Time, where the model estimates it and the hardware has it.
    pub time: Option<Time>,
    /// Numbers that stand for others: `spiking.hop_pj from loihi1`.
    pub fallbacks: Vec<String>,
    /// Numbers that no table has, and whose part is left out.
    pub left_out: Vec<&'static str>,
}

impl Estimate {
    /// From sums over all samples.
    pub(crate) fn of(counts: &OperationCounts, layers: Vec<Breakdown>, used: Used) -> Self {
        let per_sample = 1.0 / counts.n_samples.max(1) as f64;
        let layers: Vec<(String, Breakdown)> = counts
            .layers
            .iter()
            .zip(layers)
            .map(|(layer, parts)| (layer.name.clone(), parts.scaled(per_sample)))
            .collect();
        let sum = |part: fn(&Breakdown) -> Picojoules| layers.iter().map(|(_, b)| part(b)).sum();
        let parts = Breakdown {
            synapses: sum(|b| b.synapses),
            neurons: sum(|b| b.neurons),
            addressing: sum(|b| b.addressing),
            memory: sum(|b| b.memory),
            spikes: sum(|b| b.spikes),
            payload: sum(|b| b.payload),
            leakage: sum(|b| b.leakage),
        };
        let Used { fallbacks, left_out } = used;
        Self { total: parts.total(), parts, layers, time: None, fallbacks, left_out }
    }
}

/// Element type of weights and sums.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    /// Weights of 8 bits, multiplied as such and added up in 32 bits.
    Int8,
    /// Integers of 32 bits.
    Int32,
    /// Half precision.
    Fp16,
    /// Single precision: 0.9 pJ an addition and 4.6 pJ a multiply-add at 45 nm, as usually cited.
    #[default]
    Fp32,
}

impl Precision {
    /// Energies of an addition and of a multiply-add.
    ///
    /// # Errors
    /// If the hardware does not have them.
    pub fn costs(self, hardware: &Hardware) -> Result<(Picojoules, Picojoules)> {
        let (add, multiply) = match self {
            Self::Int8 => ("arithmetic.int32_add_pj", "arithmetic.int8_mult_pj"),
            Self::Int32 => ("arithmetic.int32_add_pj", "arithmetic.int32_mult_pj"),
            Self::Fp16 => ("arithmetic.fp16_add_pj", "arithmetic.fp16_mult_pj"),
            Self::Fp32 => ("arithmetic.fp32_add_pj", "arithmetic.fp32_mult_pj"),
        };
        let mut used = Used::default();
        let add = hardware.require("arithmetic", add, &mut used)?;
        let multiply = hardware.require("arithmetic", multiply, &mut used)?;
        Ok((Picojoules(add), Picojoules(add + multiply)))
    }
}

/// Energy of the arithmetic alone: an addition for an event of binary spikes, a multiply-add for one
/// of graded spikes.
///
/// # Errors
/// If the hardware lacks the energy of an addition or multiplication in that precision.
pub fn arithmetic(
    counts: &OperationCounts,
    hardware: &Hardware,
    precision: Precision,
) -> Result<Estimate> {
    let (add, multiply_add) = precision.costs(hardware)?;
    let layers = counts.layers.iter().map(|layer| {
        let event = if layer.multiplies() { multiply_add } else { add };
        Breakdown { synapses: event * layer.synaptic_events as f64, ..Breakdown::default() }
    });
    Ok(Estimate::of(counts, layers.collect(), Used::default()))
}

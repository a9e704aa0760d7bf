//! Runs grouped by what was swept, and their energy relative to one bit.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{Model, RunEnergy, by_model};
use crate::figure::{group_label, group_order};

/// The repeats of one point of a sweep.
#[derive(Debug, Clone)]
pub struct EnergyGroup {
    /// What sets it apart: `2 bit`, `2 bit, T = 4`.
    pub label: String,
    /// Its repeats.
    pub runs: Vec<RunEnergy>,
}

impl EnergyGroup {
    /// The repeats' values of a quantity, where they have it.
    pub fn values(&self, of: impl Fn(&RunEnergy) -> Option<f64>) -> Vec<f64> {
        self.runs.iter().filter_map(of).collect()
    }

    /// Energies of one inference in picojoules, by model and hardware.
    pub fn energies(&self) -> BTreeMap<(Model, String), Vec<f64>> {
        by_model(&self.runs, |estimate| Some(estimate.total.0))
    }

    /// Times of one inference in nanoseconds, by model and hardware, where they are estimated.
    pub fn times(&self) -> BTreeMap<(Model, String), Vec<f64>> {
        by_model(&self.runs, |estimate| estimate.time.map(|time| time.total_ns()))
    }

    fn bits(&self) -> u32 {
        self.runs[0].summary.bits
    }

    /// The swept values besides bits and time steps.
    fn others(&self) -> BTreeMap<&String, &Value> {
        let traded = ["neuron.bits", "encoder.time_steps"];
        let values = self.runs[0].summary.values.iter();
        values.filter(|(key, _)| !traded.contains(&key.as_str())).collect()
    }
}

/// Runs grouped by what was swept.
#[derive(Debug, Clone)]
pub struct EnergySweep {
    /// The points, in the order of the swept values.
    pub groups: Vec<EnergyGroup>,
}

impl EnergySweep {
    /// Groups runs by their swept values.
    pub fn of(mut runs: Vec<RunEnergy>) -> Self {
        runs.sort_by_cached_key(|run| (group_order(&run.summary), run.summary.repeat));
        let mut groups: Vec<EnergyGroup> = Vec::new();
        for run in runs {
            let label = group_label(&run.summary.values, run.summary.bits);
            match groups.iter_mut().find(|group| group.label == label) {
                Some(group) => group.runs.push(run),
                None => groups.push(EnergyGroup { label, runs: vec![run] }),
            }
        }
        Self { groups }
    }

    /// The groups' labels.
    pub fn labels(&self) -> Vec<String> {
        self.groups.iter().map(|group| group.label.clone()).collect()
    }

    /// The 1-bit group that `group` is compared with: of those that differ from it in bits and time
    /// steps alone, or else of all, the one with the most time steps. `None` without 1-bit runs.
    pub fn reference(&self, group: &EnergyGroup) -> Option<&EnergyGroup> {
        let one_bit = || self.groups.iter().filter(|other| other.bits() == 1);
        let time_steps = |other: &&EnergyGroup| other.runs[0].summary.time_steps;
        let alike = one_bit().filter(|other| other.others() == group.others());
        alike.max_by_key(time_steps).or_else(|| one_bit().max_by_key(time_steps))
    }

    /// What groups are compared with: the label of the one reference of all, or `1 bit`.
    pub fn reference_label(&self) -> &str {
        let mut labels = self.groups.iter().filter_map(|g| Some(self.reference(g)?.label.as_str()));
        match labels.next() {
            Some(first) if labels.all(|label| label == first) => first,
            _ => "1 bit",
        }
    }

    /// For each group the repeats' values of a quantity, divided by the mean of its 1-bit
    /// [reference](Self::reference); `None` for a group without one, or without values.
    pub fn normalized(&self, of: impl Fn(&EnergyGroup) -> Vec<f64>) -> Vec<Option<Vec<f64>>> {
        let relative = |group: &EnergyGroup| {
            let reference = of(self.reference(group)?);
            let mean = reference.iter().sum::<f64>() / reference.len() as f64;
            let values: Vec<f64> = of(group).iter().map(|value| value / mean).collect();
            (mean > 0.0 && !values.is_empty()).then_some(values)
        };
        self.groups.iter().map(relative).collect()
    }
}

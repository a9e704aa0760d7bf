//! Runs grouped by what was swept, with their energies.

use std::collections::BTreeMap;

use mbspike_energy::Estimate;

use super::estimate::{Model, RunEnergy};
use crate::group::{Group, Groups};
use crate::repeats::Repeats;

/// The repeats of one point of a sweep.
pub type EnergyGroup = Group<RunEnergy>;

/// Runs grouped by what was swept.
pub type EnergySweep = Groups<RunEnergy>;

impl EnergyGroup {
    /// Energy of training, eq. 5.1, in units of its constant c. Runs that did not reach the target count
    /// with their length.
    pub fn training(&self) -> Repeats {
        self.repeats_or_bounds(|run| run.training.map(|energy| (energy.energy_c, !energy.reached)))
    }

    /// Energies of one inference in picojoules, by model and hardware.
    pub fn energies(&self) -> BTreeMap<(Model, String), Repeats> {
        self.by_model(|estimate| Some(estimate.total.0))
    }

    /// Times of one inference in nanoseconds, by model and hardware, where they are estimated.
    pub fn times(&self) -> BTreeMap<(Model, String), Repeats> {
        self.by_model(|estimate| estimate.time.map(|time| time.total_ns()))
    }

    fn by_model(
        &self,
        of: impl Fn(&Estimate) -> Option<f64>,
    ) -> BTreeMap<(Model, String), Repeats> {
        let estimates = self.runs.iter().flat_map(|run| &run.estimates);
        let keys = estimates.map(|estimate| (estimate.model, estimate.hardware.clone()));
        let of_key = |key: (Model, String)| {
            let repeats = self.repeats(|run| {
                let mut all = run.estimates.iter();
                let found = all.find(|e| e.model == key.0 && e.hardware == key.1)?;
                of(&found.estimate)
            });
            (!repeats.is_empty()).then_some((key, repeats))
        };
        keys.filter_map(of_key).collect()
    }
}

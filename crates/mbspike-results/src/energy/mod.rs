//! Energy of trained runs, from what their networks were counted to do.

mod estimate;
mod group;
mod save;

pub use estimate::{
    Model, RunEnergy, RunEstimate, TrainingEnergy, builtin_hardware, estimate_run, from_records,
    runs_in,
};
pub use group::{EnergyGroup, EnergySweep};
pub use save::{CSV_FILE, LAYERS_FILE, OPERATIONS_FILE, read_counts, save, write_counts};

//! Figures of a run folder, as SVG and PNG, drawn from saved records alone.
//!
//! [`draw_all`] reads a run folder and writes every figure that its records allow into
//! `<folder>/figures/`. Each figure is also a function of plain data: [`train_accuracy`],
//! [`test_accuracy`], [`time_to_target`], [`final_accuracy`], [`nonzero_rate`],
//! [`final_nonzero_rate`], [`step_time()`] from a [`RunSet`](mbspike_results::RunSet),
//! [`neuron_figures`] from the curves of a neuron, [`events()`] from a recording. [`draw_energy`] does
//! the same for estimates of energy.
//!
//! Bars and bands are 95 % confidence intervals of a mean, by Student's t distribution, from three repeats
//! on, and each figure says so; where an axis cuts one, an arrow or a dotted edge says that. What was not
//! reached is an open arrow. A figure that would say nothing is [`Error::NoData`].
//!
//! All figures are made of a few parts, which keep texts whole and apart: a sheet in ink that pages turn
//! dark, axes, a legend, and marks of intervals and bounds.

mod accuracy;
mod axes;
mod canvas;
mod dot_plot;
mod draw;
mod energy;
mod error;
mod events;
mod heat_map;
mod hover;
mod interval;
mod legend;
mod line_panels;
mod nonzero_rate;
mod ranges;
mod scatter;
mod spike_function;
mod step_time;
mod style;
mod target;
pub(crate) mod words;

pub use accuracy::{
    accuracy_difference, accuracy_grid, confusion, final_accuracy, loss, test_accuracy,
    train_accuracy,
};
pub use canvas::{Figure, Theme};
pub use draw::{draw_all, draw_energy, figures};
pub use energy::{
    accuracy_energy, energy_figures, energy_sensitivity, inference_energy_by_model,
    inference_energy_normalized, inference_time, pareto_fronts, training_energy,
    training_energy_normalized,
};
pub use error::{Error, Result};
pub use events::{Recording, events};
pub use nonzero_rate::{final_nonzero_rate, nonzero_rate};
pub use spike_function::neuron_figures;
pub use step_time::step_time;
pub use target::{relative_time_by_target, relative_time_to_target, time_to_target};

//! All figures of a folder.

use std::path::{Path, PathBuf};

use mbspike_results::energy::EnergySweep;
use mbspike_results::files::FIGURES_FOLDER;
use mbspike_results::neuron::NeuronCurves;
use mbspike_results::{Lock, RunSet, TargetKind, TargetOptions};

use super::accuracy::{
    accuracy_difference, accuracy_grid, confusion, final_accuracy, loss, test_accuracy,
    train_accuracy,
};
use super::canvas::Figure;
use super::energy::energy_figures;
use super::error::{Error, Result};
use super::nonzero_rate::{final_nonzero_rate, nonzero_rate};
use super::spike_function::neuron_figures;
use super::step_time::step_time;
use super::target::{relative_time_by_target, relative_time_to_target, time_to_target};

/// Draws every figure that the runs of a folder allow into `<folder>/figures/`, and those of the neuron
/// where its curves are given, and returns the files written.
///
/// A figure for which there are no records yet is left out, so a sweep still running can be drawn
/// at any time.
///
/// # Errors
/// If there is no run in the folder, a record cannot be read or a file cannot be written.
pub fn draw_all(
    folder: &Path,
    options: &TargetOptions,
    neuron: Option<&NeuronCurves>,
) -> Result<Vec<PathBuf>> {
    let runs = RunSet::read(folder)?;
    let neuron = neuron.into_iter().flat_map(neuron_figures);
    save_all(folder, figures(&runs, options).into_iter().chain(neuron))
}

/// Every figure of a sweep, in the order of the text; [`Error::NoData`] stands for one that the
/// records do not allow yet.
pub fn figures(runs: &RunSet, options: &TargetOptions) -> Vec<Result<Figure>> {
    vec![
        train_accuracy(runs, options),
        test_accuracy(runs, options),
        loss(runs),
        time_to_target(runs, TargetKind::TrainIterations, options),
        relative_time_to_target(runs, options),
        relative_time_by_target(runs, options),
        time_to_target(runs, TargetKind::TestEpochs, options),
        final_accuracy(runs),
        accuracy_difference(runs),
        accuracy_grid(runs),
        confusion(runs),
        nonzero_rate(runs, options),
        final_nonzero_rate(runs),
        step_time(runs),
    ]
}

/// Draws every figure of energy that the runs allow into `<folder>/figures/` and returns the files
/// written.
///
/// # Errors
/// If a figure cannot be drawn or a file cannot be written.
pub fn draw_energy(folder: &Path, sweep: &EnergySweep) -> Result<Vec<PathBuf>> {
    save_all(folder, energy_figures(sweep))
}

/// Saves what there is to draw, under the folder's lock.
fn save_all(
    folder: &Path,
    figures: impl IntoIterator<Item = Result<Figure>>,
) -> Result<Vec<PathBuf>> {
    let mut drawn = Vec::new();
    for figure in figures {
        match figure {
            Ok(figure) => drawn.push(figure),
            Err(Error::NoData { .. }) => {}
            Err(error) => return Err(error),
        }
    }
    let into = folder.join(FIGURES_FOLDER);
    let _lock = Lock::wait(folder)?;
    fs_err::create_dir_all(&into)?;
    mbspike_files::remove_partial(&into)?;
    let mut files = Vec::new();
    for figure in drawn {
        files.extend(figure.save(&into)?);
    }
    Ok(files)
}

//! Energy of trained runs, from what their networks were counted to do.

use std::path::{Path, PathBuf};

use mbspike_energy::thesis::{self, RatedLayer};
use mbspike_energy::{
    Estimate, Hardware, OperationCounts, Picojoules, Precision, Swing, sensitivity,
};
use serde::Serialize;

use super::counts::read_counts;
use crate::error::{Error, Result};
use crate::files::{SUMMARY_FILE, read_summary, runs_over};
use crate::record::{Status, Summary};

/// The models that are computed where a table has their numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Model {
    /// [`mbspike_energy::arithmetic`] in single precision.
    Arithmetic,
    /// [`mbspike_energy::memory_aware`].
    MemoryAware,
    /// [`mbspike_energy::chip`].
    Chip,
}

impl Model {
    const ALL: [Self; 3] = [Self::Arithmetic, Self::MemoryAware, Self::Chip];

    /// `arithmetic`, `memory-aware` or `chip`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Arithmetic => "arithmetic",
            Self::MemoryAware => "memory-aware",
            Self::Chip => "chip",
        }
    }

    fn estimate(
        self,
        counts: &OperationCounts,
        hardware: &Hardware,
    ) -> mbspike_energy::Result<Estimate> {
        match self {
            Self::Arithmetic => mbspike_energy::arithmetic(counts, hardware, Precision::Fp32),
            Self::MemoryAware => mbspike_energy::memory_aware(counts, hardware),
            Self::Chip => mbspike_energy::chip(counts, hardware),
        }
    }
}

/// One model's answer for one run on one hardware.
#[derive(Debug, Clone, Serialize)]
pub struct RunEstimate {
    /// The model.
    pub model: Model,
    /// Name of the hardware table.
    pub hardware: String,
    /// Energy and time of the inference of one sample.
    #[serde(flatten)]
    pub estimate: Estimate,
    /// What the uncertain numbers of the table do to it, the most first.
    pub sensitivity: Vec<Swing>,
}

/// Energy of training, eq. 5.1, in units of its constant c.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct TrainingEnergy {
    /// `T · S`.
    pub energy_c: f64,
    /// Whether the run reached the target; if not, S is its length and this a lower bound.
    pub reached: bool,
}

impl AsRef<Summary> for RunEnergy {
    fn as_ref(&self) -> &Summary {
        &self.summary
    }
}

/// Energy of one run.
#[derive(Debug, Clone, Serialize)]
pub struct RunEnergy {
    /// The run's folder.
    #[serde(serialize_with = "mbspike_files::serialize_path")]
    pub folder: PathBuf,
    /// How the run went.
    pub summary: Summary,
    /// What its network did on the test set; without layers if that is not counted.
    pub counts: OperationCounts,
    /// Eq. 5.1, where the run has a target.
    pub training: Option<TrainingEnergy>,
    /// Eq. 5.2, energy of one inference with 45 nm additions in single precision; `None` where the record
    /// does not say what the network's layers are.
    pub inference_ac: Option<Picojoules>,
    /// Eq. 5.3, with multiply-adds.
    pub inference_mac: Option<Picojoules>,
    /// The other models.
    pub estimates: Vec<RunEstimate>,
}

/// What can be said of the runs in `folder` that have not diverged without evaluating them: all
/// estimates where the operations of each are counted already; else eqs. 5.1 to 5.3 alone, for which
/// the network and the records are enough.
///
/// # Errors
/// If there is no such run or one cannot be read.
pub fn from_records(folder: &Path) -> Result<Vec<RunEnergy>> {
    let mut runs = Vec::new();
    for run in runs_in(folder)? {
        let summary = read_summary(&run.join(SUMMARY_FILE))?;
        if summary.status == Status::Finished {
            let counts = read_counts(&run, summary.weights.as_deref())?;
            runs.push((run, summary, counts));
        }
    }
    let are_counted = runs.iter().all(|(_, _, counts)| counts.is_some());
    let hardware = if are_counted { builtin_hardware()? } else { vec![] };
    let of_run = |(folder, summary, counts): (PathBuf, Summary, Option<OperationCounts>)| {
        let counts = counts.filter(|_| are_counted).unwrap_or_default();
        estimate_run(&folder, summary, counts, &hardware)
    };
    runs.into_iter().map(of_run).collect()
}

/// All built-in tables of hardware.
///
/// # Errors
/// If one is wrong, which is a fault of the program.
pub fn builtin_hardware() -> Result<Vec<Hardware>> {
    Ok(Hardware::names().map(Hardware::builtin).collect::<std::result::Result<_, _>>()?)
}

/// The folder itself if it is a run's, or the runs in it.
///
/// # Errors
/// If there is none.
pub fn runs_in(folder: &Path) -> Result<Vec<PathBuf>> {
    if folder.join(SUMMARY_FILE).is_file() {
        return Ok(vec![folder.to_owned()]);
    }
    let runs = runs_over(folder)?;
    if runs.is_empty() { Err(Error::NoRuns(folder.to_owned())) } else { Ok(runs) }
}

/// Estimates the energy of a run from what its network did; without counted layers, eqs. 5.1 to 5.3
/// alone, as far as the record has what they need.
///
/// # Errors
/// If a table of hardware has the numbers of no estimate or an impossible one.
pub fn estimate_run(
    folder: &Path,
    summary: Summary,
    counts: OperationCounts,
    hardware: &[Hardware],
) -> Result<RunEnergy> {
    let training = summary.target_accuracy.map(|_| TrainingEnergy {
        energy_c: thesis::training(
            summary.time_steps as u64,
            summary.iterations_to_target.unwrap_or(summary.n_iterations),
        ),
        reached: summary.iterations_to_target.is_some(),
    });
    // What layer l listens to fires at the rate of position l: the input, then the neurons.
    let rates = summary.final_nonzero_rate.iter();
    let dense_macs = match &counts.layers[..] {
        [] => summary.dense_macs.clone(),
        layers => layers.iter().map(|layer| layer.dense_macs).collect(),
    };
    let rated: Vec<RatedLayer> = dense_macs
        .into_iter()
        .zip(rates)
        .map(|(dense_operations, rate)| RatedLayer { dense_operations, firing_rate: *rate })
        .collect();
    let (add, multiply_add) = Precision::Fp32.costs(&Hardware::builtin("cmos-45nm")?)?;
    let inference = |operation| {
        let energy = thesis::inference(&rated, summary.time_steps as u64, operation);
        (!rated.is_empty()).then_some(energy)
    };
    let mut estimates = Vec::new();
    for table in hardware {
        let n_before = estimates.len();
        for model in Model::ALL {
            match model.estimate(&counts, table) {
                Ok(estimate) => estimates.push(RunEstimate {
                    model,
                    hardware: table.name.clone(),
                    estimate,
                    sensitivity: sensitivity(table, |table| model.estimate(&counts, table))?,
                }),
                Err(mbspike_energy::Error::MissingNumber { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        if estimates.len() == n_before {
            return Err(Error::NoEstimate(table.name.clone()));
        }
    }
    Ok(RunEnergy {
        folder: folder.to_owned(),
        training,
        inference_ac: inference(add),
        inference_mac: inference(multiply_add),
        estimates,
        summary,
        counts,
    })
}

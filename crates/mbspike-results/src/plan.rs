//! What a sweep is to consist of.

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::files::{PLAN_FILE, SWEEP_FILE, read_json, read_toml, write_json};
use crate::identity::{Difference, Identity, first_difference};
use crate::label::Names;

/// The runs that an experiment asks for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// Name of the experiment.
    pub name: String,
    /// The config as resolved, the text of `sweep.toml`.
    pub config: String,
    /// The runs, in the order of the sweep.
    pub runs: Vec<PlannedRun>,
}

/// A run that is to be done, or is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PlannedRun {
    /// Name of its folder.
    pub id: String,
    /// Which run it is.
    pub identity: Identity,
    /// The swept values: dotted key of the config to value.
    pub values: BTreeMap<String, serde_json::Value>,
    /// Which repeat it is, counted from 1.
    pub repeat: u32,
    /// The kind of device that it is computed on: `cpu` or `cuda`.
    pub device: String,
    /// Bits a spike.
    pub bits: u32,
    /// Bits a spike for each layer, where they differ; else empty.
    #[serde(default)]
    pub layer_bits: Vec<u32>,
}

/// What to do about a damaged plan.
const REMEDY: &str = "remove it, and the next run of the sweep writes it anew";

impl Plan {
    /// The plan of the sweep in `folder`, if there is one.
    ///
    /// # Errors
    /// If it cannot be read or is not as it was written.
    pub fn read(folder: &Path) -> Result<Option<Self>> {
        let path = folder.join(PLAN_FILE);
        if !path.is_file() {
            return Ok(None);
        }
        read_json(&path, REMEDY).map(Some)
    }

    /// Writes the plan and its `sweep.toml` into the sweep's folder.
    ///
    /// # Errors
    /// If a file cannot be written.
    pub fn write(&self, folder: &Path) -> Result<()> {
        mbspike_files::write(&folder.join(SWEEP_FILE), |file| {
            file.write_all(self.config.as_bytes())
        })?;
        write_json(&folder.join(PLAN_FILE), self)
    }

    /// The first key, outside `[sweep]`, in which the config in `folder` decides other results than
    /// `config`, with its values there and here; `None` if there is no such key or no config.
    ///
    /// # Errors
    /// If a file cannot be read.
    pub fn difference(folder: &Path, config: &toml::Table) -> Result<Option<Difference>> {
        let there = match Self::read(folder)? {
            Some(plan) => plan.config.parse().map_err(|error: toml::de::Error| Error::Toml {
                path: folder.join(PLAN_FILE),
                message: error.message().to_owned(),
            })?,
            None if folder.join(SWEEP_FILE).is_file() => read_toml(&folder.join(SWEEP_FILE))?,
            None => return Ok(None),
        };
        let without_sweep = |table: &toml::Table| {
            let mut table = table.clone();
            table.remove("sweep");
            table
        };
        let swept: Vec<String> = swept_keys(&there).chain(swept_keys(config)).collect();
        Ok(first_difference(&without_sweep(&there), &without_sweep(config), &swept))
    }

    /// Labels of the groups of runs, in the order of the sweep.
    pub fn labels(&self) -> Vec<String> {
        let names =
            Names::of(self.runs.iter().flat_map(|run| run.values.keys().map(String::as_str)));
        let mut labels: Vec<String> = Vec::new();
        for run in &self.runs {
            let label = names.label(&run.values, run.bits, &run.layer_bits);
            if !labels.contains(&label) {
                labels.push(label);
            }
        }
        labels
    }
}

/// The dotted keys in the part `[sweep]` of a resolved config.
fn swept_keys(config: &toml::Table) -> impl Iterator<Item = String> {
    let sweep = config.get("sweep").and_then(toml::Value::as_table);
    let points = sweep.and_then(|sweep| sweep.get("point")).and_then(toml::Value::as_array);
    let of_points = points.into_iter().flatten().filter_map(toml::Value::as_table).flatten();
    let keys = sweep.into_iter().flatten().chain(of_points).map(|(key, _)| key.clone());
    keys.filter(|key| !["repeats", "samples", "point"].contains(&key.as_str()))
        .collect::<Vec<_>>()
        .into_iter()
}

//! What is to be said of one folder of runs.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use mbspike_results::conversion::read_variants;
use mbspike_results::energy::{self, EnergySweep};
use mbspike_results::files::{
    CONFIG_FILE, METRICS_FILE, SUMMARY_FILE, SWEEP_FILE, read_toml, sub_folders,
};
use mbspike_results::{
    Plan, Record, Reference, RunGroup, RunSet, Summary, TargetOptions, read_metrics,
};

use super::error::Error;
use super::page::{Block, Captioned, Part, RunRow, Section, Table, sentence};
use super::tables;
use crate::figure::{self, Figure, energy_figures, pareto_fronts};

/// Names of runs in a note; of more, the number is enough.
const MAX_NAMES: usize = 12;

/// A folder of runs, as it was found.
struct Folder<'a> {
    path: PathBuf,
    reference: Option<Cow<'a, Reference>>,
    name: String,
    /// The sweep that is to be run in it, where that is known.
    planned: Option<Plan>,
    /// The runs that are over.
    runs: RunSet,
    /// Names of the folders of runs that have begun.
    begun: Vec<String>,
    /// Runs that have begun and are not over, with the epochs they have done.
    unfinished: Vec<(String, usize)>,
    /// The config of the sweep as given, where that is known.
    given: Option<toml::Table>,
    /// The config of a run with all defaults, or of the sweep as long as no run has begun.
    config: toml::Table,
}

/// Reads a folder of runs, which is `inside` the folder that the report is of.
pub(super) fn read(
    path: &Path,
    inside: &Path,
    reference: Option<&Reference>,
) -> Result<Section, Error> {
    let folder = Folder::read(path, reference)?;
    let mut parts = vec![
        Part { title: "Runs", blocks: folder.runs_part(inside) },
        Part { title: "Results", blocks: folder.results_part()? },
        Part { title: "Beside the reference", blocks: folder.reference_part() },
        Part { title: "Figures", blocks: folder.figures(folder.result_figures())? },
        Part { title: "Energy", blocks: folder.energy_part()? },
        Part { title: "Config", blocks: folder.config_part()? },
        Part { title: "Environment", blocks: folder.environment_part() },
    ];
    parts.retain(|part| !part.blocks.is_empty());
    Ok(Section { name: folder.name, parts })
}

impl<'a> Folder<'a> {
    fn read(path: &Path, reference: Option<&'a Reference>) -> Result<Self, Error> {
        let planned = Plan::read(path)?;
        let sweep_file = path.join(SWEEP_FILE);
        let given = if sweep_file.is_file() { Some(read_toml(&sweep_file)?) } else { None };
        let runs = match RunSet::read(path) {
            Err(mbspike_results::Error::NoRuns(_)) => RunSet::of(vec![]),
            runs => runs?,
        };
        let (mut begun, mut unfinished, mut config) = (Vec::new(), Vec::new(), None);
        for run in sub_folders(path)? {
            let config_file = run.join(CONFIG_FILE);
            if !config_file.is_file() {
                continue;
            }
            begun.push(file_name(&run));
            if config.is_none() {
                config = Some(read_toml(&config_file)?);
            }
            if !run.join(SUMMARY_FILE).is_file() {
                unfinished.push((file_name(&run), n_epochs(&run)?));
            }
        }
        let config = config.or_else(|| given.clone()).unwrap_or_default();
        let reference = match reference {
            Some(reference) => Some(Cow::Borrowed(reference)),
            None => named_reference(path, given.as_ref().unwrap_or(&config))?.map(Cow::Owned),
        };
        Ok(Self {
            path: path.to_owned(),
            name: match (&planned, given.as_ref().and_then(|table| table.get("name"))) {
                (Some(plan), _) => plan.name.clone(),
                (None, Some(toml::Value::String(name))) => name.clone(),
                _ => file_name(path),
            },
            reference,
            planned,
            runs,
            begun,
            unfinished,
            given,
            config,
        })
    }

    /// All runs that are over, diverged ones among them.
    fn summaries(&self) -> impl Iterator<Item = &Summary> {
        let runs = self.runs.groups.iter().flat_map(|group| &group.runs);
        runs.chain(self.runs.diverged()).map(|run| &run.summary)
    }

    fn runs_part(&self, inside: &Path) -> Vec<Block> {
        let conclusion = self.runs.conclusion(&TargetOptions::default()).map(Block::Conclusion);
        let rows = self.facts().into_iter().map(|(name, fact)| vec![name.to_owned(), fact]);
        let table = Table {
            caption: "What was run.".to_owned(),
            head: vec![String::new(), String::new()],
            rows: rows.collect(),
            is_numeric: false,
        };
        let notes = self.notes();
        let notes = (!notes.is_empty()).then_some(Block::Notes(notes));
        let all = self.run_rows(inside);
        let all = (!all.is_empty()).then_some(Block::Runs(all));
        conclusion.into_iter().chain([Block::Table(table)]).chain(notes).chain(all).collect()
    }

    fn run_rows(&self, inside: &Path) -> Vec<RunRow> {
        let percent = |share: Option<f64>| {
            share.map_or_else(|| "–".to_owned(), |share| format!("{:.2}", 100.0 * share))
        };
        let row = |label: &str, summary: &Summary| RunRow {
            folder: inside.join(&summary.id).to_string_lossy().into_owned(),
            id: summary.id.clone(),
            cells: vec![
                label.to_owned(),
                percent(summary.final_test_accuracy),
                percent(summary.best_test_accuracy),
                summary.n_epochs.to_string(),
                format!("{:.0}", summary.wall_time_s),
            ],
        };
        let groups = self.runs.groups.iter().chain(&self.runs.lost);
        let of_group = |group: &RunGroup| {
            let runs = group.runs.iter().chain(&group.diverged);
            runs.map(|run| row(&group.label, &run.summary)).collect::<Vec<_>>()
        };
        groups.flat_map(of_group).collect()
    }

    fn facts(&self) -> Vec<(&'static str, String)> {
        let planned = self.planned.iter().flat_map(|plan| &plan.runs);
        let swept: BTreeSet<&String> = self
            .summaries()
            .flat_map(|summary| summary.values.keys())
            .chain(planned.flat_map(|point| point.values.keys()))
            .collect();
        let value = |key: &str| {
            if swept.iter().any(|swept| *swept == key) {
                return Some("swept".to_owned());
            }
            let find = |table: Option<&toml::Value>, key: &str| table?.get(key).cloned();
            let mut keys = key.split('.');
            let first = self.config.get(keys.next()?).cloned();
            let found = keys.fold(first, |value, key| find(value.as_ref(), key))?;
            Some(found.as_str().map_or_else(|| found.to_string(), str::to_owned))
        };
        let list = |parts: &[(&str, &str, &str)]| {
            let part = |(before, key, after): &(&str, &str, &str)| {
                Some(format!("{before}{}{after}", value(key)?))
            };
            parts.iter().filter_map(part).collect::<Vec<_>>().join(", ")
        };
        let mut facts = vec![];
        let summary = self.summaries().next();
        let samples = summary.map(|summary| {
            let set = &summary.dataset;
            format!(": {} training and {} test samples", set.n_train, set.n_test)
        });
        facts.push((
            "dataset",
            list(&[("", "dataset.name", "")]) + samples.as_deref().unwrap_or_default(),
        ));
        let n_parameters = summary.map(|s| format!(", {} trainable numbers", s.n_parameters));
        facts.push((
            "network",
            list(&[("", "network.arch", ""), ("preset ", "network.preset", "")])
                + n_parameters.as_deref().unwrap_or_default(),
        ));
        facts.push((
            "encoder",
            list(&[("", "encoder.kind", ""), ("T = ", "encoder.time_steps", "")]),
        ));
        facts.push((
            "neuron",
            list(&[
                ("bits ", "neuron.bits", ""),
                ("τ = ", "neuron.tau", ""),
                ("θ = ", "neuron.v_threshold", ""),
                ("reset ", "neuron.reset.kind", ""),
                ("surrogate ", "neuron.surrogate.kind", ""),
                ("shift ", "neuron.shift", ""),
            ]),
        ));
        facts.push((
            "training",
            list(&[
                ("", "train.epochs", " epochs"),
                ("batches of ", "train.batch_size", ""),
                ("", "train.optimizer.kind", ""),
                ("learning rate ", "train.optimizer.lr", ""),
                ("schedule ", "train.scheduler.kind", ""),
                ("", "train.precision", ""),
            ]),
        ));
        let labels = self.labels();
        facts.push(("points", format!("{}: {}", labels.len(), labels.join("; "))));
        if let Some(target) = self.runs.target() {
            facts.push(("target accuracy", tables::percent(target)));
        }
        let n_over = self.summaries().count();
        let n_planned = self.planned.as_ref().map(|sweep| sweep.runs.len().max(n_over));
        facts.push((
            "runs",
            match n_planned {
                Some(n) => format!("{n_over} of {n} are over"),
                None => format!("{n_over} are over"),
            },
        ));
        let time_s: f64 = self.summaries().map(|summary| summary.wall_time_s).sum();
        facts.push(("time", format!("{:.1} h of training and evaluation", time_s / 3600.0)));
        facts.retain(|(_, fact)| !fact.is_empty());
        facts
    }

    /// Labels of the sweep's points, in its order.
    fn labels(&self) -> Vec<String> {
        self.planned.as_ref().map_or_else(|| self.runs.labels(), Plan::labels)
    }

    /// What a reader must know before trusting the numbers.
    fn notes(&self) -> Vec<String> {
        let mut notes = Vec::new();
        let named = |names: &[String]| match names.len() {
            n if n <= MAX_NAMES => names.join(", "),
            n => format!("{} and {} others", names[..MAX_NAMES].join(", "), n - MAX_NAMES),
        };
        for run in self.runs.diverged().take(MAX_NAMES) {
            let cause = run.summary.cause.as_deref().unwrap_or("the loss was no longer finite");
            let id = &run.summary.id;
            notes.push(format!("{id} diverged: {cause}. It is left out of means and figures."));
        }
        if let Some(n) = self.runs.diverged().count().checked_sub(MAX_NAMES + 1) {
            notes.push(format!("{} more runs diverged and are left out.", n + 1));
        }
        if !self.unfinished.is_empty() {
            let run = |(id, n): &(String, usize)| format!("{id} ({n} epochs done)");
            let runs: Vec<String> = self.unfinished.iter().map(run).collect();
            notes.push(format!(
                "Begun and not over, failed, interrupted or still running, and in no number here: {}.",
                named(&runs)
            ));
        }
        let planned = self.planned.iter().flat_map(|plan| &plan.runs);
        let waiting: Vec<String> =
            planned.map(|point| point.id.clone()).filter(|id| !self.begun.contains(id)).collect();
        if !waiting.is_empty() {
            notes.push(format!("Not begun: {}.", named(&waiting)));
        }
        if self.runs.groups.iter().any(|group| group.runs.len() == 1) {
            notes.push("A point with a single repeat has no interval.".to_owned());
        }
        if self.summaries().any(|summary| summary.dataset.simulated) {
            notes.push("The samples are simulated or synthetic, not measured.".to_owned());
        }
        notes
    }

    fn results_part(&self) -> Result<Vec<Block>, Error> {
        let mut blocks = tables::results(&self.runs, &TargetOptions::default());
        let mut converted = BTreeMap::new();
        for summary in self.summaries() {
            if let Some(variants) = read_variants(&self.path.join(&summary.id))? {
                converted.insert(summary.id.clone(), variants);
            }
        }
        blocks.extend(tables::converted(&self.runs, &converted).map(Block::Table));
        Ok(blocks)
    }

    fn reference_part(&self) -> Vec<Block> {
        let (Some(reference), Some(summary)) = (self.reference.as_deref(), self.summaries().next())
        else {
            return vec![];
        };
        let numbers = reference.numbers_of(&summary.dataset.name);
        let options = TargetOptions::default();
        let numbers = tables::reference_numbers(reference, numbers, &self.runs, &options);
        let experiment = reference.experiment(&self.name);
        let settings =
            experiment.map(|e| tables::reference_settings(reference, e, &self.runs, self.lr()));
        numbers.into_iter().chain(settings).map(Block::Table).collect()
    }

    fn lr(&self) -> Option<f64> {
        self.config.get("train")?.get("optimizer")?.get("lr")?.as_float()
    }

    fn result_figures(&self) -> Vec<figure::Result<Figure>> {
        figure::figures(&self.runs, &TargetOptions::default())
    }

    /// The figures that the records allow, with captions.
    fn figures(&self, figures: Vec<figure::Result<Figure>>) -> Result<Vec<Block>, Error> {
        let mut captioned = Vec::new();
        for figure in figures {
            match figure {
                Ok(figure) => captioned.push(self.captioned(figure)),
                Err(figure::Error::NoData { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(if captioned.is_empty() { vec![] } else { vec![Block::Figures(captioned)] })
    }

    fn captioned(&self, figure: Figure) -> Captioned {
        let mut caption = vec![sentence(figure.title())];
        if let Some(reference) = self.reference.as_deref()
            && let Some(experiment) = reference.experiment(&self.name)
            && let Some(numbers) = experiment.figures.get(figure.name())
        {
            caption.push(format!("In {}: Fig. {numbers}.", reference.name));
        }
        match self.runs.diverged().count() {
            0 => {}
            1 => caption.push("One run that diverged is left out.".to_owned()),
            n => caption.push(format!("{n} runs that diverged are left out.")),
        }
        let file_stem = format!("{}-{}", self.name, figure.name());
        Captioned { figure, file_stem, caption: caption.join(" ") }
    }

    fn energy_part(&self) -> Result<Vec<Block>, Error> {
        if self.runs.groups.is_empty() {
            return Ok(vec![]);
        }
        let sweep = EnergySweep::of(energy::from_records(&self.path)?);
        let mut blocks = vec![Block::Table(tables::energy(&sweep))];
        let fronts = pareto_fronts(&sweep).into_iter().filter(|(_, labels)| !labels.is_empty());
        let note = |(cost, labels): (String, Vec<String>)| {
            format!("Pareto front of test accuracy over {cost}: {}.", labels.join("; "))
        };
        let notes: Vec<String> = fronts.map(note).collect();
        if sweep.groups.len() > 2 && !notes.is_empty() {
            blocks.push(Block::Notes(notes));
        }
        blocks.extend(self.figures(energy_figures(&sweep))?);
        Ok(blocks)
    }

    /// Configs without the places of data, which say nothing about results.
    fn config_part(&self) -> Result<Vec<Block>, Error> {
        let code = |caption: &str, table: &toml::Table| -> Result<Block, Error> {
            let mut table = table.clone();
            if let Some(toml::Value::Table(dataset)) = table.get_mut("dataset") {
                dataset.remove("path");
                dataset.remove("frame_cache");
            }
            let text = toml::to_string(&table)?;
            Ok(Block::Code { caption: caption.to_owned(), text })
        };
        let mut blocks = Vec::new();
        if let Some(given) = &self.given {
            blocks.push(code("As given (sweep.toml).", given)?);
        }
        if self.given.is_some() {
            let text = format!("mbspike run {SWEEP_FILE}\n");
            let caption = "To run it again, in the folder of these runs.".to_owned();
            blocks.push(Block::Code { caption, text });
        }
        if self.summaries().next().is_some() || !self.unfinished.is_empty() {
            blocks.push(code("The first run's, with every default (config.toml).", &self.config)?);
        }
        Ok(blocks)
    }

    fn environment_part(&self) -> Vec<Block> {
        let mut environments: BTreeMap<Vec<String>, usize> = BTreeMap::new();
        for summary in self.summaries() {
            let environment = &summary.environment;
            let row = vec![
                environment.version.clone(),
                environment.commit.clone().unwrap_or_else(|| "unknown".to_owned()),
                environment.threads.to_string(),
                environment.cpu_features.join(", "),
                environment.processor.clone().unwrap_or_else(|| "not recorded".to_owned()),
            ];
            *environments.entry(row).or_default() += 1;
        }
        let dates: BTreeSet<&String> =
            self.summaries().filter_map(|summary| summary.environment.finished.as_ref()).collect();
        let over = match (dates.first(), dates.last()) {
            (Some(first), Some(last)) if first == last => format!(" Over on {first}."),
            (Some(first), Some(last)) => format!(" Over between {first} and {last}."),
            _ => String::new(),
        };
        if environments.is_empty() {
            return vec![];
        }
        let head = ["mbspike", "commit", "threads", "vector instructions", "processor", "runs"];
        let rows = environments.into_iter().map(|(mut row, n)| {
            row.push(n.to_string());
            row
        });
        vec![Block::Table(Table {
            caption: format!("What the runs ran on.{over}"),
            head: head.map(str::to_owned).to_vec(),
            rows: rows.collect(),
            is_numeric: false,
        })]
    }
}

/// The numbers of a publication that the config of a sweep names.
fn named_reference(folder: &Path, config: &toml::Table) -> Result<Option<Reference>, Error> {
    let Some(toml::Value::String(path)) = config.get("reference") else { return Ok(None) };
    let reference = Reference::read(Path::new(path));
    reference.map(Some).map_err(|error| Error::Reference(folder.to_owned(), error))
}

fn file_name(path: &Path) -> String {
    let path = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    path.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned())
}

/// Epochs that a run has recorded.
fn n_epochs(run: &Path) -> Result<usize, Error> {
    let path = run.join(METRICS_FILE);
    if !path.is_file() {
        return Ok(0);
    }
    let records = read_metrics(&path, None)?;
    Ok(records.iter().filter(|record| matches!(record, Record::Epoch(_))).count())
}

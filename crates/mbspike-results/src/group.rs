//! Which runs belong together: the one place that says so.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::Value;

use crate::curves::{Sample, mean_curve, smooth};
use crate::error::{Error, Result};
use crate::files::{CONFIG_FILE, METRICS_FILE, SUMMARY_FILE, read_summary, read_toml, runs_over};
use crate::identity::Identity;
use crate::label::{Names, bits_in_words};
use crate::metrics::read_metrics;
use crate::record::{EpochRecord, Record, Status, Summary, WindowRecord};
use crate::repeats::{Measure, Repeat, Repeats};

/// One run that is over.
#[derive(Debug, Clone)]
pub struct Run {
    /// The run in one record.
    pub summary: Summary,
    /// Means over windows of iterations.
    pub windows: Vec<WindowRecord>,
    /// The state after each epoch.
    pub epochs: Vec<EpochRecord>,
}

impl AsRef<Summary> for Run {
    fn as_ref(&self) -> &Summary {
        &self.summary
    }
}

/// The repeats of one point of a sweep; `R` is what is known of a run.
#[derive(Debug, Clone)]
pub struct Group<R> {
    /// What sets it apart: `2 bits`, `2 bits, T = 4`.
    pub label: String,
    /// Its repeats.
    pub runs: Vec<R>,
    /// Repeats that diverged: what they did until then says nothing of the others, so they are in no
    /// mean.
    pub diverged: Vec<R>,
    /// The kind of device that they ran on, if others of the set ran on another.
    device: Option<String>,
}

/// A group of [`Run`]s.
pub type RunGroup = Group<Run>;

/// What the device of a run is called beside the swept values.
const DEVICE: &str = "device";

impl<R: AsRef<Summary>> Group<R> {
    /// A quantity of the repeats that have it and did not diverge.
    pub fn repeats(&self, of: impl Fn(&R) -> Option<f64>) -> Repeats {
        self.repeats_or_bounds(|run| Some((of(run)?, false)))
    }

    /// As [`repeats`](Self::repeats), of values that are lower bounds where `true` stands beside them.
    pub fn repeats_or_bounds(&self, of: impl Fn(&R) -> Option<(f64, bool)>) -> Repeats {
        let repeat = |run: &R| {
            let (value, is_censored) = of(run)?;
            Some(Repeat { seed: run.as_ref().seed, value, is_censored })
        };
        self.runs.iter().filter_map(repeat).collect()
    }

    /// The record of its first run, which says what all have in common.
    pub fn first(&self) -> &Summary {
        let first = self.runs.first().unwrap_or_else(|| &self.diverged[0]);
        first.as_ref()
    }

    /// The record that says most of what was swept.
    pub fn described(&self) -> &Summary {
        let runs = self.runs.iter().chain(&self.diverged).map(AsRef::as_ref);
        runs.rev().max_by_key(|summary| summary.values.len()).unwrap_or_else(|| self.first())
    }

    /// Bits a spike.
    pub fn bits(&self) -> u32 {
        self.first().bits
    }

    /// Bits a spike on the mean of the layers, which may differ.
    fn mean_bits(&self) -> f64 {
        let first = self.first();
        match &first.layer_bits[..] {
            [] => first.bits.into(),
            bits => f64::from(bits.iter().sum::<u32>()) / bits.len() as f64,
        }
    }

    /// The label, and how many of its repeats diverged if some did.
    pub fn marked_label(&self) -> String {
        match self.diverged.len() {
            0 => self.label.clone(),
            n => format!("{} ({n} of {} diverged)", self.label, n + self.runs.len()),
        }
    }

    /// What sets it apart: the swept values, and `device` where the set has runs of several kinds of
    /// devices, as if that had been swept.
    fn values(&self) -> BTreeMap<String, Value> {
        let mut values = self.described().values.clone();
        let device = self.device.iter().map(|device| (DEVICE.to_owned(), device.as_str().into()));
        values.extend(device);
        values
    }

    /// The swept values besides bits, those of layers too, and time steps.
    fn others(&self) -> BTreeMap<String, Value> {
        let traded = ["neuron.bits", "neuron.layer_bits", "encoder.time_steps", "seed"];
        let mut values = self.values();
        values.retain(|key, _| !traded.contains(&key.as_str()));
        values
    }
}

/// Runs, grouped.
#[derive(Debug, Clone)]
pub struct Groups<R> {
    /// The groups with a run that did not diverge, in the order of the swept values.
    pub groups: Vec<Group<R>>,
    /// The groups of which every run diverged.
    pub lost: Vec<Group<R>>,
    names: Names,
}

/// A folder of runs.
pub type RunSet = Groups<Run>;

impl<R: AsRef<Summary>> Groups<R> {
    /// Groups runs whose configs differ in the seed alone and that ran on the same kind of device.
    pub fn of(mut runs: Vec<R>) -> Self {
        let device = |run: &R| run.as_ref().device.clone();
        let is_mixed = runs.windows(2).any(|pair| device(&pair[0]) != device(&pair[1]));
        runs.sort_by_cached_key(|run| (order(run.as_ref()), run.as_ref().repeat));
        let mut groups: Vec<Group<R>> = Vec::new();
        for run in runs {
            let known = groups.iter().position(|group| are_alike(group.first(), run.as_ref()));
            let at = known.unwrap_or(groups.len());
            if known.is_none() {
                let device = is_mixed.then(|| device(&run));
                groups.push(Group { label: String::new(), runs: vec![], diverged: vec![], device });
            }
            let group = &mut groups[at];
            match run.as_ref().status {
                Status::Finished => group.runs.push(run),
                Status::Diverged => group.diverged.push(run),
            }
        }
        let keys: Vec<String> =
            groups.iter().flat_map(|group| group.values().into_keys()).collect();
        let names = Names::of(keys.iter().map(String::as_str));
        for at in 0..groups.len() {
            // A run that was started alone does not say what others like it were swept over.
            let first = groups[at].described();
            let mut label = names.label(&groups[at].values(), first.bits, &first.layer_bits);
            // Runs that were swept over something else, which their folder no longer says.
            if groups[..at].iter().any(|group| group.label == label) {
                let hash: String = first.group.chars().take(6).collect();
                label = format!("{label} [{}]", if hash.is_empty() { &first.id } else { &hash });
            }
            groups[at].label = label;
        }
        let (groups, lost) = groups.into_iter().partition(|group| !group.runs.is_empty());
        Self { groups, lost, names }
    }

    /// The group that `group` is compared with. Of those that differ from it in bits and time steps
    /// alone, that is the one of the fewest bits (on the mean of the layers, where they differ), and of these the one of the most time steps; if
    /// there is no such group but itself, the first of all.
    pub fn reference<'a>(&'a self, group: &'a Group<R>) -> &'a Group<R> {
        let alike = || self.groups.iter().filter(|other| other.others() == group.others());
        let order = |a: &&Group<R>, b: &&Group<R>| {
            let of_bits = a.mean_bits().total_cmp(&b.mean_bits());
            of_bits.then_with(|| b.first().time_steps.cmp(&a.first().time_steps))
        };
        let first = alike().min_by(order).filter(|_| alike().nth(1).is_some());
        first.or(self.groups.first()).unwrap_or(group)
    }

    /// What groups are compared with: the label of the one reference of all, or `the fewest bits`.
    pub fn reference_label(&self) -> &str {
        let mut labels = self.groups.iter().map(|group| self.reference(group).label.as_str());
        match labels.next() {
            Some(first) if labels.all(|label| label == first) => first,
            _ => "the fewest bits",
        }
    }

    /// The groups' labels.
    pub fn labels(&self) -> Vec<String> {
        self.groups.iter().map(|group| group.label.clone()).collect()
    }

    /// The groups' labels, with how many runs diverged where some did.
    pub fn marked_labels(&self) -> Vec<String> {
        self.groups.iter().map(Group::marked_label).collect()
    }

    /// Whether the groups differ in numbers of the same keys alone, so that they come in an order; bit
    /// widths do. Groups that differ in words, or each in something else, are of different kinds.
    pub fn is_ordered(&self) -> bool {
        let keys = |group: &Group<R>| -> Vec<String> {
            group.values().into_keys().filter(|key| key != "seed").collect()
        };
        let values = self.groups.iter().flat_map(Group::values);
        let mut values = values.filter(|(key, _)| key != "seed");
        let first = self.groups.first().map(keys);
        values.all(|(_, value)| value.is_number())
            && self.groups.iter().all(|group| Some(keys(group)) == first)
    }

    /// The bits and the time steps of the groups, if these are all that they differ in, with several of
    /// each.
    pub fn grid(&self) -> Option<Grid<'_, R>> {
        if !self
            .groups
            .iter()
            .all(|group| group.others().is_empty() && group.first().layer_bits.is_empty())
        {
            return None;
        }
        let of = |value: fn(&Group<R>) -> u64| {
            let mut values: Vec<u64> = self.groups.iter().map(value).collect();
            values.sort_unstable();
            values.dedup();
            values
        };
        let bits = of(|group| group.bits().into());
        let time_steps = of(|group| group.first().time_steps as u64);
        let find = |bits: u64, steps: u64| {
            let is_it =
                |g: &&Group<R>| u64::from(g.bits()) == bits && g.first().time_steps as u64 == steps;
            self.groups.iter().find(is_it)
        };
        let row = |&bits: &u64| time_steps.iter().map(|&steps| find(bits, steps)).collect();
        let rows = bits.iter().map(row).collect();
        (bits.len() > 1 && time_steps.len() > 1).then_some(Grid { bits, time_steps, rows })
    }

    /// All runs that diverged.
    pub fn diverged(&self) -> impl Iterator<Item = &R> {
        self.groups.iter().chain(&self.lost).flat_map(|group| &group.diverged)
    }

    /// Names of the measuring positions, the same in all runs of a network.
    pub fn positions(&self) -> Vec<String> {
        let runs = self.groups.iter().flat_map(|group| &group.runs);
        runs.map(|run| run.as_ref().positions.clone()).max_by_key(Vec::len).unwrap_or_default()
    }

    /// The accuracy whose time of reaching the config asks for.
    pub fn target(&self) -> Option<f64> {
        let mut runs = self.groups.iter().flat_map(|group| &group.runs);
        runs.find_map(|run| run.as_ref().target_accuracy)
    }

    /// What is swept besides bits: `T = 4`.
    fn label_without_bits(&self, group: &Group<R>) -> String {
        let first = group.described();
        let mut values = group.values();
        values.remove("neuron.bits");
        if values.is_empty() {
            return String::new();
        }
        self.names.label(&values, first.bits, &first.layer_bits)
    }

    /// The groups as the panels of a figure: one for each combination of what is swept besides bits,
    /// if there is more than one of several bit widths; else one of all. With the labels of the groups
    /// in each.
    pub fn panels(&self) -> (Vec<String>, Vec<Facet<'_, R>>) {
        let mut widths: Vec<u32> = self.groups.iter().map(Group::bits).collect();
        widths.sort_unstable();
        widths.dedup();
        let rest_of = |group: &Group<R>| self.label_without_bits(group);
        let mut rests: Vec<String> = self.groups.iter().map(rest_of).collect();
        rests.sort();
        rests.dedup();
        if widths.len() < 2 || rests.len() < 2 || self.groups.len() <= widths.len().max(rests.len())
        {
            return (
                self.marked_labels(),
                vec![Facet { title: None, groups: self.groups.iter().map(Some).collect() }],
            );
        }
        let find = |rest: &str, bits: u32| {
            self.groups.iter().find(|g| g.bits() == bits && rest_of(g) == rest)
        };
        // In the order of the groups, in which numbers are sorted as numbers.
        let mut panels: Vec<Facet<'_, R>> = Vec::new();
        for group in &self.groups {
            let rest = rest_of(group);
            if !panels.iter().any(|panel| panel.title.as_ref() == Some(&rest)) {
                let groups = widths.iter().map(|&bits| find(&rest, bits)).collect();
                panels.push(Facet { title: Some(rest), groups });
            }
        }
        (widths.iter().map(|bits| bits_in_words(&bits.to_string())).collect(), panels)
    }
}

/// Groups by bits and time steps.
#[derive(Debug, Clone)]
pub struct Grid<'a, R> {
    /// The bits, in order.
    pub bits: Vec<u64>,
    /// The time steps, in order.
    pub time_steps: Vec<u64>,
    /// For each of the bits the groups of all time steps, where there are such.
    pub rows: Vec<Vec<Option<&'a Group<R>>>>,
}

/// The groups of one panel, with a place for each label: empty where the sweep has no such group.
#[derive(Debug, Clone)]
pub struct Facet<'a, R> {
    /// What is swept besides bits, if there are several panels.
    pub title: Option<String>,
    /// A group for each label.
    pub groups: Vec<Option<&'a Group<R>>>,
}

impl RunSet {
    /// Reads the runs in a folder that are over; those still running are left out.
    ///
    /// # Errors
    /// If there is none or a record cannot be read.
    pub fn read(folder: &Path) -> Result<Self> {
        let mut runs = Vec::new();
        for run in runs_over(folder)? {
            let mut summary = read_summary(&run.join(SUMMARY_FILE))?;
            let config = run.join(CONFIG_FILE);
            if summary.group.is_empty() && config.is_file() {
                let identity = Identity::of(&read_toml(&config)?, summary.repeat, &summary.device);
                summary.group = identity.group;
            }
            let (mut windows, mut epochs) = (Vec::new(), Vec::new());
            for record in read_metrics(&run.join(METRICS_FILE), summary.metrics.as_ref())? {
                match record {
                    Record::Window(window) => windows.push(window),
                    Record::Epoch(epoch) => epochs.push(epoch),
                }
            }
            runs.push(Run { summary, windows, epochs });
        }
        if runs.is_empty() {
            return Err(Error::NoRuns(folder.to_owned()));
        }
        Ok(Self::of(runs))
    }

    /// A quantity of the training windows, in percent, as a mean over the last `window` iterations
    /// and over repeats, for each of the groups. It starts at the first whole window, if a run has one.
    pub fn smoothed(
        groups: &[Option<&RunGroup>],
        window: u64,
        value: impl Fn(&WindowRecord) -> Option<f64>,
    ) -> Vec<Vec<(u64, Measure)>> {
        let of_run = |run: &Run| {
            let samples = run.windows.iter().filter_map(|w| {
                let value = 100.0 * value(w)?;
                Some(Sample { at: w.iteration, span: w.n_iterations, value })
            });
            let smoothed = smooth(&samples.collect::<Vec<_>>(), window);
            // Where there are whole windows, parts of one would put a kink into the line.
            let first = smoothed.iter().position(|sample| sample.span == window).unwrap_or(0);
            smoothed[first..].to_vec()
        };
        let of_group = |group: Option<&RunGroup>| {
            let runs = group.into_iter().flat_map(|group| &group.runs);
            mean_curve(&runs.map(of_run).collect::<Vec<_>>())
        };
        groups.iter().copied().map(of_group).collect()
    }
}

/// Whether two runs are repeats of each other: their configs differ in the seed alone; where a record is
/// from before version 0.2 and its config is gone, they were swept over the same.
fn are_alike(a: &Summary, b: &Summary) -> bool {
    if a.group.is_empty() || b.group.is_empty() {
        return a.values == b.values && a.bits == b.bits && a.device == b.device;
    }
    a.group == b.group
}

/// Sorts numbers as numbers, and what is not a number behind them; bits first, whatever else is swept.
fn order(summary: &Summary) -> Vec<(bool, String, Number, String)> {
    let values = summary.values.iter().filter(|(key, _)| *key != "seed");
    let key = |(name, value): (&String, &Value)| {
        let number = Number(value.as_f64().unwrap_or(f64::INFINITY));
        (name != "neuron.bits", name.clone(), number, value.to_string())
    };
    let mut keys: Vec<_> = values.map(key).collect();
    // A run that was not swept over its bits stands among those that were.
    if !summary.values.contains_key("neuron.bits") {
        let number = Number(f64::from(summary.bits));
        keys.push((false, "neuron.bits".to_owned(), number, summary.bits.to_string()));
    }
    keys.sort();
    keys
}

/// A number with a total order.
#[derive(Debug, Clone, Copy)]
struct Number(f64);

impl Ord for Number {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.0.total_cmp(&other.0)
    }
}

impl PartialOrd for Number {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Number {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Number {}

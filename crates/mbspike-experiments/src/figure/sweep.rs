//! The runs of a folder, grouped by what was swept.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::Value;

use super::{Error, Result};
use crate::curves::{Estimate, Sample, mean_curve, smooth};
use crate::results::{
    EpochRecord, METRICS_FILE, Record, SUMMARY_FILE, Status, Summary, WindowRecord, read_metrics,
    read_summary,
};

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

/// The repeats of one point of a sweep.
#[derive(Debug, Clone)]
pub struct Group {
    /// What sets it apart: `2 bit`, `2 bit, T = 4`.
    pub label: String,
    /// Its repeats.
    pub runs: Vec<Run>,
}

impl Group {
    fn bits(&self) -> u32 {
        self.runs[0].summary.bits
    }

    /// What is swept besides bits: `T = 4`.
    fn label_without_bits(&self) -> String {
        let summary = &self.runs[0].summary;
        let mut values = summary.values.clone();
        values.remove("neuron.bits");
        if values.is_empty() { String::new() } else { group_label(&values, summary.bits) }
    }

    /// The swept values besides bits and time steps.
    fn others(&self) -> BTreeMap<&String, &Value> {
        let traded = ["neuron.bits", "encoder.time_steps"];
        let values = self.runs[0].summary.values.iter();
        values.filter(|(key, _)| !traded.contains(&key.as_str())).collect()
    }
}

/// The groups of one panel, with a place for each label: empty where the sweep has no such group.
#[derive(Debug, Clone)]
pub(super) struct Facet<'a> {
    pub title: Option<String>,
    pub groups: Vec<Option<&'a Group>>,
}

/// A folder of runs.
#[derive(Debug, Clone)]
pub struct Sweep {
    /// Its points, in the order of the swept values.
    pub groups: Vec<Group>,
    /// Runs that diverged: what they did until then says nothing of the others of their group.
    pub diverged: Vec<Run>,
}

impl Sweep {
    /// Reads the runs in a folder that are over; those still running are left out.
    ///
    /// # Errors
    /// If there is none or a record cannot be read.
    pub fn read(folder: &Path) -> Result<Self> {
        let mut runs = Vec::new();
        for entry in fs_err::read_dir(folder)? {
            let run = entry?.path();
            if !run.join(SUMMARY_FILE).is_file() {
                continue;
            }
            let summary = read_summary(&run.join(SUMMARY_FILE))?;
            let (mut windows, mut epochs) = (Vec::new(), Vec::new());
            for record in read_metrics(&run.join(METRICS_FILE))? {
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

    /// Groups runs by their swept values; those that diverged are set apart.
    pub fn of(runs: Vec<Run>) -> Self {
        let has_diverged = |run: &Run| run.summary.status == Status::Diverged;
        let (diverged, mut runs): (Vec<Run>, Vec<Run>) = runs.into_iter().partition(has_diverged);
        runs.sort_by_cached_key(|run| (group_order(&run.summary), run.summary.repeat));
        let mut groups: Vec<Group> = Vec::new();
        for run in runs {
            let label = group_label(&run.summary.values, run.summary.bits);
            match groups.iter_mut().find(|group| group.label == label) {
                Some(group) => group.runs.push(run),
                None => groups.push(Group { label, runs: vec![run] }),
            }
        }
        Self { groups, diverged }
    }

    /// The group that `group` is compared with. Of those that differ from it in bits and time steps
    /// alone, that is the one of the fewest bits, and of these the one of the most time steps; if
    /// there is no such group but itself, the first of all.
    pub fn reference<'a>(&'a self, group: &'a Group) -> &'a Group {
        let alike = || self.groups.iter().filter(|other| other.others() == group.others());
        let order = |g: &&Group| (g.bits(), std::cmp::Reverse(g.runs[0].summary.time_steps));
        let first = alike().min_by_key(order).filter(|_| alike().nth(1).is_some());
        first.or(self.groups.first()).unwrap_or(group)
    }

    /// The groups' labels.
    pub fn labels(&self) -> Vec<String> {
        self.groups.iter().map(|group| group.label.clone()).collect()
    }

    /// Names of the measuring positions, the same in all runs of a network.
    pub fn positions(&self) -> Vec<String> {
        let runs = self.groups.iter().flat_map(|group| &group.runs);
        runs.map(|run| run.summary.positions.clone()).max_by_key(Vec::len).unwrap_or_default()
    }

    /// The accuracy whose time of reaching the config asks for.
    pub fn target(&self) -> Option<f64> {
        let mut runs = self.groups.iter().flat_map(|group| &group.runs);
        runs.find_map(|run| run.summary.target_accuracy)
    }

    /// The groups as the panels of a figure: one for each combination of what is swept besides bits,
    /// if there is more than one of several bit widths; else one of all. With the labels of the groups
    /// in each.
    pub(super) fn panels(&self) -> (Vec<String>, Vec<Facet<'_>>) {
        let mut widths: Vec<u32> = self.groups.iter().map(Group::bits).collect();
        widths.sort_unstable();
        widths.dedup();
        let mut rests: Vec<String> = self.groups.iter().map(Group::label_without_bits).collect();
        rests.sort();
        rests.dedup();
        if widths.len() < 2 || rests.len() < 2 || self.groups.len() <= widths.len().max(rests.len())
        {
            return (
                self.labels(),
                vec![Facet { title: None, groups: self.groups.iter().map(Some).collect() }],
            );
        }
        let find = |rest: &str, bits: u32| {
            self.groups.iter().find(|g| g.bits() == bits && g.label_without_bits() == rest)
        };
        // In the order of the groups, in which numbers are sorted as numbers.
        let mut panels: Vec<Facet<'_>> = Vec::new();
        for group in &self.groups {
            let rest = group.label_without_bits();
            if !panels.iter().any(|panel| panel.title.as_ref() == Some(&rest)) {
                let groups = widths.iter().map(|&bits| find(&rest, bits)).collect();
                panels.push(Facet { title: Some(rest), groups });
            }
        }
        (widths.iter().map(|bits| format!("{bits} bit")).collect(), panels)
    }

    /// A quantity of the training windows, in percent, as a mean over the last `window` iterations
    /// and over repeats, for each of the groups. It starts at the first whole window, if a run has one.
    pub(super) fn smoothed(
        groups: &[Option<&Group>],
        window: u64,
        value: impl Fn(&WindowRecord) -> Option<f64>,
    ) -> Vec<Vec<(u64, Estimate)>> {
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
        let of_group = |group: Option<&Group>| {
            let runs = group.into_iter().flat_map(|group| &group.runs);
            mean_curve(&runs.map(of_run).collect::<Vec<_>>())
        };
        groups.iter().copied().map(of_group).collect()
    }
}

/// Sorts numbers as numbers, and what is not a number behind them.
pub(crate) fn group_order(summary: &Summary) -> Vec<(String, i64, String)> {
    let values = &summary.values;
    let key = |(name, value): (&String, &Value)| {
        let number = value.as_f64().map_or(i64::MAX, |number| (1e6 * number).round() as i64);
        (name.clone(), number, value.to_string())
    };
    // Bits come first, whatever else is swept.
    let (bits, others): (Vec<_>, Vec<_>) =
        values.iter().map(key).partition(|(name, ..)| name == "neuron.bits");
    bits.into_iter().chain(others).collect()
}

/// What sets a run's group apart: `2 bit`, `2 bit, T = 4`.
pub(crate) fn group_label(values: &BTreeMap<String, Value>, bits: u32) -> String {
    if values.is_empty() {
        return format!("{bits} bit");
    }
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let bits = values.get("neuron.bits").map(|bits| format!("{} bit", text(bits)));
    let others = values.iter().filter(|(name, _)| *name != "neuron.bits").map(|(name, value)| {
        match name.as_str() {
            "encoder.time_steps" => format!("T = {}", text(value)),
            name => {
                let name = name.strip_suffix(".kind").unwrap_or(name);
                let last = name.rsplit('.').next().unwrap_or(name).replace('_', " ");
                format!("{last} {}", text(value))
            }
        }
    });
    bits.into_iter().chain(others).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde_json::json;

    use super::group_label;

    #[test]
    fn a_label_names_what_was_swept() {
        let label = |values: &[(&str, serde_json::Value)]| {
            let values = values.iter().map(|(key, value)| ((*key).to_owned(), value.clone()));
            group_label(&values.collect::<BTreeMap<_, _>>(), 2)
        };
        assert_eq!(label(&[]), "2 bit");
        assert_eq!(
            label(&[("encoder.time_steps", json!(4)), ("neuron.bits", json!(2))]),
            "2 bit, T = 4"
        );
        assert_eq!(label(&[("neuron.reset.kind", json!("hard"))]), "reset hard");
        assert_eq!(label(&[("neuron.detach_reset", json!(true))]), "detach reset true");
    }
}

//! The part `[sweep]` of a config: lists, points and distributions, and what they multiply to.

use crate::config::ConfigError;
use crate::config::document::{Entry, Node, Value};
use crate::config::origin::Origin;
use crate::search::{self, DISTRIBUTION, Distribution, is_distribution};

/// More runs than this are taken for a mistake.
pub(crate) const MAX_RUNS: usize = 100_000;

/// The values of one axis or zipped point: dotted keys with what to put there.
pub(crate) type Assignment = Vec<Entry>;

/// Turns tables below `[sweep]` into dotted keys, so that `neuron.bits` and `"neuron.bits"` are one.
pub(crate) fn flatten_sweep(root: &mut Node) {
    fn flatten(prefix: &str, entries: Vec<Entry>, into: &mut Vec<Entry>) {
        for entry in entries {
            let key = if prefix.is_empty() { entry.key } else { format!("{prefix}.{}", entry.key) };
            match entry.node.value {
                Value::Table(inner) if !inner.iter().any(|entry| entry.key == DISTRIBUTION) => {
                    flatten(&key, inner, into);
                }
                value => {
                    let node = Node { value, ..entry.node };
                    into.push(Entry { key, node, ..entry });
                }
            }
        }
    }
    fn flatten_node(node: &mut Node) {
        if let Value::Table(entries) = &mut node.value {
            let mut flat = Vec::new();
            flatten("", std::mem::take(entries), &mut flat);
            *entries = flat;
        }
    }
    let Value::Table(entries) = &mut root.value else { return };
    for entry in entries.iter_mut().filter(|entry| entry.key == "sweep") {
        flatten_node(&mut entry.node);
        let Value::Table(keys) = &mut entry.node.value else { continue };
        for points in keys.iter_mut().filter(|entry| entry.key == "point") {
            if let Value::Array(points) = &mut points.node.value {
                points.iter_mut().for_each(flatten_node);
            }
        }
    }
}

/// Number of repeats, and the assignments that the axes multiply to.
pub(crate) fn read_sweep(sweep: Entry, seed: i64) -> Result<(u32, Vec<Assignment>), ConfigError> {
    let Value::Table(entries) = sweep.node.value else {
        return Err(ConfigError::new(sweep.origin, "sweep: expected a table"));
    };
    let mut repeats = 1;
    let (mut n_samples, mut distributions) = (None, Vec::new());
    let mut combinations: Vec<Assignment> = vec![vec![]];
    let mut swept: Vec<(String, Origin)> = vec![];
    for entry in entries {
        if ["repeats", "samples"].contains(&entry.key.as_str()) {
            let n = match entry.node.value {
                Value::Integer(n) if (1..=MAX_RUNS as i64).contains(&n) => n as u32,
                _ => {
                    let message =
                        format!("sweep.{}: must be an integer in 1..={MAX_RUNS}", entry.key);
                    return Err(ConfigError::new(entry.node.origin, message));
                }
            };
            if entry.key == "repeats" {
                repeats = n;
            } else {
                n_samples = Some((n as usize, entry.origin));
            }
            continue;
        }
        let is_drawn = is_distribution(&entry.node);
        if is_drawn {
            distributions.push(Distribution::read(entry.clone())?);
        }
        let axis: Vec<Assignment> = match (entry.key.as_str(), entry.node.value) {
            (_, Value::Table(_)) if is_drawn => vec![],
            ("point", Value::Array(points)) if !points.is_empty() => {
                points.into_iter().map(zipped_point).collect::<Result<_, _>>()?
            }
            ("point", _) => {
                let message = "sweep.point: expected tables [[sweep.point]]";
                return Err(ConfigError::new(entry.node.origin, message));
            }
            (key, Value::Array(values)) if !values.is_empty() => values
                .into_iter()
                .map(|node| vec![Entry { key: key.to_owned(), origin: entry.origin.clone(), node }])
                .collect(),
            (key, _) => {
                let message = format!(
                    "sweep.{key}: expected a list of values, as in [1, 2], or a distribution"
                );
                return Err(ConfigError::new(entry.node.origin, message));
            }
        };
        let mut keys: Vec<_> = axis.iter().flatten().map(|entry| entry.key.clone()).collect();
        keys.extend(is_drawn.then(|| entry.key.clone()));
        keys.sort_unstable();
        keys.dedup();
        let mut swept_here = vec![];
        for key in keys {
            if ["name", "sweep"].contains(&key.split('.').next().unwrap_or_default()) {
                let message = format!("sweep: `{key}` cannot be swept");
                return Err(ConfigError::new(entry.origin, message));
            }
            let is_within = |outer: &str, inner: &str| {
                inner.strip_prefix(outer).is_some_and(|rest| rest.starts_with('.'))
            };
            for (other, origin) in &swept {
                let at = ConfigError::new(origin.clone(), "").place();
                if *other == key {
                    let message = format!("sweep: `{key}` is swept twice, first at {at}");
                    return Err(ConfigError::new(entry.origin, message));
                }
                if is_within(other, &key) || is_within(&key, other) {
                    let message = format!(
                        "sweep: `{key}` and `{other}` ({at}) are swept, but one is a part of the other"
                    );
                    return Err(ConfigError::new(entry.origin, message));
                }
            }
            swept_here.push((key, entry.origin.clone()));
        }
        swept.append(&mut swept_here);
        if !is_drawn {
            combinations = multiplied(&combinations, &axis, &entry.origin)?;
        }
    }
    match (n_samples, distributions.first()) {
        (Some((n, origin)), Some(_)) => {
            let samples = search::samples(&distributions, seed, n);
            combinations = multiplied(&combinations, &samples, &origin)?;
        }
        (None, Some(distribution)) => {
            let message = format!(
                "sweep.{}: a distribution needs `samples`, how often to draw from it",
                distribution.key()
            );
            return Err(ConfigError::new(distribution.origin().clone(), message));
        }
        (Some((_, origin)), None) => {
            let message =
                "sweep.samples: there is no distribution to draw from; `repeats` repeats runs";
            return Err(ConfigError::new(origin, message));
        }
        (None, None) => {}
    }
    Ok((repeats, combinations))
}

/// Each of some combinations with each of some others; `origin` is where the others are from.
fn multiplied(
    combinations: &[Assignment],
    axis: &[Assignment],
    origin: &Origin,
) -> Result<Vec<Assignment>, ConfigError> {
    if combinations.len().saturating_mul(axis.len()) > MAX_RUNS {
        let message = format!("sweep: more than {MAX_RUNS} runs");
        return Err(ConfigError::new(origin.clone(), message));
    }
    let with_each = |done: &Assignment| {
        axis.iter().map(|next| [done.as_slice(), next].concat()).collect::<Vec<_>>()
    };
    Ok(combinations.iter().flat_map(with_each).collect())
}

fn zipped_point(point: Node) -> Result<Assignment, ConfigError> {
    match point.value {
        Value::Table(entries) if !entries.is_empty() => {
            for (i, entry) in entries.iter().enumerate() {
                let is_part = |other: &&Entry| {
                    let (a, b) = (&entry.key, &other.key);
                    a == b
                        || a.strip_prefix(b.as_str()).is_some_and(|rest| rest.starts_with('.'))
                        || b.strip_prefix(a.as_str()).is_some_and(|rest| rest.starts_with('.'))
                };
                if let Some(other) = entries[..i].iter().find(is_part) {
                    let at = ConfigError::new(other.origin.clone(), "").place();
                    let message = format!(
                        "sweep.point: `{}` and `{}` ({at}) are set, but one is a part of the other or the \
                         same",
                        entry.key, other.key
                    );
                    return Err(ConfigError::new(entry.origin.clone(), message));
                }
            }
            Ok(entries)
        }
        _ => Err(ConfigError::new(point.origin, "sweep.point: expected a table of dotted keys")),
    }
}

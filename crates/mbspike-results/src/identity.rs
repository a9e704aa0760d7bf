//! Which run a run is.

use std::fmt::Write as _;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// Keys of a config that decide how a run is called, where its data lie, when it is saved and what is
/// written beside its records, but not its results.
pub const FREE_KEYS: [&str; 8] = [
    "name",
    "reference",
    "dataset.path",
    "dataset.frame_cache",
    "train.tensorboard",
    "train.checkpoint_every",
    "train.checkpoint_every_s",
    "train.memory_limit_mib",
];

/// What makes a run the same run: its resolved config but for [`FREE_KEYS`], which repeat it is, and the
/// kind of its device, as other devices compute other bits.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Identity {
    /// Of the run: 64 hexadecimal digits.
    pub run: String,
    /// Of the group of runs that differ in seed and repeat alone: 64 hexadecimal digits.
    pub group: String,
}

impl Identity {
    /// Of a run with a resolved config; `device` is the kind of device, `cpu` or `cuda`.
    pub fn of(config: &toml::Table, repeat: u32, device: &str) -> Self {
        let mut keys = flatten(config);
        keys.retain(|(key, _)| !FREE_KEYS.contains(&key.as_str()));
        say_bits_once(config, &mut keys);
        keys.sort();
        let text = |keys: &mut dyn Iterator<Item = &(String, String)>| {
            let mut text = format!("device = {device:?}\n");
            for (key, value) in keys {
                // Writing to a string cannot fail.
                let _ = writeln!(text, "{key} = {value}");
            }
            text
        };
        let group = text(&mut keys.iter().filter(|(key, _)| key != "seed"));
        let run = format!("{}repeat = {repeat}\n", text(&mut keys.iter()));
        Self { run: hash(&run), group: hash(&group) }
    }

    /// The first digits of the run's, for names.
    pub fn short(&self) -> &str {
        &self.run[..SHORT.min(self.run.len())]
    }
}

/// Where each layer has bits of its own, those of all say nothing; where those of the layers are one
/// number, that is the bits of all.
fn say_bits_once(config: &toml::Table, keys: &mut Vec<(String, String)>) {
    const ALL: &str = "neuron.bits";
    const LAYERS: &str = "neuron.layer_bits";
    let neuron = config.get("neuron").and_then(toml::Value::as_table);
    let layers = neuron.and_then(|neuron| neuron.get("layer_bits")).and_then(toml::Value::as_array);
    let Some((first, others)) = layers.and_then(|layers| layers.split_first()) else { return };
    keys.retain(|(key, _)| key != ALL);
    if others.iter().all(|bits| bits == first) {
        keys.retain(|(key, _)| key != LAYERS);
        keys.push((ALL.to_owned(), first.to_string()));
    }
}

/// Digits of a hash in a folder's name.
const SHORT: usize = 6;

fn hash(text: &str) -> String {
    hex::encode(Sha256::digest(text))
}

/// A key in which two configs differ.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// The dotted key.
    pub key: String,
    /// Its value in the one, as TOML; `None` where it has none.
    pub there: Option<String>,
    /// Its value in the other.
    pub here: Option<String>,
}

/// The first result-deciding key in which two configs differ, with its values there and here; keys in
/// `swept` have no one value.
pub(crate) fn first_difference(
    there: &toml::Table,
    here: &toml::Table,
    swept: &[String],
) -> Option<Difference> {
    let (there, here) = (flatten(there), flatten(here));
    let value = |table: &[(String, String)], key: &str| {
        table.iter().find(|(other, _)| other == key).map(|(_, value)| value.clone())
    };
    let is_free = |key: &str| {
        let is_at_or_in = |outer: &String| {
            key.strip_prefix(outer.as_str())
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        };
        FREE_KEYS.contains(&key) || swept.iter().any(is_at_or_in)
    };
    there.iter().chain(&here).find_map(|(key, _)| {
        let (a, b) = (value(&there, key), value(&here, key));
        let differs = a != b && !is_free(key);
        differs.then(|| Difference { key: key.clone(), there: a, here: b })
    })
}

/// Dotted keys and values, in the order of the table.
fn flatten(table: &toml::Table) -> Vec<(String, String)> {
    fn visit(prefix: &str, table: &toml::Table, into: &mut Vec<(String, String)>) {
        for (key, value) in table {
            let key = if prefix.is_empty() { key.clone() } else { format!("{prefix}.{key}") };
            match value {
                toml::Value::Table(inner) => visit(&key, inner, into),
                value => into.push((key, value.to_string())),
            }
        }
    }
    let mut flat = Vec::new();
    visit("", table, &mut flat);
    flat
}

#[cfg(test)]
mod tests {
    use super::Identity;

    fn of(config: &str, repeat: u32, device: &str) -> Identity {
        Identity::of(&config.parse().expect("TOML"), repeat, device)
    }

    #[test]
    fn what_decides_results_decides_the_identity_and_nothing_else_does() {
        let config =
            "name = 'a'\nseed = 1\n[dataset]\npath = 'x'\nframe_cache = true\n[neuron]\nbits = 1\n";
        let here = of(config, 1, "cpu");
        for same in [
            config.replace("'a'", "'b'"),
            config.replace("'x'", "'y'"),
            config.replace("frame_cache = true\n", ""),
            "seed = 1\nneuron = { bits = 1 }\n".to_owned(),
            "neuron.bits = 1\nseed = 1\n[train]\ncheckpoint_every = 3\ntensorboard = true\n"
                .to_owned(),
        ] {
            assert_eq!(of(&same, 1, "cpu"), here, "{same}");
        }
        let others = [of(&config.replace("bits = 1", "bits = 2"), 1, "cpu"), of(config, 1, "cuda")];
        for other in others {
            assert!(other.run != here.run && other.group != here.group);
        }
        for repeat in [of(config, 2, "cpu"), of(&config.replace("seed = 1", "seed = 2"), 1, "cpu")]
        {
            assert!(repeat.run != here.run && repeat.group == here.group);
        }
    }
}

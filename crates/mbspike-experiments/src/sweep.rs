//! From a config file to the runs it asks for.
//!
//! Without `[sweep]` that is one run. With it:
//!
//! ```toml
//! [sweep]
//! repeats = 10                     # each point ten times, with seeds of their own
//! "neuron.bits" = [1, 2, 4]        # any dotted key; lists multiply
//! [[sweep.point]]                  # points are alternatives: keys in one point belong together
//! "encoder.time_steps" = 4
//! "train.epochs" = 10
//! [[sweep.point]]
//! "encoder.time_steps" = 10
//! "train.epochs" = 5
//! ```
//!
//! asks for 3 · 2 · 10 runs. A key may have a distribution in place of a list, of which `samples = N` draws
//! N times: random search, see `search.rs`. Repeat 1 has the config's seed, repeat `r` the seed
//! [`repeat_seed`]`(seed, r)`: it does not depend on the swept values, so that all points of one
//! repeat start from the same seed and see the same samples in the same order.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write as _;
use std::path::Path;

use mbspike_results::{Identity, Names, Reference};
use sha2::{Digest, Sha256};

use crate::axes::{Assignment, MAX_RUNS, flatten_sweep, read_sweep};
use crate::config::document::{Entry, Node, Value, key_and_value};
use crate::config::{self, Config, ConfigError};
use crate::machine::Machine;

/// All runs of one config file.
#[derive(Debug, Clone, PartialEq)]
pub struct Sweep {
    /// Name of the experiment, and of its folder.
    pub name: String,
    /// The runs, in the order of the file: the last key varies fastest, repeats faster still.
    pub points: Vec<Point>,
    /// The config without places or comments, `--set` applied: what `sweep.toml` holds.
    pub resolved: toml::Table,
}

/// One run.
#[derive(Debug, Clone, PartialEq)]
pub struct Point {
    /// Name of the run's folder: swept values, bits first and the others by their keys, repeat and
    /// the start of its identity, as in `bits-2_T-10_rep-03_1f3a9c`. It is for presentation: which run a
    /// run is, its [`Identity`] says.
    pub id: String,
    /// The swept values in the name.
    pub(crate) label: String,
    /// The config of this run alone.
    pub config: Config,
    /// The swept values: dotted key to value.
    pub values: BTreeMap<String, serde_json::Value>,
    /// Which repeat it is, counted from 1.
    pub repeat: u32,
}

/// What reading a config can fail with.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The file could not be read; the message names it.
    #[error(transparent)]
    Io(#[from] std::io::Error),
    /// The config is wrong.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A resolved config could not be written as TOML.
    #[error("a config cannot be written as TOML")]
    Write(#[from] toml::ser::Error),
}

impl Sweep {
    /// Reads a config file; `settings` are the `key=value` of `--set`.
    pub fn read(path: &Path, settings: &[String]) -> Result<Self, Error> {
        Self::read_for(path, settings, &Machine::default())
    }

    /// Reads a config file for running it on `machine`: what cannot run there is an error, too.
    pub fn read_for(path: &Path, settings: &[String], machine: &Machine) -> Result<Self, Error> {
        let text = mbspike_files::read_text(path)?;
        Self::parse_for(path, &text, settings, machine)
    }

    /// As [`Sweep::read`], from the text of the file; `path` is used in messages only.
    pub fn parse(path: &Path, text: &str, settings: &[String]) -> Result<Self, Error> {
        Self::parse_for(path, text, settings, &Machine::default())
    }

    /// As [`Sweep::read_for`], from the text of the file; `path` is used in messages only.
    pub fn parse_for(
        path: &Path,
        text: &str,
        settings: &[String],
        machine: &Machine,
    ) -> Result<Self, Error> {
        let mut root = Node::parse(path, text)?;
        flatten_sweep(&mut root);
        for setting in settings {
            root.apply_argument(setting)?;
        }
        let resolved = match root.to_toml() {
            toml::Value::Table(table) => table,
            _ => toml::Table::new(),
        };
        if let Some(reference) = root.remove("reference") {
            check_reference(&reference)?;
        }
        let sweep = root.remove("sweep");
        let (repeats, combinations) = match sweep {
            None => (1, vec![vec![]]),
            Some(sweep) => {
                let seed = match root.get("seed").map(|node| &node.value) {
                    Some(Value::Integer(seed)) => *seed,
                    // The config is refused below.
                    _ => 0,
                };
                read_sweep(sweep, seed)?
            }
        };

        if combinations.len().saturating_mul(repeats as usize) > MAX_RUNS {
            let message = format!("sweep: more than {MAX_RUNS} runs");
            return Err(ConfigError::new(root.origin.clone(), message).into());
        }
        for setting in settings {
            let key = key_and_value(setting).map_or_else(String::new, |(key, _)| key);
            if combinations.iter().flatten().any(|entry| entry.key == key) {
                let message =
                    format!("{key} is swept: give `sweep.{key}=[…]`, or take it out of [sweep]");
                return Err(ConfigError::of_argument(setting, message).into());
            }
        }
        let names = Names::of(combinations.iter().flatten().map(|entry| entry.key.as_str()));
        let mut points = Vec::new();
        let mut seen: HashMap<String, &Assignment> = HashMap::new();
        for assignment in &combinations {
            let mut point = root.clone();
            for entry in assignment {
                point.set(&entry.key, entry.node.clone())?;
            }
            let config = config::read(&point, machine)?;
            refuse_bits_without_effect(&config, assignment, &point)?;
            for repeat in 1..=repeats {
                let seed = repeat_seed(config.seed, repeat);
                let config = Config { seed, ..config.clone() };
                let point = Point::new(config, assignment, repeat, &names)?;
                let network = Identity::of(&effective(&point.config).to_table()?, repeat, CPU);
                if let Some(first) = seen.insert(network.run, assignment) {
                    return Err(twice(&root, first, assignment).into());
                }
                points.push(point);
            }
        }
        let name = points.first().map_or_else(String::new, |point| point.config.name.clone());
        Ok(Self { name, points, resolved })
    }
}

/// Refuses numbers of a publication that no report could have beside its own.
fn check_reference(entry: &Entry) -> Result<(), ConfigError> {
    let fail = |message: String| {
        Err(ConfigError::new(entry.node.origin.clone(), format!("reference: {message}")))
    };
    let Value::String(path) = &entry.node.value else {
        return fail("must be the path of a TOML file".to_owned());
    };
    match Reference::read(Path::new(path)) {
        Ok(_) => Ok(()),
        Err(error) => fail(error.to_string()),
    }
}

/// A config that says the same as every other that means the same run: keys that others have taken the place
/// of, or that change nothing, are as if they had been left out.
fn effective(config: &Config) -> Config {
    let mut config = config.clone();
    let neuron = &mut config.neuron;
    if let Some(bits) = &neuron.layer_bits {
        neuron.bits = bits.first().copied().unwrap_or(neuron.bits);
        let are_alike = bits.iter().all(|of_layer| *of_layer == neuron.bits);
        neuron.layer_bits = neuron.layer_bits.take().filter(|_| !are_alike);
    }
    let differ = |values: &Vec<f32>, from: f32| values.iter().any(|value| *value != from);
    let encoder = &mut config.encoder;
    encoder.mean = encoder.mean.take().filter(|mean| differ(mean, 0.0));
    encoder.std = encoder.std.take().filter(|std| differ(std, 1.0));
    config
}

/// The kind of device that an identity is of as long as nothing is computed.
const CPU: &str = "cpu";

/// Two combinations of swept values that are one run.
fn twice(root: &Node, first: &Assignment, second: &Assignment) -> ConfigError {
    // The values in which they differ: the others say nothing of which is which.
    let place = |assignment: &Assignment, other: &Assignment| {
        let is_own = |entry: &&Entry| !other.iter().any(|o| o.node.origin == entry.node.origin);
        let own = assignment.iter().find(is_own).or(assignment.first());
        own.map_or_else(|| root.origin.clone(), |entry| entry.node.origin.clone())
    };
    let text = |assignment: &Assignment| {
        let value = |entry: &Entry| format!("{} = {}", entry.key, entry.node.to_toml());
        assignment.iter().map(value).collect::<Vec<_>>().join(", ")
    };
    let at = ConfigError::new(place(first, second), "").place();
    let message = format!(
        "sweep: {} is there twice: {} ({at}) is the same run; take one of them out",
        text(second),
        text(first),
    );
    ConfigError::new(place(second, first), message)
}

/// Refuses swept bits where each layer has bits of its own.
fn refuse_bits_without_effect(
    config: &Config,
    assignment: &Assignment,
    root: &Node,
) -> Result<(), ConfigError> {
    let swept = |key: &str| assignment.iter().find(|entry| entry.key == key);
    let (Some(bits), Some(_)) = (swept("neuron.bits"), &config.neuron.layer_bits) else {
        return Ok(());
    };
    let origin = swept("neuron.layer_bits")
        .map_or_else(|| root.origin_of("neuron.layer_bits").clone(), |e| e.node.origin.clone());
    let at = ConfigError::new(origin, "").place();
    let message = format!(
        "sweep: `neuron.bits` is of no use beside `neuron.layer_bits` ({at}), which gives each layer its \
         own; sweep `neuron.layer_bits`"
    );
    Err(ConfigError::new(bits.origin.clone(), message))
}

/// Bytes of a swept value in a folder's name; a longer one is cut and marked by its hash.
const MAX_VALUE: usize = 40;
/// Bytes of all swept values in a folder's name.
const MAX_LABEL: usize = 160;

/// A text in at most so many bytes: cut where it is longer, with a part of its hash, so that two texts
/// with one beginning stay apart.
fn bounded(text: &str, max: usize) -> String {
    if text.len() <= max {
        return text.to_owned();
    }
    let hash = hex::encode(&Sha256::digest(text)[..3]);
    let end = (0..max - hash.len()).rev().find(|&at| text.is_char_boundary(at));
    format!("{}~{hash}", &text[..end.unwrap_or(0)])
}

impl Point {
    fn new(
        config: Config,
        assignment: &Assignment,
        repeat: u32,
        names: &Names,
    ) -> Result<Self, Error> {
        // Bits first, then by key: a run has one name, in whatever order a file names what is swept.
        let mut entries: Vec<&Entry> = assignment.iter().collect();
        entries.sort_by_key(|entry| (entry.key != "neuron.bits", &entry.key));
        let mut label = String::new();
        for entry in entries {
            let value = bounded(&label_of(&entry.node), MAX_VALUE);
            let _ = write!(label, "{}-{value}_", names.name(&entry.key));
        }
        if label.len() > MAX_LABEL {
            label = format!("{}_", bounded(&label, MAX_LABEL));
        }
        let values = assignment.iter().map(|entry| (entry.key.clone(), json(&entry.node)));
        let values = values.collect();
        let mut point = Self { id: String::new(), label, values, config, repeat };
        point.id = point.id_of(&point.identity(CPU)?);
        Ok(point)
    }

    /// Which run it is on a kind of device, `cpu` or `cuda`.
    ///
    /// # Errors
    /// If the config cannot be written as TOML.
    pub fn identity(&self, device: &str) -> Result<Identity, Error> {
        Ok(Identity::of(&self.config.to_table()?, self.repeat, device))
    }

    /// The name of its folder.
    pub(crate) fn id_of(&self, identity: &Identity) -> String {
        format!("{}rep-{:02}_{}", self.label, self.repeat, identity.short())
    }
}

/// The seed of repeat `repeat`, counted from 1, of an experiment with `seed`.
///
/// The first repeat has the seed itself. The others have the output of `SplitMix64` (Steele et al.
/// 2014) for the state `seed + (repeat − 1) γ`, cut to 53 bits, so that every tool reads it exactly.
pub fn repeat_seed(seed: u64, repeat: u32) -> u64 {
    if repeat <= 1 {
        return seed;
    }
    let state = seed.wrapping_add(u64::from(repeat - 1).wrapping_mul(0x9E37_79B9_7F4A_7C15));
    let z = (state ^ (state >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    (z ^ (z >> 31)) >> 11
}

/// A swept value in a folder's name.
fn label_of(node: &Node) -> String {
    match &node.value {
        Value::Boolean(value) => value.to_string(),
        Value::Integer(value) => value.to_string(),
        Value::Float(value) => value.to_string(),
        Value::String(value) => value
            .chars()
            .map(|c| if c.is_alphanumeric() || "-.+".contains(c) { c } else { '-' })
            .collect(),
        Value::Array(nodes) => nodes.iter().map(label_of).collect::<Vec<_>>().join("-"),
        Value::Table(entries) => {
            entries.iter().map(|entry| label_of(&entry.node)).collect::<Vec<_>>().join("-")
        }
    }
}

fn json(node: &Node) -> serde_json::Value {
    match &node.value {
        Value::Boolean(value) => (*value).into(),
        Value::Integer(value) => (*value).into(),
        Value::Float(value) => (*value).into(),
        Value::String(value) => value.clone().into(),
        Value::Array(nodes) => nodes.iter().map(json).collect(),
        Value::Table(entries) => serde_json::Value::Object(
            entries.iter().map(|entry| (entry.key.clone(), json(&entry.node))).collect(),
        ),
    }
}

/// One of `n` parts of a sweep, for running it on `n` machines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shard {
    /// Which part, counted from 1.
    index: usize,
    /// Number of parts.
    n: usize,
}

impl Shard {
    /// Whether the part has run number `position`, counted from 0: runs are dealt out in turn.
    pub fn has(self, position: usize) -> bool {
        position % self.n == self.index - 1
    }
}

impl Default for Shard {
    /// All of it.
    fn default() -> Self {
        Self { index: 1, n: 1 }
    }
}

impl std::str::FromStr for Shard {
    type Err = String;

    /// Reads `I/N`, the `I`-th of `N` parts.
    fn from_str(text: &str) -> Result<Self, String> {
        let parts = text
            .split_once('/')
            .and_then(|(index, n)| Some(Self { index: index.parse().ok()?, n: n.parse().ok()? }));
        match parts {
            Some(shard) if (1..=shard.n).contains(&shard.index) => Ok(shard),
            _ => Err(format!("expected I/N with 1 ≤ I ≤ N, as in 2/4, not {text}")),
        }
    }
}

//! Random search: values of a sweep that are drawn from distributions.
//!
//! ```toml
//! [sweep]
//! samples = 20
//! "train.optimizer.lr" = { distribution = "log-uniform", low = 1e-4, high = 1e-1 }
//! "neuron.tau" = { distribution = "uniform", low = 1.5, high = 4.0 }
//! "neuron.bits" = { distribution = "int", low = 1, high = 8 }
//! "network.arch" = { distribution = "choice", values = ["28x28-512-10o", "28x28-8c5-2a-10o"] }
//! ```
//!
//! Draw `i` of a key is a function of the config's seed, the key and `i` alone: the same config asks for
//! the same runs, more samples keep those before, and another key changes none of them.

use sha2::{Digest, Sha256};

use crate::config::ConfigError;
use crate::config::document::{Entry, Node, Value};
use crate::config::origin::Origin;

/// The key of a table below `[sweep]` that makes it a distribution.
pub(crate) const DISTRIBUTION: &str = "distribution";
/// Digits of a drawn number: more tell runs apart no better, and make long names.
const DIGITS: i32 = 4;

/// What a key's values are drawn from.
#[derive(Debug, Clone)]
pub(crate) struct Distribution {
    /// The key with its place; its node is that of the distribution.
    entry: Entry,
    kind: Kind,
}

#[derive(Debug, Clone)]
enum Kind {
    Uniform { low: f64, high: f64 },
    LogUniform { low: f64, high: f64 },
    Int { low: i64, high: i64 },
    Choice(Vec<Node>),
}

/// Whether a table is a distribution and no part of a key.
pub(crate) fn is_distribution(node: &Node) -> bool {
    matches!(node.value, Value::Table(_)) && node.entry(DISTRIBUTION).is_some()
}

impl Distribution {
    /// Reads what stands at a key of `[sweep]`.
    pub(crate) fn read(entry: Entry) -> Result<Self, ConfigError> {
        let key = &entry.key;
        let fail = |node: &Node, message: String| {
            Err(ConfigError::new(node.origin.clone(), format!("sweep.{key}: {message}")))
        };
        let get = |name: &str| match entry.node.entry(name) {
            Some(entry) => Ok(&entry.node),
            None => Err(ConfigError::new(
                entry.node.origin.clone(),
                format!("sweep.{key}: `{name}` is missing"),
            )),
        };
        let named = get(DISTRIBUTION)?;
        let (name, keys): (&str, &[&str]) = match &named.value {
            Value::String(name) if name == "choice" => ("choice", &["values"]),
            Value::String(name) if name == "int" => ("int", &["low", "high"]),
            Value::String(name) if name == "uniform" => ("uniform", &["low", "high"]),
            Value::String(name) if name == "log-uniform" => ("log-uniform", &["low", "high"]),
            _ => {
                let message =
                    "distribution: must be \"uniform\", \"log-uniform\", \"int\" or \"choice\"";
                return fail(named, message.to_owned());
            }
        };
        if let Value::Table(entries) = &entry.node.value
            && let Some(other) =
                entries.iter().find(|e| e.key != DISTRIBUTION && !keys.contains(&e.key.as_str()))
        {
            let message = format!("{name} has no `{}`, but {}", other.key, keys.join(" and "));
            return fail(&other.node, message);
        }
        let number = |node: &Node| match node.value {
            Value::Float(value) if value.is_finite() => Some(value),
            Value::Integer(value) => Some(value as f64),
            _ => None,
        };
        let kind = match name {
            "choice" => match &get("values")?.value {
                Value::Array(values) if !values.is_empty() => Kind::Choice(values.clone()),
                _ => return fail(get("values")?, "values: expected a list of values".to_owned()),
            },
            "int" => match (&get("low")?.value, &get("high")?.value) {
                (Value::Integer(low), Value::Integer(high)) if low < high => {
                    Kind::Int { low: *low, high: *high }
                }
                _ => {
                    return fail(
                        get("high")?,
                        "int: low and high must be integers, low < high".to_owned(),
                    );
                }
            },
            _ => {
                let (low, high) = (get("low")?, get("high")?);
                match (number(low), number(high)) {
                    (Some(low), Some(high)) if low < high && name == "uniform" => {
                        Kind::Uniform { low, high }
                    }
                    (Some(low), Some(high)) if 0.0 < low && low < high && name == "log-uniform" => {
                        Kind::LogUniform { low, high }
                    }
                    _ => {
                        let above = if name == "uniform" { "" } else { "0 < " };
                        let message =
                            format!("{name}: low and high must be numbers, {above}low < high");
                        return fail(high, message);
                    }
                }
            }
        };
        Ok(Self { entry, kind })
    }

    /// The key.
    pub(crate) fn key(&self) -> &str {
        &self.entry.key
    }

    /// Where the key stands.
    pub(crate) fn origin(&self) -> &Origin {
        &self.entry.origin
    }

    /// Draw number `i` under a seed, as an entry of a sweep.
    fn draw(&self, seed: i64, i: usize) -> Entry {
        let u = uniform(seed, &self.entry.key, i);
        let value = match &self.kind {
            Kind::Uniform { low, high } => {
                Value::Float(rounded(low + u * (high - low)).clamp(*low, *high))
            }
            Kind::LogUniform { low, high } => {
                let (a, b) = (low.ln(), high.ln());
                Value::Float(rounded((a + u * (b - a)).exp()).clamp(*low, *high))
            }
            Kind::Int { low, high } => {
                // Both ends have a whole share; 128 bits, as the ends may be far apart.
                let n = i128::from(*high) - i128::from(*low) + 1;
                let at = (u * n as f64) as i128;
                Value::Integer((i128::from(*low) + at.min(n - 1)) as i64)
            }
            Kind::Choice(values) => {
                values[((u * values.len() as f64) as usize).min(values.len() - 1)].value.clone()
            }
        };
        let Entry { key, origin, node } = self.entry.clone();
        Entry { key, origin, node: Node { value, ..node } }
    }
}

/// The samples of some distributions, without those that are there before.
pub(crate) fn samples(distributions: &[Distribution], seed: i64, n: usize) -> Vec<Vec<Entry>> {
    let mut samples: Vec<Vec<Entry>> = Vec::new();
    let mut seen = std::collections::HashSet::new();
    for i in 0..n {
        let sample: Vec<Entry> = distributions.iter().map(|d| d.draw(seed, i)).collect();
        let values: Vec<String> =
            sample.iter().map(|entry| entry.node.to_toml().to_string()).collect();
        if seen.insert(values) {
            samples.push(sample);
        }
    }
    samples
}

/// A number in `[0, 1)` for a place in a search: the first 53 bits of a hash.
fn uniform(seed: i64, key: &str, i: usize) -> f64 {
    let hash = Sha256::digest(format!("{seed} {i} {key}"));
    let mut bytes = [0; 8];
    bytes.copy_from_slice(&hash[..8]);
    (u64::from_be_bytes(bytes) >> 11) as f64 / (1_u64 << 53) as f64
}

/// A number to [`DIGITS`] significant digits.
fn rounded(value: f64) -> f64 {
    let text = format!("{value:.*e}", DIGITS as usize - 1);
    text.parse().unwrap_or(value)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::{Distribution, Kind, rounded, samples, uniform};
    use crate::config::document::{Node, Value};

    fn distribution(text: &str) -> Result<Distribution, String> {
        let mut node = Node::parse(Path::new("a.toml"), &format!("key = {text}")).unwrap();
        Distribution::read(node.remove("key").unwrap()).map_err(|error| error.to_string())
    }

    fn floats(text: &str, n: usize) -> Vec<f64> {
        let distribution = distribution(text).unwrap();
        let value = |i| match distribution.draw(7, i).node.value {
            Value::Float(value) => value,
            Value::Integer(value) => value as f64,
            other => panic!("{other:?}"),
        };
        (0..n).map(value).collect()
    }

    #[test]
    fn draws_fill_the_range_as_the_distribution_says() {
        let log = floats("{ distribution = 'log-uniform', low = 1e-4, high = 1.0 }", 4000);
        assert!(log.iter().all(|x| (1e-4..=1.0).contains(x)));
        // A quarter for each factor of ten; its standard deviation is 27.
        for decade in [1e-4, 1e-3, 1e-2, 1e-1] {
            let n = log.iter().filter(|x| (decade..10.0 * decade).contains(*x)).count();
            assert!((n as f64 - 1000.0).abs() < 150.0, "{n} in {decade}..");
        }
        let flat = floats("{ distribution = 'uniform', low = -1, high = 3 }", 4000);
        let mean = flat.iter().sum::<f64>() / 4000.0;
        assert!(
            (mean - 1.0).abs() < 0.1 && flat.iter().all(|x| (-1.0..=3.0).contains(x)),
            "{mean}"
        );
        let bits = floats("{ distribution = 'int', low = 1, high = 8 }", 4000);
        for k in 1..=8 {
            let n = bits.iter().filter(|x| **x == f64::from(k)).count();
            assert!((n as f64 - 500.0).abs() < 110.0, "{n} times {k}");
        }
        assert!(matches!(
            distribution("{ distribution = 'choice', values = ['a', 'b'] }").unwrap().kind,
            Kind::Choice(values) if values.len() == 2
        ));
    }

    #[test]
    fn a_draw_depends_on_seed_key_and_number_alone_and_is_short() {
        assert_eq!(uniform(1, "a", 2), uniform(1, "a", 2));
        let others = [uniform(2, "a", 2), uniform(1, "b", 2), uniform(1, "a", 3)];
        assert!(others.iter().all(|other| *other != uniform(1, "a", 2)));
        assert_eq!(rounded(0.001_234_56), 0.001_235);
        assert_eq!(rounded(123_456.0), 123_500.0);
    }

    #[test]
    fn more_samples_keep_those_before_and_none_is_there_twice() {
        let bits = vec![distribution("{ distribution = 'int', low = 1, high = 4 }").unwrap()];
        let few = samples(&bits, 7, 3);
        let many = samples(&bits, 7, 100);
        assert_eq!(many[..few.len()], few);
        assert_eq!(many.len(), 4, "there are four values");
    }

    #[test]
    fn a_wrong_distribution_is_named_with_its_place() {
        let cases = [
            ("{ distribution = 'normal' }", "\"uniform\", \"log-uniform\", \"int\" or \"choice\""),
            ("{ distribution = 'uniform', low = 1 }", "`high` is missing"),
            ("{ distribution = 'log-uniform', low = 0, high = 1 }", "0 < low < high"),
            ("{ distribution = 'int', low = 1.5, high = 3 }", "must be integers"),
            ("{ distribution = 'choice', values = [] }", "expected a list"),
            ("{ distribution = 'uniform', low = 1, hihg = 2 }", "no `hihg`"),
        ];
        for (text, expected) in cases {
            let message = distribution(text).unwrap_err();
            assert!(message.contains(expected) && message.contains("a.toml:1"), "{message}");
        }
    }
}

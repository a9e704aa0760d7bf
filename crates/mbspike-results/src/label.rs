//! How what was swept is called.

use std::collections::BTreeMap;

use serde_json::Value;

/// Short names of dotted keys that tell them apart: the last part, or as many of the last parts as it
/// takes. They are for presentation only.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Names(BTreeMap<String, String>);

impl Names {
    /// Of the swept keys of an experiment.
    pub fn of<'a>(keys: impl IntoIterator<Item = &'a str>) -> Self {
        let mut keys: Vec<&str> = keys.into_iter().collect();
        keys.sort_unstable();
        keys.dedup();
        // `neuron.reset.kind` is called as what it is the kind of.
        let parts = |key: &str| -> Vec<String> {
            let stem = key.strip_suffix(".kind").unwrap_or(key);
            stem.split('.').map(str::to_owned).collect()
        };
        let tail = |key: &str, n: usize| {
            let parts = parts(key);
            parts[parts.len().saturating_sub(n)..].join(".")
        };
        let name = |key: &str| {
            let is_alone = |n: &usize| {
                keys.iter().filter(|other| tail(other, *n) == tail(key, *n)).count() == 1
            };
            let n_parts = parts(key).len();
            let n = (1..=n_parts).find(is_alone);
            n.map_or_else(|| key.to_owned(), |n| tail(key, n))
        };
        Self(keys.iter().map(|key| ((*key).to_owned(), name(key))).collect())
    }

    /// The name of a key: `T` for time steps, `alpha` or `surrogate.alpha`.
    pub fn name<'a>(&'a self, key: &'a str) -> &'a str {
        match key {
            "encoder.time_steps" => "T",
            key => self.0.get(key).map_or(key, String::as_str),
        }
    }

    /// What sets a group of runs apart: `2 bits`, `2 bits, T = 4`. Without swept values, what its neurons
    /// send.
    pub fn label(&self, values: &BTreeMap<String, Value>, bits: u32, layer_bits: &[u32]) -> String {
        let bits_of_all = || match layer_bits {
            [] => bits_in_words(&bits.to_string()),
            layers => {
                bits_in_words(&layers.iter().map(u32::to_string).collect::<Vec<_>>().join("-"))
            }
        };
        let mut parts = Vec::new();
        match values.get("neuron.bits") {
            Some(_) if !layer_bits.is_empty() => parts.push(bits_of_all()),
            Some(bits) => parts.push(bits_in_words(&value_text(bits))),
            None if !values.contains_key("neuron.layer_bits") => {}
            None => parts.push(bits_of_all()),
        }
        let others = values.iter().filter(|(key, _)| {
            !["neuron.bits", "neuron.layer_bits", "seed"].contains(&key.as_str())
        });
        parts.extend(others.map(|(key, value)| match key.as_str() {
            "encoder.time_steps" => format!("T = {}", value_text(value)),
            key => {
                format!("{} {}", self.name(key).replace(['_', '.'], " "), value_text(value))
            }
        }));
        if parts.is_empty() { bits_of_all() } else { parts.join(", ") }
    }
}

/// `1 bit`, `2 bits`, `1-4-8 bits`.
pub fn bits_in_words(bits: &str) -> String {
    format!("{bits} {}", if bits == "1" { "bit" } else { "bits" })
}

/// A value without the quotes of a string.
pub fn value_text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde_json::{Value, json};

    use super::Names;

    fn label(values: &[(&str, Value)], layer_bits: &[u32]) -> String {
        let values: BTreeMap<String, Value> =
            values.iter().map(|(key, value)| ((*key).to_owned(), value.clone())).collect();
        Names::of(values.keys().map(String::as_str)).label(&values, 2, layer_bits)
    }

    #[test]
    fn a_label_names_what_was_swept() {
        assert_eq!(label(&[], &[]), "2 bits");
        assert_eq!(
            label(&[("encoder.time_steps", json!(4)), ("neuron.bits", json!(2))], &[]),
            "2 bits, T = 4"
        );
        assert_eq!(label(&[("neuron.reset.kind", json!("hard"))], &[]), "reset hard");
        assert_eq!(label(&[("neuron.detach_reset", json!(true))], &[]), "detach reset true");
    }

    #[test]
    fn bits_of_layers_are_in_the_label() {
        assert_eq!(label(&[], &[1, 4, 8]), "1-4-8 bits");
        assert_eq!(label(&[("neuron.layer_bits", json!([1, 4, 8]))], &[1, 4, 8]), "1-4-8 bits");
    }

    #[test]
    fn keys_with_one_last_word_are_told_apart() {
        let values = [("neuron.surrogate.alpha", json!(4)), ("train.optimizer.alpha", json!(0.9))];
        assert_eq!(label(&values, &[]), "surrogate alpha 4, optimizer alpha 0.9");
        let names = Names::of(["train.optimizer", "train.optimizer.kind"]);
        assert_ne!(names.name("train.optimizer"), names.name("train.optimizer.kind"));
    }
}

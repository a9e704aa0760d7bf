//! The settings of a simulation in a TOML file: any part of them, the rest stays at its default.

use std::path::Path;

use serde::Serialize;
use serde::de::DeserializeOwned;
use toml::de::{DeTable, DeValue};
use toml::{Spanned, Table, Value};

use crate::{Error, Result};

/// A key, its value, and what must hold of it.
pub(super) type Check<'a> = (&'a str, f64, fn(f64) -> Option<&'static str>);

/// Refuses the first value that is out of its range.
pub(super) fn check(checks: &[Check]) -> Result<()> {
    for (key, value, refuse) in checks {
        if let Some(message) = refuse(*value) {
            return Err(Error::config(key, format!("{message}: {value}")));
        }
    }
    Ok(())
}

pub(super) fn positive(value: f64) -> Option<&'static str> {
    (!(value > 0.0 && value.is_finite())).then_some("must be above 0")
}

pub(super) fn at_least_0(value: f64) -> Option<&'static str> {
    (!(value >= 0.0 && value.is_finite())).then_some("must be 0 or more")
}

pub(super) fn share(value: f64) -> Option<&'static str> {
    (!(0.0..1.0).contains(&value)).then_some("must be in 0 to 1, without 1")
}

pub(super) fn finite(value: f64) -> Option<&'static str> {
    (!value.is_finite()).then_some("must be a number")
}

/// Reads settings; keys that are not in the file keep the values of `T::default()`.
pub(super) fn read<T: Serialize + DeserializeOwned + Default>(file: &Path) -> Result<T> {
    parse(&mbspike_files::read_text(file)?, file)
}

fn parse<T: Serialize + DeserializeOwned + Default>(text: &str, file: &Path) -> Result<T> {
    let refuse = |at: usize, message: &str| {
        let line = 1 + text.bytes().take(at).filter(|&byte| byte == b'\n').count();
        Error::config(&format!("{}: line {line}", file.display()), message)
    };
    let given = DeTable::parse(text)
        .map_err(|error| refuse(error.span().map_or(0, |span| span.start), error.message()))?;
    let internal = |error: &dyn std::fmt::Display| refuse(0, &error.to_string());
    let mut settings = Table::try_from(T::default()).map_err(|error| internal(&error))?;
    merge(&mut settings, given.get_ref(), "").map_err(|(at, message)| refuse(at, &message))?;
    settings.try_into().map_err(|error| internal(&error))
}

/// Puts `given` over `settings`. The error is a position in the text and a message.
fn merge(
    settings: &mut Table,
    given: &DeTable<'_>,
    prefix: &str,
) -> std::result::Result<(), (usize, String)> {
    for (key, value) in given {
        let (at, key) = (key.span().start, key.get_ref().as_ref());
        let Some(known) = settings.get_mut(key) else {
            let likeness = |other: &&String| strsim::normalized_damerau_levenshtein(key, other);
            let nearest = settings.keys().max_by(|a, b| likeness(a).total_cmp(&likeness(b)));
            let hint = nearest.map_or_else(String::new, |key| format!("; did you mean `{key}`?"));
            return Err((at, format!("unknown key `{prefix}{key}`{hint}")));
        };
        if let (Value::Table(known), DeValue::Table(inner)) = (&mut *known, value.get_ref()) {
            merge(known, inner, &format!("{prefix}{key}."))?;
            continue;
        }
        let given = like(known, value).ok_or_else(|| {
            let shape = describe(known);
            (value.span().start, format!("`{prefix}{key}` must be {shape}"))
        })?;
        *known = given;
    }
    Ok(())
}

/// The given value, if it has the shape of the default: a number, or as many numbers.
fn like(known: &Value, given: &Spanned<DeValue<'_>>) -> Option<Value> {
    match (known, given.get_ref()) {
        (Value::Float(_), DeValue::Float(x)) => Some(Value::Float(x.as_str().parse().ok()?)),
        (Value::Float(_), DeValue::Integer(x)) if x.radix() == 10 => {
            Some(Value::Float(x.as_str().parse().ok()?))
        }
        (Value::Array(known), DeValue::Array(given)) if known.len() == given.len() => {
            let values = known.iter().zip(given.iter()).map(|(known, given)| like(known, given));
            Some(Value::Array(values.collect::<Option<_>>()?))
        }
        _ => None,
    }
}

fn describe(value: &Value) -> String {
    match value {
        Value::Array(values) => match values.first() {
            Some(first @ Value::Array(_)) => format!("{} of {}", values.len(), describe(first)),
            _ => format!("a list of {} numbers", values.len()),
        },
        Value::Table(_) => "a table".to_owned(),
        _ => "a number".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::NmnistSimulation;
    use super::*;

    fn read(text: &str) -> Result<NmnistSimulation> {
        parse(text, Path::new("a.toml"))
    }

    #[test]
    fn a_file_changes_what_it_names_and_nothing_else() {
        let mut want = NmnistSimulation::default();
        assert_eq!(read("").unwrap(), want);
        want.camera.refractory_ms = 2.0;
        want.saccades.starts_ms = [1.0, 2.5, 200.0];
        let text = "saccades.starts_ms = [1, 2.5, 200]\n[camera]\nrefractory_ms = 2\n";
        assert_eq!(read(text).unwrap(), want);
    }

    #[test]
    fn mistakes_are_named_with_their_line_and_the_nearest_key() {
        let message = |text: &str| read(text).unwrap_err().to_string();
        assert_eq!(
            message("\n[camera]\nrefractory = 2\n"),
            "a.toml: line 3: unknown key `camera.refractory`; did you mean `refractory_ms`?"
        );
        assert_eq!(
            message("camera.step_ms = \"1\""),
            "a.toml: line 1: `camera.step_ms` must be a number"
        );
        assert_eq!(
            message("saccades.starts_ms = [1]"),
            "a.toml: line 1: `saccades.starts_ms` must be a list of 3 numbers"
        );
        assert!(message("camera = 3").ends_with("`camera` must be a table"));
        assert!(message("camera = = 3").starts_with("a.toml: line 1: "));
    }
}

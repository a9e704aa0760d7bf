//! A TOML text as a tree that knows where each key and value came from.

use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use toml::de::{DeTable, DeValue};

use super::origin::{ConfigError, Origin, Source};

/// A value with its place.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Node {
    pub(crate) value: Value,
    pub(crate) origin: Origin,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Value {
    Boolean(bool),
    Integer(i64),
    Float(f64),
    String(String),
    Array(Vec<Node>),
    Table(Vec<Entry>),
}

/// A key of a table, in the order of the text.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Entry {
    pub(crate) key: String,
    /// Where the key stands.
    pub(crate) origin: Origin,
    pub(crate) node: Node,
}

/// The dotted key and the value of an argument `key=value`. Parts of the key may stand in quotes, as in a
/// file: `sweep."neuron.bits"` is `sweep.neuron.bits`.
pub(crate) fn key_and_value(argument: &str) -> Option<(String, &str)> {
    let (key, value) = argument.split_once('=')?;
    let key = key.trim();
    let unquoted = || {
        let entry = format!("{key} = 0");
        let table = DeTable::parse(&entry).ok()?.into_inner();
        let mut parts = vec![];
        let mut here = &table;
        loop {
            let (part, value) = here.iter().next()?;
            parts.push(part.get_ref().to_string());
            match value.get_ref() {
                DeValue::Table(inner) => here = inner,
                _ => return Some(parts.join(".")),
            }
        }
    };
    let key = key.contains(['"', '\'']).then(unquoted).flatten().unwrap_or_else(|| key.to_owned());
    Some((key, value.trim()))
}

impl Node {
    /// Parses a file's text.
    pub(crate) fn parse(path: &Path, text: &str) -> Result<Self, ConfigError> {
        let file = Source::File { path: path.to_owned(), text: text.to_owned() };
        let source = Arc::new(file);
        let root = DeTable::parse(text).map_err(|error| syntax_error(&error, &source))?;
        let origin = Origin { source: Arc::clone(&source), span: 0..0 };
        Ok(Self { value: table(root.into_inner(), &source)?, origin })
    }

    /// Applies `--set key=value`: `key` is dotted, `value` is TOML, where a bare word is a string.
    pub(crate) fn apply_argument(&mut self, argument: &str) -> Result<(), ConfigError> {
        let source = Arc::new(Source::Argument(argument.to_owned()));
        let origin = Origin { source: Arc::clone(&source), span: 0..0 };
        let Some((key, text)) = key_and_value(argument) else {
            return Err(ConfigError::new(origin, "expected key=value"));
        };
        let value = match DeValue::parse(text) {
            Ok(value) => value_of(value.into_inner(), 0..0, &source)?,
            Err(_) if is_bare_word(text) => Value::String(text.to_owned()),
            Err(error) => {
                let message = format!("cannot read the value: {}", error.message());
                return Err(ConfigError::new(origin, message));
            }
        };
        self.set(&key, Self { value, origin })
    }

    /// Puts `node` at a dotted key, below tables that are made where they are missing.
    ///
    /// Keys of `[sweep]` are dotted themselves, so what follows `sweep.` is one key.
    pub(crate) fn set(&mut self, dotted: &str, node: Self) -> Result<(), ConfigError> {
        if dotted.split('.').any(|part| part.trim().is_empty()) {
            return Err(ConfigError::new(node.origin, format!("`{dotted}` is not a dotted key")));
        }
        let (first, rest) = match dotted.split_once('.') {
            None => (dotted, None),
            Some((first, rest)) => (first, Some(rest)),
        };
        let Value::Table(entries) = &mut self.value else {
            let message = format!("`{dotted}` does not exist: it would be in a value, not a table");
            return Err(ConfigError::new(node.origin, message));
        };
        let at = entries.iter().position(|entry| entry.key == first).unwrap_or_else(|| {
            let origin = node.origin.clone();
            let empty = Self { value: Value::Table(vec![]), origin: origin.clone() };
            entries.push(Entry { key: first.to_owned(), origin, node: empty });
            entries.len() - 1
        });
        match rest {
            None => {
                entries[at] = Entry { key: first.to_owned(), origin: node.origin.clone(), node }
            }
            Some(rest) if first == "sweep" => return entries[at].node.set_literal(rest, node),
            Some(rest) => return entries[at].node.set(rest, node),
        }
        Ok(())
    }

    fn set_literal(&mut self, key: &str, node: Self) -> Result<(), ConfigError> {
        let Value::Table(entries) = &mut self.value else {
            return Err(ConfigError::new(node.origin, format!("`{key}` would not be in a table")));
        };
        entries.retain(|entry| entry.key != key);
        entries.push(Entry { key: key.to_owned(), origin: node.origin.clone(), node });
        Ok(())
    }

    /// The value at a dotted key.
    pub(crate) fn get(&self, dotted: &str) -> Option<&Self> {
        dotted.split('.').try_fold(self, |node, key| node.entry(key).map(|entry| &entry.node))
    }

    /// The entry of a table.
    pub(crate) fn entry(&self, key: &str) -> Option<&Entry> {
        match &self.value {
            Value::Table(entries) => entries.iter().find(|entry| entry.key == key),
            _ => None,
        }
    }

    /// Takes an entry out of a table.
    pub(crate) fn remove(&mut self, key: &str) -> Option<Entry> {
        match &mut self.value {
            Value::Table(entries) => {
                let at = entries.iter().position(|entry| entry.key == key)?;
                Some(entries.remove(at))
            }
            _ => None,
        }
    }

    /// The place to name for an error at a dotted key: its value, or the innermost table that
    /// there is.
    pub(crate) fn origin_of(&self, dotted: &str) -> &Origin {
        let mut node = self;
        let mut origin = &self.origin;
        for key in dotted.split('.') {
            let Some(entry) = node.entry(key) else { break };
            node = &entry.node;
            origin =
                if matches!(node.value, Value::Table(_)) { &entry.origin } else { &node.origin };
        }
        origin
    }

    /// The tree without its places, for writing.
    pub(crate) fn to_toml(&self) -> toml::Value {
        match &self.value {
            Value::Boolean(value) => toml::Value::Boolean(*value),
            Value::Integer(value) => toml::Value::Integer(*value),
            Value::Float(value) => toml::Value::Float(*value),
            Value::String(value) => toml::Value::String(value.clone()),
            Value::Array(nodes) => toml::Value::Array(nodes.iter().map(Self::to_toml).collect()),
            Value::Table(entries) => toml::Value::Table(
                entries.iter().map(|entry| (entry.key.clone(), entry.node.to_toml())).collect(),
            ),
        }
    }
}

fn is_bare_word(text: &str) -> bool {
    !text.is_empty() && !text.starts_with(['"', '\'', '[', '{']) && !text.contains(['\n', '\r'])
}

fn syntax_error(error: &toml::de::Error, source: &Arc<Source>) -> ConfigError {
    let span = error.span().unwrap_or(0..0);
    ConfigError::new(Origin { source: Arc::clone(source), span }, error.message().trim_end())
}

fn table(table: DeTable<'_>, source: &Arc<Source>) -> Result<Value, ConfigError> {
    let mut entries = Vec::new();
    for (key, value) in table {
        let origin = Origin { source: Arc::clone(source), span: key.span() };
        let span = value.span();
        let node = Node {
            value: value_of(value.into_inner(), span.clone(), source)?,
            origin: Origin { source: Arc::clone(source), span },
        };
        entries.push(Entry { key: key.into_inner().into_owned(), origin, node });
    }
    Ok(Value::Table(entries))
}

fn value_of(
    value: DeValue<'_>,
    span: Range<usize>,
    source: &Arc<Source>,
) -> Result<Value, ConfigError> {
    let fail = |message: String| {
        let origin = Origin { source: Arc::clone(source), span: span.clone() };
        Err(ConfigError::new(origin, message))
    };
    Ok(match value {
        DeValue::Boolean(value) => Value::Boolean(value),
        DeValue::Integer(value) => match i64::from_str_radix(value.as_str(), value.radix()) {
            Ok(value) => Value::Integer(value),
            Err(_) => return fail(format!("the integer {value} does not fit into 64 bits")),
        },
        DeValue::Float(value) => match value.as_str().parse() {
            Ok(value) => Value::Float(value),
            Err(_) => return fail(format!("{value} is not a number")),
        },
        DeValue::String(value) => Value::String(value.into_owned()),
        DeValue::Datetime(value) => return fail(format!("a date is of no use here: {value}")),
        DeValue::Array(values) => {
            let nodes = values.into_iter().map(|value| {
                let span = value.span();
                let origin = Origin { source: Arc::clone(source), span: span.clone() };
                Ok(Node { value: value_of(value.into_inner(), span, source)?, origin })
            });
            Value::Array(nodes.collect::<Result<_, ConfigError>>()?)
        }
        DeValue::Table(entries) => table(entries, source)?,
    })
}

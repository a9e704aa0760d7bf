//! Reads typed settings from a [`Node`]; errors carry the innermost place.

use std::fmt;

use serde::de::{self, DeserializeSeed, Deserializer, IntoDeserializer, Unexpected, Visitor};
use serde::forward_to_deserialize_any;

use mbspike_lif::check::is_single;

use super::document::{Entry, Node, Value};
use super::origin::{ConfigError, Origin};

/// Reads a value of type `T`.
pub(crate) fn read<'de, T: de::Deserialize<'de>>(root: &'de Node) -> Result<T, ConfigError> {
    T::deserialize(Reader { node: root, key: String::new() })
        .map_err(|error| error.locate(&root.origin, ""))
}

/// The name in `known` that is most like `name`, if one is alike.
pub(crate) fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let likeness = |other: &str| strsim::normalized_damerau_levenshtein(name, other);
    known
        .into_iter()
        .map(|other| (likeness(other), other))
        .filter(|(likeness, _)| *likeness >= 0.5)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, other)| other)
}

/// An error on its way up to the first node, which gives it its place.
#[derive(Debug)]
enum Error {
    Located(ConfigError),
    UnknownKey { key: String, known: &'static [&'static str] },
    MissingKey(&'static str),
    Other(String),
}

impl Error {
    fn locate(self, origin: &Origin, key: &str) -> ConfigError {
        let within = |name: &str| {
            if key.is_empty() { name.to_owned() } else { format!("{key}.{name}") }
        };
        let message = match self {
            Self::Located(error) => return error,
            Self::UnknownKey { key, known } => {
                let message = format!("unknown key `{}`", within(&key));
                match nearest(&key, known.iter().copied()) {
                    Some(name) => format!("{message}; did you mean `{}`?", within(name)),
                    None => format!("{message}; there are {}", list(known)),
                }
            }
            Self::MissingKey(name) => format!("the key `{}` is missing", within(name)),
            Self::Other(message) if key.is_empty() => message,
            Self::Other(message) => format!("{key}: {message}"),
        };
        ConfigError::new(origin.clone(), message)
    }
}

fn list(names: &[&str]) -> String {
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Located(error) => error.fmt(f),
            Self::UnknownKey { key, .. } => write!(f, "unknown key `{key}`"),
            Self::MissingKey(key) => write!(f, "the key `{key}` is missing"),
            Self::Other(message) => f.write_str(message),
        }
    }
}

impl std::error::Error for Error {}

impl de::Error for Error {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self::Other(message.to_string())
    }

    fn invalid_type(unexpected: Unexpected<'_>, expected: &dyn de::Expected) -> Self {
        Self::Other(format!("expected {}, found {}", words(expected), found(unexpected)))
    }

    fn invalid_value(unexpected: Unexpected<'_>, expected: &dyn de::Expected) -> Self {
        Self::invalid_type(unexpected, expected)
    }

    fn unknown_variant(variant: &str, expected: &'static [&'static str]) -> Self {
        Self::Other(match nearest(variant, expected.iter().copied()) {
            Some(name) => format!("unknown value \"{variant}\"; did you mean \"{name}\"?"),
            None => format!("unknown value \"{variant}\"; there are {}", list(expected)),
        })
    }

    fn unknown_field(field: &str, expected: &'static [&'static str]) -> Self {
        Self::UnknownKey { key: field.to_owned(), known: expected }
    }

    fn missing_field(field: &'static str) -> Self {
        Self::MissingKey(field)
    }
}

/// What a type expects, in words for people.
fn words(expected: &dyn de::Expected) -> String {
    let text = expected.to_string();
    match text.as_str() {
        "u8" => format!("an integer in 0..={}", u8::MAX),
        "u16" => format!("an integer in 0..={}", u16::MAX),
        "u32" => format!("an integer in 0..={}", u32::MAX),
        "u64" | "usize" => "an integer, at least 0".to_owned(),
        "i8" | "i16" | "i32" | "i64" | "isize" => "an integer".to_owned(),
        "f32" | "f64" => "a number".to_owned(),
        "path string" => "a string".to_owned(),
        text if text.starts_with("struct ") => "a table".to_owned(),
        text if text.starts_with("enum ") => "a string".to_owned(),
        text => text.to_owned(),
    }
}

fn found(unexpected: Unexpected<'_>) -> String {
    match unexpected {
        Unexpected::Bool(value) => format!("the boolean {value}"),
        Unexpected::Signed(value) => format!("the integer {value}"),
        Unexpected::Unsigned(value) => format!("the integer {value}"),
        Unexpected::Float(value) => format!("the number {value:?}"),
        Unexpected::Str(value) => format!("the string \"{value}\""),
        Unexpected::Seq => "an array".to_owned(),
        Unexpected::Map => "a table".to_owned(),
        other => other.to_string(),
    }
}

/// A node and its dotted key.
struct Reader<'de> {
    node: &'de Node,
    key: String,
}

impl<'de> Reader<'de> {
    fn child(&self, entry: &'de Entry) -> Self {
        let key = if self.key.is_empty() {
            entry.key.clone()
        } else {
            format!("{}.{}", self.key, entry.key)
        };
        Reader { node: &entry.node, key }
    }

    /// The place of an error in this node: that of the unknown key if it is one.
    fn locate(&self, error: Error) -> Error {
        let origin = match &error {
            Error::UnknownKey { key, .. } => self.node.entry(key).map(|entry| &entry.origin),
            _ => None,
        };
        Error::Located(error.locate(origin.unwrap_or(&self.node.origin), &self.key))
    }
}

impl<'de> Deserializer<'de> for Reader<'de> {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match &self.node.value {
            Value::Boolean(value) => visitor.visit_bool(*value),
            Value::Integer(value) => visitor.visit_i64(*value),
            // Minus zero is zero: nothing in a config tells them apart, but a hash would.
            Value::Float(value) => visitor.visit_f64(*value + 0.0),
            Value::String(value) => visitor.visit_borrowed_str(value),
            Value::Array(nodes) => {
                let mut elements = Elements { nodes: nodes.iter(), key: &self.key };
                let value = visitor.visit_seq(&mut elements);
                // A type that takes a fixed number of elements leaves the others.
                match elements.nodes.next() {
                    Some(extra) if value.is_ok() => {
                        let n = nodes.len() - elements.nodes.len() - 1;
                        let message =
                            format!("{}: expected {n} values, found {}", self.key, nodes.len());
                        return Err(Error::Located(ConfigError::new(
                            extra.origin.clone(),
                            message,
                        )));
                    }
                    _ => value,
                }
            }
            Value::Table(entries) => {
                visitor.visit_map(Entries { parent: &self, rest: entries.iter(), current: None })
            }
        }
        .map_err(|error| self.locate(error))
    }

    /// A number of single precision must be one there, too: neither infinite nor zero unless it is
    /// written so.
    fn deserialize_f32<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        if let Value::Float(value) = self.node.value
            && value.is_finite()
            && !is_single(value)
        {
            let message = format!("must be a number that single precision holds, not {value:e}");
            return Err(self.locate(Error::Other(message)));
        }
        self.deserialize_any(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Error> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        match &self.node.value {
            Value::String(name) => visitor
                .visit_enum(name.as_str().into_deserializer())
                .map_err(|error: Error| self.locate(error)),
            _ => self.deserialize_any(visitor),
        }
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        match &self.node.value {
            // `reset = "hard"` is short for `reset = { kind = "hard" }`.
            Value::String(_) if fields.contains(&"kind") => {
                visitor.visit_map(Kind { node: Some(self.node), key: &self.key })
            }
            // What is derived would take a list as the values of the keys, in their order.
            Value::Array(_) => Err(self.locate(de::Error::invalid_type(Unexpected::Seq, &visitor))),
            _ => self.deserialize_any(visitor),
        }
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f64 char str string bytes byte_buf unit
        unit_struct seq tuple tuple_struct map identifier ignored_any
    }
}

struct Elements<'a, 'de> {
    nodes: std::slice::Iter<'de, Node>,
    key: &'a str,
}

impl<'de> de::SeqAccess<'de> for &mut Elements<'_, 'de> {
    type Error = Error;

    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, Error> {
        let Some(node) = self.nodes.next() else { return Ok(None) };
        seed.deserialize(Reader { node, key: self.key.to_owned() }).map(Some)
    }
}

/// A string as a table with the one key `kind`.
struct Kind<'a, 'de> {
    node: Option<&'de Node>,
    key: &'a str,
}

impl<'de> de::MapAccess<'de> for Kind<'_, 'de> {
    type Error = Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, Error> {
        if self.node.is_none() {
            return Ok(None);
        }
        seed.deserialize("kind".into_deserializer()).map(Some)
    }

    fn next_value_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<T::Value, Error> {
        let node = self.node.take().expect("serde asks for a value after its key");
        seed.deserialize(Reader { node, key: self.key.to_owned() })
    }
}

struct Entries<'a, 'de> {
    parent: &'a Reader<'de>,
    rest: std::slice::Iter<'de, Entry>,
    current: Option<&'de Entry>,
}

impl<'de> de::MapAccess<'de> for Entries<'_, 'de> {
    type Error = Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, Error> {
        self.current = self.rest.next();
        let Some(entry) = self.current else { return Ok(None) };
        seed.deserialize(entry.key.as_str().into_deserializer()).map(Some)
    }

    fn next_value_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<T::Value, Error> {
        let entry = self.current.expect("serde asks for a value after its key");
        let reader = self.parent.child(entry);
        // `deserialize_any` locates its own errors; what a derived type adds comes without a place.
        let (key, origin) = (reader.key.clone(), &entry.node.origin);
        seed.deserialize(reader).map_err(|error| Error::Located(error.locate(origin, &key)))
    }
}

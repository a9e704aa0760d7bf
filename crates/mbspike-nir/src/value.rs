use std::collections::BTreeMap;

use crate::{Array, Data, Error, Problem, Result};

/// Named values: metadata, or the attributes of a node as they lie in a file.
pub type Metadata = BTreeMap<String, Value>;

/// What can stand in metadata.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Value {
    /// A text.
    Text(String),
    /// An array of texts: its shape and, row-major, its elements.
    Texts(Vec<usize>, Vec<String>),
    /// A number or an array of numbers or truth values.
    Array(Array),
    /// Further names.
    Map(Metadata),
}

impl Value {
    /// A whole number.
    pub fn integer(value: i64) -> Self {
        Self::Array(Array::single(Data::I64(vec![value])))
    }

    /// A number in double precision.
    pub fn number(value: f64) -> Self {
        Self::Array(Array::single(Data::F64(vec![value])))
    }

    /// The text, where it is one.
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The single number, in double precision, where it is one.
    pub fn as_number(&self) -> Option<f64> {
        match self {
            Self::Array(array) if array.shape().is_empty() => array.to_f64().first().copied(),
            _ => None,
        }
    }

    /// The further names, where it has some.
    pub fn as_map(&self) -> Option<&Metadata> {
        match self {
            Self::Map(map) => Some(map),
            _ => None,
        }
    }

    pub(crate) fn describe(&self) -> String {
        match self {
            Self::Text(text) => format!("the text {text:?}"),
            Self::Texts(shape, _) => format!("an array of texts of shape {shape:?}"),
            Self::Array(array) => array.describe(),
            Self::Map(_) => "a group".into(),
        }
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(text.into())
    }
}

impl From<Array> for Value {
    fn from(array: Array) -> Self {
        Self::Array(array)
    }
}

/// The attributes of one node while it is taken apart: each is taken once, what is left over is not
/// known to its type.
pub(crate) struct Attributes {
    pub(crate) map: Metadata,
}

impl Attributes {
    pub(crate) fn take(&mut self, name: &str) -> Result<Value> {
        self.map.remove(name).ok_or_else(|| Error::new(Problem::Missing).in_attribute(name))
    }

    pub(crate) fn array(&mut self, name: &str) -> Result<Array> {
        match self.take(name)? {
            Value::Array(array) => Ok(array),
            other => Err(Error::expected("numbers", other.describe()).in_attribute(name)),
        }
    }

    pub(crate) fn array_or(&mut self, name: &str, default: impl Fn() -> Array) -> Result<Array> {
        if self.map.contains_key(name) { self.array(name) } else { Ok(default()) }
    }

    pub(crate) fn text(&mut self, name: &str) -> Result<String> {
        match self.take(name)? {
            Value::Text(text) => Ok(text),
            other => Err(Error::expected("a text", other.describe()).in_attribute(name)),
        }
    }

    /// Whole numbers of at most one dimension; those of a single number are one.
    pub(crate) fn integers(&mut self, name: &str) -> Result<Vec<i64>> {
        let array = self.array(name)?;
        integers(&array)
            .ok_or_else(|| Error::expected("a list of whole numbers", array.describe()))
            .map_err(|error| error.in_attribute(name))
    }

    pub(crate) fn integer(&mut self, name: &str) -> Result<i64> {
        match self.integers(name)?.as_slice() {
            [value] => Ok(*value),
            values => {
                Err(Error::expected("one whole number", values.len().to_string())
                    .in_attribute(name))
            }
        }
    }

    /// Sizes of at least `least`.
    pub(crate) fn sizes(&mut self, name: &str, least: usize) -> Result<Vec<usize>> {
        let values = self.integers(name)?;
        sizes(&values, least).map_err(|error| error.in_attribute(name))
    }

    /// `N` sizes; a single one stands for all.
    pub(crate) fn sizes_of<const N: usize>(
        &mut self,
        name: &str,
        least: usize,
    ) -> Result<[usize; N]> {
        let values = self.sizes(name, least)?;
        spread(&values).map_err(|error| error.in_attribute(name))
    }
}

fn integers(array: &Array) -> Option<Vec<i64>> {
    if array.shape().len() > 1 {
        return None;
    }
    match array.data() {
        Data::I64(data) => Some(data.clone()),
        // Python writes an empty list as an array of no floats, and sizes it computed as floats.
        Data::F32(_) | Data::F64(_) => array
            .to_f64()
            .into_iter()
            .map(|x| (x.fract() == 0.0 && x.abs() < 2_f64.powi(53)).then_some(x as i64))
            .collect(),
        Data::Bool(_) => None,
    }
}

fn sizes(values: &[i64], least: usize) -> Result<Vec<usize>> {
    values
        .iter()
        .map(|&value| match usize::try_from(value) {
            // Sizes multiply: what no memory can hold is refused here, not after an overflow.
            Ok(size) if size >= least && value <= i64::from(i32::MAX) => Ok(size),
            _ => Err(Error::expected(
                format!("sizes between {least} and {}", i32::MAX),
                value.to_string(),
            )),
        })
        .collect()
}

pub(crate) fn spread<const N: usize>(values: &[usize]) -> Result<[usize; N]> {
    match values {
        [value] => Ok([*value; N]),
        values => values.try_into().map_err(|_| {
            Error::expected(format!("one size or {N}"), format!("{} sizes", values.len()))
        }),
    }
}

/// Sizes as NIR stores them.
pub(crate) fn size_list(sizes: &[usize]) -> Value {
    Value::Array(Array::list(Data::I64(sizes.iter().map(|&size| size as i64).collect())))
}

use std::collections::BTreeMap;
use std::io::Read;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use hdf5_pure::{DType, Dataset, DatatypeByteOrder, File, Group, VlenStringReadOptions};

use crate::graph::check_name;
use crate::node::refuse_rest;
use crate::value::Attributes;
use crate::{Array, Data, Error, Graph, Kind, Metadata, Node, Problem, Result, Value};

/// What to do about node types that NIR 1.0.8 does not define.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Unknown {
    /// Keep them as [`Kind::Unknown`], to be written as they were.
    Keep,
    /// Refuse the file, with the node's name and type.
    #[default]
    Refuse,
}

/// What a file may ask of its reader. No file, however small, makes it use more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of the file, and again of all that it unpacks to.
    pub n_bytes: u64,
    /// Groups and datasets.
    pub n_objects: usize,
    /// Groups within groups.
    pub depth: usize,
}

impl Default for Limits {
    /// 4 GiB, 100,000 objects, 64 levels.
    fn default() -> Self {
        Self { n_bytes: 4 << 30, n_objects: 100_000, depth: 64 }
    }
}

/// How a file is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Options {
    /// What to do about node types that are not known.
    pub unknown: Unknown,
    /// What the file may ask for.
    pub limits: Limits,
}

/// Reads the graph in a file, refusing node types that NIR 1.0.8 does not define.
///
/// # Errors
/// If the file cannot be read, is no NIR file, holds more than [`Limits::default`] allows, or its
/// graph fails [`Graph::check`]; with file, node and attribute.
pub fn read(path: impl AsRef<Path>) -> Result<Graph> {
    read_with(path, &Options::default())
}

/// Reads the graph in a file as `options` say.
///
/// # Errors
/// As [`read`].
pub fn read_with(path: impl AsRef<Path>, options: &Options) -> Result<Graph> {
    let path = path.as_ref();
    let load = || {
        let io = |error| Error::new(Problem::Io(error));
        let file = std::fs::File::open(path).map_err(io)?;
        let mut bytes = vec![];
        let limit = options.limits.n_bytes;
        file.take(limit.saturating_add(1)).read_to_end(&mut bytes).map_err(io)?;
        if bytes.len() as u64 > limit {
            return Err(limit_error("the file's size".into(), format!("{limit} bytes")));
        }
        from_bytes(bytes, options)
    };
    load().map_err(|error| error.in_file(path))
}

/// Reads the graph in the bytes of a file.
///
/// # Errors
/// As [`read`].
pub fn from_bytes(bytes: Vec<u8>, options: &Options) -> Result<Graph> {
    // The HDF5 reader checks what it reads; where a damaged file still gets past its checks, its
    // panic must not become the caller's.
    catch_unwind(AssertUnwindSafe(|| parse(bytes, options))).unwrap_or_else(|panic| {
        let message = panic
            .downcast_ref::<String>()
            .map(String::as_str)
            .or_else(|| panic.downcast_ref::<&str>().copied())
            .unwrap_or("no message");
        Err(Error::new(Problem::Damaged(message.to_owned())))
    })
}

fn parse(bytes: Vec<u8>, options: &Options) -> Result<Graph> {
    let mut reader = Reader { options, n_objects: 0, n_bytes: 0, file_size: bytes.len() as u64 };
    let file = File::from_bytes(bytes).map_err(hdf5)?;
    let root = file.root();
    if !root.groups().map_err(hdf5)?.iter().any(|name| name == "node") {
        return Err(Error::new(Problem::Missing).in_attribute("node"));
    }
    let tree = reader.group(&root.group("node").map_err(hdf5)?, 0)?;
    let graph = match reader.node(tree)?.kind {
        Kind::Graph(graph) => graph,
        other => {
            return Err(Error::expected(
                "a node of type NIRGraph as the outermost one",
                format!("a node of type {}", other.tag()),
            ));
        }
    };
    graph.check()?;
    Ok(graph)
}

fn hdf5(error: hdf5_pure::Error) -> Error {
    Error::new(Problem::Hdf5(Box::new(error)))
}

fn limit_error(what: String, limit: String) -> Error {
    Error::new(Problem::Limit { what, limit })
}

/// The best that deflate can do: a file cannot hold more than this many bytes for each of its own.
const DEFLATE_RATIO: u64 = 1032;

struct Reader<'a> {
    options: &'a Options,
    n_objects: usize,
    n_bytes: u64,
    file_size: u64,
}

impl Reader<'_> {
    fn count_object(&mut self, depth: usize) -> Result<()> {
        let limits = &self.options.limits;
        self.n_objects += 1;
        if self.n_objects > limits.n_objects {
            return Err(limit_error(
                "the number of groups and datasets".into(),
                limits.n_objects.to_string(),
            ));
        }
        if depth > limits.depth {
            return Err(limit_error(
                "the number of groups within groups".into(),
                limits.depth.to_string(),
            ));
        }
        Ok(())
    }

    /// Everything in a group.
    fn group(&mut self, group: &Group, depth: usize) -> Result<Metadata> {
        self.count_object(depth)?;
        let mut values = Metadata::new();
        for (name, dataset) in group.iter_datasets().map_err(hdf5)? {
            check_name(&name)?;
            let value = self
                .count_object(depth)
                .and_then(|()| self.dataset(&dataset))
                .map_err(|error| error.in_attribute(&name))?;
            values.insert(name, value);
        }
        for (name, child) in group.iter_groups().map_err(hdf5)? {
            check_name(&name)?;
            let value = self.group(&child, depth + 1).map_err(|error| locate(error, &name))?;
            values.insert(name, Value::Map(value));
        }
        Ok(values)
    }

    fn dataset(&mut self, dataset: &Dataset) -> Result<Value> {
        let sizes = dataset.shape().map_err(hdf5)?;
        let dtype = dataset.dtype().map_err(hdf5)?;
        let element_size = dataset.element_size().map_err(hdf5)?;
        let bytes_of = |sizes: &[u64]| {
            sizes.iter().try_fold(element_size, |bytes, &size| bytes.checked_mul(size))
        };
        let chunk = dataset.chunk_shape().map_err(hdf5)?.unwrap_or_default();
        let n_bytes = match (bytes_of(&sizes), bytes_of(&chunk)) {
            (Some(n_bytes), Some(chunk_bytes)) => self.afford(n_bytes.max(chunk_bytes))?,
            _ => return Err(limit_error(format!("its shape {sizes:?}"), "any memory".into())),
        };
        let shape: Vec<usize> = sizes.iter().map(|&size| size as usize).collect();
        let data = match dtype {
            DType::VariableLengthString => {
                let texts = self.texts(dataset, n_bytes / element_size.max(1))?;
                return Ok(text_value(shape, texts));
            }
            DType::String => {
                return Ok(text_value(shape, dataset.read_string().map_err(hdf5)?));
            }
            DType::F32 => Data::F32(dataset.read_f32().map_err(hdf5)?),
            DType::F64 => Data::F64(dataset.read_f64().map_err(hdf5)?),
            DType::I8
            | DType::I16
            | DType::I32
            | DType::I64
            | DType::U8
            | DType::U16
            | DType::U32 => Data::I64(dataset.read_i64().map_err(hdf5)?),
            DType::U64 => {
                let values = dataset.read_u64().map_err(hdf5)?;
                let signed: Result<Vec<_>, _> = values.into_iter().map(i64::try_from).collect();
                Data::I64(
                    signed.map_err(|_| {
                        Error::expected("whole numbers below 2⁶³", "a number beyond")
                    })?,
                )
            }
            DType::Enum(names) if names == ["FALSE", "TRUE"] => {
                let values = dataset.read_i64().map_err(hdf5)?;
                Data::Bool(values.into_iter().map(|value| value != 0).collect())
            }
            DType::Other(datatype)
                if matches!(*datatype, hdf5_pure::Datatype::FloatingPoint { size: 2, .. }) =>
            {
                let numbers = half(&datatype, &dataset.read_raw().map_err(hdf5)?);
                Data::F32(numbers.ok_or_else(|| {
                    Error::expected("numbers of half precision", "16 bits of another kind")
                })?)
            }
            other => {
                return Err(Error::expected("numbers, truth values or text", other.to_string()));
            }
        };
        Ok(Array::new(&shape, data)?.into())
    }

    /// Takes `n_bytes` off what may still be unpacked.
    fn afford(&mut self, n_bytes: u64) -> Result<u64> {
        let limit = self.options.limits.n_bytes;
        self.n_bytes = self.n_bytes.saturating_add(n_bytes);
        if self.n_bytes > limit {
            return Err(limit_error(
                format!("unpacking {n_bytes} more bytes"),
                format!("{limit} bytes"),
            ));
        }
        let most = self.file_size.saturating_mul(DEFLATE_RATIO);
        if n_bytes > most {
            return Err(Error::expected(
                format!("at most the {most} bytes that a file of {} can hold", self.file_size),
                format!("a declared size of {n_bytes} bytes"),
            ));
        }
        Ok(n_bytes)
    }

    fn texts(&mut self, dataset: &Dataset, n_elements: u64) -> Result<Vec<String>> {
        // A heap's payload is not compressed, but any number of elements may point to the same.
        let remaining = self.options.limits.n_bytes - self.n_bytes;
        let options = VlenStringReadOptions::new()
            .with_max_elements(usize::try_from(n_elements).unwrap_or(usize::MAX))
            .with_max_payload_bytes(usize::try_from(remaining).unwrap_or(usize::MAX));
        let texts = dataset.read_vlen_strings(options).map_err(hdf5)?;
        self.n_bytes += texts.iter().map(|text| text.len() as u64).sum::<u64>();
        Ok(texts)
    }

    fn node(&self, tree: Metadata) -> Result<Node> {
        let mut attributes = Attributes { map: tree };
        let tag = attributes.text("type")?;
        let metadata = match attributes.map.remove("metadata") {
            None => Metadata::new(),
            Some(Value::Map(metadata)) => metadata,
            Some(other) => {
                return Err(Error::expected("a group", other.describe()).in_attribute("metadata"));
            }
        };
        let kind = if tag == "NIRGraph" {
            Kind::Graph(self.graph(&mut attributes, metadata)?)
        } else {
            match Kind::take(&tag, &mut attributes)? {
                Some(kind) => {
                    refuse_rest(&kind, &attributes)?;
                    return Ok(Node { kind, metadata });
                }
                None if self.options.unknown == Unknown::Refuse => {
                    return Err(Error::new(Problem::UnknownNode { kind: tag }));
                }
                None => {
                    let kind = Kind::Unknown { tag, attributes: attributes.map };
                    return Ok(Node { kind, metadata });
                }
            }
        };
        refuse_rest(&kind, &attributes)?;
        // A graph keeps its metadata itself, nested or not.
        Ok(kind.into())
    }

    fn graph(&self, attributes: &mut Attributes, metadata: Metadata) -> Result<Graph> {
        let nodes = match attributes.take("nodes")? {
            Value::Map(nodes) => nodes,
            other => {
                return Err(Error::expected("a group", other.describe()).in_attribute("nodes"));
            }
        };
        let edges = edges(attributes.take("edges")?).map_err(|e| e.in_attribute("edges"))?;
        let nodes = nodes
            .into_iter()
            .map(|(name, value)| {
                let node = match value {
                    Value::Map(tree) => self.node(tree),
                    other => Err(Error::expected("a group", other.describe())),
                };
                node.map(|node| (name.clone(), node)).map_err(|error| error.in_node(&name))
            })
            .collect::<Result<BTreeMap<_, _>>>()?;
        Ok(Graph { nodes, edges, metadata })
    }
}

/// Puts a group into an error's place: a group within `nodes` is a node, any other an attribute.
fn locate(error: Error, name: &str) -> Error {
    if name == "nodes" && error.node.is_empty() {
        // What stood in front of an attribute of a node was the node's name.
        let Some(place) = &error.attribute else { return error.in_attribute(name) };
        let (node, attribute) = match place.split_once('/') {
            Some((node, attribute)) => (node.to_owned(), Some(attribute.to_owned())),
            None => (place.clone(), None),
        };
        return Error { node, attribute, ..error };
    }
    match (error.node.is_empty(), name) {
        (true, _) => error.in_attribute(name),
        (false, "nodes") => error,
        (false, _) => error.in_node(name),
    }
}

fn edges(value: Value) -> Result<Vec<(String, String)>> {
    match value {
        Value::Texts(shape, texts) if shape.len() == 2 && shape[1] == 2 => {
            let mut texts = texts.into_iter();
            let mut edges = Vec::with_capacity(shape[0]);
            while let (Some(from), Some(to)) = (texts.next(), texts.next()) {
                edges.push((from, to));
            }
            Ok(edges)
        }
        Value::Texts(_, texts) if texts.is_empty() => Ok(vec![]),
        // Python writes an empty list as an empty array of floats.
        Value::Array(array) if array.is_empty() => Ok(vec![]),
        other => Err(Error::expected("an array of texts of shape [n, 2]", other.describe())),
    }
}

fn text_value(shape: Vec<usize>, mut texts: Vec<String>) -> Value {
    match texts.pop() {
        Some(text) if shape.is_empty() => Value::Text(text),
        Some(text) => {
            texts.push(text);
            Value::Texts(shape, texts)
        }
        None => Value::Texts(shape, texts),
    }
}

/// The numbers of an array in IEEE 754 half precision; `None` for any other type.
fn half(datatype: &hdf5_pure::Datatype, bytes: &[u8]) -> Option<Vec<f32>> {
    let hdf5_pure::Datatype::FloatingPoint { size: 2, byte_order, layout } = datatype else {
        return None;
    };
    let is_half = (layout.exponent_size, layout.mantissa_size, layout.exponent_bias) == (5, 10, 15);
    let from_bytes = match byte_order {
        DatatypeByteOrder::LittleEndian => half::f16::from_le_bytes,
        DatatypeByteOrder::BigEndian => half::f16::from_be_bytes,
        DatatypeByteOrder::Vax => return None,
    };
    let numbers = bytes.chunks_exact(2).map(|pair| from_bytes([pair[0], pair[1]]).to_f32());
    is_half.then(|| numbers.collect())
}

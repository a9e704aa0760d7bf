use std::path::Path;

use hdf5_pure::{DatasetBuilder, EnumTypeBuilder, FileBuilder, GroupBuilder};

use crate::graph::check_name;
use crate::{Array, Data, Error, Graph, Kind, Metadata, Node, Problem, Result, Value};

/// The version that written files name, that of the Python package whose node types they use.
pub const NIR_VERSION: &str = "1.0.8";

/// Writes a graph to a file, which is there whole or not at all.
///
/// # Errors
/// If the graph fails [`Graph::check`], holds something HDF5 has no name for, or the file cannot be
/// written.
pub fn write(path: impl AsRef<Path>, graph: &Graph) -> Result<()> {
    let path = path.as_ref();
    to_bytes(graph)
        .and_then(|bytes| {
            mbspike_files::write(path, |file| file.write_all(&bytes))
                .map_err(|error| Error::new(Problem::Io(error)))
        })
        .map_err(|error| error.in_file(path))
}

/// The bytes of a file with this graph: the same for the same graph.
///
/// # Errors
/// As [`write`], but for the file.
pub fn to_bytes(graph: &Graph) -> Result<Vec<u8>> {
    graph.check()?;
    let mut file = FileBuilder::new();
    file.create_dataset("version").with_vlen_strings(&[NIR_VERSION]).with_shape(&[]);
    let mut group = file.create_group("node");
    write_graph(&mut group, graph)?;
    file.add_group(group.finish());
    file.finish().map_err(|error| Error::new(Problem::Hdf5(Box::new(error))))
}

fn write_graph(group: &mut GroupBuilder, graph: &Graph) -> Result<()> {
    write_value(group, "type", &"NIRGraph".into());
    let edges = group.create_dataset("edges");
    if graph.edges.is_empty() {
        // As Python writes an empty list; it reads no other empty array of texts.
        edges.with_f64_data(&[]).with_shape(&[0]);
    } else {
        let texts: Vec<&str> =
            graph.edges.iter().flat_map(|(from, to)| [from.as_str(), to.as_str()]).collect();
        edges.with_vlen_strings(&texts).with_shape(&[graph.edges.len() as u64, 2]);
    }
    let mut nodes = group.create_group("nodes");
    for (name, node) in &graph.nodes {
        let mut child = nodes.create_group(name);
        write_node(&mut child, node).map_err(|error| error.in_node(name))?;
        nodes.add_group(child.finish());
    }
    group.add_group(nodes.finish());
    write_metadata(group, &graph.metadata)
}

fn write_node(group: &mut GroupBuilder, node: &Node) -> Result<()> {
    if let Kind::Graph(graph) = &node.kind {
        if !node.metadata.is_empty() {
            return Err(Error::expected(
                "the metadata of a nested graph in the graph",
                "some in \
                 the node around it",
            )
            .in_attribute("metadata"));
        }
        return write_graph(group, graph);
    }
    write_value(group, "type", &node.kind.tag().into());
    let attributes = node.kind.attributes();
    if let Some(name) = ["type", "metadata"].into_iter().find(|name| attributes.contains_key(*name))
    {
        return Err(Error::expected("a name that is not NIR's own", name).in_attribute(name));
    }
    write_map(group, &attributes)?;
    write_metadata(group, &node.metadata)
}

fn write_metadata(group: &mut GroupBuilder, metadata: &Metadata) -> Result<()> {
    if metadata.is_empty() {
        return Ok(());
    }
    let mut child = group.create_group("metadata");
    write_map(&mut child, metadata).map_err(|error| error.in_attribute("metadata"))?;
    group.add_group(child.finish());
    Ok(())
}

fn write_map(group: &mut GroupBuilder, map: &Metadata) -> Result<()> {
    for (name, value) in map {
        check_name(name).map_err(|error| error.in_attribute(name))?;
        if let Value::Map(map) = value {
            let mut child = group.create_group(name);
            write_map(&mut child, map).map_err(|error| error.in_attribute(name))?;
            group.add_group(child.finish());
        } else {
            write_value(group, name, value);
        }
    }
    Ok(())
}

fn write_value(group: &mut GroupBuilder, name: &str, value: &Value) {
    match value {
        Value::Text(text) => {
            group.create_dataset(name).with_vlen_strings(&[text.as_str()]).with_shape(&[]);
        }
        Value::Texts(shape, texts) => {
            let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
            group.create_dataset(name).with_vlen_strings(&texts).with_shape(&dimensions(shape));
        }
        Value::Array(array) => write_array(group.create_dataset(name), array),
        // Groups are made where they are met.
        Value::Map(_) => {}
    }
}

fn write_array(dataset: &mut DatasetBuilder, array: &Array) {
    match array.data() {
        Data::F32(data) => dataset.with_f32_data(data),
        Data::F64(data) => dataset.with_f64_data(data),
        Data::I64(data) => dataset.with_i64_data(data),
        Data::Bool(data) => {
            // As h5py writes them.
            let kind = EnumTypeBuilder::with_base(hdf5_pure::make_i8_type())
                .raw_value("FALSE", &[0])
                .raw_value("TRUE", &[1])
                .build();
            let bytes = data.iter().map(|&value| u8::from(value)).collect();
            match kind {
                Ok(kind) => dataset.with_raw_data(kind, bytes, data.len() as u64),
                Err(_) => unreachable!("two names with one byte each"),
            }
        }
    }
    .with_shape(&dimensions(array.shape()));
}

fn dimensions(shape: &[usize]) -> Vec<u64> {
    shape.iter().map(|&size| size as u64).collect()
}

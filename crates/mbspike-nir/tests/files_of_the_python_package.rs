//! Files written by the Python package `nir`, by `scripts/golden/nir_files.py`.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking, in its helper functions too")]

mod arrays;
mod fixtures;

use arrays::{full, numbers};
use fixtures::path;
use mbspike_nir::{
    Affine, Array, Conv1d, Conv2d, CubaLi, CubaLif, Data, Delay, Flatten, Graph, I, If, Kind, Li,
    Lif, Linear, Metadata, Node, Options, Padding, Pool2d, Scale, Threshold, Unknown, Value, read,
    read_with,
};

fn all_nodes() -> Graph {
    let map = [4, 6, 6];
    let v = [3];
    Graph::sequence([
        ("input", Kind::Input { shape: vec![2, 6, 6] }),
        (
            "conv2d",
            Kind::Conv2d(Conv2d {
                input_shape: Some([6, 6]),
                weight: numbers(&[4, 2, 3, 3]),
                stride: [1, 1],
                padding: Padding::Zeros([1, 1]),
                dilation: [1, 1],
                groups: 1,
                bias: numbers(&[4]),
            }),
        ),
        (
            "lif",
            Kind::Lif(Lif {
                tau: full(&map, 2e-4),
                r: full(&map, 2.0),
                v_leak: full(&map, 0.0),
                v_threshold: full(&map, 1.0),
                v_reset: full(&map, 0.25),
            }),
        ),
        ("avg", Kind::AvgPool2d(Pool2d { kernel_size: [2; 2], stride: [2; 2], padding: [0; 2] })),
        ("sum", Kind::SumPool2d(Pool2d { kernel_size: [3; 2], stride: [3; 2], padding: [0; 2] })),
        (
            "flatten",
            Kind::Flatten(Flatten { input_type: Some(vec![4, 1, 1]), start_dim: 0, end_dim: -1 }),
        ),
        ("affine", Affine { weight: numbers(&[3, 4]), bias: numbers(&v) }.into()),
        (
            "cubalif",
            Kind::CubaLif(CubaLif {
                tau_syn: full(&v, 1e-3),
                tau_mem: full(&v, 2e-3),
                r: full(&v, 1.0),
                v_leak: full(&v, 0.0),
                v_threshold: full(&v, 1.0),
                v_reset: full(&v, -0.5),
                w_in: full(&v, 3.0),
            }),
        ),
        ("linear", Linear { weight: numbers(&[3, 3]) }.into()),
        (
            "if",
            Kind::If(If { r: full(&v, 1e4), v_threshold: full(&v, 1.0), v_reset: full(&v, 0.5) }),
        ),
        ("scale", Scale { scale: numbers(&v) }.into()),
        ("li", Kind::Li(Li { tau: full(&v, 1e-3), r: full(&v, 1.0), v_leak: full(&v, 0.125) })),
        ("threshold", Threshold { threshold: numbers(&v) }.into()),
        ("i", I { r: numbers(&v) }.into()),
        (
            "cubali",
            Kind::CubaLi(CubaLi {
                tau_syn: full(&v, 1e-3),
                tau_mem: full(&v, 2e-3),
                r: full(&v, 1.0),
                v_leak: full(&v, 0.0),
                w_in: full(&v, 2.0),
            }),
        ),
        ("delay", Delay { delay: full(&v, 3e-4) }.into()),
        ("output", Kind::Output { shape: vec![3] }),
    ])
}

fn recurrent() -> Graph {
    let n = [3];
    let weights = numbers(&[3, 3]).to_f32().into_iter().map(|w| -w).collect();
    let mut graph = Graph::default();
    graph.insert("input", Kind::Input { shape: vec![3] });
    graph.insert(
        "lif",
        Kind::Lif(Lif {
            tau: full(&n, 2e-4),
            r: full(&n, 2.0),
            v_leak: full(&n, 0.0),
            v_threshold: full(&n, 1.0),
            v_reset: full(&n, 0.0),
        }),
    );
    graph.insert("w_rec", Kind::from(Linear { weight: Array::f32(&[3, 3], weights).unwrap() }));
    graph.insert("output", Kind::Output { shape: vec![3] });
    for (from, to) in [("input", "lif"), ("lif", "w_rec"), ("w_rec", "lif"), ("lif", "output")] {
        graph.connect(from, to);
    }
    graph
}

#[test]
fn every_node_type_is_read_plain_gzipped_and_with_lzf() {
    for name in ["all_nodes", "all_nodes_plain", "all_nodes_lzf"] {
        assert_eq!(read(path(name)).unwrap(), all_nodes(), "{name}");
    }
}

#[test]
fn shapes_follow_through_every_node_type() {
    let shapes = read(path("all_nodes")).unwrap().shapes().unwrap();
    let outputs = [
        ("conv2d", vec![4, 6, 6]),
        ("avg", vec![4, 3, 3]),
        ("sum", vec![4, 1, 1]),
        ("flatten", vec![4]),
        ("delay", vec![3]),
    ];
    for (name, shape) in outputs {
        assert_eq!(shapes[name].output, shape, "{name}");
    }
}

#[test]
fn one_dimensional_convolutions_keep_numbers_same_and_valid_apart() {
    let graph = read(path("conv1d")).unwrap();
    let conv = |weight: &[usize], stride, padding, dilation, input_shape| {
        Kind::Conv1d(Conv1d {
            input_shape: Some(input_shape),
            weight: numbers(weight),
            stride,
            padding,
            dilation,
            groups: 1,
            bias: numbers(&weight[..1]),
        })
    };
    assert_eq!(graph.nodes["a"].kind, conv(&[4, 2, 3], 2, Padding::Zeros([1]), 1, 9));
    assert_eq!(graph.nodes["b"].kind, conv(&[4, 4, 3], 1, Padding::Same, 1, 5));
    assert_eq!(graph.nodes["c"].kind, conv(&[2, 4, 3], 1, Padding::Valid, 2, 5));
    assert_eq!(graph.shapes().unwrap()["c"].output, [2, 1]);
}

#[test]
fn recurrent_edges_and_nested_graphs_are_read() {
    assert_eq!(read(path("recurrent")).unwrap(), recurrent());
    let nested = read(path("nested")).unwrap();
    assert_eq!(nested.nodes["rnn"].kind, Kind::Graph(recurrent()));
    assert_eq!(nested.shapes().unwrap()["rnn"].output, [3]);
}

#[test]
fn metadata_of_graphs_and_nodes_are_read_whatever_their_types() {
    let graph = read(path("metadata")).unwrap();
    let expected =
        Metadata::from([("about".into(), "a graph".into()), ("dt".into(), Value::number(1e-4))]);
    assert_eq!(graph.metadata, expected);
    let array = |shape: &[usize], data| Value::Array(Array::new(shape, data).unwrap());
    let value = Value::Map(Metadata::from([("value".into(), Value::number(1.5))]));
    let names = ["a", "bc", ""].map(String::from).to_vec();
    let expected = Metadata::from([
        ("text".into(), "grüße".into()),
        ("integer".into(), Value::integer(7)),
        ("number".into(), Value::number(0.1)),
        ("truth".into(), array(&[], Data::Bool(vec![true]))),
        ("flags".into(), array(&[2], Data::Bool(vec![true, false]))),
        ("list".into(), array(&[3], Data::I64(vec![1, 2, 3]))),
        ("names".into(), Value::Texts(vec![3], names)),
        ("array".into(), numbers(&[2, 3]).into()),
        ("big".into(), array(&[4], Data::I64(vec![0, 1, 2, 3]))),
        ("half".into(), array(&[2], Data::F32(vec![0.5, 1.5]))),
        ("bytes".into(), array(&[3], Data::I64(vec![0, 1, 2]))),
        ("inner".into(), Value::Map(Metadata::from([("deeper".into(), value)]))),
    ]);
    let weight = Array::new(&[2, 2], Data::F64(vec![0.0, 0.125, 0.25, 0.375])).unwrap();
    assert_eq!(graph.nodes["w"], Node { kind: Linear { weight }.into(), metadata: expected });
}

#[test]
fn a_reset_potential_that_older_files_lack_is_zero() {
    assert_eq!(read(path("without_v_reset")).unwrap(), recurrent());
}

#[test]
fn a_graph_without_nodes_is_read() {
    assert_eq!(read(path("empty")).unwrap(), Graph::default());
}

#[test]
fn a_group_of_many_nodes_is_read_whole() {
    let graph = read(path("many_nodes")).unwrap();
    assert_eq!(graph.nodes.len(), 42);
    assert_eq!(graph.edges.len(), 41);
}

#[test]
fn an_unknown_node_is_refused_by_name_or_kept_as_it_was() {
    let error = read(path("unknown_node")).unwrap_err().to_string();
    assert!(
        error.contains("unknown_node.nir: node `lif`: unknown node type `FancyLIF`"),
        "{error}"
    );
    let options = Options { unknown: Unknown::Keep, ..Options::default() };
    let graph = read_with(path("unknown_node"), &options).unwrap();
    let Kind::Unknown { tag, attributes } = &graph.nodes["lif"].kind else { panic!("{graph:?}") };
    assert_eq!(tag, "FancyLIF");
    let names: Vec<&str> = attributes.keys().map(String::as_str).collect();
    assert_eq!(names, ["r", "tau", "v_leak", "v_reset", "v_threshold"]);
    assert_eq!(attributes["tau"], full(&[3], 2e-4).into());

    let again = mbspike_nir::to_bytes(&graph).unwrap();
    assert_eq!(mbspike_nir::from_bytes(again, &options).unwrap(), graph);
}

//! What is written is read again as it was.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking, in its helper functions too")]

mod arrays;
mod fixtures;

use arrays::{full, numbers};
use fixtures::path;
use mbspike_nir::{
    Affine, Array, Conv2d, Data, Flatten, Graph, Kind, Lif, Linear, Metadata, Options, Padding,
    Scale, Value, from_bytes, read, to_bytes, write,
};
use proptest::prelude::*;

#[test]
fn files_of_the_python_package_survive_being_written_again() {
    for name in ["all_nodes", "conv1d", "metadata", "recurrent", "nested", "empty", "many_nodes"] {
        let graph = read(path(name)).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("again.nir");
        write(&file, &graph).unwrap();
        assert_eq!(read(&file).unwrap(), graph, "{name}");
    }
}

#[test]
fn the_same_graph_gives_the_same_bytes() {
    let graph = read(path("nested")).unwrap();
    assert_eq!(to_bytes(&graph).unwrap(), to_bytes(&graph.clone()).unwrap());
}

fn pair(name: &str, kind: Kind) -> Graph {
    Graph::sequence([("input", Kind::Input { shape: vec![2] }), (name, kind)])
}

#[test]
fn what_files_cannot_name_is_refused_before_anything_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("never.nir");
    for name in ["", ".", "a/b", "a\0b"] {
        let graph = pair(name, Scale { scale: full(&[2], 1.0) }.into());
        let error = write(&file, &graph).unwrap_err().to_string();
        assert!(error.contains("a name that is not empty"), "{error}");
        assert!(!file.exists());
    }
    let mut graph = pair("w", Scale { scale: full(&[2], 1.0) }.into());
    graph.metadata.insert("a/b".into(), Value::integer(1));
    let error = to_bytes(&graph).unwrap_err().to_string();
    assert!(error.starts_with("attribute `metadata/a/b`: "), "{error}");
}

#[test]
fn an_unknown_node_cannot_take_the_names_of_the_format() {
    let attributes = Metadata::from([("type".into(), Value::integer(1))]);
    let graph = pair("x", Kind::Unknown { tag: "X".into(), attributes });
    let error = to_bytes(&graph).unwrap_err().to_string();
    assert!(error.starts_with("node `x`, attribute `type`: "), "{error}");
}

#[test]
fn arrays_that_do_not_belong_together_are_refused() {
    let conv = |weight: &[usize], groups, bias| {
        Kind::Conv2d(Conv2d {
            input_shape: None,
            weight: numbers(weight),
            stride: [1; 2],
            padding: Padding::Same,
            dilation: [1; 2],
            groups,
            bias: numbers(&[bias]),
        })
    };
    let cases = [
        (Kind::from(Linear { weight: numbers(&[2]) }), "weight"),
        (Affine { weight: numbers(&[3, 2]), bias: numbers(&[2]) }.into(), "bias"),
        (conv(&[4, 2, 3], 1, 4), "weight"),
        (conv(&[4, 2, 3, 0], 1, 4), "weight"),
        (conv(&[4, 2, 3, 3], 3, 4), "groups"),
        (conv(&[4, 2, 3, 3], 2, 3), "bias"),
    ];
    for (kind, attribute) in cases {
        let error = pair("n", kind).check().unwrap_err();
        assert_eq!(error.attribute.as_deref(), Some(attribute), "{error}");
        assert_eq!(error.node, "n", "{error}");
    }
}

#[test]
fn shapes_that_do_not_meet_are_refused_at_their_edge() {
    let graph = Graph::sequence([
        ("input", Kind::Input { shape: vec![4, 2, 2] }),
        ("flatten", Kind::Flatten(Flatten { input_type: None, start_dim: 0, end_dim: -1 })),
        ("fc", Linear { weight: numbers(&[3, 15]) }.into()),
    ]);
    assert_eq!(
        graph.shapes().unwrap_err().to_string(),
        "edge `flatten` → `fc`: it brings [16], and `fc` takes [15]"
    );
}

#[test]
fn a_graph_in_a_graph_in_a_graph_is_checked_in_reasonable_time() {
    let scale = || Kind::from(Scale { scale: full(&[2], 1.0) });
    let wrap = |kind| {
        Graph::sequence([
            ("input", Kind::Input { shape: vec![2] }),
            ("inner", kind),
            ("output", Kind::Output { shape: vec![2] }),
        ])
    };
    let mut graph = wrap(scale());
    for _ in 0..25 {
        graph = wrap(graph.into());
    }
    assert_eq!(graph.shapes().unwrap()["inner"].output, [2]);
    let bytes = to_bytes(&graph).unwrap();
    assert_eq!(from_bytes(bytes, &Options::default()).unwrap(), graph);
}

fn array() -> impl Strategy<Value = Array> {
    proptest::collection::vec(0_usize..4, 0..4).prop_flat_map(|shape| {
        let n = shape.iter().product::<usize>();
        let of = |data: BoxedStrategy<Data>| {
            let shape = shape.clone();
            data.prop_map(move |data| Array::new(&shape, data).unwrap()).boxed()
        };
        prop_oneof![
            of(proptest::collection::vec(any::<f32>(), n).prop_map(Data::F32).boxed()),
            of(proptest::collection::vec(any::<f64>(), n).prop_map(Data::F64).boxed()),
            of(proptest::collection::vec(any::<i64>(), n).prop_map(Data::I64).boxed()),
            of(proptest::collection::vec(any::<bool>(), n).prop_map(Data::Bool).boxed()),
        ]
    })
}

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        array().prop_map(Value::Array),
        "[^\0]{0,20}".prop_map(Value::Text),
        proptest::collection::vec("[^\0]{0,8}", 1..5)
            .prop_map(|texts| Value::Texts(vec![texts.len()], texts)),
    ];
    leaf.prop_recursive(3, 12, 4, |inner| {
        proptest::collection::btree_map("[^/\0.]{1,8}", inner, 0..4).prop_map(Value::Map)
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_metadata_and_any_numbers_survive(
        metadata in proptest::collection::btree_map("[^/\0.]{1,8}", value(), 0..5),
        shape in proptest::collection::vec(1_usize..4, 0..4),
        numbers in any::<[f32; 5]>(),
    ) {
        let [tau, r, v_leak, v_threshold, v_reset] = numbers.map(|value| full(&shape, value));
        let mut graph = pair("lif", Lif { tau, r, v_leak, v_threshold, v_reset }.into());
        graph.nodes.get_mut("lif").unwrap().metadata = metadata.clone();
        graph.metadata = metadata;
        let again = from_bytes(to_bytes(&graph).unwrap(), &Options::default()).unwrap();
        // By their text, in which NaN equals NaN.
        prop_assert_eq!(format!("{again:?}"), format!("{graph:?}"));
    }
}

//! Networks that are no row of plain layers, as graphs and back.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking, in its helper functions too")]

mod networks_support;

use candle_core::{Device, Tensor};
use mbspike_core::{Decay, Reset};
use mbspike_lif::graph::{Add, Conv, Dense, GraphBuilder, Neurons, Output, Pooling};
use mbspike_lif::layer::NeuronParams;
use mbspike_lif::{Arch, Network, NetworkConfig, PoolKind, Readout, Shape};
use mbspike_nir::network::{ExportOptions, ImportOptions, Mode, export, import};
use mbspike_nir::{Affine, Array, Graph, Kind, Linear, Node, Scale};

use networks_support::{DT, assert_close, exported, input, mean_spikes, network, run};

/// The network of a graph in another's place: what comes back computes the same, bit for bit.
fn assert_computes_the_same(network: &Network, graph: &Graph, x_seq: &Tensor) -> NetworkConfig {
    let imported = import(graph, &ImportOptions::default()).unwrap();
    let mut config = NetworkConfig::new(imported.arch.clone(), 1);
    (config.neuron, config.readout, config.bias) =
        (imported.neuron.clone(), imported.readout, imported.bias);
    let again = Network::new(&config, 1, &Device::Cpu).unwrap();
    assert_eq!(again.parameters().len(), imported.tensors.len());
    for (name, value) in &imported.tensors {
        let all = again.parameters();
        let parameter = all.iter().find(|parameter| parameter.name == *name).unwrap();
        parameter.var.set(value).unwrap();
    }
    let logits =
        |network: &Network| network.predict(x_seq).unwrap().logits.to_vec2::<f32>().unwrap();
    assert_eq!(logits(&again), logits(network));
    config
}

fn hard(arch: &str) -> NetworkConfig {
    let mut config = NetworkConfig::new(arch.parse().unwrap(), 1);
    config.neuron.reset = Reset::Hard { v_reset: 0.0 };
    config.neuron.v_threshold = 0.25;
    config
}

#[test]
fn strides_groups_dilations_and_sums_go_out_and_come_back_in_the_notation() {
    for arch in [
        "8x8x2-4c3s2-4c3g2-3o",
        "8x8x2-4c3d2-dw3-2s-3o",
        "8x8x2-4c3l-2a-lif-6l-5-3o",
        "9x9x2-4c2v-2a-6-4o-vote2",
    ] {
        let config = hard(arch);
        let network = network(&config);
        let graph = exported(&network, Mode::Strict).graph;
        let x_seq = input(&config, 6, 3);
        let logits = network.predict(&x_seq).unwrap().logits;
        assert_close(&logits, &mean_spikes(&graph, &x_seq, DT), 1e-6);
        let again = assert_computes_the_same(&network, &graph, &x_seq);
        // A depthwise convolution is one of as many groups.
        assert_eq!(again.arch.to_string(), arch.replace("dw3", "4c3g4"));
    }
}

#[test]
fn recurrent_neurons_are_a_cycle_through_a_linear_node() {
    for (bits, reset, mode) in
        [(1, Reset::Hard { v_reset: 0.0 }, Mode::Strict), (2, Reset::Soft {}, Mode::Exact)]
    {
        let mut config = hard("4x4-6r-5r-3o");
        (config.neuron.bits, config.neuron.reset) = (bits, reset);
        config.neuron.v_threshold = 0.97 / 2.0;
        let network = network(&config);
        let graph = exported(&network, mode).graph;
        assert!(matches!(graph.nodes["lif1_recurrent"].kind, Kind::Linear(_)));
        let x_seq = input(&config, 7, 3);
        let logits = network.predict(&x_seq).unwrap().logits;
        assert_close(&logits, &mean_spikes(&graph, &x_seq, DT), 1e-5);
        let again = assert_computes_the_same(&network, &graph, &x_seq);
        assert_eq!(again, config);
    }
}

#[test]
fn sums_of_branches_are_edges_to_one_node() {
    for arch in [
        "6x6x2-4c3-res(4c3-4c3)-2a-3o",
        "6x6x2-4c3-res(6c3s2-6c3|6c1s2)-3o",
        "6x6x2-4c3-resc(4c3-bn-4c3-bn)-3o",
    ] {
        let config = hard(arch);
        let network = network(&config);
        let graph = exported(&network, Mode::Strict).graph;
        let x_seq = input(&config, 6, 3);
        let logits = network.predict(&x_seq).unwrap().logits;
        assert_close(&logits, &mean_spikes(&graph, &x_seq, DT), 1e-6);
        if !arch.contains("bn") {
            let again = assert_computes_the_same(&network, &graph, &x_seq);
            assert!(again.arch.tables().is_some());
        }
    }
}

/// A graph by hand: two branches of neurons of their own, one of which is added twice.
fn by_hand() -> NetworkConfig {
    let neurons = |bits: u32, tau: f64, v_threshold: f64| {
        let mut params = NeuronParams::new(bits);
        params.lif.decay = Decay::Tau(tau);
        params.lif.v_threshold = v_threshold;
        Neurons { params, ..Neurons::default() }
    };
    let mut graph = GraphBuilder::new(Shape { channels: 2, height: 6, width: 6 }).unwrap();
    let conv = Conv { stride: 2, bias: true, ..Conv::same(3, 3) };
    let left = graph.add_named(conv, &[0], Some("left")).unwrap();
    let left = graph.add_named(neurons(2, 2.0, 0.97 / 3.0), &[left], Some("left.cells")).unwrap();
    let right = graph.add_named(conv, &[0], Some("right")).unwrap();
    let right = graph.add_named(neurons(1, 4.0, 0.6), &[right], Some("right.cells")).unwrap();
    let sum = graph.add(Add {}, &[left, right, left]).unwrap();
    let pool = graph.add(Pooling { kind: PoolKind::Average, size: 3 }, &[sum]).unwrap();
    let fc = graph.add(Dense { neurons: 4, bias: true }, &[pool]).unwrap();
    let out = graph.add(neurons(3, 2.0, 0.7), &[fc]).unwrap();
    graph.add(Output { readout: Readout::MeanSpike }, &[out]).unwrap();
    let arch = Arch::of_graph(&graph.finish().unwrap());
    let mut config = NetworkConfig::new(arch, 1);
    config.bias = true;
    config
}

#[test]
fn layers_with_neurons_of_their_own_come_back_in_tables_with_their_names() {
    let config = by_hand();
    let network = network(&config);
    let graph = exported(&network, Mode::Exact).graph;
    let x_seq = input(&config, 6, 3);
    let logits = network.predict(&x_seq).unwrap().logits;
    assert_close(&logits, &mean_spikes(&graph, &x_seq, DT), 1e-5);
    let again = assert_computes_the_same(&network, &graph, &x_seq);
    let names: Vec<String> =
        again.arch.tables().unwrap().iter().map(|table| table.title().to_owned()).collect();
    assert!(names.contains(&"left_cells".to_owned()), "{names:?}");
}

#[test]
fn neurons_without_a_leak_and_behind_a_current_are_nodes_of_nir() {
    let mut without = hard("4x4-6-3o");
    without.neuron.beta = Some(1.0);
    let mut current = hard("4x4-6-3o");
    current.neuron.tau_syn = Some(4.0);
    for config in [without, current] {
        for readout in [Readout::MeanSpike, Readout::LastMembrane] {
            let config = NetworkConfig { readout, ..config.clone() };
            let network = network(&config);
            let graph = exported(&network, Mode::Strict).graph;
            let x_seq = input(&config, 6, 3);
            let logits = network.predict(&x_seq).unwrap().logits;
            if readout == Readout::MeanSpike {
                assert_close(&logits, &mean_spikes(&graph, &x_seq, DT), 1e-6);
            } else {
                let steps = run(&graph, &x_seq, DT);
                let last: Vec<Vec<f64>> =
                    steps.into_iter().map(|mut steps| steps.pop().unwrap()).collect();
                assert_close(&logits, &last, 1e-5);
            }
            let again = assert_computes_the_same(&network, &graph, &x_seq);
            assert_eq!(again, config);
        }
    }
}

#[test]
fn a_nested_graph_is_dissolved_and_the_bias_of_its_recurrent_edge_kept() {
    let mut config = hard("5-6r-3o");
    config.bias = true;
    let network = network(&config);
    let flat = exported(&network, Mode::Strict).graph;
    // The neurons and their edge as a graph inside, the way snnTorch's exporter nests them.
    let mut inner = Graph::default();
    inner.insert("input", Kind::Input { shape: vec![6] });
    inner.insert("lif", flat.nodes["lif1"].clone());
    let Kind::Linear(weights) = &flat.nodes["lif1_recurrent"].kind else { panic!() };
    inner.insert("w_rec", Kind::Linear(weights.clone()));
    inner.insert("output", Kind::Output { shape: vec![6] });
    for (from, to) in [("input", "lif"), ("lif", "w_rec"), ("w_rec", "lif"), ("lif", "output")] {
        inner.connect(from, to);
    }
    let mut nested = flat.clone();
    for name in ["lif1", "lif1_recurrent"] {
        nested.nodes.remove(name);
        nested.edges.retain(|(from, to)| from != name && to != name);
    }
    nested.insert("cells", Kind::Graph(inner.clone()));
    nested.connect("fc1", "cells");
    nested.connect("cells", "fc2");
    let x_seq = input(&config, 7, 3);
    assert_eq!(assert_computes_the_same(&network, &nested, &x_seq), config);

    // A bias of the edge is one of the layer before.
    let Kind::Affine(fc1) = &flat.nodes["fc1"].kind else { panic!() };
    let half: Vec<f32> = fc1.bias.to_f32().iter().map(|b| b / 2.0).collect();
    let half = Array::f32(&[6], half).unwrap();
    let weight = weights.weight.clone();
    let edge = Kind::from(Affine { weight, bias: half.clone() });
    inner.nodes.insert("w_rec".into(), Node::from(edge));
    nested.insert("cells", Kind::Graph(inner));
    nested.insert("fc1", Kind::from(Affine { weight: fc1.weight.clone(), bias: half }));
    assert_eq!(assert_computes_the_same(&network, &nested, &x_seq), config);
}

#[test]
fn parts_that_no_network_has_are_refused_by_name() {
    let config = hard("4x4-6r-3o");
    let graph = exported(&network(&config), Mode::Strict).graph;
    let refused = |change: &dyn Fn(&mut Graph)| {
        let mut graph = graph.clone();
        change(&mut graph);
        import(&graph, &ImportOptions::default()).unwrap_err().to_string()
    };
    // A way back over two layers is not a recurrent edge of one.
    let error = refused(&|graph| {
        let weight = Array::full(&[6, 3], 0.5);
        graph.insert("back", Kind::from(Linear { weight }));
        graph.connect("lif2", "back");
        graph.connect("back", "lif1");
    });
    assert!(error.starts_with("`back`: it is part of a cycle"), "{error}");
    let error = refused(&|graph| {
        graph.insert("spare", Kind::from(Scale { scale: Array::full(&[3], 0.5) }));
        graph.connect("lif2", "spare");
    });
    assert!(error.starts_with("`spare`: it does not lie between"), "{error}");
    let error = refused(&|graph| {
        let scale = Array::f32(&[6], vec![1.0, 1.0, 2.0, 1.0, 1.0, 1.0]).unwrap();
        graph.insert("scale", Kind::from(Scale { scale }));
        graph.edges.retain(|(from, to)| (from.as_str(), to.as_str()) != ("lif1", "fc2"));
        graph.connect("lif1", "scale");
        graph.connect("scale", "fc2");
    });
    assert!(error.starts_with("`scale`: its factors differ"), "{error}");
    let mut config = hard("4x4-6-3o");
    config.neuron.signed = true;
    let error = export(&network(&config), &ExportOptions::default()).unwrap_err().to_string();
    assert!(error.starts_with("`lif1`: signed spikes"), "{error}");
}

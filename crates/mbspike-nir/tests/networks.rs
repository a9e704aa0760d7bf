//! Networks as graphs and back, and what both compute.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking, in its helper functions too")]

mod networks_support;

use candle_core::{Device, Tensor};
use mbspike_core::Reset;
use mbspike_lif::{Network, NetworkConfig, Readout};
use mbspike_nir::network::{Error, ExportOptions, Fate, ImportOptions, Mode, export, import};
use mbspike_nir::{Array, Graph, Kind, Value};

use networks_support::{DT, assert_close, exported, input, mean_spikes, network, run};

fn config(arch: &str, bits: u32, reset: Reset) -> NetworkConfig {
    let mut config = NetworkConfig::new(arch.parse().unwrap(), bits);
    config.neuron.reset = reset;
    config
}

/// A graph in a network again: the same settings, names and bits.
fn assert_comes_back(config: &NetworkConfig, network: &Network, graph: &Graph) {
    let imported = import(graph, &ImportOptions::default()).unwrap();
    let mut again = NetworkConfig::new(imported.arch.clone(), 1);
    (again.neuron, again.readout, again.bias) =
        (imported.neuron.clone(), imported.readout, imported.bias);
    assert_eq!(&again, config);
    assert_eq!(imported.tensors.len(), network.parameters().len());
    for parameter in network.parameters() {
        let (_, tensor) =
            imported.tensors.iter().find(|(name, _)| *name == parameter.name).unwrap();
        assert_eq!(tensor.dims(), parameter.var.dims());
        let flat = |tensor: &Tensor| tensor.flatten_all().unwrap().to_vec1::<f32>().unwrap();
        assert_eq!(flat(tensor), flat(parameter.var.as_tensor()), "{}", parameter.name);
    }
}

const ARCHS: [&str; 3] = ["6x6x2-3c3-2a-4c3v-8-5o", "4x4-6-3o", "1x1x5-4-4o-vote2"];

#[test]
fn one_bit_with_hard_reset_is_nodes_of_nir_and_computes_the_same() {
    for arch in ARCHS {
        for bias in [false, true] {
            let mut config = config(arch, 1, Reset::Hard { v_reset: 0.0 });
            config.bias = bias;
            // Low enough for every layer to fire.
            config.neuron.v_threshold = 0.25;
            let network = network(&config);
            let export = exported(&network, Mode::Strict);
            assert!(export.notes.iter().all(|note| note.fate == Fate::Converted));
            let n_lif = export.graph.nodes.values().filter(|n| matches!(n.kind, Kind::Lif(_)));
            assert_eq!(n_lif.count() + 1, network.positions().len());
            let x_seq = input(&config, 6, 3);
            let logits = network.predict(&x_seq).unwrap().logits;
            assert_close(&logits, &mean_spikes(&export.graph, &x_seq, DT), 1e-6);
            assert_comes_back(&config, &network, &export.graph);
        }
    }
}

#[test]
fn graded_spikes_with_soft_reset_are_graphs_that_compute_the_same() {
    for (arch, bits) in [(ARCHS[0], 2), (ARCHS[1], 3), (ARCHS[2], 1)] {
        for reset in [Reset::Soft {}, Reset::None {}] {
            let mut config = config(arch, bits, reset);
            // Off the grid of the weights: thirds and sevenths of spikes are rounded, there and here
            // differently, and no membrane may lie at an edge.
            config.neuron.v_threshold = 0.97 / 8.0 * f64::from((1 << bits) - 1);
            let network = network(&config);
            let export = exported(&network, Mode::Exact);
            let x_seq = input(&config, 6, 2);
            let logits = network.predict(&x_seq).unwrap().logits;
            assert_close(&logits, &mean_spikes(&export.graph, &x_seq, DT), 1e-5);
            assert_comes_back(&config, &network, &export.graph);
        }
    }
}

#[test]
fn what_nir_cannot_say_is_an_error_that_lists_it() {
    let config = config("4x4-6-3o", 2, Reset::Soft {});
    let strict = ExportOptions::default();
    let error = export(&network(&config), &strict).unwrap_err().to_string();
    for part in [
        "`lif1`: graded spikes of 3 levels (2 bits)",
        "`lif1`: soft reset",
        "`lif2`: soft reset",
        "`--exact`",
        "`--lossy`",
    ] {
        assert!(error.contains(part), "{part} in {error}");
    }
    // A hard reset of a graded spike is beyond the construction.
    let config = NetworkConfig {
        neuron: mbspike_lif::NeuronConfig {
            reset: Reset::Hard { v_reset: 0.0 },
            ..config.neuron.clone()
        },
        ..config
    };
    let exact = ExportOptions { mode: Mode::Exact, ..strict };
    let error = export(&network(&config), &exact).unwrap_err();
    assert!(matches!(error, Error::Lossy { .. }), "{error}");
    assert!(!error.to_string().contains("--exact"), "{error}");
}

#[test]
fn a_lossy_export_says_what_is_lost_and_its_metadata_bring_it_back() {
    let config = config("6x6-4c3-2a-5o", 3, Reset::Soft {});
    let network = network(&config);
    let export = exported(&network, Mode::Lossy);
    let lost: Vec<String> = export
        .notes
        .iter()
        .filter(|note| note.fate == Fate::Lost)
        .map(ToString::to_string)
        .collect();
    assert_eq!(lost.len(), 4, "{lost:?}");
    let node = &export.graph.nodes["lif1"];
    assert!(matches!(node.kind, Kind::Lif(_)));
    let about = node.metadata["mbspike"].as_map().unwrap();
    assert_eq!(about["bits"].as_number(), Some(3.0));
    assert_eq!(about["reset"].as_text(), Some("soft"));
    assert_eq!(about["dt"].as_number(), Some(DT));
    assert_comes_back(&config, &network, &export.graph);

    // Metadata of another node than the one they were written for say nothing.
    let mut changed = export.graph.clone();
    for name in ["lif1", "lif2"] {
        let Kind::Lif(lif) = &mut changed.nodes.get_mut(name).unwrap().kind else { panic!() };
        let shape = lif.v_threshold.shape().to_vec();
        lif.v_threshold = Array::full(&shape, 0.5);
    }
    let imported = import(&changed, &ImportOptions::default()).unwrap();
    assert_eq!(imported.neuron.bits, 1);
    assert_eq!(imported.neuron.reset, Reset::Hard { v_reset: 0.0 });
    assert_eq!(imported.neuron.v_threshold as f32, 0.5_f32.next_up());
    let as_it_is = ImportOptions { threshold_fires: true, ..ImportOptions::default() };
    assert_eq!(import(&changed, &as_it_is).unwrap().neuron.v_threshold, 0.5);
}

#[test]
fn batch_normalization_is_folded_and_dropout_left_out() {
    let config = config("6x6-3c3-bn-2a-dp0.5-4o", 1, Reset::Hard { v_reset: 0.0 });
    let network = network(&config);
    let set = |name: &str, values: [f32; 3]| {
        let mut all = network.parameters().iter().chain(network.buffers());
        let parameter = all.find(|parameter| parameter.name == name).unwrap();
        parameter.var.set(&Tensor::new(&values, &Device::Cpu).unwrap()).unwrap();
    };
    set("bn1.weight", [1.5, 0.7, 2.0]);
    set("bn1.bias", [0.3, -0.2, 0.05]);
    set("bn1.running_mean", [0.2, -0.4, 0.9]);
    set("bn1.running_var", [0.3, 2.0, 1.1]);
    let export = exported(&network, Mode::Strict);
    let x_seq = input(&config, 5, 4);
    let logits = network.predict(&x_seq).unwrap().logits;
    assert_close(&logits, &mean_spikes(&export.graph, &x_seq, DT), 1e-6);
    let texts: Vec<String> = export.notes.iter().map(ToString::to_string).collect();
    assert!(texts.iter().any(|text| text.contains("`bn1` is part of")), "{texts:?}");
    assert!(texts.iter().any(|text| text.contains("dropout does nothing")), "{texts:?}");
}

#[test]
fn a_readout_of_membranes_is_a_leaky_integrator() {
    for readout in [Readout::LastMembrane, Readout::MaxMembrane] {
        let mut config = config("4x4-6-3o", 1, Reset::Hard { v_reset: 0.0 });
        config.readout = readout;
        let network = network(&config);
        let export = exported(&network, Mode::Strict);
        assert!(matches!(export.graph.nodes["lif2"].kind, Kind::Li(_)));
        let x_seq = input(&config, 5, 2);
        let logits = network.predict(&x_seq).unwrap().logits;
        let expected: Vec<Vec<f64>> = run(&export.graph, &x_seq, DT)
            .into_iter()
            .map(|steps| match readout {
                Readout::LastMembrane => steps.last().unwrap().clone(),
                _ => (0..3)
                    .map(|i| steps.iter().map(|step| step[i]).fold(f64::MIN, f64::max))
                    .collect(),
            })
            .collect();
        assert_close(&logits, &expected, 1e-5);
        assert_comes_back(&config, &network, &export.graph);
    }
}

#[test]
fn maximum_pooling_is_refused_by_name() {
    let config = config("6x6-3c3-2m-4o", 1, Reset::Hard { v_reset: 0.0 });
    let options = ExportOptions { mode: Mode::Lossy, ..ExportOptions::default() };
    let error = export(&network(&config), &options).unwrap_err().to_string();
    assert!(error.starts_with("`pool1`: NIR has no node for maximum pooling"), "{error}");
}

#[test]
fn graphs_that_are_no_network_are_refused_by_node() {
    let config = config("6x6-3c3-2a-4o", 1, Reset::Hard { v_reset: 0.0 });
    let graph = exported(&network(&config), Mode::Strict).graph;
    let refused = |change: &dyn Fn(&mut Graph)| {
        let mut graph = graph.clone();
        change(&mut graph);
        import(&graph, &ImportOptions::default()).unwrap_err().to_string()
    };
    let error = refused(&|graph| graph.connect("lif2", "fc1"));
    assert!(error.starts_with("`fc1`: it is part of a cycle"), "{error}");
    let error = refused(&|graph| {
        let Kind::Conv2d(conv) = &mut graph.nodes.get_mut("conv1").unwrap().kind else { panic!() };
        conv.stride = [1, 2];
    });
    assert!(error.starts_with("`conv1`: it has stride [1, 2]"), "{error}");
    let error = refused(&|graph| {
        let Kind::Lif(lif) = &mut graph.nodes.get_mut("lif1").unwrap().kind else { panic!() };
        let shape = lif.v_leak.shape().to_vec();
        lif.v_leak = Array::full(&shape, 0.5);
    });
    assert!(error.starts_with("`lif1`: it leaks to 0.5 and resets to 0"), "{error}");
    let error = refused(&|graph| {
        let Kind::Lif(lif) = &mut graph.nodes.get_mut("lif1").unwrap().kind else { panic!() };
        let shape = lif.tau.shape().to_vec();
        let mut values = lif.tau.to_f32();
        values[0] *= 2.0;
        lif.tau = Array::f32(&shape, values).unwrap();
    });
    assert!(
        error.starts_with("node `lif1`, attribute `tau`: expected one value for all neurons"),
        "{error}"
    );
    let error = import(&graph, &ImportOptions { dt: Some(1.0), ..ImportOptions::default() })
        .unwrap_err()
        .to_string();
    assert!(error.contains("a time constant of at least one step of 1 s"), "{error}");
}

#[test]
fn layers_with_time_constants_of_their_own_become_learnable_ones() {
    let mut config = config("4x4-6-3o", 1, Reset::Hard { v_reset: 0.0 });
    config.neuron.learnable_tau = true;
    let network = network(&config);
    let tau = network.parameters().iter().find(|p| p.name == "lif2.tau").unwrap();
    tau.var.set(&Tensor::full(4_f32, tau.var.dims(), &Device::Cpu).unwrap()).unwrap();
    let graph = exported(&network, Mode::Strict).graph;
    assert_comes_back(&config, &network, &graph);
}

#[test]
fn a_gain_that_no_setting_has_goes_into_the_weights() {
    let config = config("4x4-3o", 1, Reset::Hard { v_reset: 0.0 });
    let network = network(&config);
    let mut graph = exported(&network, Mode::Strict).graph;
    let node = graph.nodes.get_mut("lif1").unwrap();
    node.metadata.clear();
    let Kind::Lif(lif) = &mut node.kind else { panic!() };
    lif.r = Array::full(&[3], 8.0);
    let imported = import(&graph, &ImportOptions::default()).unwrap();
    assert!(!imported.neuron.decay_input);
    let flat = |tensor: &Tensor| tensor.flatten_all().unwrap().to_vec1::<f32>().unwrap();
    let before = flat(network.parameters()[0].var.as_tensor());
    let expected: Vec<f32> = before.iter().map(|w| w * 4.0).collect();
    assert_eq!(flat(&imported.tensors[0].1), expected);
    assert!(imported.notes.iter().any(|note| note.text.contains("its gain 4")));
    assert_eq!(graph.metadata["mbspike"].as_map().unwrap()["dt"], Value::number(DT));
}

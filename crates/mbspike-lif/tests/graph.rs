//! The graph: tables and notation are one network, every variable learns, and what an engine cannot take
//! is named.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking, in its helper functions too")]

use candle_core::{DType, Device, Tensor};
use mbspike_core::DeviceName;
use mbspike_core::philox::{Domain, Place, Stream};
use mbspike_lif::graph::{Add, Conv, Dense, GraphBuilder, Neurons, Op, Output, Vote};
use mbspike_lif::integer::check_graph;
use mbspike_lif::layer::NeuronParams;
use mbspike_lif::{
    Arch, Execution, LayerTable, Loss, Network, NetworkConfig, NetworkTable, NeuronConfig,
    NeuronTable, Readout, Shape, StepKey, check, one_hot,
};

fn tables(text: &str) -> (NetworkTable, NeuronTable) {
    #[derive(serde::Deserialize)]
    struct Tables {
        network: NetworkTable,
        neuron: NeuronTable,
    }
    let Tables { network, neuron } = toml::from_str(text).unwrap();
    (network, neuron)
}

fn resolve(text: &str) -> mbspike_lif::Result<NetworkConfig> {
    let (network, neuron) = tables(text);
    network.resolve(&neuron, mbspike_lif::Precision::F32)
}

fn input(shape: Shape, n_steps: usize, batch_size: usize) -> Tensor {
    let dims = [n_steps, batch_size, shape.channels, shape.height, shape.width];
    let mut values = vec![0.0_f32; dims.iter().product()];
    Stream::new(5, Domain::Encode, Place::default()).fill_uniform(&mut values);
    for value in &mut values {
        *value = f32::from(u8::from(*value < 0.6)) * 2.0;
    }
    Tensor::from_vec(values, &dims[..], &Device::Cpu).unwrap()
}

/// Loss, logits, gradients with their names' order, and activity of a training step.
fn step(config: &NetworkConfig, n_steps: usize) -> (f64, Vec<Vec<f32>>, Vec<f64>) {
    let mut network = Network::new(config, 3, &Device::Cpu).unwrap();
    let x_seq = input(network.graph().input_shape(), n_steps, 3);
    let n_classes = network.graph().n_classes();
    let targets = one_hot(&[0, 1, 2], n_classes, DType::F32, &Device::Cpu).unwrap();
    let key = StepKey { seed: 1, iteration: 0 };
    let step = network.train_step(&x_seq, &targets, Loss::default(), key).unwrap();
    let flat = |t: &Tensor| t.flatten_all().unwrap().to_vec1::<f32>().unwrap();
    let tensors = std::iter::once(&step.logits).chain(&step.gradients).map(flat).collect();
    (step.loss, tensors, step.activity.nonzero_rate())
}

#[test]
fn tables_and_notation_are_the_same_network() {
    let pairs = [
        (
            "8x8x2-4c3-bn-2a-6c3s2v-dp0.25-12r-10o-vote2",
            r#"
            [network]
            input = "8x8x2"
            [[network.layer]]
            kind = "conv"
            channels = 4
            kernel = 3
            norm = true
            [[network.layer]]
            kind = "pool"
            take = "average"
            size = 2
            [[network.layer]]
            kind = "conv"
            channels = 6
            kernel = 3
            stride = 2
            padding = "valid"
            [[network.layer]]
            kind = "dropout"
            p = 0.25
            [[network.layer]]
            kind = "dense"
            neurons = 12
            recurrent = true
            [[network.layer]]
            kind = "output"
            neurons = 10
            [[network.layer]]
            kind = "vote"
            group = 2
            [neuron]
            bits = 2
            "#,
        ),
        (
            "8x8x2-4c3-res(4c3-4c3|4c1)-resc(4c3-bn)-5o",
            r#"
            [network]
            input = "8x8x2"
            [[network.layer]]
            kind = "conv"
            name = "stem"
            channels = 4
            kernel = 3
            [[network.layer]]
            kind = "conv"
            channels = 4
            kernel = 3
            [[network.layer]]
            kind = "conv"
            name = "body"
            channels = 4
            kernel = 3
            [[network.layer]]
            kind = "conv"
            name = "shortcut"
            input = "stem"
            channels = 4
            kernel = 1
            [[network.layer]]
            kind = "add"
            name = "sum"
            input = ["body", "shortcut"]
            [[network.layer]]
            kind = "conv"
            name = "current"
            channels = 4
            kernel = 3
            norm = true
            spiking = false
            [[network.layer]]
            kind = "add"
            input = ["current", "sum"]
            [[network.layer]]
            kind = "neurons"
            [[network.layer]]
            kind = "output"
            neurons = 5
            [neuron]
            bits = 2
            "#,
        ),
    ];
    for (notation, text) in pairs {
        let of_tables = resolve(text).unwrap();
        let of_notation = NetworkConfig::new(notation.parse().unwrap(), 2);
        assert_eq!(step(&of_tables, 4), step(&of_notation, 4), "{notation}");
        // Written out and read again it is the same architecture.
        let json = serde_json::to_string(&of_tables.arch).unwrap();
        assert_eq!(serde_json::from_str::<Arch>(&json).unwrap(), of_tables.arch);
        // So is the graph as tables.
        let graph = of_notation.graph().unwrap();
        let again = NetworkConfig { arch: Arch::of_graph(&graph), ..of_notation.clone() };
        assert_eq!(again.graph().unwrap(), graph);
        assert_eq!(step(&again, 4), step(&of_notation, 4), "{notation}");
    }
}

#[test]
fn a_layer_has_neurons_of_its_own() {
    let text = r#"
        [network]
        input = "6x6"
        [[network.layer]]
        kind = "conv"
        name = "stem"
        channels = 3
        kernel = 3
        neuron = { bits = 3, tau = 5.0, v_threshold = 0.5, reset = { kind = "hard" }, learnable_tau = true }
        [[network.layer]]
        kind = "dense"
        neurons = 8
        neuron = { preset = "ilif", levels = 4 }
        [[network.layer]]
        kind = "output"
        neurons = 4
        [neuron]
        bits = 1
        detach_reset = true
    "#;
    let config = resolve(text).unwrap();
    let graph = config.graph().unwrap();
    let neurons: Vec<&Neurons> = graph.neurons().map(|(_, neurons)| neurons).collect();
    assert_eq!(neurons.iter().map(|n| n.params.lif.levels).collect::<Vec<_>>(), [7, 4, 1]);
    assert_eq!(neurons[0].params.lif.v_threshold, 0.5);
    assert!(neurons[0].params.lif.detach_reset, "what a layer does not say is the network's");
    assert_eq!(neurons[1].params, NeuronParams::integer(4));
    let network = Network::new(&config, 1, &Device::Cpu).unwrap();
    let names: Vec<&str> = network.parameters().iter().map(|p| p.name.as_str()).collect();
    assert_eq!(names, ["stem.weight", "stem.lif.tau", "fc1.weight", "fc2.weight"]);
    assert_eq!(network.positions(), ["input", "stem.lif", "lif1", "lif2"]);
    assert_eq!(network.parameters()[1].var.to_vec1::<f32>().unwrap(), [5.0]);
}

#[test]
fn tables_that_do_not_fit_say_which_layer_and_why() {
    let layer = |text: &str| {
        let text = format!(
            "[network]\ninput = \"8x8\"\n[[network.layer]]\nkind = \"conv\"\nchannels = 4\nkernel = 3\n\
             [[network.layer]]\n{text}\n[[network.layer]]\nkind = \"output\"\nneurons = 3\n[neuron]\n\
             bits = 1\n"
        );
        let config = resolve(&text);
        let result = config.and_then(|config| config.graph());
        result.unwrap_err().to_string()
    };
    let cases = [
        ("kind = \"pool\"\ntake = \"max\"\nsize = 3", "layer 2 (`pool`)", "divides 8 and 8"),
        ("kind = \"pool\"\nsize = 2", "layer 2 (`pool`)", "the key `take` is missing"),
        (
            "kind = \"pool\"\ntake = \"max\"\nsize = 2\nstride = 2",
            "layer 2",
            "`stride` does not belong",
        ),
        ("kind = \"conv\"\nchannels = 4\nkernel = 2", "layer 2 (`conv`)", "even kernel"),
        ("kind = \"add\"\ninput = [\"conv1\", \"conv9\"]", "layer 2", "is called \"conv9\""),
        ("kind = \"add\"\ninput = [\"conv1\", \"input\"]", "layer 2", "the same size on all ways"),
        ("kind = \"add\"\ninput = \"conv1\"", "layer 2", "two nodes or more"),
        (
            "kind = \"dense\"\nneurons = 4\nname = \"conv1\"",
            "layer 2 (`conv1`)",
            "names that differ",
        ),
        ("kind = \"dense\"\nneurons = 4\nname = \"a/b\"", "layer 2 (`a/b`)", "letters, digits"),
        (
            "kind = \"dense\"\nneurons = 4\nspiking = false\nrecurrent = true",
            "layer 2",
            "`spiking` is false",
        ),
        ("kind = \"neurons\"\nrecurrent = true", "layer 2", "after a dense layer"),
        ("kind = \"dense\"\nneurons = 4\nneuron = { tau = 0.5 }", "layer 2", "neuron.tau must be"),
        (
            "kind = \"dense\"\nneurons = 4\nneuron = { preset = \"x\" }",
            "layer 2",
            "neuron.preset must be",
        ),
        ("kind = \"conv\"\nchannels = 3\nkernel = 3\ngroups = 2", "layer 2", "groups that divide"),
        ("kind = \"dropout\"\np = 1.5", "layer 2", "0..1"),
        ("kind = \"vote\"\ngroup = 2", "layer 2", "right after the output"),
        (
            "kind = \"conv\"\nchannels = 3\nkernel = 3\ninput = \"input\"",
            "`lif1`",
            "read by nothing",
        ),
    ];
    for (text, what, why) in cases {
        let error = layer(text);
        assert!(error.contains(what) && error.contains(why), "{text}:\n{error}");
    }
}

#[test]
fn every_variable_of_every_preset_gets_a_gradient() {
    for (name, _) in Arch::PRESETS {
        let arch = Arch::preset(name).unwrap();
        let learned = NeuronConfig {
            learnable_tau: true,
            learnable_threshold: true,
            v_threshold: 0.3,
            ..NeuronConfig::new(2)
        };
        let config = NetworkConfig { neuron: learned, ..NetworkConfig::new(arch, 2) };
        let network = Network::new(&config, 1, &Device::Cpu).unwrap();
        let x_seq = input(network.graph().input_shape(), 2, 1);
        let loss = network.forward(&x_seq, Some(StepKey { seed: 1, iteration: 0 })).unwrap();
        let weights = Tensor::arange(1_u32, 1 + loss.elem_count() as u32, &Device::Cpu).unwrap();
        let weights = weights.to_dtype(DType::F32).unwrap().reshape(loss.shape()).unwrap();
        let gradients = (loss * weights).unwrap().sum_all().unwrap().backward().unwrap();
        for parameter in network.parameters() {
            let gradient = gradients.get(&parameter.var);
            let gradient = gradient.unwrap_or_else(|| panic!("{name}: none of {}", parameter.name));
            let size = gradient.abs().unwrap().sum_all().unwrap().to_scalar::<f32>().unwrap();
            assert!(size > 0.0, "{name}: the gradient of {} is {size}", parameter.name);
        }
    }
}

#[test]
fn what_an_engine_cannot_take_is_named_with_its_node() {
    let fused = |arch: &str, neuron: NeuronConfig| {
        let arch = arch.parse().unwrap();
        let execution = Execution::Fused;
        let config = NetworkConfig { execution, neuron, ..NetworkConfig::new(arch, 1) };
        check(&config, DeviceName::Cpu).unwrap_err().to_string()
    };
    let plain = || NeuronConfig::new(2);
    let cases = [
        (fused("8x8-4c3s2-10o", plain()), "`conv1`: convolutions with a stride"),
        (fused("8x8-4c3-4c3g2-10o", plain()), "`conv2`: convolutions with groups"),
        (fused("8x8-4c3-4c3d2-10o", plain()), "`conv2`: convolutions with a dilation"),
        (fused("8x8-4c3-bn-10o", plain()), "`conv1`: batch normalization needs the whole batch"),
        (fused("8x8-4c3-res(4c3)-10o", plain()), "`lif1`: what it sends is read by several layers"),
        (fused("8x8-4c3l-2a-lif-10o", plain()), "`conv1`: there are no neurons right after it"),
        (fused("8x8-16r-10o", plain()), "`lif1`: neurons with recurrent edges"),
        (
            fused("8x8-16-10o", NeuronConfig { signed: true, ..plain() }),
            "`lif1`: neurons with signed spikes",
        ),
        (
            fused("8x8-16-10o", NeuronConfig::preset("ilif").unwrap()),
            "`lif1`: neurons with rounding to the nearest level",
        ),
    ];
    for (error, part) in cases {
        assert!(error.contains(part), "{error}");
    }
    let integer = |arch: &str, neuron: NeuronConfig| {
        let arch: Arch = arch.parse().unwrap();
        let graph = arch.graph(&neuron, false, Readout::MeanSpike).unwrap();
        check_graph(&graph).unwrap_err().to_string()
    };
    for (error, part) in [
        (integer("8x8-4c3s2-10o", plain()), "`conv1` cannot be computed in integers: strides"),
        (integer("8x8-4c3-res(4c3)-10o", plain()), "`lif1` cannot be computed in integers"),
        (integer("8x8-8r-10o", plain()), "`lif1` cannot be computed in integers: recurrent"),
        (integer("8x8-8-10o", NeuronConfig::preset("ternary").unwrap()), "signed spikes"),
    ] {
        assert!(error.contains(part), "{error}");
    }
}

#[test]
fn a_graph_built_by_hand_is_a_network() {
    let mut graph = GraphBuilder::new(Shape { channels: 2, height: 6, width: 6 }).unwrap();
    let conv = graph.add(Conv::same(4, 3), &[graph.input()]).unwrap();
    let spikes = graph.add(Neurons::default(), &[conv]).unwrap();
    let params = NeuronParams::ternary();
    let conv = graph.add_named(Conv::same(4, 3), &[spikes], Some("inner.conv")).unwrap();
    let inner = graph.add(Neurons { params, ..Neurons::default() }, &[conv]).unwrap();
    let sum = graph.add(Add {}, &[spikes, inner]).unwrap();
    let fc = graph.add(Dense { neurons: 6, bias: true }, &[sum]).unwrap();
    let out = graph.add(Neurons::default(), &[fc]).unwrap();
    let scores = graph.add(Output { readout: Readout::LastMembrane }, &[out]).unwrap();
    graph.add(Vote { group: 2 }, &[scores]).unwrap();
    let graph = graph.finish().unwrap();
    let Op::Neurons(output) = &graph.node(out).op else { panic!() };
    assert!(output.sends_membrane);
    let config = NetworkConfig {
        readout: Readout::LastMembrane,
        ..NetworkConfig::new(Arch::of_graph(&graph), 1)
    };
    assert_eq!(config.graph().unwrap(), graph);
    let network = Network::new(&config, 1, &Device::Cpu).unwrap();
    let scores = network.predict(&input(graph.input_shape(), 3, 2)).unwrap().logits;
    assert_eq!(scores.dims(), [2, 3]);

    let mut graph = GraphBuilder::new(Shape { channels: 2, height: 6, width: 6 }).unwrap();
    let error = graph.add(Dense { neurons: 6, bias: true }, &[7]).unwrap_err();
    assert!(error.to_string().contains("reads node 7"), "{error}");
    assert!(graph.clone().finish().is_err());
    let error = graph.add(Vote { group: 2 }, &[0]).unwrap_err().to_string();
    assert!(error.contains("`vote1` before the output layer"), "{error}");
}

#[test]
fn neurons_are_said_in_bits_levels_or_by_preset() {
    let resolve = |text: &str| toml::from_str::<NeuronTable>(text).unwrap().resolve();
    let levels = |text: &str| {
        let config = resolve(text).unwrap();
        (config.bits, config.params(0, 1).unwrap().lif.levels)
    };
    assert_eq!(levels("bits = 3"), (3, 7));
    assert_eq!(levels("levels = 7"), (3, 7));
    assert_eq!(levels("levels = 5"), (3, 5));
    assert_eq!(levels("bits = 3\nlevels = 5"), (3, 5));
    assert_eq!(levels("preset = \"ilif\""), (3, 4));
    assert_eq!(levels("preset = \"ilif\"\nlevels = 8"), (4, 8));
    assert_eq!(levels("preset = \"lif\"\nbits = 2"), (2, 3));
    for (text, part) in [
        ("tau = 3.0", "bits must be given"),
        ("bits = 2\nlevels = 5", "bits must be"),
        ("preset = \"liff\"", "preset must be"),
    ] {
        let error = resolve(text).unwrap_err().to_string();
        assert!(error.starts_with(part), "{error}");
    }
    for (text, part) in [
        ("bits = 0", "bits must be in 1..=16"),
        ("levels = 70000", "levels must be in 1..=65535"),
        ("bits = 2\nbeta = 1.5", "beta must be"),
        ("bits = 2\nbeta = 0.5\nlearnable_tau = true", "beta must be left out"),
        ("bits = 2\ntau_syn = 0.0", "tau_syn must be"),
        ("bits = 2\nlearned_by = \"channel\"", "learned_by must be left out"),
    ] {
        let error = resolve(text).unwrap().params(0, 1).unwrap_err().to_string();
        assert!(error.starts_with(part), "{text}: {error}");
    }
    let short: NeuronTable =
        toml::from_str("bits = 2\nreset = \"hard\"\nsurrogate = \"atan\"\nshift = 0.25").unwrap();
    let long: NeuronTable = toml::from_str(
        "bits = 2\nreset = { kind = \"hard\", v_reset = 0.0 }\n\
         surrogate = { kind = \"atan\", alpha = 2.0 }\nshift = 0.25",
    )
    .unwrap();
    assert_eq!(short, long);
    for (name, _) in NeuronConfig::PRESETS {
        let preset = NeuronConfig::preset(name).unwrap();
        let text = toml::to_string(&preset).unwrap();
        assert_eq!(resolve(&text).unwrap(), preset, "{name}:\n{text}");
        preset.params(0, 1).unwrap();
    }
    assert_eq!(
        NeuronConfig::preset("ilif").unwrap().params(0, 1).unwrap(),
        NeuronParams::integer(4)
    );
    // What the thesis's neuron says of itself has not changed: runs are known by it.
    let text = toml::to_string(&NeuronConfig::new(2)).unwrap();
    for key in ["levels", "signed", "rounding", "output", "beta", "tau_syn", "learned"] {
        assert!(!text.contains(key), "{text}");
    }
}

#[test]
fn a_table_is_left_out_where_a_key_is_unknown() {
    let text = "kind = \"conv\"\nchannels = 2\nkernel = 3\nfilters = 4";
    let error = toml::from_str::<LayerTable>(text).unwrap_err().to_string();
    assert!(error.contains("filters"), "{error}");
}

//! Networks of Loihi 2's numbers against Lava's Python models, bit for bit
//! (`scripts/golden/loihi.py`).
#![expect(clippy::unwrap_used, reason = "a test fails by panicking, in its helper functions too")]

use mbspike_lif::integer::loihi::{
    LoihiCell, LoihiConfig, LoihiFire, LoihiNetwork, LoihiWeights, Overflows,
};
use safetensors::SafeTensors;

const FILE: &[u8] = include_bytes!("golden/loihi.safetensors");

fn integers(file: &SafeTensors<'_>, name: &str) -> (Vec<usize>, Vec<i32>) {
    let tensor = file.tensor(name).unwrap_or_else(|_| panic!("no {name}"));
    let values = match tensor.dtype() {
        safetensors::Dtype::I16 => {
            let values = tensor.data().chunks_exact(2);
            values.map(|bytes| i16::from_le_bytes(bytes.try_into().unwrap()).into()).collect()
        }
        safetensors::Dtype::I32 => {
            let values = tensor.data().chunks_exact(4);
            values.map(|bytes| i32::from_le_bytes(bytes.try_into().unwrap())).collect()
        }
        other => panic!("{name} is {other:?}"),
    };
    (tensor.shape().to_vec(), values)
}

fn networks() -> Vec<(String, LoihiNetwork)> {
    let (_, metadata) = SafeTensors::read_metadata(FILE).unwrap();
    let file = SafeTensors::deserialize(FILE).unwrap();
    let headers = metadata.metadata().as_ref().unwrap();
    let network = |(name, header): (&String, &String)| {
        let config: LoihiConfig = serde_json::from_str(header).unwrap();
        let weights = config.layers.iter().map(|layer| {
            let of = |part: &str| integers(&file, &format!("{name}.{}.{part}", layer.name)).1;
            let weight = of("weight").iter().map(|w| i16::try_from(*w).unwrap()).collect();
            LoihiWeights { weight, bias: of("bias") }
        });
        let weights = weights.collect();
        (name.clone(), LoihiNetwork::new(config, weights).unwrap())
    };
    headers.iter().map(network).collect()
}

#[test]
fn states_and_payloads_are_those_of_lava_in_every_step() {
    let file = SafeTensors::deserialize(FILE).unwrap();
    let networks = networks();
    assert_eq!(networks.len(), 3);
    for (name, network) in networks {
        let (shape, x) = integers(&file, &format!("{name}.x"));
        let n: usize = shape[1..].iter().product();
        let steps: Vec<Vec<i32>> = x.chunks_exact(n).map(<[i32]>::to_vec).collect();
        let traces = network.trace(&steps);
        let (y_shape, y) = integers(&file, &format!("{name}.y"));
        assert_eq!(traces.len(), y_shape[0], "{name}");
        for (t, (trace, y)) in traces.iter().zip(y.chunks_exact(y_shape[1])).enumerate() {
            assert_eq!(trace.last().unwrap().spikes, y, "{name}, step {t}");
            for (layer, of_layer) in network.config().layers.iter().zip(trace) {
                let (_, v) = integers(&file, &format!("{name}.{}.v", layer.name));
                let n = layer.n_neurons();
                let there = &v[t * n..][..n];
                assert_eq!(of_layer.membranes, there, "{name}, {}, step {t}", layer.name);
            }
        }
    }
}

#[test]
fn what_does_not_fit_24_bits_is_counted() {
    let file = SafeTensors::deserialize(FILE).unwrap();
    for (name, network) in networks() {
        let (shape, x) = integers(&file, &format!("{name}.x"));
        let x: Vec<f32> = x.iter().map(|code| *code as f32).collect();
        let dims = (shape[0], 1, shape[1], shape[2], shape[3]);
        let x = candle_core::Tensor::from_vec(x, dims, &candle_core::Device::Cpu).unwrap();
        let prediction = network.predict(&x).unwrap();
        let mut all = Overflows::default();
        prediction.overflows.iter().for_each(|more| all.merge(more));
        let headroom = network.headroom(shape[0] + network.config().layers.len());
        if name == "overflowing" {
            assert!(all.sums == 0 && all.currents > 0 && all.membranes > 0, "{all:?}");
            assert!(headroom.iter().any(|room| room.n_safe < room.n_neurons), "{headroom:?}");
        }
        // Where all neurons are safe, nothing overflows, and no membrane gets farther than said.
        for ((room, over), largest) in
            headroom.iter().zip(&prediction.overflows).zip(&prediction.largest)
        {
            if room.n_safe == room.n_neurons {
                assert_eq!(over.total(), 0, "{name}, {}", room.layer);
            }
            let reached = *largest as f64 / 8_388_607.0;
            assert!(reached <= room.worst, "{name}, {}: {reached} > {}", room.layer, room.worst);
        }
    }
}

#[test]
fn numbers_beyond_the_chips_widths_are_refused_by_layer() {
    let (_, network) = networks().remove(0);
    let refused = |change: &dyn Fn(&mut LoihiConfig, &mut Vec<LoihiWeights>)| {
        let (mut config, mut weights) = (network.config().clone(), network.weights().to_vec());
        change(&mut config, &mut weights);
        LoihiNetwork::new(config, weights).unwrap_err().to_string()
    };
    for (change, expected) in [
        (
            &(|_: &mut LoihiConfig, w: &mut Vec<LoihiWeights>| w[0].weight[0] = 3)
                as &dyn Fn(&mut LoihiConfig, &mut Vec<LoihiWeights>),
            "the weight 3 is not even and in −256..=254",
        ),
        (&|_, w| w[0].weight[0] = 256, "the weight 256 is not even"),
        (&|_, w| w[0].bias[0] = 4096, "the bias 4096 is not in"),
        (&|c, _| c.layers[0].cell.dv = 4096, "dv must be in 0..=4095"),
        (&|c, _| c.layers[0].stride = 3, "its map does not follow"),
    ] {
        let error = refused(change);
        assert!(error.starts_with("`conv1`") && error.contains(expected), "{error}");
    }
    let error = refused(&|c, _| c.layers[0].cell.fire = LoihiFire::Binary { vth: 1 << 17 });
    assert!(error.contains("vth must be in 0..=131071"), "{error}");
}

#[test]
fn binary_neurons_do_not_fire_at_their_threshold_and_graded_ones_do() {
    let cell = |fire| LoihiCell { du: 4095, dv: 0, shift: 6, bias_exp: 6, fire };
    let step = |cell: LoihiCell, a| {
        let (mut u, mut v) = (0, 0);
        cell.step(a, 0, &mut u, &mut v, &mut Overflows::default()).0
    };
    let binary = cell(LoihiFire::Binary { vth: 100 });
    assert_eq!([99, 100, 101].map(|a| step(binary, a)), [0, 0, 1]);
    let graded = cell(LoihiFire::Staircase { level: 100, levels: 3, soft: true });
    assert_eq!([-1, 99, 100, 299, 300, 900].map(|a| step(graded, a)), [0, 0, 1, 2, 3, 3]);
}
